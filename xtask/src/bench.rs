//! `cargo xtask bench`: measurements, always of release builds.

use clap::Subcommand;

use crate::error::Outcome;
use crate::run::run;
use crate::workspace::{Profile, Workspace};

/// What to measure.
#[derive(Subcommand)]
pub enum Bench {
    /// How fast the store takes a package in
    Ingest {
        /// The size of the package
        #[arg(long, default_value_t = 1024)]
        mib: u32,
    },
}

/// Measures.
pub fn bench(workspace: &Workspace, bench: &Bench) -> Outcome<()> {
    let Bench::Ingest { mib } = bench;
    let bin = workspace.build(Profile::Release, &["linkgate-store"])?;
    let mut command = workspace.cargo();
    command.args(["bench", "-p", "linkgate-tests", "--bench", "ingest", "--", "--mib", &mib.to_string()]);
    run(command.env("LINKGATE_BIN_DIR", &bin))
}
