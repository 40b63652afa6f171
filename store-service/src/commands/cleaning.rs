//! Garbage collection and purge by hand.
//!
//! Promises: what stores share is cleaned up as they do it by the clock, beside them, and an object goes only after its grace.

use std::process::ExitCode;

use linkgate_store_core::ingest::ports::CatalogReader as _;
use linkgate_store_core::maintenance::{Collected, Gc, MaintenanceError, Purge, PurgeSummary};

use super::opened::{Shared, open_alone};
use super::say;
use crate::config::{CommandConfig, SharedConfig};

const DAY_S: u64 = 86_400;

pub(super) async fn gc(config: &CommandConfig, dry_run: bool) -> Result<ExitCode, MaintenanceError> {
    let collected = match &config.shared {
        None => {
            let (_locked, blobs, catalog) = open_alone(&config.data_dir).await?;
            let collected = Gc::offline(blobs, catalog.clone(), dry_run).run().await;
            catalog.close().await;
            collected?
        }
        Some(shared) => {
            let opened = Shared::open(config, shared).await?;
            let (blobs, catalog) = (opened.blobs.clone(), opened.catalog.clone());
            let collected = Gc::online(blobs, catalog, config.maintenance.gc_grace, dry_run).run().await;
            opened.close().await;
            collected?
        }
    };
    say_collected(collected, dry_run);
    if collected.blobs > 0 && !dry_run {
        say_grace(config.shared.as_ref());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn purge(config: &CommandConfig, dry_run: bool) -> Result<ExitCode, MaintenanceError> {
    let summary = match &config.shared {
        None => {
            let (_locked, blobs, catalog) = open_alone(&config.data_dir).await?;
            let purge = Purge::new(blobs, catalog.clone());
            let done = if dry_run { purge.preview().await } else { purge.run().await };
            catalog.close().await;
            done?
        }
        Some(shared) => {
            let opened = Shared::open(config, shared).await?;
            let purge = Purge::new(opened.blobs.clone(), opened.catalog.clone());
            let done = if dry_run { purge.preview().await } else { purge.run().await };
            opened.close().await;
            done?
        }
    };
    say_purged(summary, dry_run);
    if summary.freed > 0 {
        say_grace(config.shared.as_ref());
    }
    Ok(ExitCode::SUCCESS)
}

fn say_collected(collected: Collected, dry_run: bool) {
    let Collected { blobs, blob_bytes, temp_files, temp_bytes, held } = collected;
    let verb = if dry_run { "Would delete" } else { "Deleted" };
    say(format_args!(
        "{verb} {blobs} orphaned packages ({blob_bytes} bytes) and {temp_files} temporary files ({temp_bytes} bytes)"
    ));
    if held > 0 {
        say(format_args!("{held} orphaned packages stay: a backup, a check or an upload needs them now"));
    }
}

fn say_purged(summary: PurgeSummary, dry_run: bool) {
    let PurgeSummary { packages, bytes, freed, held } = summary;
    let verb = if dry_run { "Would purge" } else { "Purged" };
    say(format_args!("{verb} {packages} deleted packages ({bytes} bytes)"));
    if !dry_run {
        say(format_args!("{freed} files are gone; others need the rest"));
    }
    if held > 0 {
        say(format_args!("{held} files stay: a backup, a check or an upload needs them now"));
    }
}

/// Who looks into the bucket now still finds what is gone for callers.
fn say_grace(shared: Option<&SharedConfig>) {
    if let Some(shared) = shared {
        let days = shared.bucket.retired_grace.as_secs() / DAY_S;
        say(format_args!("Their objects stay in the bucket for {days} days"));
    }
}
