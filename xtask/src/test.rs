//! `cargo xtask test`: every test, with what those need that go through the built filter and Envoy.
//!
//! Promises: a failure does not keep other tests from running; the last lines say how long all of it took, on the clock
//! and on processors, and which tests were slowest; a snapshot that does not fit fails its test and is not written.

mod cost;
mod node;
mod python;
pub mod tools;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
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
    let (tests, cost) = Driven::build(workspace)?.run_tests(&selected, &[("LINKGATE_TEST_ENGINE", "shared")]);
    println!("{cost}");
    tests
}

/// Tests beside those that the processors are for.
const WAITING: usize = 2;

/// By which nextest is told how many run at a time; its option comes before it.
pub const AT_ONCE: &str = "NEXTEST_TEST_THREADS";

/// What a gateway does, whichever Envoy it is: pages and clients are the same behind each.
const THROUGH_ENVOY: &str = "binary(e2e) & !test(/^(browser|cli|chaos|python|download_clients)/)";

/// Runs them with one Envoy of each version that the filter is for.
pub fn test_envoys(workspace: &Workspace, runner: &[String]) -> Outcome<()> {
    let selected = if runner.is_empty() { vec!["-E".to_owned(), THROUGH_ENVOY.to_owned()] } else { runner.to_vec() };
    let envoys = envoy::fetch_all(workspace)?;
    let driven = Driven::build(workspace)?;
    let mut failed = Vec::new();
    for (version, path) in envoys {
        println!("\n=== Envoy {version}");
        let (tests, cost) = driven.run_tests(&selected, &[("LINKGATE_ENVOY", &path.display().to_string())]);
        println!("{cost}");
        if let Err(failure) = tests {
            println!("{failure}");
            failed.push(version);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("tests failed with Envoy {}", failed.join(", ")))) }
}

/// Builds what the tests drive, then runs them, and the examples in the docs.
pub fn test(workspace: &Workspace, runner: &[String]) -> Outcome<()> {
    Driven::build(workspace)?.run_all(runner, &[])
}

/// What the tests drive, and the tools that they use.
pub struct Driven<'a> {
    workspace: &'a Workspace,
    programs: Programs,
    test_wasm: PathBuf,
    /// By the variables that tests look for them in.
    tools: [(&'static str, Option<PathBuf>); 3],
}

impl<'a> Driven<'a> {
    /// Builds them, and gets the tools.
    pub fn build(workspace: &'a Workspace) -> Outcome<Self> {
        workspace.build_stores()?;
        let test_wasm = wasm::build_for_tests(workspace)?;
        let programs = Programs::build(workspace, Profile::Dev, &["linkgate-store", "linkgate-cli"])?;
        tools::add_missing();
        let tools = [
            ("LINKGATE_PYTHON", python::prepare(workspace)),
            ("LINKGATE_NODE_MODULES", node::prepare(workspace)),
            ("LINKGATE_WEED", weed::find_weed(workspace)),
        ];
        Ok(Self { workspace, programs, test_wasm, tools })
    }

    /// Builds the tests themselves.
    pub fn build_tests(&self, set: &[(&str, &str)]) -> Outcome<()> {
        self.run(self.workspace.cargo().args(["test", "--workspace", "--no-run"]), set)
    }

    /// Runs all tests, then the examples in the docs, and prints what the tests cost.
    pub fn run_all(&self, runner: &[String], set: &[(&str, &str)]) -> Outcome<()> {
        let (tests, cost) = self.run_tests(runner, set);
        let examples = self.run(self.workspace.cargo().args(["test", "--doc", "--workspace"]), set);
        println!("{cost}");
        tests.and(examples)
    }

    /// Runs all tests but the examples in the docs, and says what they cost.
    fn run_tests(&self, runner: &[String], set: &[(&str, &str)]) -> (Outcome<()>, String) {
        let cargo = || self.workspace.cargo();
        if probe("cargo", &["nextest", "--version"]).is_none() {
            println!("cargo-nextest is not installed, running `cargo test`");
            let meter = Meter::start();
            let kinds = ["--lib", "--bins", "--tests"];
            let tests = self.run(cargo().args(["test", "--workspace", "--no-fail-fast"]).args(kinds).args(runner), set);
            return (tests, meter.report(&[]));
        }
        // Built before, so that what the compiler takes is not counted.
        let built = self.build_tests(set);
        let meter = Meter::start();
        let mut nextest = cargo();
        if env::var_os(AT_ONCE).is_none() {
            nextest.env(AT_ONCE, at_once().to_string());
        }
        nextest.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        let tests = built.and_then(|()| self.run(nextest.args(runner), set));
        (tests, meter.report(&cost::times(&self.workspace.target.join("nextest/default/junit.xml"))))
    }

    /// Runs a command that knows where everything is, with these variables besides.
    fn run(&self, command: &mut Command, set: &[(&str, &str)]) -> Outcome<()> {
        let tools = self.tools.iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
        // Snapshots are looked for below the root folder without asking cargo where that is.
        let command = command.env("INSTA_UPDATE", "no").env("INSTA_WORKSPACE_ROOT", &self.workspace.root);
        let command = self.programs.pass_to(command).env("LINKGATE_TEST_WASM", &self.test_wasm).envs(tools);
        run(command.envs(set.iter().copied()))
    }
}

/// Tests at a time. Many of them wait for most of their time, for a lease to run out or a server to start.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(WAITING, |processors| processors.get() + WAITING)
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
