//! For tests: PostgreSQL servers that end with their test.
//!
//! Promises: each is a server of its own, in a folder of its own, that nobody else reaches: it listens at a socket in that
//! folder. It is gone when its handle is dropped, or when the thread that started it ends, however that happens. Root starts it
//! as the user `postgres`, for it refuses to be root's.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// Where Debian has the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Whom root lets be the server.
const USER: &str = "postgres";
/// The number at the end of the socket's name, for servers that listen nowhere else.
const PORT: u16 = 5432;
/// Who is let in by a server that speaks TLS: nobody who does not.
const TLS_ONLY: &str = "local all all trust\nhostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n";
/// A test needs its data no longer than the machine stays up.
const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=60",
    "shared_buffers=16MB",
    "autovacuum=off",
];

/// How a standby calls itself.
const STANDBY: &str = "standby";

/// A server with one empty database.
pub struct PostgresServer {
    child: Child,
    programs: PathBuf,
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl PostgresServer {
    /// Why there can be none here, if so.
    #[must_use]
    pub fn missing() -> Option<&'static str> {
        find_programs().is_none().then_some("there is no PostgreSQL here (Debian: postgresql)")
    }

    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let (programs, dir) = new_cluster();
        Self::begin(programs, dir, PORT, Vec::new())
    }

    /// Starts one that writes down what it is asked.
    #[must_use]
    pub fn start_writing_statements_down() -> Self {
        let (programs, dir) = new_cluster();
        Self::begin(programs, dir, PORT, vec!["log_statement=all".to_owned()])
    }

    /// What it was asked until now, as far as it wrote that down.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        // The lines of a statement behind its first begin with a tab.
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap().replace("\n\t", " ");
        let entries = log.lines().filter_map(|line| line.split_once("LOG:  ")?.1.split_once(": "));
        let asked = entries.filter(|(what, _)| *what == "statement" || what.starts_with("execute "));
        asked.map(|(_, statement)| statement.to_owned()).collect()
    }

    /// Starts one that listens on this machine, too, and there speaks TLS with this certificate and nothing else.
    #[must_use]
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let (programs, dir) = new_cluster();
        for (from, name) in [(certificate, "certificate"), (key, "key")] {
            let to = dir.path().join("data").join(name);
            fs::copy(from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(dir.path().join("data/pg_hba.conf"), TLS_ONLY).unwrap();
        give_away(dir.path()).unwrap();
        let settings = ["listen_addresses=localhost", "ssl=on", "ssl_cert_file=certificate", "ssl_key_file=key"];
        Self::begin(programs, dir, free_port(), settings.map(str::to_owned).to_vec())
    }

    /// The number at the end of the socket's name, which is also its port if it has one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts another one that repeats what this one does, until it is [promoted](Self::promote).
    #[must_use]
    pub fn start_standby(&self) -> Self {
        let (programs, dir) = (self.programs.clone(), tempfile::tempdir().unwrap());
        give_away(dir.path()).unwrap();
        let mut copying = programs_command(&programs, "pg_basebackup", false);
        copying.arg("-D").arg(dir.path().join("data")).args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ]);
        let primary = self.dir.path().display();
        copying.arg("-d").arg(format!("host={primary} port={PORT} user={USER} application_name={STANDBY}"));
        assert!(copying.current_dir(dir.path()).status().unwrap().success(), "pg_basebackup failed");
        Self::begin(programs, dir, PORT, Vec::new())
    }

    fn begin(programs: PathBuf, dir: TempDir, port: u16, settings: Vec<String>) -> Self {
        let server = Self { child: begin(&programs, dir.path(), port, &settings), programs, dir, port, settings };
        server.await_readiness();
        server
    }

    /// Lets a standby go on by itself.
    pub fn promote(&self) {
        let mut promoting = programs_command(&self.programs, "pg_ctl", false);
        promoting.arg("-D").arg(self.dir.path().join("data")).args(["promote", "-w"]);
        assert!(promoting.current_dir(self.dir.path()).status().unwrap().success(), "pg_ctl promote failed");
    }

    /// Lets all its processes stand still: whoever asks gets no answer, and no connection breaks.
    pub fn pause(&self) {
        // First the one that starts others.
        let server = Pid::from_child(&self.child);
        kill_process(server, Signal::STOP).unwrap();
        for child in children_of(server) {
            let _ended_meanwhile = kill_process(child, Signal::STOP);
        }
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        let server = Pid::from_child(&self.child);
        for process in children_of(server).into_iter().chain([server]) {
            let _ended_meanwhile = kill_process(process, Signal::CONT);
        }
    }

    /// Where it is, in the words of the catalog's settings.
    #[must_use]
    pub fn address(&self) -> String {
        let (port, dir) = (self.port, self.dir.path().display());
        format!("postgres://{USER}@localhost:{port}/postgres?host={dir}")
    }

    /// The socket, for whoever stands between.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(format!(".s.PGSQL.{}", self.port))
    }

    /// Ends it as a crash would.
    pub fn stop(&mut self) {
        self.end();
    }

    /// Starts it anew, once it was stopped.
    pub fn start_again(&mut self) {
        let _stale = fs::remove_file(self.dir.path().join("data/postmaster.pid"));
        let _stale = fs::remove_file(self.socket());
        self.child = begin(&self.programs, self.dir.path(), self.port, &self.settings);
        self.await_readiness();
    }

    fn await_readiness(&self) {
        let mut asking = programs_command(&self.programs, "pg_isready", false);
        asking.args(["-q", "-h"]).arg(self.dir.path()).args(["-p", &self.port.to_string()]);
        while !asking.status().unwrap().success() {
            sleep(Duration::from_millis(20));
        }
    }

    /// Its own processes see that it is gone, and end.
    fn end(&mut self) {
        let id = Pid::from_child(&self.child);
        let _gone_already = kill_process(id, Signal::QUIT);
        // What stands still is told in vain.
        self.go_on();
        let _status = self.child.wait();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Processes that this one has started.
fn children_of(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |id: &i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name before it may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields.split_whitespace().nth(1).and_then(|id| id.parse().ok()) == Some(parent.as_raw_nonzero().get())
    };
    ids.filter(is_child).filter_map(Pid::from_raw).collect()
}

/// The folder of the newest version's programs.
fn find_programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let debian = versions.filter(|bin| bin.join("initdb").exists()).max_by_key(|bin| version_of(bin));
    debian.or_else(|| {
        let said = Command::new("pg_config").arg("--bindir").output().ok().filter(|said| said.status.success())?;
        let bin = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim());
        bin.join("initdb").exists().then_some(bin)
    })
}

fn version_of(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

/// A port of this machine that nobody listens on now.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A program that refuses to be root's, as whoever may be the server. It ends with the thread that starts it.
#[must_use]
pub fn as_server_user(program: &Path) -> Command {
    command_of(program, true)
}

/// A program, as whoever may be the server.
fn programs_command(programs: &Path, name: &str, dies_with_us: bool) -> Command {
    command_of(&programs.join(name), dies_with_us)
}

fn command_of(program: &Path, dies_with_us: bool) -> Command {
    let mut words: Vec<OsString> = Vec::new();
    if dies_with_us {
        words.extend(["setpriv", "--pdeathsig", "SIGKILL"].map(OsString::from));
    } else if geteuid().is_root() {
        words.push("setpriv".into());
    }
    if geteuid().is_root() {
        words.extend(["--reuid", USER, "--regid", USER, "--clear-groups"].map(OsString::from));
    }
    words.push(program.into());
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn begin(programs: &Path, dir: &Path, port: u16, settings: &[String]) -> Child {
    let mut command = programs_command(programs, "postgres", true);
    command.arg("-D").arg(dir.join("data")).arg("-k").arg(dir).args(["-p", &port.to_string()]);
    // Of two of one name the last one counts.
    for setting in SETTINGS.into_iter().chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    let log = File::create(dir.join("log")).unwrap();
    command.stderr(log).current_dir(dir).spawn().unwrap()
}

/// An empty cluster of a server's own, and its programs.
fn new_cluster() -> (PathBuf, TempDir) {
    let programs = find_programs().expect("PostgreSQL is here (Debian: postgresql)");
    let template = template(&programs);
    let dir = tempfile::tempdir().unwrap();
    copy(&template, &dir.path().join("data")).unwrap();
    give_away(dir.path()).unwrap();
    (programs, dir)
}

/// An empty cluster, made once and kept below `target/`: to copy one takes a tenth of the time.
fn template(programs: &Path) -> PathBuf {
    let version = version_of(programs).map_or_else(|| "other".to_owned(), |version| version.to_string());
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/postgres");
    let template = kept.join(version);
    fs::create_dir_all(&kept).unwrap();
    // Several tests begin at once, in several processes.
    let lock = File::create(kept.join("lock")).unwrap();
    lock.lock().unwrap();
    if !template.exists() {
        let making = tempfile::tempdir().unwrap();
        give_away(making.path()).unwrap();
        let mut initdb = programs_command(programs, "initdb", false);
        initdb.arg("-D").arg(making.path().join("data"));
        initdb.args(["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=1"]);
        assert!(initdb.current_dir(making.path()).status().unwrap().success(), "initdb failed");
        let partly = kept.join("partly");
        let _left_by_a_killed_test = fs::remove_dir_all(&partly);
        copy(&making.path().join("data"), &partly).unwrap();
        fs::rename(partly, &template).unwrap();
    }
    template
}

/// A folder and all below it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    // It refuses folders that others can read.
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Lets the server's user have it.
fn give_away(path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = server_user().ok_or_else(|| io::Error::other("there is no user `postgres`"))?;
    give_to(path, user, group)
}

fn give_to(path: &Path, user: u32, group: u32) -> io::Result<()> {
    chown(path, Some(user), Some(group))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to(&entry?.path(), user, group)?;
        }
    }
    Ok(())
}

fn server_user() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
