//! `cargo xtask test`: every test, with what those need that go through the built filter and Envoy.

use std::process::Command;

use crate::error::Outcome;
use crate::run::{probe, run};
use crate::workspace::{Profile, Workspace};
use crate::{envoy, wasm};

/// Builds what the tests drive, then runs them.
pub fn test(workspace: &Workspace, runner: &[String]) -> Outcome<()> {
    let wasm = wasm::build(workspace)?;
    let envoy = envoy::find(workspace)?;
    workspace.build_stores()?;
    let bin = workspace.build(Profile::Dev, &["linkgate-store", "linkgate-cli"])?;
    let with_surroundings = |command: &mut Command| {
        command
            .env("LINKGATE_ENVOY", &envoy)
            .env("LINKGATE_WASM", &wasm)
            .env("LINKGATE_BIN_DIR", &bin)
            .env("LINKGATE_ROOT", &workspace.root);
        run(command)
    };
    if probe("cargo", &["nextest", "--version"]).is_none() {
        println!("cargo-nextest is not installed, running `cargo test`");
        return with_surroundings(workspace.cargo().args(["test", "--workspace"]).args(runner));
    }
    with_surroundings(workspace.cargo().args(["nextest", "run", "--workspace"]).args(runner))?;
    // Nextest leaves out the examples in the docs.
    with_surroundings(workspace.cargo().args(["test", "--doc", "--workspace"]))
}
