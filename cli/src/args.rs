//! The commands and their flags.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Check a policy, or hand it to a running gate
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
    /// Say whether the gate would take this policy, and where it is wrong
    Check {
        /// The policy, YAML
        file: PathBuf,
    },
    /// Check a policy, then write it where Envoy picks it up without a restart
    Deploy {
        /// The policy, YAML
        file: PathBuf,
        /// The folder that Envoy watches (LINKGATE_POLICY_DIR of envoy.yaml)
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// The filter, as Envoy will find it [default: DIR/linkgate_filter.wasm]
        #[arg(long, value_name = "PATH")]
        wasm: Option<PathBuf>,
    },
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
