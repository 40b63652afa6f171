//! The programs that go through a real Envoy: ours built, Envoy found or fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Outcome;
use crate::run::clear_own_variables;
use crate::workspace::{Profile, Workspace};
use crate::{envoy, wasm};

/// Where they are.
pub struct Programs {
    /// The filter.
    pub wasm: PathBuf,
    /// Envoy.
    pub envoy: PathBuf,
    /// The folder of our own ones.
    pub bin: PathBuf,
    root: PathBuf,
}

impl Programs {
    /// Builds these packages and the filter, and finds Envoy.
    pub fn build(workspace: &Workspace, profile: Profile, packages: &[&str]) -> Outcome<Self> {
        let wasm = wasm::build(workspace)?;
        let envoy = envoy::find_envoy(workspace)?;
        let bin = workspace.build(profile, packages)?;
        Ok(Self { wasm, envoy, bin, root: workspace.root.clone() })
    }

    /// Tells tests and benches where everything is.
    pub fn pass_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LINKGATE_ENVOY", &self.envoy)
            .env("LINKGATE_WASM", &self.wasm)
            .env("LINKGATE_BIN_DIR", &self.bin)
            .env("LINKGATE_ROOT", &self.root)
    }

    /// A command that no variable of ours changes that happens to be set.
    pub fn command(program: &Path) -> Command {
        let mut command = Command::new(program);
        clear_own_variables(&mut command);
        command
    }

    /// The command line of an operator.
    pub fn linkgate(&self) -> Command {
        Self::command(&self.bin.join("linkgate"))
    }
}
