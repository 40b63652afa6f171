//! What happened to packages, in the catalog of SQLite.
//!
//! Promises: an event is written in the transaction that makes the change it tells of, and never changed.

use linkgate_contract::{CallerApp, Operator, PackageId, Sha256};
use linkgate_store_core::ingest::ports::{Actor, CatalogError};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteReader;
use super::database::failed;
use crate::rows::read_event_record;
use crate::shared::{EventFilter, EventLog, EventRecord, NewEvent};

impl NewEvent<'_> {
    pub(super) async fn record(self, tx: &mut SqliteConnection, now: i64) -> Result<(), sqlx::Error> {
        let digest = |sha256: Option<Sha256>| sha256.map(|sha256| sha256.to_string());
        let Actor { app, operator, request_id, client_address } = self.actor;
        sqlx::query(
            "insert into event
                (at_ms, action, app_code, module, package_id, version, sha256_before, sha256_after, caller_app, operator,
                 request_id, client_address, reason)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(now)
        .bind(self.action.name())
        .bind(self.app_code)
        .bind(self.module)
        .bind(self.package_id.map(PackageId::row))
        .bind(self.version)
        .bind(digest(self.before))
        .bind(digest(self.after))
        .bind(app.as_ref().map_or("", CallerApp::as_str))
        .bind(operator.as_ref().map_or("", Operator::as_str))
        .bind(request_id)
        .bind(client_address)
        .bind(self.reason)
        .execute(tx)
        .await?;
        Ok(())
    }
}

impl EventLog for SqliteReader {
    async fn events_after(
        &self,
        filter: &EventFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, CatalogError> {
        let rows = sqlx::query(
            "select *, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') as at from event
             where id > ?1 and (?2 is null or app_code = ?2) and (?3 is null or module = ?3) order by id limit ?4",
        )
        .bind(after)
        .bind(&filter.app_code)
        .bind(&filter.module)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_event_record).collect::<Result<_, _>>().map_err(failed)
    }
}

/// Events that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: i64 = 1_000;

/// Forgets the oldest events of before then.
pub(super) async fn expire(writer: &SqlitePool, before_ms: i64) -> Result<u64, CatalogError> {
    let query = "delete from event where id in (select id from event where at_ms < ? order by at_ms limit ?)";
    let done = sqlx::query(query).bind(before_ms).bind(FORGOTTEN_AT_A_TIME).execute(writer).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}
