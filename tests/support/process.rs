//! The store as its own process: the binary that is shipped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::stack::{Caller, TestStack};
use crate::wait::{WITHIN, wait_until};
use crate::{DataDirectory, TokenMint, engine};

/// The store that is shipped.
pub const SHIPPED: &str = "linkgate-store";
/// The same store, built to kill itself at a named step, and with the endpoint that only tests have.
pub const WITH_FAILPOINTS: &str = "failpoints/linkgate-store";

/// A store that runs as its own process; killed when dropped.
pub struct Process {
    child: Child,
    log: mpsc::Receiver<String>,
}

/// A store as it is shipped.
pub type StoreProcess = TestStack<Process>;

/// The binary, from the directory that `LINKGATE_BIN_DIR` names, or the one at an absolute path.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let dir = std::env::var_os("LINKGATE_BIN_DIR").expect("LINKGATE_BIN_DIR is not set: run `cargo xtask test`");
    let path = Path::new(&dir).join(name);
    assert!(path.is_file(), "{} is missing: run `cargo xtask test`", path.display());
    path
}

/// What a command of the binary said when it had ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// The setting of a store that takes files that are no archives. A test says why a package would not do.
#[must_use]
pub fn unknown_formats_allowed(why: &str) -> (&'static str, &'static str) {
    assert!(!why.is_empty(), "say why");
    ("LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS", "true")
}

/// Runs a command of the binary on this data directory to its end.
#[must_use]
pub fn command(data_dir: &Path, arguments: &[&str]) -> Finished {
    command_with(data_dir, arguments, &[])
}

/// The same with further settings.
#[must_use]
pub fn command_with(data_dir: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
    command_of(SHIPPED, data_dir, arguments, settings)
}

/// The same of another build of the store.
#[must_use]
pub fn command_of(program: &str, data_dir: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(binary(program));
    command.args(arguments).env_clear().env("LINKGATE_DATA_DIR", data_dir).stdin(Stdio::null());
    command.envs(engine::settings(data_dir, settings)).envs(settings.iter().copied());
    Finished::of(command.output().unwrap())
}

impl Finished {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The exit code, after showing the rest to whoever reads a failing test.
    #[must_use]
    pub fn code(&self) -> i32 {
        eprintln!("{self:?}");
        self.code.expect("it ended by itself")
    }
}

/// The data directory stays as it is below a place that cannot be written any more.
const CONFINED: &str = r#"
    for place in /tmp /var/tmp /usr/tmp; do
        [ ! -d "$place" ] || mount --bind "$place" "$place"
    done
    mount --bind "$1" "$1"
    for place in /tmp /var/tmp /usr/tmp; do
        [ ! -d "$place" ] || mount -o remount,ro,bind "$place"
    done
    cd /proc
    exec "$2"
"#;

/// A store that serves, to be started.
fn serving(program: &str, data_dir: &Path, settings: &[(&str, &str)], mint: &TokenMint) -> Command {
    let mut vars = BTreeMap::from_iter(engine::settings(data_dir, settings));
    vars.extend([
        ("LINKGATE_STORE_LISTEN", "127.0.0.1:0".to_owned()),
        ("LINKGATE_DATA_DIR", data_dir.display().to_string()),
        ("LINKGATE_JWT_PUBLIC_KEYS", mint.setting()),
    ]);
    vars.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let mut command = Command::new(binary(program));
    command.env_clear().envs(vars).stdin(Stdio::null());
    command
}

/// Starts a store and kills it the hard way so soon after that it may not have got far; `before` is done just then.
pub async fn kill_in_start(
    data_dir: &Path,
    settings: &[(&str, &str)],
    after: Duration,
    before: impl Future<Output = ()>,
) {
    let mint = TokenMint::new();
    let mut child = serving(SHIPPED, data_dir, settings, &mint).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(after).await;
    before.await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts a store and asks it to end before it serves, once it has come as far as this waits for. What it says, and how it ends.
///
/// # Panics
/// If it cannot be started.
pub async fn terminate_in_start(
    data_dir: &Path,
    settings: &[(&str, &str)],
    has_come_far: impl Future<Output = ()>,
) -> Finished {
    let mint = TokenMint::new();
    let mut starting = serving(SHIPPED, data_dir, settings, &mint);
    let child = starting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    has_come_far.await;
    signal_to(&child, "-TERM");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap();
    Finished::of(output.unwrap())
}

impl TestStack<Process> {
    /// Starts a store that may read this source, with further settings.
    #[must_use]
    pub fn trusting(source: &crate::FakeSource, data_dir: &Path, settings: &[(&str, &str)]) -> Self {
        let host = source.host();
        let hosts = [("LINKGATE_FETCH_ALLOWED_HOSTS", host.as_str()), ("LINKGATE_FETCH_PRIVATE_HOSTS", &host)];
        Self::start(data_dir, &[&hosts, settings].concat())
    }

    /// Stops it and waits until it has ended well.
    pub fn stop(mut self) {
        self.shut_down();
    }

    /// Stops it, waits until it has ended well, and gives the rest of its log, to the last line.
    #[must_use]
    pub fn stop_and_read(mut self) -> Vec<String> {
        self.shut_down();
        self.size.log.iter().collect()
    }

    /// Starts a store on this data directory, on a free port, with further settings.
    #[must_use]
    pub fn start(data_dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_with_mint(data_dir, settings, TokenMint::new())
    }

    /// The same, believing this key.
    #[must_use]
    pub fn start_with_mint(data_dir: &Path, settings: &[(&str, &str)], mint: TokenMint) -> Self {
        Self::start_program(SHIPPED, data_dir, settings, mint)
    }

    /// The same of another build of the store.
    #[must_use]
    pub fn start_program(program: &str, data_dir: &Path, settings: &[(&str, &str)], mint: TokenMint) -> Self {
        Self::start_command(serving(program, data_dir, settings, &mint), data_dir, mint)
    }

    /// A store that can write its data directory, and nothing in the places where programs put what they need for a moment.
    /// `None` where nobody may arrange that.
    #[must_use]
    pub fn start_confined(data_dir: &Path, settings: &[(&str, &str)]) -> Option<Self> {
        let may_mount = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
        if !may_mount.is_ok_and(|status| status.success()) {
            return None;
        }
        let mint = TokenMint::new();
        let store = serving(SHIPPED, data_dir, settings, &mint);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", CONFINED, "sh"]).arg(data_dir).arg(store.get_program());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.envs(store.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Some(Self::start_command(command, data_dir, mint))
    }

    fn start_command(mut command: Command, data_dir: &Path, mint: TokenMint) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = read_lines(child.stderr.take().unwrap());
        let base = format!("http://{}", wait_for_address(&log));
        Self {
            base,
            directory: DataDirectory::new(data_dir),
            caller: Caller::Gate(Box::new(mint)),
            size: Process { child, log },
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.size.child.id()
    }

    /// Kills it the hard way and waits until it is gone.
    pub fn kill_9(&mut self) {
        self.size.child.kill().unwrap();
        self.size.child.wait().unwrap();
    }

    /// Stops it and waits until it has ended well; its log and its key can still be asked for.
    pub fn shut_down(&mut self) {
        self.terminate();
        assert!(self.wait().success());
    }

    /// Sends SIGTERM, without waiting: it may answer for a while.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP, upon which it reads its keys again.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Lets it stand still: whoever asks gets no answer, and no connection breaks.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Whether it stands still, as it was told or by itself at a step.
    #[must_use]
    pub fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.size.child.id())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('T'))
    }

    fn signal(&self, signal: &str) {
        signal_to(&self.size.child, signal);
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.size.child.wait().unwrap()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.size.child.try_wait().unwrap()
    }

    /// Log lines since the last call.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.size.log.try_iter().collect()
    }

    /// Log lines since the last call, once one of them says this.
    pub async fn log_with(&self, said: &str) -> String {
        let lines = std::cell::RefCell::new(Vec::new());
        wait_until(async || {
            let mut lines = lines.borrow_mut();
            lines.extend(self.log());
            if lines.iter().any(|line: &String| line.contains(said)) { Ok(()) } else { Err(lines.join("\n")) }
        })
        .await;
        lines.into_inner().join("\n")
    }

    /// The most memory that it ever held, in KiB.
    #[must_use]
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.size.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells VmHWM");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended already, which is fine.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn signal_to(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn read_lines(stderr: std::process::ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody may be listening any more; the pipe must be emptied all the same.
            let _unheard = sender.send(line);
        }
    });
    receiver
}

/// Reads the log up to `Listening on …`, in either format.
fn wait_for_address(log: &mpsc::Receiver<String>) -> String {
    let mut seen = Vec::new();
    loop {
        let Ok(line) = log.recv_timeout(WITHIN) else { panic!("the store did not start:\n{}", seen.join("\n")) };
        if let Some((_, rest)) = line.split_once("Listening on ") {
            return rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
        }
        seen.push(line);
    }
}
