//! What rules delete, in the catalog of SQLite.
//!
//! Promises: all deletions of a plan are made in one transaction, each only if its package is in the state that the plan saw.

use linkgate_contract::{AppCode, ModuleName, ModuleRef};
use linkgate_store_core::ingest::ports::{
    Actor, Candidate, CandidateCursor, CandidatePlace, CatalogError, ChangeError, Cleanup, EventAction,
};
use linkgate_store_core::settings::RetentionOrder;
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use super::changes::{find, mark_deleted};
use super::database::failed;
use crate::rows::read_candidate;
use crate::shared::{NewEvent, before_all, is_as_planned};

/// Packages and modules on a page.
const PAGE: i64 = 500;

/// Live packages of a module, the newest first, those behind the cursor.
pub(super) async fn candidates_after(
    pool: &SqlitePool,
    target: &ModuleRef,
    order: RetentionOrder,
    after: Option<CandidateCursor>,
    now: i64,
) -> Result<Vec<Candidate>, CatalogError> {
    let column = match order {
        RetentionOrder::Updated => "updated_ms",
        RetentionOrder::Created => "created_ms",
        RetentionOrder::Version => "version_key",
    };
    let text = format!(
        "select id, version, size_bytes, created_ms, updated_ms, revision,
             exists(select 1 from pin where package_id = id and (until_ms is null or until_ms > ?5)) as is_pinned
         from source_package
         where app_code = ?1 and module = ?2 and is_deleted = 0 and ({column}, id) < (?3, ?4)
         order by {column} desc, id desc limit ?6"
    );
    let query = sqlx::query(AssertSqlSafe(text)).bind(target.app.as_str()).bind(target.module.as_str());
    let CandidateCursor { place, id } = after.unwrap_or_else(|| before_all(order));
    let query = match place {
        CandidatePlace::Time(ms) => query.bind(ms),
        CandidatePlace::Version(key) => query.bind(key),
    };
    let query = query.bind(id.row()).bind(now).bind(PAGE);
    let rows = query.fetch_all(pool).await.map_err(failed)?;
    rows.iter().map(read_candidate).collect::<Result<_, _>>().map_err(failed)
}

/// Modules that have or had packages, in the order of their names. A name that could not stand in a path is left out: somebody
/// wrote it into the table, and no request is for it.
pub(super) async fn modules_after(
    pool: &SqlitePool,
    after: Option<&ModuleRef>,
) -> Result<Vec<ModuleRef>, CatalogError> {
    let (app, module) = after.map_or(("", ""), |after| (after.app.as_str(), after.module.as_str()));
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select app_code, module from module_usage where (app_code, module) > (?, ?) order by app_code, module limit ?",
    )
    .bind(app)
    .bind(module)
    .bind(PAGE)
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    let read = |(app, module): (String, String)| {
        Some(ModuleRef { app: AppCode::new(app.as_str()).ok()?, module: ModuleName::new(module.as_str()).ok()? })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Deletes what a plan names, within a transaction that is given up if anything is not as the plan saw it.
pub(super) async fn clean_up(
    tx: &mut SqliteConnection,
    cleanup: &Cleanup,
    actor: &Actor,
    now: i64,
) -> Result<(), ChangeError> {
    for (id, revision) in &cleanup.doomed {
        let seen = find(tx, &cleanup.target, *id, now).await.map_err(failed)?;
        let is_same = |seen: &_| is_as_planned(seen, *revision);
        let seen = seen.filter(is_same).ok_or(ChangeError::PlanChanged)?;
        mark_deleted(tx, &seen, cleanup.restore_ms, now).await.map_err(failed)?;
        let event = NewEvent::about(EventAction::Cleanup, &cleanup.target, &seen.row, actor);
        NewEvent { after: None, reason: &cleanup.rule, ..event }.record(tx, now).await.map_err(failed)?;
    }
    Ok(())
}
