//! A container engine of our own: `dockerd` in namespaces that end with it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use tempfile::TempDir;

use crate::docker::Docker;
use crate::error::{Failure, Outcome, Trying};
use crate::run::{probe, run};
use crate::up::children::Children;
use crate::workspace::Workspace;

/// How long `dockerd` may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails with 2 unless an engine can be started here.
pub fn can_be_started() -> Outcome<()> {
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
pub fn again_in_namespaces() -> Outcome<()> {
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
    // Dropped in this order: what it keeps can go when it has ended.
    _children: Children,
    folders: [TempDir; 2],
}

impl PrivateEngine {
    /// Starts it.
    pub fn start(workspace: &Workspace) -> Outcome<Self> {
        // The first process of a namespace ignores what it does not ask for; all the others end with it.
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let ends = flag::register_conditional_shutdown(signal, 130, Arc::new(true.into()));
            ends.trying(|| "listen for Ctrl-C".to_owned())?;
        }
        run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        let folder = |of: PathBuf| {
            let made = tempfile::Builder::new().prefix("linkgate-engine-").tempdir_in(&of);
            made.trying(|| format!("make a folder in {}", of.display()))
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
        let begun = Instant::now();
        while !engine.answers() {
            children.all_live()?;
            if begun.elapsed() > PATIENCE {
                return Err(children.with_logs("dockerd does not answer"));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(Self { _children: children, folders })
    }

    /// How to speak to it.
    pub fn docker(&self) -> Docker {
        Docker::at(self.folders[0].path().join("docker.sock"))
    }
}
