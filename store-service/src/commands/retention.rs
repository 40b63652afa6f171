//! What the retention rules would delete, and its deletion, for every module.

use std::process::ExitCode;

use clap::Subcommand;
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{CatalogReader, ChangeError, Changes, JobQueue};
use linkgate_store_core::maintenance::MaintenanceError;
use linkgate_store_core::metrics::Metrics;
use linkgate_store_core::retention::{Cleanup, CleanupPlan, CleanupSummary, plan};
use linkgate_store_core::settings::RetentionRules;

use super::opened::{attach, open_alone, open_catalog_beside};
use super::say;
use crate::config::CommandConfig;

/// What to do with the rules.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum RetentionCommand {
    /// Says what the rules would delete, also while a store runs
    Explain,
    /// Deletes what rules that are enforced say; refused while a store runs on the data directory, which does this by itself
    Run,
}

pub(super) async fn retention(config: &CommandConfig, command: RetentionCommand) -> Result<ExitCode, MaintenanceError> {
    match (command, &config.shared) {
        (RetentionCommand::Explain, None) => {
            let catalog = open_catalog_beside(&config.data_dir).await?;
            let explained = explain(&catalog, &config.retention).await;
            catalog.close().await;
            explained?;
        }
        (RetentionCommand::Explain, Some(shared)) => {
            let catalog = attach(shared).await?;
            let explained = explain(&catalog, &config.retention).await;
            catalog.close().await;
            explained?;
        }
        (RetentionCommand::Run, None) => {
            let (_locked, _, catalog) = open_alone(&config.data_dir).await?;
            let done = cleanup(config, catalog.clone()).run_all().await;
            catalog.close().await;
            say_summary(done.map_err(from_change)?);
        }
        (RetentionCommand::Run, Some(shared)) => {
            let catalog = attach(shared).await?;
            let done = cleanup(config, catalog.clone()).run_all().await;
            catalog.close().await;
            say_summary(done.map_err(from_change)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cleanup<C: Changes + JobQueue>(config: &CommandConfig, catalog: C) -> Cleanup<C> {
    let restore_ms = i64::try_from(config.maintenance.restore.as_millis()).unwrap_or(i64::MAX);
    Cleanup::new(catalog, config.retention.clone(), restore_ms, Metrics::new(&config.data_dir))
}

fn say_summary(summary: CleanupSummary) {
    let CleanupSummary { deleted, deleted_bytes, reported } = summary;
    say(format_args!(
        "Deleted {deleted} packages ({deleted_bytes} bytes); rules that only report would delete {reported}"
    ));
}

/// What the catalog says of a change that was not made is the command's fault like any other.
fn from_change(error: ChangeError) -> MaintenanceError {
    match error {
        ChangeError::Catalog(error) => MaintenanceError::Catalog(error),
        other => MaintenanceError::Open(other.into()),
    }
}

async fn explain(catalog: &impl CatalogReader, rules: &RetentionRules) -> Result<(), MaintenanceError> {
    let (now, rules, mut after) = (now_ms(), rules.now(), None);
    loop {
        let modules = catalog.modules_after(after.as_ref()).await?;
        let Some(last) = modules.last() else { return Ok(()) };
        after = Some(last.clone());
        for target in &modules {
            let Some(rule) = rules.iter().find(|rule| rule.fits(target)) else { continue };
            say_plan(&target.to_string(), &plan(catalog, rule, target, &[], now).await?);
        }
    }
}

fn say_plan(target: &str, plan: &CleanupPlan) {
    let CleanupPlan { rule, mode, doomed, doomed_bytes, kept_count, is_cut, .. } = plan;
    let (rule, count) = (rule.as_deref().unwrap_or_default(), doomed.len());
    let more = if *is_cut { ", and more after these" } else { "" };
    say(format_args!(
        "{target}: the rule `{rule}` ({}) would delete {count} packages ({doomed_bytes} bytes){more}, {kept_count} stay",
        mode.name()
    ));
    for doomed in doomed {
        say(format_args!("  {} {}: {} newer, {} days old", doomed.id, doomed.version, doomed.newer, doomed.age_days));
    }
}
