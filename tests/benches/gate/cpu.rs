//! What a process has used, as Linux counts it, and on which core it may run.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// User and system time of all threads of a process; Envoy's live as long as it does.
pub fn of_process(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("Linux, and the process runs");
    threads.map(|thread| of_thread(&thread.unwrap().path())).sum()
}

/// The same of one thread, by its folder in `/proc`.
pub fn of_thread(folder: &Path) -> Duration {
    let text = fs::read_to_string(folder.join("schedstat")).expect("Linux counts the time of threads");
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// The first core that we may use, for Envoy, and the last, for everything else; the same if there is only one.
#[derive(Clone, Copy)]
pub struct Cores {
    envoy: usize,
    rest: usize,
}

impl Cores {
    pub fn find() -> Self {
        let all = sched_getaffinity(None).unwrap();
        let mut ours = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core));
        let envoy = ours.next().unwrap();
        Self { envoy, rest: ours.next_back().unwrap_or(envoy) }
    }

    /// What this thread starts from now on runs where Envoy is to run.
    pub fn enter_envoys(self) {
        pin(self.envoy);
    }

    /// This thread, and what it starts from now on, stays out of Envoy's way.
    pub fn leave_envoys(self) {
        pin(self.rest);
    }

    pub fn apart(self) -> bool {
        self.envoy != self.rest
    }
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).unwrap();
}

const EVENT: &str = "instructions";

/// `perf stat` on a process. Many virtual machines count no instructions, and perf may not be there.
pub struct Instructions(Child);

impl Instructions {
    /// Whether they can be counted here.
    pub fn counted() -> bool {
        let probe = Command::new("perf").args(["stat", "-x,", "-e", EVENT, "true"]).output();
        probe.is_ok_and(|output| parse(&output.stderr).is_some())
    }

    /// Begins to count.
    pub async fn watch(pid: u32) -> Self {
        let mut command = Command::new("perf");
        command.args(["stat", "-x,", "-e", EVENT, "-p", &pid.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // It says nothing when it is ready.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Self(child)
    }

    /// How many there were.
    pub fn end(self) -> u64 {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = self.0.wait_with_output().unwrap();
        parse(&output.stderr).unwrap_or_else(|| panic!("perf: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Reads `123456,,instructions,…`; what cannot be counted has words in the place of the number.
fn parse(printed: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(printed).ok()?;
    let line = text.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.parse().ok()
}
