//! `linkgate`: what an operator does by hand to a gate.
//!
//! Promises: an answer goes to standard output, a complaint to standard error with what to do about it; exit 0 when
//! done, 1 when something given to it was judged wrong, 2 when it could not work at all (usage, files). A file is
//! written whole or not at all. Refuses secrets as arguments: they would stay in the shell's history.

mod args;
mod deploy;
mod envoy;
mod error;
mod files;
mod keys;
mod policy;
mod secret;
mod yaml;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command, EnvoyCommand, KeysCommand, PolicyCommand, SecretCommand};
use crate::error::Error;

fn main() -> ExitCode {
    let outcome = run(Cli::parse()).and_then(|text| {
        std::io::stdout().write_all(text.as_bytes()).map_err(|source| Error::io("write to", "standard output", source))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is closed too.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Does what was asked and returns what to print.
fn run(cli: Cli) -> Result<String, Error> {
    match cli.command {
        Command::Policy(PolicyCommand::Check { file }) => policy::check(&file).map(|policy| policy.summary()),
        Command::Policy(PolicyCommand::Deploy { file, to, wasm }) => deploy::deploy(&file, &to, wasm.as_deref()),
        Command::Keys(KeysCommand::Generate { to }) => keys::generate(&to),
        Command::Secret(SecretCommand::Hash) => secret::hash(),
        Command::Envoy(EnvoyCommand::Render { file, to }) => envoy::render_file(&file, to.as_deref()),
    }
}
