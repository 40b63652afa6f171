//! All that is known of one package, and what packages take in sum, in the catalog of PostgreSQL.

use linkgate_contract::{ModuleRef, PackageId};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{CatalogError, PackageDetail, PackageSums};
use sqlx::Row as _;

use super::changes;
use super::pages::{Pages, page_failed};
use crate::rows::read_sums;
use crate::shared::add;

/// A package of this module; the row and its pins are of one moment.
pub(super) async fn find(
    pages: &Pages,
    target: &ModuleRef,
    id: PackageId,
) -> Result<Option<PackageDetail>, CatalogError> {
    let mut reading = pages.begin().await?;
    changes::find(&mut reading.tx, target, id, now_ms()).await.map_err(page_failed)
}

/// What a module and its application take.
pub(super) async fn package_sums(pages: &Pages, target: &ModuleRef) -> Result<PackageSums, CatalogError> {
    let mut reading = pages.begin().await?;
    let rows = sqlx::query(
        "select module = $1 as is_own, sum(live_packages)::bigint as packages, sum(live_bytes)::bigint as bytes,
            sum(deleted_packages)::bigint as deleted_packages, sum(deleted_bytes)::bigint as deleted_bytes
         from module_usage where app_code = $2 group by 1",
    )
    .bind(target.module.as_str())
    .bind(target.app.as_str())
    .fetch_all(&mut *reading.tx)
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
