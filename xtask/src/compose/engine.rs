//! A container engine of our own: `dockerd` in namespaces that end with it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::docker::Docker;
use crate::error::{Failure, Outcome, Trying};
use crate::poll::poll_until;
use crate::run::{probe, run};
use crate::signals::exit_on_signals;
use crate::up::children::Children;
use crate::workspace::Workspace;

/// How long `dockerd` may take to answer.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// Fails with 2 unless an engine can be started here.
pub fn check_requirements() -> Outcome<()> {
    let lacks = |what: &str| Failure::missing(format!("no container engine answers, and none can be started: {what}"));
    if !geteuid().is_root() {
        return Err(lacks("that takes root"));
    }
    for (program, package) in [("docker", "docker.io"), ("dockerd", "docker.io"), ("iptables", "iptables")] {
        if probe(program, &["--version"]).is_none() {
            return Err(lacks(&format!("there is no `{program}` on PATH (Debian: {package})")));
        }
    }
    for (program, version, package) in [("unshare", "--version", "util-linux"), ("ip", "-V", "iproute2")] {
        if probe(program, &[version]).is_none() {
            return Err(lacks(&format!("there is no `{program}` on PATH (Debian: {package})")));
        }
    }
    Ok(())
}

/// Runs this program again where the network, the mounts and the processes are its own.
pub fn run_in_namespaces() -> Outcome<()> {
    let ourselves = std::env::current_exe().trying(|| "find this program".to_owned())?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]).arg(ourselves);
    let status =
        command.args(["compose", "--check", "--engine", "here"]).status().trying(|| "run unshare".to_owned())?;
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::missing("the check in an engine of its own could not be made")),
        _ => Err(Failure::new(format!("the check in an engine of its own failed ({status})"))),
    }
}

/// A running `dockerd`; it ends when this is dropped.
pub struct PrivateEngine {
    // Dropped in this order: its folders can go when it has ended.
    _children: Children,
    folders: [TempDir; 2],
}

impl PrivateEngine {
    /// Starts it.
    pub fn start(workspace: &Workspace) -> Outcome<Self> {
        // All other processes of the namespace end with this one.
        exit_on_signals(130)?;
        run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        let folder = |parent: PathBuf| {
            let made = tempfile::Builder::new().prefix("linkgate-engine-").tempdir_in(&parent);
            made.trying(|| format!("make a folder in {}", parent.display()))
        };
        // Paths of sockets are short; images and containers need a file system with overlays.
        let folders = [folder(std::env::temp_dir())?, folder(workspace.target.clone())?];
        let mut children = Children::default();
        let engine = {
            let [run_folder, data] = folders.each_ref().map(TempDir::path);
            let mut command = Command::new("dockerd");
            command.arg("--data-root").arg(data).arg("--exec-root").arg(run_folder.join("exec"));
            command.arg("--pidfile").arg(run_folder.join("pid"));
            command.arg("--host").arg(format!("unix://{}", run_folder.join("docker.sock").display()));
            children.start("dockerd", &mut command, &workspace.target.join("dockerd.log"))?;
            Docker::at(run_folder.join("docker.sock"))
        };
        let is_ready = poll_until(READY_TIMEOUT, POLL_PAUSE, || {
            children.check_running()?;
            Ok(engine.answers())
        })?;
        if !is_ready {
            return Err(children.with_logs("dockerd does not answer"));
        }
        Ok(Self { _children: children, folders })
    }

    /// How to speak to it.
    pub fn docker(&self) -> Docker {
        Docker::at(self.folders[0].path().join("docker.sock"))
    }
}
