//! Which stores share a database, and how they and their queue do.

use std::process::ExitCode;

use linkgate_catalog::{PostgresCatalog, Replica};
use linkgate_store_core::ingest::ports::{CatalogError, CatalogReader as _};
use linkgate_store_core::maintenance::MaintenanceError;
use serde_json::{Map, Value, json};

use super::opened::attach;
use super::{BAD_CONFIG, say, say_json};
use crate::config::CommandConfig;

pub(super) async fn replicas(config: &CommandConfig, json: bool) -> Result<ExitCode, MaintenanceError> {
    let Some(shared) = &config.shared else {
        eprintln!("LINKGATE_DATABASE_URL is not set: a store on a data directory has no others beside it");
        return Ok(ExitCode::from(BAD_CONFIG));
    };
    let catalog = attach(shared).await?;
    let asked = ask(&catalog).await;
    catalog.close().await;
    let (replicas, jobs) = asked?;
    if json {
        replicas.iter().for_each(say_json);
        let jobs: Map<String, Value> = jobs.into_iter().map(|(state, count)| (state, count.into())).collect();
        say_json(&json!({ "jobs": jobs }));
    } else {
        replicas.iter().for_each(say_replica);
        let jobs: Vec<String> = jobs.into_iter().map(|(state, count)| format!("{state} {count}")).collect();
        say(format_args!("{} replicas; jobs: {}", replicas.len(), jobs.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(catalog: &PostgresCatalog) -> Result<(Vec<Replica>, Vec<(String, i64)>), CatalogError> {
    Ok((catalog.replicas().await?, catalog.job_counts().await?))
}

fn say_replica(replica: &Replica) {
    let Replica { holder, host, address, version, state, started, seen, seen_seconds_ago, claimed, chores } = replica;
    let chores = if chores.is_empty() { String::new() } else { format!(", does {}", chores.join(", ")) };
    say(format_args!(
        "{holder} {host} {address} {version} {}: began {started}, seen {seen} ({seen_seconds_ago} s ago), works on {claimed} jobs{chores}",
        state.name()
    ));
}
