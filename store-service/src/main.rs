//! The store's process: settings, port, signals, or one of its commands; everything else is in the library.

use std::process::ExitCode;

use linkgate_contract::release;
use linkgate_store::commands::{BAD_CONFIG, Command, execute};
use linkgate_store::config::{
    AuthConfig, Config, Credentials, Env, HostTls, ServerTls, TrustedKeys, credentials_from_vars, host_tls_from_vars,
    rules_from_vars,
};
use linkgate_store::telemetry::Traces;
use linkgate_store::{run, runtime, telemetry};
use linkgate_store_core::settings::{QuotaRules, RetentionRules};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// The HTTP client's buffers and the blocks that packages go through have hundreds of KiB. The system's allocator gives the
/// like back to the kernel each time, and faulting their pages in again costs more than the rest of the reading.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes packages in by link, stores and records them. Serves unless a command is given.
#[derive(clap::Parser)]
#[command(version = release::describe(), after_help = "Settings are variables of the environment: docs/reference/SETTINGS.md lists them.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    // The allocator asks for huge pages, and a process that fills a part of each holds twice the memory that it needs. A
    // kernel that has none is no reason to fail.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let Cli { command } = clap::Parser::parse();
    if let Some(command) = command {
        return execute(command);
    }
    let config = match Config::from_vars(&Env) {
        Ok(config) => config,
        Err(bad) => {
            eprintln!("{bad}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let traces = match config.traces.as_ref().map(Traces::open).transpose() {
        Ok(traces) => traces,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    telemetry::start(&config.log, traces.as_ref());
    let ended = runtime().map_err(Into::into).and_then(|runtime| runtime.block_on(serve(config)));
    // The runtime is gone, and with it whatever held a span open.
    if let Some(traces) = traces {
        traces.finish();
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            error!("The store cannot run: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|e| format!("{listen} cannot be listened on: {e}"))?;
    // Before the store runs, so that no signal in between kills it.
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (keys, fetch) = (config.auth.keys.clone(), (config.fetch.host_tls.clone(), config.fetch.credentials.clone()));
    let rules = (config.quotas.clone(), config.retention.clone());
    let tls = config.server.tls.clone();
    let hangups = tokio::spawn(read_files_again(signal(SignalKind::hangup())?, keys, tls, fetch, rules));
    run(listener, config, shutdown(terminate, interrupt)).await?;
    hangups.abort();
    info!("Stopped");
    Ok(())
}

/// So that keys, certificates and credentials can be exchanged without a moment in which nobody is served.
async fn read_files_again(
    mut hangup: Signal,
    keys: TrustedKeys,
    tls: Option<ServerTls>,
    (host_tls, credentials): (HostTls, Credentials),
    (quotas, retention): (QuotaRules, RetentionRules),
) {
    while hangup.recv().await.is_some() {
        match AuthConfig::from_vars(&Env) {
            Ok(read) => {
                keys.replace(&read.keys);
                info!("Read the keys again: {} are trusted", keys.now().len());
            }
            Err(bad) => error!("The keys stay as they were: {bad}"),
        }
        match tls.as_ref().map(ServerTls::read_again) {
            Some(Ok(())) => info!("Read the certificate of the listener again"),
            Some(Err(fault)) => error!("The certificate of the listener stays as it was: {fault}"),
            None => {}
        }
        match host_tls_from_vars(&Env) {
            Ok(read) => {
                host_tls.replace(&read);
                info!("Read the TLS settings of hosts again: there are {}", host_tls.count());
            }
            Err(bad) => error!("The TLS settings of hosts stay as they were: {bad}"),
        }
        match credentials_from_vars(&Env) {
            Ok(read) => {
                credentials.replace(&read);
                info!("Read the credentials for sources again: there are {}", credentials.now().len());
            }
            Err(bad) => error!("The credentials for sources stay as they were: {bad}"),
        }
        match rules_from_vars(&Env) {
            Ok((new_quotas, new_retention)) => {
                quotas.rules.replace(&new_quotas.rules);
                retention.replace(&new_retention);
                let (quotas, rules) = (quotas.rules.now().len(), retention.now().len());
                info!("Read the rules again: there are {quotas} quotas and {rules} retention rules");
            }
            Err(bad) => error!("The quotas and retention rules stay as they were: {bad}"),
        }
    }
}

async fn shutdown(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => info!("Stopping: SIGTERM"),
        _ = interrupt.recv() => info!("Stopping: SIGINT"),
    }
}
