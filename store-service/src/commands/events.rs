//! Prints what happened to packages, the oldest first, also while a store runs.

use std::process::ExitCode;

use linkgate_catalog::{EventFilter, EventLog, EventRecord};
use linkgate_store_core::ingest::ports::{CatalogError, CatalogReader as _};
use linkgate_store_core::maintenance::MaintenanceError;

use super::opened::{attach, open_catalog_beside};
use super::{say, say_json};
use crate::config::CommandConfig;

/// Events of one page: what is printed needs no more memory however many there are.
const PAGE: u32 = 500;

/// Which events.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EventArgs {
    /// Of this application only
    #[arg(long)]
    app: Option<String>,
    /// Of this module only
    #[arg(long)]
    module: Option<String>,
    /// Those behind the event of this number
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// One JSON object in a line for each
    #[arg(long)]
    json: bool,
}

pub(super) async fn events(config: &CommandConfig, arguments: EventArgs) -> Result<ExitCode, MaintenanceError> {
    let done = match &config.shared {
        None => {
            let catalog = open_catalog_beside(&config.data_dir).await?;
            let done = print(&catalog, arguments).await;
            catalog.close().await;
            done
        }
        Some(shared) => {
            let catalog = attach(shared).await?;
            let done = print(&catalog, arguments).await;
            catalog.close().await;
            done
        }
    };
    done.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}

async fn print(log: &impl EventLog, arguments: EventArgs) -> Result<(), CatalogError> {
    let EventArgs { app, module, mut after, json } = arguments;
    let filter = EventFilter { app_code: app, module };
    loop {
        let page = log.events_after(&filter, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        page.iter().for_each(|event| if json { say_json(event) } else { say(line(event)) });
    }
}

fn line(event: &EventRecord) -> String {
    let EventRecord { id, at, action, app_code, module, version, reason, .. } = event;
    let version = version.as_deref().unwrap_or("-");
    let by = if event.operator.is_empty() { "the store" } else { &event.operator };
    format!("{id} {at} {action} {app_code}/{module} {version} by {by} ({reason})")
}
