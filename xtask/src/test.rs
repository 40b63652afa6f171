//! `cargo xtask test`: every test, with what those need that go through the built filter and Envoy.

use std::process::Command;

use rustix::process::geteuid;

use crate::error::Outcome;
use crate::programs::Programs;
use crate::run::{probe, run};
use crate::wasm;
use crate::workspace::{Profile, Workspace};

/// Builds what the tests drive, then runs them.
pub fn test(workspace: &Workspace, runner: &[String]) -> Outcome<()> {
    workspace.build_stores()?;
    let test_wasm = wasm::build_for_tests(workspace)?;
    let programs = Programs::build(workspace, Profile::Dev, &["linkgate-store", "linkgate-cli"])?;
    let run_tests = |command: &mut Command| run(programs.pass_to(command).env("LINKGATE_TEST_WASM", &test_wasm));
    add_promtool();
    if probe("cargo", &["nextest", "--version"]).is_none() {
        println!("cargo-nextest is not installed, running `cargo test`");
        return run_tests(workspace.cargo().args(["test", "--workspace"]).args(runner));
    }
    run_tests(workspace.cargo().args(["nextest", "run", "--workspace"]).args(runner))?;
    // Nextest leaves out the examples in the docs.
    run_tests(workspace.cargo().args(["test", "--doc", "--workspace"]))
}

/// The alert rules are tried by Prometheus' own tool. Root on Debian gets it; elsewhere it is there or not.
fn add_promtool() {
    if probe("promtool", &["--version"]).is_some() {
        return;
    }
    let install = ["install", "-y", "-qq", "--no-install-recommends", "prometheus"];
    let added = geteuid().is_root() && probe("apt-get", &install).is_some();
    if !added {
        println!("promtool is not installed and could not be added: the alert rules are read and not tried");
    }
}
