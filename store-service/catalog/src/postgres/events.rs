//! What happened to packages, in the catalog of PostgreSQL.
//!
//! Promises: an event is written in the transaction that makes the change it tells of, and never changed.

use linkgate_contract::{CallerApp, Operator, PackageId, Sha256};
use linkgate_store_core::ingest::ports::{Actor, CatalogError};
use sqlx::{PgConnection, PgPool};

use super::PostgresCatalog;
use super::columns::select;
use super::database::{Proof, failed};
use crate::rows::read_event_record;
use crate::shared::{EventFilter, EventLog, EventRecord, NewEvent};

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

impl EventLog for PostgresCatalog {
    /// Numbers are given out before their events are committed: of two that are written at once, the later one may be seen
    /// first.
    async fn events_after(
        &self,
        filter: &EventFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, CatalogError> {
        let rows = sqlx::query(select!(
            event,
            ", to_char(to_timestamp(at_ms / 1000.0) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') as at
             from event
             where id > $1 and ($2 is null or app_code = $2) and ($3 is null or module = $3) order by id limit $4"
        ))
        .bind(after)
        .bind(&filter.app_code)
        .bind(&filter.module)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_event_record).collect::<Result<_, _>>().map_err(failed)
    }
}

/// Events that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: i64 = 1_000;

/// Forgets the oldest events of before then.
pub(super) async fn expire(writer: &PgPool, before_ms: i64) -> Result<u64, CatalogError> {
    let query = "delete from event where id in (select id from event where at_ms < $1 order by at_ms limit $2)";
    let done = sqlx::query(query).bind(before_ms).bind(FORGOTTEN_AT_A_TIME).execute(writer).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}
