//! Backup and restore.

use std::path::Path;
use std::process::ExitCode;

use linkgate_store_core::ingest::ports::CatalogReader as _;
use linkgate_store_core::maintenance::{self, Copied, MaintenanceError};

use super::opened::{Shared, open_beside};
use super::{FINDINGS, restore_shared, say};
use crate::config::CommandConfig;

pub(super) async fn backup(config: &CommandConfig, dir: &Path) -> Result<ExitCode, MaintenanceError> {
    let data_dir = &config.data_dir;
    let copied = match &config.shared {
        None => {
            let (blobs, catalog) = open_beside(data_dir).await?;
            let copied = maintenance::backup(blobs, catalog.clone(), data_dir, dir, &mut say_missing).await;
            catalog.close().await;
            copied?
        }
        Some(shared) => {
            let opened = Shared::open(config, shared).await?;
            let (blobs, catalog) = (opened.blobs.clone(), opened.catalog.clone());
            let copied = maintenance::backup(blobs, catalog, data_dir, dir, &mut say_missing).await;
            opened.close().await;
            copied?
        }
    };
    Ok(say_copied("Backed up", dir, copied))
}

pub(super) async fn restore(config: &CommandConfig, dir: &Path) -> Result<ExitCode, MaintenanceError> {
    match &config.shared {
        None => {
            let copied = maintenance::restore(&config.data_dir, dir, open_beside, &mut say_missing).await?;
            Ok(say_copied("Restored", &config.data_dir, copied))
        }
        Some(shared) => {
            let copied = restore_shared::restore(config, shared, dir).await?;
            let Copied { blobs, bytes, linked, missing, .. } = copied;
            say(format_args!(
                "Restored to the database and the bucket `{}`: {blobs} packages ({bytes} bytes), {linked} of them were there, {missing} missing",
                shared.bucket.bucket
            ));
            Ok(say_rows(&copied))
        }
    }
}

fn say_missing(sha256: &str) {
    say(format_args!("{sha256} is in the catalog and missing"));
}

fn say_copied(verb: &str, to: &Path, copied: Copied) -> ExitCode {
    let Copied { blobs, bytes, linked, missing, .. } = copied;
    say(format_args!(
        "{verb} to {}: {blobs} packages ({bytes} bytes), {linked} of them as links, {missing} missing",
        to.display()
    ));
    say_rows(&copied)
}

/// What a backup and all that is restored from it have in common.
fn say_rows(copied: &Copied) -> ExitCode {
    match &copied.rows {
        Some(rows) => say(format_args!("Rows: {rows}")),
        None => say("The rows are of another release, and were not counted"),
    }
    if copied.missing == 0 { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) }
}
