//! `linkgate`: what an operator does by hand to a gate.
//!
//! Promises: an answer goes to standard output, a complaint to standard error with what to do about it; exit 0 when
//! done, 1 when something given to it was judged wrong, 2 when it could not work at all (usage, files), 3 when it was
//! done but not confirmed in time. A file is written whole or not at all. Refuses secrets as arguments: they would stay
//! in the shell's history.

mod admin;
mod args;
mod deploy;
mod envoy;
mod error;
mod explain;
mod files;
mod keys;
mod policy;
mod proxy;
mod resource;
mod rollout;
mod secret;
mod yaml;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command, EnvoyCommand, KeysCommand, PolicyCommand, SecretCommand};
use crate::error::Error;

/// What a command that could work comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    /// For standard output.
    answer: String,
    /// For standard error.
    complaint: String,
    code: u8,
}

impl From<String> for Done {
    fn from(answer: String) -> Self {
        Self { answer, ..Self::default() }
    }
}

fn main() -> ExitCode {
    let outcome = run(Cli::parse()).and_then(|done| {
        // Nobody is left to tell if standard error is closed.
        let _ = std::io::stderr().write_all(done.complaint.as_bytes());
        let written = std::io::stdout().write_all(done.answer.as_bytes());
        written.map_err(|source| Error::io("write to", "standard output", source))?;
        Ok(done.code)
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
fn run(cli: Cli) -> Result<Done, Error> {
    match cli.command {
        Command::Policy(command) => run_policy(command),
        Command::Keys(KeysCommand::Generate { pair, keep }) => keys::generate(&pair, keep).map(Done::from),
        Command::Keys(KeysCommand::Remove { pair }) => keys::remove(&pair).map(Done::from),
        Command::Secret(SecretCommand::Hash) => secret::hash().map(Done::from),
        Command::Envoy(command) => run_envoy(command).map(Done::from),
    }
}

fn run_envoy(command: EnvoyCommand) -> Result<String, Error> {
    match command {
        EnvoyCommand::Render { file, to } => envoy::render_file(&file, to.as_deref()),
        EnvoyCommand::Run { file, to, key, program, arguments } => {
            envoy::render_file(&file, Some(&to))?;
            proxy::become_envoy(&program, &to, &key, &arguments)
        }
        EnvoyCommand::Ready { proxy } => proxy::ready(&proxy.admin),
        EnvoyCommand::Drain { proxy, notice, wait } => proxy::drain(&proxy.admin, notice, wait),
    }
}

fn run_policy(command: PolicyCommand) -> Result<Done, Error> {
    match command {
        PolicyCommand::Check { file, strict } => policy::check_and_warn(&file, strict),
        PolicyCommand::Explain { file, request, json } => explain::explain(&file, &request, json),
        PolicyCommand::Diff { old, new } => policy::diff(&old, &new).map(Done::from),
        PolicyCommand::Deploy { file, target, wasm } => deploy::deploy(&file, wasm.as_deref(), &target).map(Done::from),
        PolicyCommand::Rollback { target } => deploy::rollback(&target).map(Done::from),
    }
}
