//! The compose file under a name of its own.
//!
//! Promises: takes neither settings from the environment nor from a file `.env`; when it is dropped, its containers,
//! networks and volumes are gone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::docker::{self, Docker};
use crate::error::{Outcome, Trying};
use crate::run::{capture, clear_own_variables, run};
use crate::workspace::Workspace;

/// The compose file, as one run of it.
pub struct Project {
    docker: Docker,
    compose: Vec<PathBuf>,
    root: PathBuf,
    name: String,
    settings: RefCell<BTreeMap<&'static str, String>>,
    profiles: Cell<&'static [&'static str]>,
}

/// All that the file has.
const ALL: &[&str] = &["demo", "pair", "replicas"];

impl Project {
    /// Nothing is started yet.
    pub fn new(
        workspace: &Workspace,
        docker: &Docker,
        settings: BTreeMap<&'static str, String>,
        profiles: &'static [&'static str],
    ) -> Outcome<Self> {
        Ok(Self {
            docker: docker.clone(),
            compose: docker::find_compose(workspace)?,
            root: workspace.root.clone(),
            name: format!("linkgate-check-{}", std::process::id()),
            settings: RefCell::new(settings),
            profiles: Cell::new(profiles),
        })
    }

    /// Its engine.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes a setting for the commands to come, as an edit of `.env` does.
    pub fn set(&self, name: &'static str, value: &str) {
        self.settings.borrow_mut().insert(name, value.to_owned());
    }

    /// Changes the profiles for the commands to come.
    pub fn with_profiles(&self, profiles: &'static [&'static str]) {
        self.profiles.set(profiles);
    }

    /// A command of Compose.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut program = Command::new(self.compose.first().map_or(Path::new("docker-compose"), PathBuf::as_path));
        program.args(self.compose.iter().skip(1)).current_dir(&self.root);
        clear_own_variables(&mut program);
        program.envs(self.settings.borrow().iter()).env("COMPOSE_PROGRESS", "quiet");
        program.args(["--env-file", "/dev/null", "--project-name", &self.name]);
        program.args(self.profiles.get().iter().flat_map(|profile| ["--profile", profile]));
        self.docker.on_engine(program, args)
    }

    /// Runs one.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome<()> {
        run(self.command(args).stdout(Stdio::null()).stdin(Stdio::null()))
    }

    /// Runs one and takes what it prints.
    pub fn capture<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome<String> {
        capture(self.command(args).stdin(Stdio::null()))
    }

    /// Brings the services up and waits until they are healthy.
    pub fn up(&self) -> Outcome<()> {
        self.bring_up(&[], &[])
    }

    /// Brings a service up with those that it depends on, and waits until it is healthy.
    pub fn up_with_dependencies(&self, service: &str) -> Outcome<()> {
        self.bring_up(&[], &[service])
    }

    /// Replaces a running service by one with the present settings, without those that it depends on.
    pub fn replace(&self, service: &str) -> Outcome<()> {
        self.bring_up(&["--no-deps"], &[service])
    }

    fn bring_up(&self, flags: &[&str], services: &[&str]) -> Outcome<()> {
        let wait = ["up", "--detach", "--no-build", "--pull", "never", "--wait", "--wait-timeout", "120"];
        self.run(wait.iter().chain(flags).chain(services))
    }

    /// Runs a program in a container of a service; a failure is one.
    pub fn exec(&self, service: &str, program: &[&str]) -> Outcome<String> {
        self.capture(["exec", "--no-TTY", service].iter().chain(program))
    }

    /// Runs a service that runs once, with another command if there is one.
    pub fn run_once(&self, service: &str, command: &[&str]) -> Outcome<String> {
        self.capture(["run", "--rm", "--no-deps", "--no-TTY", service].iter().chain(command))
    }

    /// Copies a file out of a container.
    pub fn copy_out(&self, from: &str, to: &Path) -> Outcome<()> {
        self.run([OsStr::new("cp"), OsStr::new(from), to.as_os_str()])
    }

    /// The container of a service.
    pub fn container(&self, service: &str) -> Outcome<String> {
        let text = self.capture(["ps", "--all", "--quiet", service])?;
        text.lines()
            .next()
            .map(str::to_owned)
            .ok_or(())
            .map_err(|()| "there is none")
            .trying(|| format!("find the container of {service}"))
    }

    /// Shows what all containers logged last.
    pub fn show_logs(&self) {
        // A failure is reported already; this only helps to explain it.
        let _ignored = self.command(["ps", "--all"]).status();
        let _ignored = self.command(["logs", "--no-color", "--timestamps", "--tail", "30"]).status();
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.with_profiles(ALL);
        if let Err(failure) = self.run(["down", "--volumes", "--remove-orphans", "--timeout", "5"]) {
            eprintln!("not everything was taken down: {failure}");
        }
    }
}
