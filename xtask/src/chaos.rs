//! `cargo xtask chaos`: the gate and the store under faults and load.

mod busy;
mod release_before;

use std::process::Command;

use clap::Subcommand;
use clap::value_parser;

use crate::error::{Failure, Outcome};
use crate::programs::Programs;
use crate::run::{probe, run, run_if_possible};
use crate::test;
use crate::weed::find_weed;
use crate::workspace::{Profile, Workspace};

/// What is tried.
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
    /// The store, killed at random moments and at every step that matters, while callers upload, overwrite and delete
    Crash {
        /// How often it dies
        #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
        rounds: u32,
        /// What decides when, as the report of another run named it
        #[arg(long)]
        seed: Option<u64>,
    },
    /// The same with the power of its disk: a file system of its own that takes no more writes. Needs root
    Power {
        /// How often
        #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000))]
        rounds: u32,
        /// What decides when, as the report of another run named it
        #[arg(long)]
        seed: Option<u64>,
        /// Which file system
        #[arg(long, default_value = "both", value_parser = ["both", "ext4", "xfs"])]
        fs: String,
    },
    /// Many callers who upload, overwrite, delete, restore, download and clean up in one module at once
    Races {
        /// How many
        #[arg(long, default_value_t = 32, value_parser = value_parser!(u32).range(1..=512))]
        callers: u32,
        /// How long
        #[arg(long, default_value_t = 60, value_parser = value_parser!(u32).range(1..=600))]
        seconds: u32,
    },
    /// Three stores on one PostgreSQL and one bucket: each dies, stands still or is stopped, the database and the bucket fail, and
    /// replies get lost, while callers upload, overwrite and delete at all of them
    Replicas {
        /// How often something happens
        #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
        rounds: u32,
        /// What decides what and when, as the report of another run named it
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Three stores on one PostgreSQL and one bucket, of which one after the other is replaced by the program of this folder, one goes
    /// back, and then all are new, while callers upload, overwrite, list, download and delete
    Upgrade {
        /// The revision of the stores before [default: the newest tag]
        #[arg(long, value_name = "REV")]
        from: Option<String>,
        /// How long each mixture of both serves
        #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=600))]
        seconds: u32,
        /// What decides what callers do, as the report of another run named it
        #[arg(long)]
        seed: Option<u64>,
    },
    /// A data directory of a store of an earlier revision, upgraded as CHANGELOG.md says, used, taken back, used, and upgraded again
    Rollback {
        /// The revision of the store before [default: the newest tag]
        #[arg(long, value_name = "REV")]
        from: Option<String>,
    },
    /// One caller who takes as much of each thing as it can get, and another who must be served all the same
    Crowd,
    /// The store in the memory of the shipped deployments, with the packages that take most of it. Needs root and a control
    /// group
    Memory {
        /// How often it is killed in between
        #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(0..=2))]
        kills: u32,
    },
    /// The store on a disk that fills up, takes no more files, or fails with EIO in the middle of an upload, and comes back.
    /// Needs root, nbdkit and nbdfuse
    Disk {
        /// How often, for each trouble
        #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=100))]
        rounds: u32,
    },
    /// Every test beside busy loops that take the processors from it: none may depend on the speed of the machine
    BusyTests {
        /// How often
        #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
        rounds: u32,
        /// How many busy loops
        #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=1_000))]
        loops: u32,
        /// Passed on to the test runner
        #[arg(last = true)]
        runner: Vec<String>,
    },
}

/// Runs it.
pub fn chaos(workspace: &Workspace, chaos: &Chaos) -> Outcome<()> {
    match chaos {
        Chaos::Gate { seconds, rate, deploys } => {
            let programs = Programs::build(workspace, Profile::Dev, &["linkgate-cli"])?;
            let mut command = campaign(workspace.cargo(), "gate");
            for (name, number) in [("--seconds", seconds), ("--rate", rate), ("--deploys", deploys)] {
                command.args([name, &number.to_string()]);
            }
            run(programs.pass_to(&mut command))
        }
        Chaos::Crash { rounds, seed } => {
            let mut command = campaign(workspace.cargo(), "crash");
            run(dying(&mut command, *rounds, *seed).env("LINKGATE_BIN_DIR", workspace.build_stores()?))
        }
        Chaos::Power { rounds, seed, fs } => {
            let mut command = campaign(with_own_mounts(workspace)?, "power");
            let dying = dying(&mut command, *rounds, *seed).args(["--fs", fs]);
            run_if_possible(dying.env("LINKGATE_BIN_DIR", workspace.build_stores()?))
        }
        Chaos::Races { callers, seconds } => {
            let bin = workspace.build(Profile::Dev, &["linkgate-store"])?;
            let mut command = campaign(workspace.cargo(), "races");
            command.args(["--callers", &callers.to_string(), "--seconds", &seconds.to_string()]);
            run(command.env("LINKGATE_BIN_DIR", bin))
        }
        Chaos::Replicas { rounds, seed } => {
            let mut command = campaign(workspace.cargo(), "replicas");
            run_with_servers(workspace, dying(&mut command, *rounds, *seed))
        }
        Chaos::Upgrade { from, seconds, seed } => {
            let mut command = campaign(workspace.cargo(), "upgrade");
            command.arg("--from").arg(release_before::build_store(workspace, from.as_deref())?);
            command.args(["--seconds", &seconds.to_string()]);
            run_with_servers(workspace, seeded(&mut command, *seed))
        }
        Chaos::Rollback { from } => {
            let mut command = campaign(workspace.cargo(), "rollback");
            command.arg("--from").arg(release_before::build_store(workspace, from.as_deref())?);
            run(command.env("LINKGATE_BIN_DIR", workspace.build(Profile::Dev, &["linkgate-store"])?))
        }
        Chaos::Crowd => {
            let programs = Programs::build(workspace, Profile::Dev, &["linkgate-store", "linkgate-cli"])?;
            run(programs.pass_to(&mut campaign(workspace.cargo(), "crowd")))
        }
        Chaos::Memory { kills } => {
            let bin = workspace.build(Profile::Dev, &["linkgate-store"])?;
            let mut command = campaign(workspace.cargo(), "memory");
            run_if_possible(command.args(["--kills", &kills.to_string()]).env("LINKGATE_BIN_DIR", bin))
        }
        Chaos::Disk { rounds } => {
            let mut command = campaign(with_own_mounts(workspace)?, "disk");
            let bin = workspace.build(Profile::Dev, &["linkgate-store"])?;
            run_if_possible(command.args(["--rounds", &rounds.to_string()]).env("LINKGATE_BIN_DIR", bin))
        }
        Chaos::BusyTests { rounds, loops, runner } => busy::run_tests(workspace, *rounds, *loops, runner),
    }
}

/// What is looked for is what breaks, not speed: a release build would only take longer to begin.
fn campaign(mut cargo: Command, what: &str) -> Command {
    cargo.args(["run", "-p", "linkgate-chaos", "--", what]);
    cargo
}

/// Of stores that share a real database and a real bucket.
fn run_with_servers(workspace: &Workspace, command: &mut Command) -> Outcome<()> {
    command.env("LINKGATE_BIN_DIR", workspace.build_stores()?);
    test::tools::add_missing();
    run_if_possible(command.envs(find_weed(workspace).map(|weed| ("LINKGATE_WEED", weed))))
}

fn dying(command: &mut Command, rounds: u32, seed: Option<u64>) -> &mut Command {
    seeded(command.args(["--rounds", &rounds.to_string()]), seed)
}

fn seeded(command: &mut Command, seed: Option<u64>) -> &mut Command {
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    command
}

/// A cargo command whose mounts only its own processes see; both are gone when it ends, however that happens.
fn with_own_mounts(workspace: &Workspace) -> Outcome<Command> {
    const OWN: [&str; 7] = ["--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child"];
    if probe("unshare", &[&OWN[..], &["true"]].concat()).is_none() {
        return Err(Failure::missing("nothing was tested: mounting a file system needs root, and `unshare`"));
    }
    let mut command = Command::new("unshare");
    command.args(OWN).arg(workspace.cargo().get_program()).current_dir(&workspace.root);
    Ok(command)
}
