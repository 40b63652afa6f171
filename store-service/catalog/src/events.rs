//! What happened to packages, in the catalog of SQLite.
//!
//! Promises: an event is written in the transaction that makes the change it tells of, and never changed.

use linkgate_contract::{CallerApp, ModuleRef, Operator, PackageId, Sha256};
use linkgate_store_core::ingest::ports::{Actor, EventAction, JobRecord, PackageRow};
use sqlx::SqliteConnection;

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
