//! `cargo xtask bench`: measurements, always of release builds.

use clap::Subcommand;

use crate::error::Outcome;
use crate::run::run;
use crate::workspace::{Profile, Workspace};
use crate::{envoy, wasm};

/// What to measure.
#[derive(Subcommand)]
pub enum Bench {
    /// How fast the store takes a package in
    Ingest {
        /// The size of the package
        #[arg(long, default_value_t = 1024)]
        mib: u32,
    },
    /// What the gate costs Envoy, beside no filter, Lua and ext_authz
    Gate {
        /// How often each is measured
        #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// How long each time
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// Measure whether requests leave anything behind in memory, and nothing else
        #[arg(long)]
        memory: bool,
        /// How many requests for that
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100_001..), requires = "memory")]
        requests: u64,
    },
}

/// Measures.
pub fn bench(workspace: &Workspace, bench: &Bench) -> Outcome<()> {
    match bench {
        Bench::Ingest { mib } => ingest(workspace, *mib),
        Bench::Gate { memory: false, rounds, seconds, .. } => {
            gate(workspace, &["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()])
        }
        Bench::Gate { memory: true, requests, .. } => {
            gate(workspace, &["--memory", "--requests", &requests.to_string()])
        }
    }
}

fn ingest(workspace: &Workspace, mib: u32) -> Outcome<()> {
    let bin = workspace.build(Profile::Release, &["linkgate-store"])?;
    let mut command = workspace.cargo();
    command.args(["bench", "-p", "linkgate-tests", "--bench", "ingest", "--", "--mib", &mib.to_string()]);
    run(command.env("LINKGATE_BIN_DIR", &bin))
}

fn gate(workspace: &Workspace, args: &[&str]) -> Outcome<()> {
    let wasm = wasm::build(workspace)?;
    let envoy = envoy::find(workspace)?;
    let bin = workspace.build(Profile::Release, &["linkgate-cli"])?;
    let mut command = workspace.cargo();
    command.args(["bench", "-p", "linkgate-tests", "--bench", "gate", "--"]).args(args);
    command.env("LINKGATE_ENVOY", &envoy).env("LINKGATE_WASM", &wasm);
    run(command.env("LINKGATE_BIN_DIR", &bin).env("LINKGATE_ROOT", &workspace.root))?;
    wasm::weigh(&wasm)
}
