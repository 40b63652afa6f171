//! All that is known of one package, and what packages take in sum, in the catalog of SQLite.

use linkgate_contract::{ModuleRef, PackageId};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{CatalogError, PackageDetail, PackageSums};
use sqlx::{Connection as _, Row as _, SqlitePool};

use super::changes;
use super::pages::{acquire, page_failed};
use crate::rows::read_sums;
use crate::shared::add;

/// A package of this module; the row and its pins are of one moment.
pub(super) async fn find(
    pages: &SqlitePool,
    target: &ModuleRef,
    id: PackageId,
) -> Result<Option<PackageDetail>, CatalogError> {
    let mut connection = acquire(pages).await?;
    let mut tx = connection.begin().await.map_err(page_failed)?;
    let found = changes::find(&mut tx, target, id, now_ms()).await.map_err(page_failed)?;
    tx.commit().await.map_err(page_failed)?;
    Ok(found)
}

/// What a module and its application take.
pub(super) async fn package_sums(pages: &SqlitePool, target: &ModuleRef) -> Result<PackageSums, CatalogError> {
    let mut connection = acquire(pages).await?;
    let rows = sqlx::query(
        "select module = ? as is_own, sum(live_packages) as packages, sum(live_bytes) as bytes,
            sum(deleted_packages) as deleted_packages, sum(deleted_bytes) as deleted_bytes
         from module_usage where app_code = ? group by 1",
    )
    .bind(target.module.as_str())
    .bind(target.app.as_str())
    .fetch_all(&mut *connection)
    .await;
    let mut usage = PackageSums::default();
    for row in rows.map_err(page_failed)? {
        let sums = read_sums(&row).map_err(page_failed)?;
        if row.try_get("is_own").map_err(page_failed)? {
            usage.module = sums;
        }
        usage.application = add(usage.application, sums);
    }
    Ok(usage)
}
