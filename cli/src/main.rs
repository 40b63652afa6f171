//! `linkgate`: packages, for those who upload and download them; and what an operator does by hand to a gate.
//!
//! Promises: results go to standard output, errors and warnings to standard error with what to do about them; exit 0 when
//! done, 1 when something given to it was judged wrong, 2 when it could not work at all (usage, files), 3 when it was
//! done but not confirmed in time; commands that call a gateway have further ones (`caller`). A file is written whole or not at all. Refuses secrets as arguments: they would stay
//! in the shell's history.

mod admin;
mod args;
mod caller;
mod certificates;
mod deadline;
mod deploy;
mod envoy;
mod error;
mod explain;
mod files;
mod keys;
mod limits;
mod manifest;
mod manual;
mod policy;
mod proxy;
mod resource;
mod rollout;
mod secret;
mod yaml;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{
    ApigwCommand, Cli, Command, EnvoyCommand, KeysCommand, OperatorCommand, PolicyCommand, SecretCommand, Target,
};
use crate::error::Error;

/// What a command that could work comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// For standard output.
    output: String,
    /// For standard error.
    warnings: String,
    code: u8,
}

impl From<String> for Report {
    fn from(output: String) -> Self {
        Self { output, ..Self::default() }
    }
}

fn main() -> ExitCode {
    let command = match Cli::parse().command {
        Command::Caller(command) => return caller::run(command),
        Command::Operator(command) => command,
    };
    let outcome = run(command).and_then(|report| {
        // Nobody is left to tell if standard error is closed.
        let _ = std::io::stderr().write_all(report.warnings.as_bytes());
        let written = std::io::stdout().write_all(report.output.as_bytes());
        written.map_err(|source| Error::io("write to", "standard output", source))?;
        Ok(report.code)
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Does what was asked.
fn run(command: OperatorCommand) -> Result<Report, Error> {
    match command {
        OperatorCommand::Policy(command) => run_policy(command),
        OperatorCommand::Keys(KeysCommand::Generate { pair, algorithm, keep }) => {
            keys::generate_pair(&pair, algorithm, keep).map(Report::from)
        }
        OperatorCommand::Keys(KeysCommand::Id { file }) => keys::print_id(&file).map(Report::from),
        OperatorCommand::Keys(KeysCommand::Remove { pair }) => keys::remove_pair(&pair).map(Report::from),
        OperatorCommand::Secret(SecretCommand::Hash) => secret::hash_secret().map(Report::from),
        OperatorCommand::Envoy(command) => run_envoy(command),
        OperatorCommand::Openapi { markdown: true } => Ok(linkgate_openapi::reference().into()),
        OperatorCommand::Openapi { markdown: false } => Ok(format!("{:#}\n", linkgate_openapi::document()).into()),
        OperatorCommand::Apigw(ApigwCommand::Resources) => Ok(linkgate_openapi::resources().into()),
        OperatorCommand::Apigw(ApigwCommand::Definition) => Ok(linkgate_openapi::definition().into()),
        OperatorCommand::Completions { shell } => Ok(manual::complete(shell).into()),
        OperatorCommand::Man { to } => manual::write_pages(&to).map(Report::from),
    }
}

fn run_envoy(command: EnvoyCommand) -> Result<Report, Error> {
    let warn = || envoy::warn_of_plain_http(&envoy::from_environment);
    match command {
        EnvoyCommand::Render { file, to } => {
            let output = envoy::render_file(&file, to.as_deref())?;
            Ok(Report { output, warnings: warn(), code: 0 })
        }
        EnvoyCommand::Run { file, to, key, program, arguments } => {
            envoy::render_file(&file, Some(&to))?;
            // Nobody is left to be warned if standard error is closed.
            let _ = std::io::stderr().write_all(warn().as_bytes());
            proxy::become_envoy(&program, &to, &key, &arguments).map(Report::from)
        }
        EnvoyCommand::Ready { proxy } => proxy::check_ready(&proxy.admin).map(Report::from),
        EnvoyCommand::Drain { proxy, notice, wait } => proxy::drain_envoy(&proxy.admin, notice, wait).map(Report::from),
    }
}

fn run_policy(command: PolicyCommand) -> Result<Report, Error> {
    match command {
        PolicyCommand::Check { files, strict, json } => policy::check_and_warn(&files, strict, json),
        PolicyCommand::Schema => Ok(policy::SCHEMA.to_owned().into()),
        PolicyCommand::Show { from, proxy } => policy::show_policy(from.as_deref(), &proxy.admin),
        PolicyCommand::Explain { file, request, json } => explain::explain_request(&file, &request, json),
        PolicyCommand::Diff { old, new } => policy::compare_policies(&old, &new).map(Report::from),
        PolicyCommand::Limits { file, format } => limits::write_limits(&file, format),
        PolicyCommand::Deploy { file, to, wait, wasm, format, manifest } => match (format, to) {
            (Some(format), _) => deploy::print_manifest(&file, wasm.as_deref(), &manifest, format).map(Report::from),
            (None, Some(to)) => {
                deploy::deploy_policy(&file, wasm.as_deref(), &Target { to, wait: wait.wait, admin: wait.admin })
                    .map(Report::from)
            }
            (None, None) => Err(Error::NoTarget),
        },
        PolicyCommand::Rollback { target } => deploy::roll_back(&target).map(Report::from),
    }
}
