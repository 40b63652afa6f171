//! The programs that a demo starts, built or found.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Outcome;
use crate::workspace::{Profile, Workspace};
use crate::{envoy, wasm};

/// The programs that are started.
pub struct Programs {
    pub wasm: PathBuf,
    pub envoy: PathBuf,
    pub bin: PathBuf,
}

impl Programs {
    pub fn build(workspace: &Workspace, profile: Profile) -> Outcome<Self> {
        let wasm = wasm::build(workspace)?;
        let bin = workspace.build(profile, &["linkgate-store", "linkgate-cli"])?;
        Ok(Self { wasm, envoy: envoy::find(workspace)?, bin })
    }

    /// A command without variables of ours that happen to be set: the demo is the same everywhere.
    pub fn ours(program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LINKGATE_")) {
            command.env_remove(name);
        }
        command
    }

    pub fn linkgate(&self) -> Command {
        Self::ours(&self.bin.join("linkgate"))
    }
}
