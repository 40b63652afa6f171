//! `cargo xtask compose --check`: the compose file in containers, and everything that an operator does with it.
//!
//! With `--replicas` the profile of that name: several stores and gateways behind a load balancer.
//!
//! Promises: what it starts it takes down, whatever ends it. An engine of its own lives in namespaces of its own, so
//! that nothing of it (bridges, rules of the firewall, mounts) is left on this machine. Without an engine it ends with 2:
//! nothing was looked at.

mod check;
mod confined;
mod deployment;
mod durable;
mod engine;
mod load;
mod project;
mod replicas;
mod rolling;

use clap::{Args, ValueEnum};

use crate::docker::{self, Docker};
use crate::envoy;
use crate::error::{Failure, Outcome};
use crate::images::{Programs, stand_in};
use crate::workspace::Workspace;
use engine::PrivateEngine;

/// Flags of `compose`.
#[derive(Args)]
pub struct Options {
    /// Try the compose file under a name and on ports of its own, and take everything down
    #[arg(long, required = true)]
    pub check: bool,
    /// Try the profile `replicas` instead of the rest
    #[arg(long)]
    pub replicas: bool,
    /// Which container engine to use
    #[arg(long, value_enum, default_value_t = Engine::Auto)]
    pub engine: Engine,
}

/// Where containers run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The one that runs; else one of our own, if we are root and there is a `dockerd`
    Auto,
    /// The one that runs
    Running,
    /// One of our own
    Private,
    /// One of our own, in the namespaces that we are in
    #[value(hide = true)]
    Here,
}

/// Checks the compose file.
pub fn compose(workspace: &Workspace, options: &Options) -> Outcome<()> {
    let running = || Docker::running().ok_or_else(|| Failure::missing("no container engine answers: start Docker"));
    let check = if options.replicas { replicas::check } else { check::check };
    match options.engine {
        Engine::Running => check(workspace, &running()?),
        Engine::Private => check_in_private_engine(workspace, options.replicas),
        Engine::Auto => match Docker::running() {
            Some(docker) => check(workspace, &docker),
            None => check_in_private_engine(workspace, options.replicas),
        },
        Engine::Here => {
            let engine = PrivateEngine::start(workspace)?;
            check(workspace, &engine.docker())
        }
    }
}

/// Fetches and builds what is needed, for there is no network where the engine of our own is.
fn check_in_private_engine(workspace: &Workspace, replicas: bool) -> Outcome<()> {
    engine::check_requirements()?;
    docker::find_compose(workspace)?;
    envoy::fetch_pinned(workspace)?;
    if replicas {
        stand_in::find_servers(workspace)?;
    }
    Programs::build(workspace, true)?;
    engine::run_in_namespaces(if replicas { &["--replicas"] } else { &[] })
}
