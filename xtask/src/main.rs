//! Development tasks: `cargo xtask up` runs Linkgate, `test` and `check` verify it, the others build, measure and attack it.
//!
//! Promises: whatever it starts it stops; what it downloads is checked by digest and stored under `target/`. Imports none
//! of our crates, so that it builds while they do not.

mod arrows;
mod bench;
mod chaos;
mod check;
mod compose;
mod deb;
mod demo;
mod dist;
mod docker;
mod envoy;
mod error;
mod fuzz;
mod http;
mod images;
mod length;
mod links;
mod pages;
mod poll;
mod programs;
mod rclone;
mod release;
mod run;
mod shell;
mod signals;
mod simulate;
mod test;
mod up;
mod version;
mod wasm;
mod weed;
mod wheel;
mod words;
mod workspace;
mod worktree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Outcome;
use crate::workspace::Workspace;

/// Development tasks of Linkgate.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// A task.
#[derive(Subcommand)]
enum Task {
    /// Run the gate, the store and a sample origin on this machine, and upload a package through them
    Up(up::Options),
    /// Build the container images, of programs that are built on this machine
    Images(images::Options),
    /// Run the compose file in containers and try everything that an operator does with it
    Compose(compose::Options),
    /// What the containers of the demo do
    #[command(subcommand)]
    Demo(demo::Demo),
    /// Run every test, through the built filter and a real Envoy too
    Test {
        /// Run the tests of the store's behaviour with this under it, and no others
        #[arg(long, value_enum)]
        engine: Option<test::Engine>,
        /// Passed on to the test runner
        #[arg(last = true)]
        runner: Vec<String>,
    },
    /// Run the tests of the gate with one Envoy of each version that it is for
    Envoys {
        /// Passed on to the test runner
        #[arg(last = true)]
        runner: Vec<String>,
    },
    /// Format, lints, docs, import arrows, the filter's shell, words that are gone, links, generated pages, licences
    Check,
    /// Write the pages of docs/reference/, which are made of the code
    Docs,
    /// Fuzz every parser of untrusted bytes, for a while
    Fuzz(fuzz::Options),
    /// Run a benchmark
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Reckon how far many stores get, and what holds them up
    #[command(subcommand)]
    Simulate(simulate::Simulate),
    /// Run the gate or the store under faults and load, and check every reply
    #[command(subcommand)]
    Chaos(chaos::Chaos),
    /// Build the filter that Envoy loads, and check its size
    BuildWasm,
    /// Build a release: an archive, a Debian package, and the filter for registries
    Dist(dist::DistOptions),
    /// Build the Debian package, and try it in a fresh root of Debian
    Deb(deb::Options),
    /// Find Envoy, fetch it if there is none, and print its path
    Envoy,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(task: Task) -> Outcome<()> {
    // There is neither cargo nor a workspace in a container.
    if let Task::Demo(demo) = &task {
        return demo::demo(demo);
    }
    let workspace = Workspace::find()?;
    match task {
        Task::Up(options) => up::up(&workspace, &options),
        Task::Images(options) => images::images(&workspace, &options),
        Task::Compose(options) => compose::compose(&workspace, &options),
        Task::Demo(demo) => demo::demo(&demo),
        Task::Test { engine: None, runner } => test::test(&workspace, &runner),
        Task::Test { engine: Some(engine), runner } => test::test_on(&workspace, engine, &runner),
        Task::Check => check::check(&workspace),
        Task::Docs => pages::write(&workspace),
        Task::Fuzz(options) => fuzz::fuzz(&workspace, &options),
        Task::Bench(bench) => bench::bench(&workspace, &bench),
        Task::Simulate(simulate) => simulate::simulate(&simulate),
        Task::Chaos(chaos) => chaos::chaos(&workspace, &chaos),
        Task::BuildWasm => wasm::build(&workspace).map(drop),
        Task::Dist(options) => dist::dist(&workspace, &options),
        Task::Deb(options) => deb::deb(&workspace, &options),
        Task::Envoys { runner } => test::test_envoys(&workspace, &runner),
        Task::Envoy => envoy::find_envoy(&workspace).map(|path| println!("{}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_task_can_be_parsed() {
        Cli::command().debug_assert();
    }
}
