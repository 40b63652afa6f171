//! The programs that a demo starts.
//!
//! Promises: when the list goes, they go, last one first: asked, and after a grace killed. Each is in a process group
//! of its own, so Ctrl-C reaches them through us only, and dies with us should we be killed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Failure, Outcome, Trying};
use crate::poll::poll_until;

/// From being asked to being killed.
const GRACE: Duration = Duration::from_secs(10);
/// Lines of a log that are printed when its program failed.
const TAIL: usize = 20;

/// What was started, in order.
#[derive(Default)]
pub struct Children(Vec<Started>);

struct Started {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Children {
    /// Starts one, with its output in a log.
    pub fn start(&mut self, name: impl Into<String>, command: &mut Command, log: &Path) -> Outcome<()> {
        let name = name.into();
        let logging = || format!("write {}", log.display());
        let output = File::create(log).trying(logging)?;
        let errors = output.try_clone().trying(logging)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        die_with_us(command);
        let child = command.spawn().trying(|| format!("start {name} ({})", command.get_program().display()))?;
        self.0.push(Started { name, child, log: log.to_owned() });
        Ok(())
    }

    /// Fails if one has ended.
    pub fn check_running(&mut self) -> Outcome<()> {
        for started in &mut self.0 {
            let ended = started.child.try_wait().trying(|| format!("look after {}", started.name))?;
            if let Some(status) = ended {
                return Err(Failure::new(format!("{} ended ({status})\n{}", started.name, started.tail())));
            }
        }
        Ok(())
    }

    /// Kills one as a crash does, and forgets it.
    pub fn kill(&mut self, name: &str) -> Outcome<()> {
        let place = self.0.iter().position(|started| started.name == name);
        let mut killed =
            place.map(|at| self.0.remove(at)).ok_or_else(|| Failure::new(format!("{name} is not there")))?;
        killed.signal(Signal::KILL);
        killed.child.wait().trying(|| format!("wait for {name}")).map(drop)
    }

    /// A failure with the end of every log.
    pub fn with_logs(&self, sentence: &str) -> Failure {
        let tails: Vec<_> = self.0.iter().map(Started::tail).collect();
        Failure::new(format!("{sentence}\n{}", tails.join("\n")))
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        while let Some(mut started) = self.0.pop() {
            started.end();
        }
    }
}

impl Started {
    fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- the end of {}\n{}", self.log.display(), last.join("\n"))
    }

    fn end(&mut self) {
        self.signal(Signal::TERM);
        let ended = poll_until(GRACE, Duration::from_millis(20), || Ok(!matches!(self.child.try_wait(), Ok(None))));
        if !ended.unwrap_or_default() {
            eprintln!("{} did not stop within {} s, killing it", self.name, GRACE.as_secs());
            self.signal(Signal::KILL);
        }
        // Nothing is left to do if this fails; the kernel has the last word.
        let _ = self.child.wait();
    }

    fn signal(&mut self, signal: Signal) {
        // A child that was waited for has given its number back, and it may be somebody else's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(Pid::from_child(&self.child), signal);
        }
    }
}

#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command) {
    let ask = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec only one system call is made, which neither allocates nor locks.
    unsafe { command.pre_exec(ask) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn wait_for(holds: impl Fn() -> bool) {
        assert!(poll_until(Duration::from_secs(30), Duration::from_millis(10), || Ok(holds())).unwrap());
    }

    #[test]
    fn what_was_started_ends_with_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut children = Children::default();
        children.start("one", &mut shell("echo up; sleep 60 & wait"), &log).unwrap();
        wait_for(|| fs::read_to_string(&log).unwrap() == "up\n");
        children.check_running().unwrap();
        let group = Pid::from_child(&children.0[0].child);
        drop(children);
        wait_for(|| rustix::process::test_kill_process_group(group).is_err());
    }

    #[test]
    fn one_that_is_killed_is_not_looked_after_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut children = Children::default();
        for name in ["one", "other"] {
            children.start(name, &mut shell("sleep 60"), &folder.path().join(name)).unwrap();
        }
        children.kill("one").unwrap();
        children.check_running().unwrap();
        assert_eq!(children.kill("one").unwrap_err().to_string(), "one is not there");
    }

    #[test]
    fn one_that_ended_is_named_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut children = Children::default();
        let script = "for i in $(seq 30); do echo line $i; done; exit 3";
        children.start("one", &mut shell(script), &folder.path().join("log")).unwrap();
        let ended = poll_until(Duration::from_secs(30), Duration::from_millis(10), || {
            children.check_running()?;
            Ok(false)
        });
        let failure = ended.unwrap_err().to_string();
        assert!(failure.starts_with("one ended (exit status: 3)"), "{failure}");
        assert!(
            failure.contains("line 30") && failure.contains("line 11") && !failure.contains("line 10\n"),
            "{failure}"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/no/such/program");
        let failure = Children::default().start("one", &mut command, &folder.path().join("log")).unwrap_err();
        assert!(failure.to_string().contains("/no/such/program"));
    }
}
