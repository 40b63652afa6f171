//! `cargo xtask test`: every test, with what those need that go through the built filter and Envoy.
//!
//! Promises: a failure does not keep other tests from running; the last lines say how long all of it took, on the clock
//! and on processors, and which tests were slowest; a snapshot that does not fit fails its test and is not written.

mod cost;
mod node;
mod python;
pub mod tools;

use std::fs;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::error::{Failure, Outcome, Trying};
use crate::programs::Programs;
use crate::run::{probe, run};
use crate::workspace::{Profile, Workspace};
use crate::{envoy, wasm, weed};

use self::cost::Meter;

/// What stores of tests store in, if not in a data directory.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A PostgreSQL and a bucket, as stores that share have them
    Shared,
}

/// What holds with either engine; tests in here that are about data directories say so and pass.
const ON_EITHER: &str = "binary(store) & test(/^(callers_own|checksum|conflicts|deletion|downloads|files|jobs|modules\
    |nonces|pins|provenance|quotas|reading|resume|retention|retry|signed_urls|success)::/) \
    | binary(e2e) & test(/^(changes|downloads|hurried|lifecycle|python|reading|signed_urls)::/)";

/// Runs those that hold with this engine, or those of them that the arguments select.
pub fn test_on(workspace: &Workspace, engine: Engine, runner: &[String]) -> Outcome<()> {
    let Engine::Shared = engine;
    tools::add_missing();
    let has_postgresql = ["pg_ctlcluster", "pg_config"].into_iter().any(tools::has_program);
    if !has_postgresql || weed::find_weed(workspace).is_none() {
        return Err(Failure::missing("nothing was tested: this engine needs PostgreSQL and SeaweedFS"));
    }
    let selected = if runner.is_empty() { vec!["-E".to_owned(), ON_EITHER.to_owned()] } else { runner.to_vec() };
    run_with(workspace, &selected, &[("LINKGATE_TEST_ENGINE", "shared")], Examples::LeftOut)
}

/// What a gateway does, whichever Envoy it is: pages and clients are the same behind each.
const THROUGH_ENVOY: &str = "binary(e2e) & !test(/^(browser|cli|chaos|python|download_clients)/)";

/// Runs them with one Envoy of each version that the filter is for.
pub fn test_envoys(workspace: &Workspace, runner: &[String]) -> Outcome<()> {
    let selected = if runner.is_empty() { vec!["-E".to_owned(), THROUGH_ENVOY.to_owned()] } else { runner.to_vec() };
    let mut failed = Vec::new();
    for (version, path) in envoy::fetch_all(workspace)? {
        println!("\n=== Envoy {version}");
        if let Err(failure) =
            run_with(workspace, &selected, &[("LINKGATE_ENVOY", &path.display().to_string())], Examples::LeftOut)
        {
            println!("{failure}");
            failed.push(version);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("tests failed with Envoy {}", failed.join(", ")))) }
}

/// Builds what the tests drive, then runs them.
pub fn test(workspace: &Workspace, runner: &[String]) -> Outcome<()> {
    run_with(workspace, runner, &[], Examples::Run)
}

/// The examples in the docs, which are the same whatever the tests drive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Examples {
    Run,
    LeftOut,
}

/// Builds what the tests drive, then runs them with these variables.
fn run_with(workspace: &Workspace, runner: &[String], set: &[(&str, &str)], examples: Examples) -> Outcome<()> {
    workspace.build_stores()?;
    let test_wasm = wasm::build_for_tests(workspace)?;
    let programs = Programs::build(workspace, Profile::Dev, &["linkgate-store", "linkgate-cli"])?;
    tools::add_missing();
    let (python, node) = (python::prepare(workspace), node::prepare(workspace));
    let weed = weed::find_weed(workspace);
    let run_tests = |command: &mut Command| {
        let command = command.envs(python.as_ref().map(|python| ("LINKGATE_PYTHON", python)));
        let command = command.envs(node.as_ref().map(|modules| ("LINKGATE_NODE_MODULES", modules)));
        let command = command.envs(weed.as_ref().map(|weed| ("LINKGATE_WEED", weed)));
        // Snapshots are looked for below the root folder without asking cargo where that is.
        let command = command.env("INSTA_UPDATE", "no").env("INSTA_WORKSPACE_ROOT", &workspace.root);
        run(programs.pass_to(command).env("LINKGATE_TEST_WASM", &test_wasm).envs(set.iter().copied()))
    };
    if probe("cargo", &["nextest", "--version"]).is_none() {
        println!("cargo-nextest is not installed, running `cargo test`");
        let meter = Meter::start();
        let outcome = run_tests(workspace.cargo().args(["test", "--workspace", "--no-fail-fast"]).args(runner));
        println!("{}", meter.report(&[]));
        return outcome;
    }
    // Built before, so that what the compiler takes is not counted.
    run_tests(workspace.cargo().args(["test", "--workspace", "--no-run"]))?;
    let meter = Meter::start();
    let tests = run_tests(workspace.cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(runner));
    let cost = meter.report(&cost::times(&workspace.target.join("nextest/default/junit.xml")));
    // Nextest leaves out the examples in the docs.
    let examples = match examples {
        Examples::Run => run_tests(workspace.cargo().args(["test", "--doc", "--workspace"])),
        Examples::LeftOut => Ok(()),
    };
    println!("{cost}");
    tests.and(examples)
}

/// Installs what a list names, unless a copy of the list, the stamp, says that it was done.
fn install_once(list: &Path, stamp: &Path, install: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    let wanted = fs::read(list).trying(|| format!("read {}", list.display()))?;
    if fs::read(stamp).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).trying(|| format!("write {}", stamp.display()))
}
