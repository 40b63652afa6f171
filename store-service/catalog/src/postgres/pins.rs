//! Pins of packages, in the catalog of PostgreSQL.
//!
//! Promises: a pin whose time is over counts nowhere, whether its row is there still or not.

use crate::rows::read_pin;
use linkgate_contract::{CallerApp, ModuleRef, PackageId, PackageVersion, PinName};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{CatalogError, Change, NewPin, Pin};
use sqlx::PgConnection;

use super::columns::select;
use super::pages::{Pages, page_failed};

/// Pins that count.
pub(super) async fn in_force(connection: &mut PgConnection, id: PackageId, now: i64) -> Result<Vec<Pin>, sqlx::Error> {
    let query = select!(pin, " from pin where package_id = $1 and (until_ms is null or until_ms > $2) order by name");
    let rows = sqlx::query(query).bind(id.row()).bind(now).fetch_all(connection).await?;
    rows.iter().map(read_pin).collect()
}

/// Those of these packages that a pin is on.
pub(super) async fn pinned_among(
    pages: &Pages,
    target: &ModuleRef,
    packages: &[PackageId],
) -> Result<Vec<PackageId>, CatalogError> {
    let ids: Vec<i64> = packages.iter().map(|id| id.row()).collect();
    let mut reading = pages.begin().await?;
    let rows = sqlx::query_scalar(
        "select id from source_package where id = any($1) and app_code = $2 and module = $3
             and exists (select from pin where package_id = id and (until_ms is null or until_ms > $4))",
    )
    .bind(ids)
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(now_ms())
    .fetch_all(&mut *reading.tx)
    .await;
    Ok(rows.map_err(page_failed)?.into_iter().map(PackageId::from_row).collect())
}

/// The pins by which a live version may not be overwritten.
pub(super) async fn protecting(
    connection: &mut PgConnection,
    target: &ModuleRef,
    version: &PackageVersion,
    now: i64,
) -> Result<Vec<Pin>, sqlx::Error> {
    let rows = sqlx::query(select!(
        pin,
        " from source_package join pin on package_id = id
         where app_code = $1 and module = $2 and version = $3 and not is_deleted and protect_bytes
             and (until_ms is null or until_ms > $4) order by name"
    ))
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(version.as_str())
    .bind(now)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_pin).collect()
}

/// Writes a pin, and clears away those of the package whose time is over.
pub(super) async fn write(tx: &mut PgConnection, change: &Change, pin: &NewPin, now: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from pin where package_id = $1 and until_ms <= $2")
        .bind(change.id.row())
        .bind(now)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into pin (package_id, name, until_ms, protect_bytes, caller_app, operator, created_ms, updated_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $7)
         on conflict (package_id, name) do update set until_ms = $3, protect_bytes = $4, caller_app = $5, operator = $6, updated_ms = $7",
    )
    .bind(change.id.row())
    .bind(pin.name.as_str())
    .bind(pin.until_ms)
    .bind(pin.protect_bytes)
    .bind(change.actor.app.as_ref().map_or("", CallerApp::as_str))
    .bind(pin.by.as_str())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn remove(tx: &mut PgConnection, id: PackageId, name: &PinName) -> Result<(), sqlx::Error> {
    let query = sqlx::query("delete from pin where package_id = $1 and name = $2").bind(id.row()).bind(name.as_str());
    query.execute(tx).await.map(|_| ())
}
