//! `cargo xtask bench`: measurements, always of release builds.

mod all;
mod chart;
mod machine;

use std::path::PathBuf;
use std::process::Command;

use clap::Subcommand;

use crate::error::Outcome;
use crate::programs::Programs;
use crate::rclone::find_rclone;
use crate::run::run;
use crate::wasm;
use crate::weed::find_weed;
use crate::workspace::{Profile, Workspace};

/// What to measure.
#[derive(Subcommand)]
pub enum Bench {
    /// One after the other, with pages and charts in docs/benchmarks/
    All(all::Options),
    /// How fast the store takes a package in, alone and behind Envoy, beside other ways to download and hash
    Ingest {
        /// The size of the package
        #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=16_384))]
        mib: u32,
        /// How often each is measured
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// How many small packages, one after the other
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        small: u32,
    },
    /// How fast callers send and get files, beside nginx, alone and behind Envoy, and what that holds in memory
    Transfers {
        /// The size of a file
        #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=16_384))]
        mib: u32,
        /// How often each is measured
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// How fast `linkgate push` sends one large file and many small ones, beside curl
    Push {
        /// The size of the large file
        #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=16_384))]
        mib: u32,
        /// How many small ones
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        files: u32,
        /// How often each is measured
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// What queries of the catalog cost as it grows
    Catalog {
        /// Packages in the largest catalog
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
        packages: u32,
        /// How often each is measured
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// What a page of a module's packages costs with 1,000 of them and with many more, also as HTML
    Pages {
        /// Packages in the larger module
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
        packages: u32,
        /// How often each is measured
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// In PostgreSQL
        #[arg(long)]
        postgresql: bool,
    },
    /// What stores cost that share a database and a bucket, beside rclone and curl
    Shared {
        /// One part of it alone
        #[arg(long, value_parser = ["ingest", "many", "growth", "idle"])]
        only: Option<String>,
        /// The size of the package
        #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=16_384))]
        mib: u32,
        /// How often each is measured
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// What uploads and stores that share a database cost PostgreSQL
    Queue {
        /// How many uploads of each store
        #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
        cycles: u32,
        /// How many stores at once
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=9))]
        processes: u32,
    },
    /// What uploads take while packages are deleted, and while the store purges them
    Deletes {
        /// How many are deleted
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        packages: u32,
        /// How many callers delete at once
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        deleting: u32,
        /// How often each is measured
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// Many uploads at once and many small ones in a row: all right, within their time and memory
    Load {
        /// How many small ones
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        small: u32,
    },
    /// How many instructions of the filter a request takes, the same on every machine
    Instructions,
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
        Bench::All(options) => all::all(workspace, options),
        Bench::Ingest { mib, rounds, small } => {
            let (mib, rounds, small) = (mib.to_string(), rounds.to_string(), small.to_string());
            behind_envoy(workspace, "ingest", &["--mib", &mib, "--rounds", &rounds, "--small", &small])?;
            Ok(())
        }
        Bench::Transfers { mib, rounds } => {
            behind_envoy(workspace, "transfers", &["--mib", &mib.to_string(), "--rounds", &rounds.to_string()])?;
            Ok(())
        }
        Bench::Push { mib, files, rounds } => {
            let (mib, files, rounds) = (mib.to_string(), files.to_string(), rounds.to_string());
            behind_envoy(workspace, "push", &["--mib", &mib, "--files", &files, "--rounds", &rounds])?;
            Ok(())
        }
        Bench::Catalog { packages, rounds } => {
            let rounds = rounds.to_string();
            run(named(workspace, "catalog").args(["--packages", &packages.to_string(), "--rounds", &rounds]))
        }
        Bench::Queue { cycles, processes } => {
            let (cycles, processes) = (cycles.to_string(), processes.to_string());
            let mut command = named(workspace, "queue");
            run(command.args(["--cycles", &cycles, "--processes", &processes]))
        }
        Bench::Pages { packages, rounds, postgresql } => {
            let mut command = beside(workspace, "pages", &[("--packages", packages), ("--rounds", rounds)])?;
            if *postgresql {
                command.arg("--postgresql").envs(find_weed(workspace).map(|path| ("LINKGATE_WEED", path)));
            }
            run(&mut command)
        }
        Bench::Shared { only, mib, rounds } => {
            let mut command = beside(workspace, "shared", &[("--mib", mib), ("--rounds", rounds)])?;
            command.args(only.iter().flat_map(|part| ["--only", part]));
            let fetched = [("LINKGATE_WEED", find_weed(workspace)), ("LINKGATE_RCLONE", find_rclone(workspace))];
            run(command.envs(fetched.into_iter().filter_map(|(name, path)| Some((name, path?)))))
        }
        Bench::Deletes { packages, deleting, rounds } => {
            let flags = [("--packages", packages), ("--deleting", deleting), ("--rounds", rounds)];
            beside_store(workspace, "deletes", &flags)
        }
        Bench::Load { small } => beside_store(workspace, "load", &[("--small", small)]),
        Bench::Instructions => {
            let wasm = wasm::build(workspace)?;
            let mut command = workspace.cargo();
            command.args(["test", "-p", "linkgate-tests", "--test", "wasm", "cost::", "--", "--nocapture"]);
            run(command.env("LINKGATE_WASM", &wasm))
        }
        Bench::Gate { memory: false, rounds, seconds, .. } => {
            gate(workspace, &["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()])
        }
        Bench::Gate { memory: true, requests, .. } => {
            gate(workspace, &["--memory", "--requests", &requests.to_string()])
        }
    }
}

fn gate(workspace: &Workspace, args: &[&str]) -> Outcome<()> {
    wasm::weigh(&behind_envoy(workspace, "gate", args)?)
}

/// One of our benches, to be given its flags.
fn named(workspace: &Workspace, name: &str) -> Command {
    let mut command = workspace.cargo();
    command.args(["bench", "-p", "linkgate-tests", "--bench", name, "--"]);
    command
}

/// Runs one that starts stores.
fn beside_store(workspace: &Workspace, name: &str, flags: &[(&str, &u32)]) -> Outcome<()> {
    run(&mut beside(workspace, name, flags)?)
}

/// One that starts stores, which are built.
fn beside(workspace: &Workspace, name: &str, flags: &[(&str, &u32)]) -> Outcome<Command> {
    let bin = workspace.build(Profile::Release, &["linkgate-store"])?;
    let mut command = named(workspace, name);
    for (flag, number) in flags {
        command.args([(*flag).to_owned(), number.to_string()]);
    }
    command.env("LINKGATE_BIN_DIR", &bin);
    Ok(command)
}

/// Runs one that starts Envoy with the filter, and what stands behind it. Returns the filter's path.
fn behind_envoy(workspace: &Workspace, name: &str, args: &[&str]) -> Outcome<PathBuf> {
    let programs = Programs::build(workspace, Profile::Release, &["linkgate-cli", "linkgate-store"])?;
    run(programs.pass_to(named(workspace, name).args(args)))?;
    Ok(programs.wasm)
}
