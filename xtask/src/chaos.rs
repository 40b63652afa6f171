//! `cargo xtask chaos`: what breaks when everything moves at once.

use clap::Subcommand;
use clap::value_parser;

use crate::error::Outcome;
use crate::run::run;
use crate::workspace::{Profile, Workspace};
use crate::{envoy, wasm};

/// What to shake.
#[derive(Subcommand)]
pub enum Chaos {
    /// The gate in a real Envoy: every reply is judged while policies are deployed and bkauth comes and goes
    Gate {
        /// How long
        #[arg(long, default_value_t = 30, value_parser = value_parser!(u32).range(1..=600))]
        seconds: u32,
        /// Requests in a second
        #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=5_000))]
        rate: u32,
        /// Policies that are deployed meanwhile
        #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(0..=1_000))]
        deploys: u32,
    },
}

/// Shakes.
pub fn chaos(workspace: &Workspace, chaos: &Chaos) -> Outcome<()> {
    let Chaos::Gate { seconds, rate, deploys } = chaos;
    let wasm = wasm::build(workspace)?;
    let envoy = envoy::find(workspace)?;
    let bin = workspace.build(Profile::Dev, &["linkgate-cli"])?;
    let mut command = workspace.cargo();
    // What is looked for is wrong replies, not speed: a release build would only take longer to begin.
    command.args(["bench", "-p", "linkgate-tests", "--bench", "chaos", "--profile", "dev", "--"]);
    for (name, number) in [("--seconds", seconds), ("--rate", rate), ("--deploys", deploys)] {
        command.args([name, &number.to_string()]);
    }
    command.env("LINKGATE_ENVOY", &envoy).env("LINKGATE_WASM", &wasm);
    run(command.env("LINKGATE_BIN_DIR", &bin).env("LINKGATE_ROOT", &workspace.root))
}
