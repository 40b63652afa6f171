//! Modules that have packages, in the catalog of SQLite.

use linkgate_contract::ModuleRef;
use linkgate_store_core::ingest::ports::{CatalogError, ModuleSums};
use sqlx::SqlitePool;

use super::pages::{acquire, page_failed};
use crate::rows::read_module_sums;

/// By application and name, behind this one.
pub(super) async fn list(
    pages: &SqlitePool,
    after: Option<&ModuleRef>,
    limit: u32,
) -> Result<Vec<ModuleSums>, CatalogError> {
    let (app, module) = after.map_or(("", ""), |after| (after.app.as_str(), after.module.as_str()));
    let mut connection = acquire(pages).await?;
    let rows = sqlx::query(
        "select app_code, module, live_packages as packages, live_bytes as bytes, deleted_packages, deleted_bytes
         from module_usage where (app_code, module) > (?, ?) order by app_code, module limit ?",
    )
    .bind(app)
    .bind(module)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await;
    rows.map_err(page_failed)?.iter().map(read_module_sums).collect::<Result<_, _>>().map_err(page_failed)
}
