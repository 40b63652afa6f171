//! Changes of recorded packages, in the catalog of PostgreSQL.
//!
//! Promises: what the port [`Changes`] promises. A change begins with the lock of its application, so what
//! it judges is what it changes, whichever process makes another one.

use linkgate_contract::{ModuleRef, PackageId, PackageVersion, PinName, Sha256};
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    Actor, CatalogError, Change, ChangeError, Changes, Cleanup, Deletion, EventAction, MAX_PINS, NewPin, PackageDetail,
    PackageRow, Pin, Purged,
};
use linkgate_store_core::settings::{Demand, Quota};
use linkgate_store_core::version_order::natural_key;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Row as _, Transaction};

use super::columns::{columns, select};
use super::database::{UnknownOutcome, begin_purge, commit, failed, is_refusal};
use super::events;
use super::search::search_text;
use super::{PostgresCatalog, cleanup, pins, usage};
use crate::again::retried;
use crate::rows::read_detail;
use crate::shared::{NewEvent, says_the_same, unsigned};

/// Packages that are purged in one transaction: uploads wait for no more than that.
const PURGED_AT_A_TIME: i64 = 50;
/// The reason of a purge: the setting that says when.
const RESTORE_DAYS: &str = "restore_days";

/// Deleted packages whose bytes may go now. What is pinned keeps them.
const DUE: &str = "is_deleted and purged_ms is null and (purge_after_ms is null or purge_after_ms <= $1)
    and not exists (select 1 from pin where package_id = source_package.id and (until_ms is null or until_ms > $1))";

impl Changes for PostgresCatalog {
    async fn delete(&self, change: &Change, deletion: Deletion) -> Result<PackageDetail, ChangeError> {
        retried!(self.try_delete(change, deletion))
    }

    async fn restore(
        &self,
        change: &Change,
        version: Option<&PackageVersion>,
        quota: &Quota,
    ) -> Result<PackageDetail, ChangeError> {
        retried!(self.try_restore(change, version, quota))
    }

    async fn pin(&self, change: &Change, pin: NewPin) -> Result<(PackageDetail, Pin), ChangeError> {
        retried!(self.try_pin(change, &pin))
    }

    async fn unpin(&self, change: &Change, name: &PinName) -> Result<(PackageDetail, Pin), ChangeError> {
        retried!(self.try_unpin(change, name))
    }

    async fn clean_up(&self, cleanup: &Cleanup, actor: &Actor) -> Result<(), ChangeError> {
        retried!(self.try_clean_up(cleanup, actor))
    }

    async fn note_refusal(
        &self,
        target: &ModuleRef,
        version: Option<&PackageVersion>,
        actor: &Actor,
        quota: &'static str,
    ) -> Result<(), CatalogError> {
        let event = NewEvent {
            action: EventAction::UploadRefused,
            app_code: target.app.as_str(),
            module: target.module.as_str(),
            package_id: None,
            version: version.map(PackageVersion::as_str),
            before: None,
            after: None,
            actor,
            reason: quota,
        };
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        events::record(&mut connection, &event, now_ms()).await.map_err(failed)?;
        Ok(())
    }

    async fn purge_due(&self, now_ms: i64) -> Result<Vec<Purged>, CatalogError> {
        retried!(self.try_purge_due(now_ms))
    }

    async fn count_due(&self, now_ms: i64) -> Result<(u64, u64), CatalogError> {
        let text = format!(
            "select count(*) as rows, coalesce(sum(size_bytes), 0)::bigint as bytes from source_package where {DUE}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(now_ms).fetch_one(&self.pool).await;
        let row = row.map_err(failed)?;
        let number = |name| unsigned(row.try_get(name)?);
        Ok((number("rows").map_err(failed)?, number("bytes").map_err(failed)?))
    }
}

impl PostgresCatalog {
    async fn try_delete(&self, change: &Change, deletion: Deletion) -> Result<PackageDetail, ChangeError> {
        let (now, Change { target, actor, .. }) = (now_ms(), change);
        let mut tx = self.waiting.begin_for(target.app.as_str()).await.map_err(failed)?;
        let seen = find_as_seen(&mut tx, change, now).await?;
        if seen.row.is_deleted {
            return Ok(seen);
        }
        if !seen.pins.is_empty() && !deletion.force {
            let refused = NewEvent::about(EventAction::DeleteRefused, target, &seen.row, actor);
            let proof = events::record(&mut tx, &refused, now).await.map_err(failed)?;
            commit(&self.pool, tx, &proof).await?;
            return Err(ChangeError::InUse(seen.pins));
        }
        mark_deleted(&mut tx, &seen, deletion.restore_ms, now).await.map_err(failed)?;
        let deleted = NewEvent { after: None, ..NewEvent::about(EventAction::Delete, target, &seen.row, actor) };
        let proof = events::record(&mut tx, &deleted, now).await.map_err(failed)?;
        if deletion.restore_ms == 0 && seen.pins.is_empty() {
            Due::of(target, &seen).purge(&mut tx, actor, now).await.map_err(failed)?;
        }
        let detail = find_changed(&mut tx, change, now).await?;
        reached(Step::DeleteDue);
        commit(&self.pool, tx, &proof).await?;
        reached(Step::Deleted);
        Ok(detail)
    }

    async fn try_restore(
        &self,
        change: &Change,
        version: Option<&PackageVersion>,
        quota: &Quota,
    ) -> Result<PackageDetail, ChangeError> {
        let (now, Change { target, actor, .. }) = (now_ms(), change);
        let mut tx = self.waiting.begin_for(target.app.as_str()).await.map_err(failed)?;
        let seen = find_as_seen(&mut tx, change, now).await?;
        if !seen.row.is_deleted {
            return Ok(seen);
        }
        if seen.purged_ms.is_some() {
            return Err(ChangeError::Purged);
        }
        // Its bytes count already.
        let used = usage::of_target(&mut tx, target).await.map_err(failed)?;
        quota.judge(used, Demand { packages: 1, ..Demand::default() }).map_err(ChangeError::QuotaExceeded)?;
        let version = version.unwrap_or(&seen.row.version);
        mark_live(&mut tx, &seen, version, now).await.map_err(failed)?;
        let event = NewEvent::about(EventAction::Restore, target, &seen.row, actor);
        let event = NewEvent { before: None, version: Some(version.as_str()), ..event };
        let proof = events::record(&mut tx, &event, now).await.map_err(failed)?;
        let detail = find_changed(&mut tx, change, now).await?;
        reached(Step::RestoreDue);
        commit(&self.pool, tx, &proof).await?;
        reached(Step::Restored);
        Ok(detail)
    }

    async fn try_pin(&self, change: &Change, pin: &NewPin) -> Result<(PackageDetail, Pin), ChangeError> {
        let now = now_ms();
        let mut tx = self.waiting.begin_for(change.target.app.as_str()).await.map_err(failed)?;
        let seen = find_as_seen(&mut tx, change, now).await?;
        if seen.row.is_deleted {
            return Err(if seen.purged_ms.is_some() { ChangeError::Purged } else { ChangeError::Deleted });
        }
        let before = seen.pins.iter().find(|before| before.name == pin.name);
        match before {
            Some(before) if says_the_same(before, pin) => return Ok((seen.clone(), before.clone())),
            None if seen.pins.len() >= MAX_PINS => return Err(ChangeError::TooManyPins),
            _ => {}
        }
        pins::write(&mut tx, change, pin, now).await.map_err(failed)?;
        let detail = self.end_pin(tx, change, EventAction::Pin, now).await?;
        let pinned = detail.pins.iter().find(|pinned| pinned.name == pin.name).cloned();
        pinned.map(|pinned| (detail, pinned)).ok_or(ChangeError::NoPin)
    }

    async fn try_unpin(&self, change: &Change, name: &PinName) -> Result<(PackageDetail, Pin), ChangeError> {
        let now = now_ms();
        let mut tx = self.waiting.begin_for(change.target.app.as_str()).await.map_err(failed)?;
        let seen = find_as_seen(&mut tx, change, now).await?;
        let pin = seen.pins.iter().find(|pin| pin.name == *name).cloned().ok_or(ChangeError::NoPin)?;
        pins::remove(&mut tx, change.id, name).await.map_err(failed)?;
        let detail = self.end_pin(tx, change, EventAction::Unpin, now).await?;
        Ok((detail, pin))
    }

    /// Ends the transaction in which a pin of a package was changed.
    async fn end_pin(
        &self,
        mut tx: Transaction<'_, Postgres>,
        change: &Change,
        action: EventAction,
        now: i64,
    ) -> Result<PackageDetail, ChangeError> {
        let Change { target, id, actor, .. } = change;
        let revised = sqlx::query("update source_package set revision = revision + 1 where id = $1").bind(id.row());
        revised.execute(&mut *tx).await.map_err(failed)?;
        let detail = find_changed(&mut tx, change, now).await?;
        let event = NewEvent::about(action, target, &detail.row, actor);
        let proof = events::record(&mut tx, &event, now).await.map_err(failed)?;
        reached(Step::PinDue);
        commit(&self.pool, tx, &proof).await?;
        reached(Step::Pinned);
        Ok(detail)
    }

    async fn try_clean_up(&self, cleanup: &Cleanup, actor: &Actor) -> Result<(), ChangeError> {
        let mut tx = self.waiting.begin_for(cleanup.target.app.as_str()).await.map_err(failed)?;
        let proof = cleanup::clean_up(&mut tx, cleanup, actor, now_ms()).await?;
        reached(Step::CleanupDue);
        match proof {
            Some(proof) => commit(&self.pool, tx, &proof).await?,
            // Nothing was to be deleted.
            None => tx.commit().await.map_err(failed)?,
        }
        reached(Step::CleanedUp);
        Ok(())
    }

    /// What somebody changes at this moment is left for the next time.
    async fn try_purge_due(&self, now_ms: i64) -> Result<Vec<Purged>, CatalogError> {
        let mut tx = begin_purge(&self.pool).await.map_err(failed)?;
        let text = format!(
            "select {} from source_package where {DUE} order by purge_after_ms nulls first, id limit $2
             for update skip locked",
            columns!(package)
        );
        let due = sqlx::query(sqlx::AssertSqlSafe(text)).bind(now_ms).bind(PURGED_AT_A_TIME);
        let due = due.fetch_all(&mut *tx).await.map_err(failed)?;
        let mut purged = Vec::with_capacity(due.len());
        for row in &due {
            let due = Due::read(row).map_err(failed)?;
            purged.push(due.purge(&mut tx, &Actor::default(), now_ms).await.map_err(failed)?);
        }
        reached(Step::PurgeDue);
        // If nobody knows whether it was, the next collection finds the bytes that nobody needs.
        tx.commit().await.map_err(unless_refused)?;
        if !purged.is_empty() {
            reached(Step::Purged);
        }
        Ok(purged)
    }
}

/// Not to be tried again if it may have been done.
fn unless_refused(error: sqlx::Error) -> CatalogError {
    if is_refusal(&error) { failed(error) } else { CatalogError::Unavailable(UnknownOutcome(error).into()) }
}

/// Whether its version is free is for the unique index to say.
async fn mark_live(
    tx: &mut PgConnection,
    seen: &PackageDetail,
    version: &PackageVersion,
    now: i64,
) -> Result<(), sqlx::Error> {
    let PackageRow { id, package_name, size_bytes, .. } = &seen.row;
    sqlx::query(
        "update source_package set is_deleted = false, deleted_ms = null, purge_after_ms = null, version = $1,
             version_key = $2, search_text = $3, updated_ms = $4, revision = revision + 1 where id = $5",
    )
    .bind(version.as_str())
    .bind(natural_key(version.as_str()))
    .bind(search_text(version.as_str(), package_name, unsigned(*size_bytes)?))
    .bind(now)
    .bind(id.row())
    .execute(tx)
    .await?;
    Ok(())
}

/// A package of this module.
const FIND: &str = select!(
    package,
    ", source_url from source_package left join provenance on package_id = id
    where id = $1 and app_code = $2 and module = $3"
);
/// The same, for whoever is about to change it: a purge, which is of all applications, leaves it or comes first.
const FIND_TO_CHANGE: &str = select!(
    package,
    ", source_url from source_package left join provenance on package_id = id
    where id = $1 and app_code = $2 and module = $3 for update of source_package"
);

/// A package of this module, as it is now.
pub(super) async fn find(
    connection: &mut PgConnection,
    target: &ModuleRef,
    id: PackageId,
    now: i64,
) -> Result<Option<PackageDetail>, sqlx::Error> {
    find_by(FIND, connection, target, id, now).await
}

/// The same, and it stays as it is until this transaction changes it.
pub(super) async fn find_to_change(
    tx: &mut PgConnection,
    target: &ModuleRef,
    id: PackageId,
    now: i64,
) -> Result<Option<PackageDetail>, sqlx::Error> {
    find_by(FIND_TO_CHANGE, tx, target, id, now).await
}

async fn find_by(
    query: &'static str,
    connection: &mut PgConnection,
    target: &ModuleRef,
    id: PackageId,
    now: i64,
) -> Result<Option<PackageDetail>, sqlx::Error> {
    let row = sqlx::query(query)
        .bind(id.row())
        .bind(target.app.as_str())
        .bind(target.module.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let pins = pins::in_force(connection, id, now).await?;
    read_detail(&row, pins).map(Some)
}

/// The package that is to be changed, if it is what its changer saw.
async fn find_as_seen(tx: &mut PgConnection, change: &Change, now: i64) -> Result<PackageDetail, ChangeError> {
    let seen = find_changed(tx, change, now).await?;
    if change.holds_for(&seen) { Ok(seen) } else { Err(ChangeError::PreconditionFailed) }
}

async fn find_changed(tx: &mut PgConnection, change: &Change, now: i64) -> Result<PackageDetail, ChangeError> {
    find_to_change(tx, &change.target, change.id, now).await.map_err(failed)?.ok_or(ChangeError::NotFound)
}

pub(super) async fn mark_deleted(
    tx: &mut PgConnection,
    seen: &PackageDetail,
    restore_ms: i64,
    now: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update source_package set is_deleted = true, deleted_ms = $1, purge_after_ms = $2, revision = revision + 1
         where id = $3",
    )
    .bind(now)
    .bind(now.saturating_add(restore_ms))
    .bind(seen.row.id.row())
    .execute(tx)
    .await?;
    Ok(())
}

/// What a purge needs of a row. Somebody may have written anything into it.
struct Due<'r> {
    id: PackageId,
    app_code: &'r str,
    module: &'r str,
    version: &'r str,
    sha256: Option<Sha256>,
    size_bytes: i64,
}

impl<'r> Due<'r> {
    fn read(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: PackageId::from_row(row.try_get("id")?),
            app_code: row.try_get("app_code")?,
            module: row.try_get("module")?,
            version: row.try_get("version")?,
            sha256: row.try_get::<&str, _>("sha256")?.parse().ok(),
            size_bytes: row.try_get("size_bytes")?,
        })
    }

    fn of(target: &'r ModuleRef, detail: &'r PackageDetail) -> Self {
        Self {
            id: detail.row.id,
            app_code: target.app.as_str(),
            module: target.module.as_str(),
            version: detail.row.version.as_str(),
            sha256: Some(detail.row.sha256),
            size_bytes: detail.row.size_bytes,
        }
    }

    async fn purge(self, tx: &mut PgConnection, actor: &Actor, now: i64) -> Result<Purged, sqlx::Error> {
        let Self { id, app_code, module, version, sha256, size_bytes } = self;
        sqlx::query("update source_package set purged_ms = $1, revision = revision + 1 where id = $2")
            .bind(now)
            .bind(id.row())
            .execute(&mut *tx)
            .await?;
        let event = NewEvent {
            action: EventAction::Purge,
            app_code,
            module,
            package_id: Some(id),
            version: Some(version),
            before: sha256,
            after: None,
            actor,
            reason: RESTORE_DAYS,
        };
        events::record(tx, &event, now).await?;
        Ok(Purged { id, sha256, size_bytes: unsigned(size_bytes)? })
    }
}
