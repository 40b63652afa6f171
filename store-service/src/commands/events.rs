//! Prints what happened to packages, the oldest first, also while a store runs.

use std::process::ExitCode;

use linkgate_catalog::{EventFilter, EventLog as _, EventRecord, SqliteReader};
use linkgate_store_core::data_dir::{catalog_path, refuse_half_restored};
use linkgate_store_core::ingest::ports::CatalogReader as _;
use linkgate_store_core::maintenance::MaintenanceError;

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
    refuse_half_restored(&config.data_dir)?;
    let catalog = SqliteReader::open(&catalog_path(&config.data_dir)).await?;
    let EventArgs { app, module, mut after, json } = arguments;
    let filter = EventFilter { app_code: app, module };
    let done = loop {
        let page = match catalog.events_after(&filter, after, PAGE).await {
            Ok(page) => page,
            Err(e) => break Err(e),
        };
        let Some(last) = page.last() else { break Ok(()) };
        after = last.id;
        page.iter().for_each(|event| if json { say_json(event) } else { say(line(event)) });
    };
    catalog.close().await;
    done.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}

fn line(event: &EventRecord) -> String {
    let EventRecord { id, at, action, app_code, module, version, reason, .. } = event;
    let version = version.as_deref().unwrap_or("-");
    let by = if event.operator.is_empty() { "the store" } else { &event.operator };
    format!("{id} {at} {action} {app_code}/{module} {version} by {by} ({reason})")
}
