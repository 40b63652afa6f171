//! The commands and their flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use clap_complete::Shell;

use linkgate_contract::release;

use crate::admin::Admin;
use crate::caller::args::CallerCommand;

/// Upload, find and download packages; and what operators do to a gate.
#[derive(Parser)]
#[command(name = "linkgate", version = release::describe(), about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What there is to do.
#[derive(Subcommand)]
pub enum Command {
    #[command(flatten)]
    Caller(CallerCommand),
    #[command(flatten)]
    Operator(OperatorCommand),
}

/// What operators do.
#[derive(Subcommand)]
pub enum OperatorCommand {
    /// Check, explain or compare policies, or hand one to a running gate
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Make the keys that gates and stores sign with
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Turn secrets into what a policy holds
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Fill in Envoy's configuration
    #[command(subcommand)]
    Envoy(EnvoyCommand),
    /// Print the API in OpenAPI 3.1
    Openapi {
        /// Print the reference for people instead: docs/REFERENCE.md
        #[arg(long)]
        markdown: bool,
    },
    /// Print what BlueKing's own gateway needs to have the API as resources
    #[command(subcommand)]
    Apigw(ApigwCommand),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions {
        /// Which one
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual, a page for each command
    #[command(hide = true)]
    Man {
        /// The folder to write to; made if it is not there
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// `linkgate apigw …`
#[derive(Subcommand)]
pub enum ApigwCommand {
    /// Print resources.yaml, for `sync_apigw_resources`
    Resources,
    /// Print definition.yaml, for `sync_apigw_config` and the like
    Definition,
}

/// `linkgate policy …`
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Check that the gate accepts these policies, name every fault with its line, and warn about entries without effect
    Check {
        /// Policies, YAML or as they were deployed; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
        /// Print JSON, one object for each file
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of policies, for editors
    Schema,
    /// Print the policy in force, as Envoy has it
    Show {
        /// Print the one in this file or folder instead, as it was deployed
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
        #[command(flatten)]
        proxy: Proxy,
    },
    /// Explain how the gate decides a request under a policy, and by which rule
    Explain {
        /// The policy, YAML
        file: PathBuf,
        /// The request and the answers of the identity services, YAML (docs/POLICY.md)
        #[arg(long, value_name = "REQUEST")]
        request: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List who gains and who loses access when NEW replaces OLD
    Diff {
        /// A policy, YAML or as it was deployed; `-` is standard input
        old: PathBuf,
        /// Another one
        new: PathBuf,
    },
    /// Write the file of a service that counts new uploads for all Envoys, from the rates of a policy
    Limits {
        /// The policy, YAML or as it was deployed; `-` is standard input
        file: PathBuf,
        /// Which service reads it
        #[arg(long, value_enum)]
        format: LimitsFormat,
    },
    /// Check a policy, then write it where Envoy picks it up without a restart, or print it as a resource of Kubernetes
    Deploy {
        /// The policy, YAML
        file: PathBuf,
        /// The folder that Envoy watches (LINKGATE_POLICY_DIR of envoy.yaml)
        #[arg(long, value_name = "DIR", required_unless_present = "format", conflicts_with = "format")]
        to: Option<PathBuf>,
        #[command(flatten)]
        wait: Confirmation,
        /// The filter, as Envoy will find it [default: DIR/linkgate_filter.wasm]
        #[arg(long, value_name = "PATH", required_if_eq_any = [("format", "configmap"), ("format", "envoyfilter"), ("format", "envoypatchpolicy")])]
        wasm: Option<PathBuf>,
        /// Print a resource for `kubectl apply -f -` instead
        #[arg(long, value_enum)]
        format: Option<ManifestFormat>,
        #[command(flatten)]
        manifest: ManifestArgs,
    },
    /// Restore what the last deploy or rollback replaced
    Rollback {
        #[command(flatten)]
        target: Target,
    },
}

/// A rate limit service, by what its file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LimitsFormat {
    /// Limitador 2: `LIMITS_FILE`
    Limitador,
    /// envoyproxy/ratelimit: a file of its runtime configuration
    Envoyproxy,
}

/// A resource of Kubernetes, by who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManifestFormat {
    /// A `ConfigMap`, mounted where Envoy watches
    Configmap,
    /// Istio's `EnvoyFilter`
    Envoyfilter,
    /// Envoy Gateway's `EnvoyPatchPolicy`
    Envoypatchpolicy,
}

/// What a resource of Kubernetes is called and about.
#[derive(Args)]
pub struct ManifestArgs {
    /// Its name
    #[arg(long, default_value = "linkgate-policy", requires = "format")]
    pub name: String,
    /// Its namespace
    #[arg(long, requires = "format")]
    pub namespace: Option<String>,
    /// Of Istio: a label of the workloads, `NAME=VALUE`; may be given several times
    #[arg(long, value_name = "LABEL", default_value = "istio=ingressgateway", value_parser = parse_label, requires = "format")]
    pub selector: Vec<(String, String)>,
    /// Of Envoy Gateway: the listener, `NAMESPACE/GATEWAY/LISTENER`
    #[arg(long, value_name = "LISTENER", requires = "format")]
    pub listener: Option<String>,
}

fn parse_label(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE"),
    }
}

/// Whether to wait until a policy is in force.
#[derive(Args)]
pub struct Confirmation {
    /// Wait at most so long until every worker of Envoy serves it, for example 30s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "format")]
    pub wait: Option<Duration>,
    /// Envoy's admin address, for --wait
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    pub admin: Admin,
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
    /// Make a pair: NAME-private.pem for who signs, NAME-public.pem for who checks
    Generate {
        #[command(flatten)]
        pair: Pair,
        /// What tokens are signed with
        #[arg(long, value_enum, default_value_t)]
        algorithm: Algorithm,
        /// If the pair is there already, leave it and end with 0
        #[arg(long)]
        keep: bool,
    },
    /// Print the SHA-256 of a public Ed25519 key, by which a store's statements name it (`keyid`)
    Id {
        /// The public key, PEM
        file: PathBuf,
    },
    /// Remove a pair that nobody signs with any more
    Remove {
        #[command(flatten)]
        pair: Pair,
    },
}

/// A signature of tokens, by its name in JOSE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// Ed25519
    #[default]
    #[value(name = "EdDSA")]
    EdDsa,
    /// RSA of 2048 bits, for back ends that verify nothing else
    #[value(name = "RS512")]
    Rs512,
}

/// The files of a pair of keys.
#[derive(Args)]
pub struct Pair {
    /// The folder to put them in; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Another folder for the public half
    #[arg(long, value_name = "DIR")]
    pub public_to: Option<PathBuf>,
    /// What the files' names begin with: letters, digits, `-` and `_`
    #[arg(long, default_value = "jwt", value_parser = key_name)]
    pub name: String,
}

fn key_name(name: &str) -> Result<String, &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(plain) {
        Ok(name.to_owned())
    } else {
        Err("letters, digits, `-` and `_` only")
    }
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
    /// Render a configuration, read the signing key from its file, and become Envoy
    Run {
        /// The configuration, for example envoy.yaml
        file: PathBuf,
        /// Where to write it, for example on a file system in memory
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The private key; Envoy gets its text as LINKGATE_JWT_PRIVATE_KEY
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Envoy's program
        #[arg(long, value_name = "PROGRAM", default_value = "envoy")]
        program: PathBuf,
        /// Further arguments of Envoy
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// End with 0 if Envoy takes requests and has a policy in force
    Ready {
        #[command(flatten)]
        proxy: Proxy,
    },
    /// Take Envoy out of service and wait until the requests under way are answered; stop it then
    Drain {
        #[command(flatten)]
        proxy: Proxy,
        /// How long it goes on taking new requests, so that a load balancer sees that it is leaving
        #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
        notice: Duration,
        /// How long to wait for requests under way after that
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
        wait: Duration,
    },
}

/// A running Envoy.
#[derive(Args)]
pub struct Proxy {
    /// Its admin address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    pub admin: Admin,
}
