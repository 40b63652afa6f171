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

/// What an engine of our own and the images in it take: the program, how it says that it is there, and where Debian has it.
const REQUIRED: [(&str, &str, &str); 6] = [
    ("docker", "--version", "docker.io"),
    ("dockerd", "--version", "docker.io"),
    ("iptables", "--version", "iptables"),
    ("unshare", "--version", "util-linux"),
    ("ip", "-V", "iproute2"),
    ("musl-gcc", "--version", "musl-tools"),
];

/// Fails with 2 unless an engine can be started here, and names all that is missing at once.
pub fn check_requirements() -> Outcome<()> {
    let missing: Vec<_> =
        REQUIRED.into_iter().filter(|(program, version, _)| probe(program, &[version]).is_none()).collect();
    explain_missing(&missing, geteuid().is_root()).map_or(Ok(()), |what| {
        Err(Failure::missing(format!("no container engine answers, and none can be started: {what}")))
    })
}

/// In words, with the command that installs it.
fn explain_missing(missing: &[(&str, &str, &str)], is_root: bool) -> Option<String> {
    let mut parts = Vec::new();
    if !is_root {
        parts.push("that takes root".to_owned());
    }
    if !missing.is_empty() {
        let programs: Vec<_> = missing.iter().map(|(program, ..)| format!("`{program}`")).collect();
        let mut packages: Vec<_> = missing.iter().map(|(.., package)| *package).collect();
        packages.dedup();
        let (programs, packages) = (programs.join(", "), packages.join(" "));
        parts.push(format!("there is no {programs} on PATH (Debian: `apt-get install {packages}`)"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Runs this program again where the network, the mounts and the processes are its own.
pub fn run_in_namespaces(flags: &[&str]) -> Outcome<()> {
    let ourselves = std::env::current_exe().trying(|| "find this program".to_owned())?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]).arg(ourselves);
    command.args(["compose", "--check", "--engine", "here"]).args(flags);
    let status = command.status().trying(|| "run unshare".to_owned())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        assert_eq!(explain_missing(&[], true), None);
        let missing = [REQUIRED[0], REQUIRED[1], REQUIRED[5]];
        assert_eq!(
            explain_missing(&missing, false).unwrap(),
            "that takes root; there is no `docker`, `dockerd`, `musl-gcc` on PATH (Debian: `apt-get install docker.io musl-tools`)"
        );
    }
}
