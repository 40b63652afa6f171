//! Holds what is stored against the catalog, and repairs it.

use std::process::ExitCode;
use std::time::Duration;

use linkgate_store_core::ingest::ports::CatalogReader as _;
use linkgate_store_core::maintenance::{self, Finding, MaintenanceError, Summary};

use super::opened::{Shared, open_alone, open_beside};
use super::{FINDINGS, say, say_json};
use crate::config::CommandConfig;

pub(super) async fn verify(config: &CommandConfig, repair: bool, json: bool) -> Result<ExitCode, MaintenanceError> {
    let mut report = |finding: &Finding| if json { say_json(finding) } else { say(finding) };
    let (grace, report) = (config.maintenance.gc_grace, &mut report);
    let summary = match (&config.shared, repair) {
        (None, false) => {
            let (blobs, catalog) = open_beside(&config.data_dir).await?;
            let summary = maintenance::verify(blobs, catalog.clone(), grace, report).await;
            catalog.close().await;
            summary?
        }
        (None, true) => {
            let (_locked, blobs, catalog) = open_alone(&config.data_dir).await?;
            let summary = maintenance::repair(blobs, catalog.clone(), Duration::ZERO, report).await;
            catalog.close().await;
            summary?
        }
        (Some(shared), _) => {
            let opened = Shared::open(config, shared).await?;
            let (blobs, catalog) = (opened.blobs.clone(), opened.catalog.clone());
            let summary = if repair {
                maintenance::repair(blobs, catalog, grace, report).await
            } else {
                maintenance::verify(blobs, catalog, grace, report).await
            };
            opened.close().await;
            summary?
        }
    };
    say_summary(summary, json);
    Ok(if summary.findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

fn say_summary(summary: Summary, json: bool) {
    let Summary { rows, blobs, bytes, findings } = summary;
    if json {
        say_json(&serde_json::json!({ "summary": summary }));
    } else {
        say(format_args!(
            "{rows} rows, {blobs} packages, {bytes} bytes: {findings} {}",
            if findings == 1 { "finding" } else { "findings" }
        ));
    }
}
