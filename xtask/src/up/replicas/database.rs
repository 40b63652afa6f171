//! PostgreSQL: a cluster in a folder of the demo.
//!
//! Promises: it listens at the loopback address, to whoever has the password. Root starts it as the user `postgres`, for it
//! refuses to be root's; that user must be able to enter the demo's folder.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use secrecy::ExposeSecret;

use super::files::Secrets;
use crate::error::{Failure, Outcome, Trying};
use crate::run::{probe, run};
use crate::test::tools;
use crate::up::files::write_atomically;

/// Whose database it is.
pub const USER: &str = "linkgate";
/// Where Debian has the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Whom root lets be the server.
const SERVER: &str = "postgres";
const TOOL: (&str, &str) = ("pg_ctlcluster", "postgresql");

/// The programs.
pub struct Database(PathBuf);

impl Database {
    /// Finds them, and gets them where root may.
    pub fn find() -> Outcome<Self> {
        if find_programs().is_none() {
            tools::add(&[TOOL]);
        }
        let found = find_programs();
        found.map(Self).ok_or_else(|| Failure::missing("there is no PostgreSQL: install it (Debian: postgresql)"))
    }

    /// The folder of the programs.
    pub fn programs(&self) -> &Path {
        &self.0
    }

    /// What starts the server, with its cluster made first if there is none.
    pub fn command(&self, folder: &Path, secrets: &Secrets, port: u16, connections: usize) -> Outcome<Command> {
        let data = folder.join("data");
        if !data.exists() {
            self.make_cluster(folder, &data, secrets)?;
        }
        let mut command = self.as_server("postgres", &["--pdeathsig", "SIGKILL"]);
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", &format!("max_connections={connections}")]);
        command.current_dir(folder);
        Ok(command)
    }

    /// Whether it lets anybody in.
    pub fn is_ready(&self, port: u16) -> bool {
        let port = port.to_string();
        probe(self.0.join("pg_isready"), &["-q", "-h", "127.0.0.1", "-p", &port]).is_some()
    }

    /// Under another name first, so that half a cluster is never taken for one.
    fn make_cluster(&self, folder: &Path, data: &Path, secrets: &Secrets) -> Outcome<()> {
        let (making, password) = (folder.join("partly"), folder.join("password"));
        let prepare = || {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            match fs::remove_dir_all(&making) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => give_to_server(folder),
            }
        };
        prepare().trying(|| format!("prepare {}", folder.display()))?;
        write_atomically(&password, secrets.database.expose_secret().as_bytes(), 0o600)?;
        give_to_server(&password).trying(|| format!("give {} away", password.display()))?;
        self.check_reach(folder)?;
        let mut initdb = self.as_server("initdb", &[]);
        initdb.arg("-D").arg(&making).args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]);
        initdb.arg("--pwfile").arg(&password).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        run(&mut initdb)?;
        let finish = || fs::remove_file(&password).and_then(|()| fs::rename(&making, data));
        finish().trying(|| format!("finish {}", data.display()))
    }

    /// A folder in root's home is nobody else's to enter.
    fn check_reach(&self, folder: &Path) -> Outcome<()> {
        let mut looking = as_server(OsStr::new("ls"), &[]);
        let can_look = looking.arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if can_look.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the user {SERVER}, who runs the database for root, cannot enter {}: choose a folder that it can reach, with --data-dir",
            folder.display()
        )))
    }

    fn as_server(&self, program: &str, flags: &[&str]) -> Command {
        as_server(self.0.join(program).as_os_str(), flags)
    }
}

/// A program, as whoever may be the server. What changes its user forgets whose death it dies with, so that is said anew.
fn as_server(program: &OsStr, flags: &[&str]) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(flags).args(["--reuid", SERVER, "--regid", SERVER, "--clear-groups"]).arg(program);
    command
}

fn give_to_server(path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = server_user().ok_or_else(|| io::Error::other(format!("there is no user `{SERVER}`")))?;
    chown(path, Some(user), Some(group))
}

fn server_user() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Lets others enter a folder that they cannot list, where the server is another user than who starts it.
pub fn let_server_enter(folder: &Path) -> Outcome<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let opened = fs::set_permissions(folder, Permissions::from_mode(0o711));
    opened.trying(|| format!("let {SERVER} enter {}", folder.display()))
}

/// The folder of the newest version's programs.
fn find_programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|version| version.path());
    let number = |version: &Path| version.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = versions.filter(|version| version.join("bin/initdb").exists()).max_by_key(|version| number(version));
    debian.map(|version| version.join("bin")).or_else(|| {
        let bin = PathBuf::from(probe("pg_config", &["--bindir"])?.trim());
        bin.join("initdb").exists().then_some(bin)
    })
}
