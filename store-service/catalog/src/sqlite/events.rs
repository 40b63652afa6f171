//! What happened to packages, in the catalog of SQLite.
//!
//! Promises: an event is written in the transaction that makes the change it tells of, and never changed.

use linkgate_contract::{CallerApp, ModuleRef, Operator, PackageId, Sha256};
use linkgate_store_core::ingest::ports::{Actor, CatalogError, EventAction, JobRecord, PackageRow};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::SqliteReader;
use super::database::failed;

/// An event that is to be written.
pub(super) struct NewEvent<'a> {
    pub(super) action: EventAction,
    pub(super) app_code: &'a str,
    pub(super) module: &'a str,
    pub(super) package_id: Option<PackageId>,
    pub(super) version: Option<&'a str>,
    pub(super) before: Option<Sha256>,
    pub(super) after: Option<Sha256>,
    pub(super) actor: &'a Actor,
    pub(super) reason: &'a str,
}

/// The reason of what somebody asked for.
pub(super) const BY_USER: &str = "user";

impl<'a> NewEvent<'a> {
    /// Something about this package, by a user, that leaves its bytes as they are.
    pub(super) fn about(action: EventAction, target: &'a ModuleRef, row: &'a PackageRow, actor: &'a Actor) -> Self {
        let (app_code, module) = (target.app.as_str(), target.module.as_str());
        let (package_id, version, bytes) = (Some(row.id), Some(row.version.as_str()), Some(row.sha256));
        Self { action, app_code, module, package_id, version, before: bytes, after: bytes, actor, reason: BY_USER }
    }

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

/// Who asked for an upload.
pub(super) fn uploader(job: &JobRecord) -> Actor {
    let request = &job.request;
    Actor {
        app: request.caller_app.clone(),
        operator: Some(request.operator.clone()),
        request_id: request.request_id.clone(),
        client_address: request.client_address.clone(),
    }
}

/// Which events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this application.
    pub app_code: Option<String>,
    /// Of modules of this name.
    pub module: Option<String>,
}

/// An event, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRecord {
    /// Its number.
    pub id: i64,
    /// When, in UTC, as RFC 3339 has it.
    pub at: String,
    /// What was done or refused.
    pub action: String,
    /// Whose package it is about.
    pub app_code: String,
    /// And of which module.
    pub module: String,
    /// Which, if there is one.
    pub package_id: Option<i64>,
    /// Its version, if it is known.
    pub version: Option<String>,
    /// The bytes that it had.
    pub sha256_before: Option<String>,
    /// The bytes that it has since.
    pub sha256_after: Option<String>,
    /// Which application asked.
    pub caller_app: String,
    /// On whose behalf; empty where the store did it by itself.
    pub operator: String,
    /// The gateway's id of the request.
    pub request_id: String,
    /// Where that came from.
    pub client_address: String,
    /// `user`, or what else decided.
    pub reason: String,
}

impl SqliteReader {
    /// What happened, the oldest first, behind the event of this number; empty after the last.
    ///
    /// # Errors
    /// What the database says.
    pub async fn events_after(
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
        rows.iter().map(read_event).collect::<Result<_, _>>().map_err(failed)
    }
}

fn read_event(row: &SqliteRow) -> Result<EventRecord, sqlx::Error> {
    Ok(EventRecord {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        action: row.try_get("action")?,
        app_code: row.try_get("app_code")?,
        module: row.try_get("module")?,
        package_id: row.try_get("package_id")?,
        version: row.try_get("version")?,
        sha256_before: row.try_get("sha256_before")?,
        sha256_after: row.try_get("sha256_after")?,
        caller_app: row.try_get("caller_app")?,
        operator: row.try_get("operator")?,
        request_id: row.try_get("request_id")?,
        client_address: row.try_get("client_address")?,
        reason: row.try_get("reason")?,
    })
}

/// Events that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: i64 = 1_000;

/// Forgets the oldest events of before then.
pub(super) async fn expire(writer: &SqlitePool, before_ms: i64) -> Result<u64, CatalogError> {
    let query = "delete from event where id in (select id from event where at_ms < ? order by at_ms limit ?)";
    let done = sqlx::query(query).bind(before_ms).bind(FORGOTTEN_AT_A_TIME).execute(writer).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}
