//! The commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::admin::Admin;

/// The operator's command line of Linkgate.
#[derive(Parser)]
#[command(name = "linkgate", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What there is to do.
#[derive(Subcommand)]
pub enum Command {
    /// Check, explain or compare policies, or hand one to a running gate
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Make the keys that the gate signs with
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Turn secrets into what a policy holds
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Fill in Envoy's configuration
    #[command(subcommand)]
    Envoy(EnvoyCommand),
}

/// `linkgate policy …`
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Say whether the gate would take this policy, where it is wrong, and what it says in vain
    Check {
        /// The policy, YAML
        file: PathBuf,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
    },
    /// Say how the gate would decide a request under a policy, and by which rule
    Explain {
        /// The policy, YAML
        file: PathBuf,
        /// The request and what the identity services would say, YAML (docs/POLICY.md)
        #[arg(long, value_name = "REQUEST")]
        request: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say in words who gains and who loses when NEW takes the place of OLD
    Diff {
        /// A policy, YAML
        old: PathBuf,
        /// Another one
        new: PathBuf,
    },
    /// Check a policy, then write it where Envoy picks it up without a restart
    Deploy {
        /// The policy, YAML
        file: PathBuf,
        #[command(flatten)]
        target: Target,
        /// The filter, as Envoy will find it [default: DIR/linkgate_filter.wasm]
        #[arg(long, value_name = "PATH")]
        wasm: Option<PathBuf>,
    },
    /// Put back what the last deploy or rollback replaced
    Rollback {
        #[command(flatten)]
        target: Target,
    },
}

/// Where a policy goes, and whether to wait until it is in force.
#[derive(Args)]
pub struct Target {
    /// The folder that Envoy watches (LINKGATE_POLICY_DIR of envoy.yaml)
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Wait at most so long until every worker of Envoy serves it, for example 30s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,
    /// Envoy's admin address, for --wait
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    pub admin: Admin,
}

/// `linkgate keys …`
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Make an Ed25519 pair: jwt-private.pem for the gate, jwt-public.pem for the store
    Generate {
        /// The folder to put them in; made if it is not there
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// `linkgate secret …`
#[derive(Subcommand)]
pub enum SecretCommand {
    /// Read a secret from standard input and print its SHA-256, as `secret_sha256` wants it
    Hash,
}

/// `linkgate envoy …`
#[derive(Subcommand)]
pub enum EnvoyCommand {
    /// Replace ${LINKGATE_NAME:-default} in a file by the environment
    Render {
        /// The configuration, for example envoy.yaml
        file: PathBuf,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}
