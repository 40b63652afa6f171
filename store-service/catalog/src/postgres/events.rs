//! What happened to packages, in the catalog of PostgreSQL.
//!
//! Promises: an event is written in the transaction that makes the change it tells of, and never changed.

use linkgate_contract::{CallerApp, Operator, PackageId, Sha256};
use linkgate_store_core::ingest::ports::{Actor, CatalogError};
use sqlx::{PgConnection, PgPool};

use super::database::{Proof, failed};
use crate::shared::NewEvent;

/// Writes an event, which tells then whether its transaction was committed.
pub(super) async fn record(tx: &mut PgConnection, event: &NewEvent<'_>, now: i64) -> Result<Proof, sqlx::Error> {
    let digest = |sha256: Option<Sha256>| sha256.map(|sha256| sha256.to_string());
    let Actor { app, operator, request_id, client_address } = event.actor;
    let number = sqlx::query_scalar(
        "insert into event
            (at_ms, action, app_code, module, package_id, version, sha256_before, sha256_after, caller_app, operator,
             request_id, client_address, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id",
    )
    .bind(now)
    .bind(event.action.name())
    .bind(event.app_code)
    .bind(event.module)
    .bind(event.package_id.map(PackageId::row))
    .bind(event.version)
    .bind(digest(event.before))
    .bind(digest(event.after))
    .bind(app.as_ref().map_or("", CallerApp::as_str))
    .bind(operator.as_ref().map_or("", Operator::as_str))
    .bind(request_id)
    .bind(client_address)
    .bind(event.reason)
    .fetch_one(tx)
    .await?;
    Ok(Proof::new(event, number))
}

/// Events that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: i64 = 1_000;

/// Forgets the oldest events of before then.
pub(super) async fn expire(writer: &PgPool, before_ms: i64) -> Result<u64, CatalogError> {
    let query = "delete from event where id in (select id from event where at_ms < $1 order by at_ms limit $2)";
    let done = sqlx::query(query).bind(before_ms).bind(FORGOTTEN_AT_A_TIME).execute(writer).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}
