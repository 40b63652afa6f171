//! Jobs in the catalog of SQLite.
//!
//! Promises: an upload that was accepted is found again after a crash, until it has ended; what it took to run it is
//! overwritten then, for a link may hold a signature.

use linkgate_contract::{CredentialName, JobId, ModuleRef, Sha256};
use linkgate_store_core::ingest::ports::{CatalogError, JobEnd, JobKey, JobRecord, JobRequest, JobState, JobView};
use linkgate_store_core::ingest::{KEY_LIFE_MS, now_ms};
use linkgate_store_core::sealing::Sealed;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::database::failed;
use crate::rows::{read_id, read_module, read_request};
use crate::shared::{caller_text, json_text, owner_text, read_end, signed, tenant_text, undecodable, unsigned};

/// A statement that inserts or ends: an upload that nobody was told of is not there before it ends.
const UPSERT_ENDED: &str = "
    insert into job (id, app_code, module, source_url, operator, request_id, created_ms, started_ms, received_bytes,
                     total_bytes, attempts, state, outcome, ended_ms, caller_app, tenant_id)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
    on conflict (id) do update set started_ms = ?8, received_bytes = ?9, total_bytes = ?10, attempts = ?11, state = ?12,
        outcome = ?13, ended_ms = ?14, request = null, private_hosts = null, credentials = null,
        sealed_credential = null";

/// Records that an upload ended, within the transaction that records what it made. `false` if it is done and a key of it stands for
/// another one, see [`record_keys`].
pub(super) async fn record_end(
    tx: &mut Transaction<'_, Sqlite>,
    job: &JobRecord,
    end: &JobEnd,
    now: i64,
) -> Result<bool, sqlx::Error> {
    let JobRecord { view, request, .. } = job;
    let outcome = match end {
        JobEnd::Done(entry) => serde_json::to_string(entry),
        JobEnd::Failed(failure) | JobEnd::Cancelled(failure) => serde_json::to_string(failure),
    };
    sqlx::query(UPSERT_ENDED)
        .bind(view.id.to_string())
        .bind(view.target.app.as_str())
        .bind(view.target.module.as_str())
        .bind(&request.source_url)
        .bind(request.operator.as_str())
        .bind(&request.request_id)
        .bind(view.created_ms)
        .bind(view.started_ms)
        .bind(signed(view.received_bytes)?)
        .bind(view.total_bytes.map(signed).transpose()?)
        .bind(view.attempts)
        .bind(end.state().name())
        .bind(outcome.map_err(|e| sqlx::Error::Encode(e.into()))?)
        .bind(now)
        .bind(caller_text(request))
        .bind(tenant_text(request))
        .execute(&mut **tx)
        .await?;
    match end {
        JobEnd::Done(_) => record_keys(tx, job, now).await,
        // Who tries again means to.
        JobEnd::Failed(_) | JobEnd::Cancelled(_) => {
            sqlx::query("delete from job_key where job_id = ?").bind(view.id.to_string()).execute(&mut **tx).await?;
            Ok(true)
        }
    }
}

/// Records that an upload goes on without its caller.
pub(super) async fn record_acceptance(tx: &mut Transaction<'_, Sqlite>, job: &JobRecord) -> Result<(), sqlx::Error> {
    let JobRecord { view, request, .. } = job;
    let private_hosts: Vec<String> = request.allowance.private_hosts.rules().map(ToString::to_string).collect();
    let private_hosts = json_text(&private_hosts)?;
    let credentials: Vec<&str> = request.allowance.credentials.iter().map(CredentialName::as_str).collect();
    sqlx::query(
        "insert into job (id, app_code, module, request, private_hosts, opaque, source_url, caller_app, operator,
                          request_id, created_ms, lives, tenant_id, credentials, sealed_credential, client_address)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing",
    )
    .bind(view.id.to_string())
    .bind(view.target.app.as_str())
    .bind(view.target.module.as_str())
    .bind(&request.body)
    .bind(private_hosts)
    .bind(request.allowance.opaque)
    .bind(&request.source_url)
    .bind(caller_text(request))
    .bind(request.operator.as_str())
    .bind(&request.request_id)
    .bind(view.created_ms)
    .bind(job.lives)
    .bind(tenant_text(request))
    .bind(json_text(&credentials)?)
    .bind(request.sealed.as_ref().map(Sealed::as_bytes))
    .bind(&request.client_address)
    .execute(&mut **tx)
    .await?;
    record_keys(tx, job, now_ms()).await.map(drop)
}

/// Records how many lives an accepted upload has had.
pub(super) async fn record_lives(writer: &SqlitePool, id: JobId, lives: u32) -> Result<(), CatalogError> {
    let counted = sqlx::query("update job set lives = ? where id = ? and state is null")
        .bind(lives)
        .bind(id.to_string())
        .execute(writer)
        .await;
    counted.map(|_| ()).map_err(failed)
}

/// A key that is there already is over its time, stands for this very upload, or for a file that came while this one was queued.
/// `false` if this one is not queued, and one of its keys stands for another upload.
async fn record_keys(tx: &mut Transaction<'_, Sqlite>, job: &JobRecord, now: i64) -> Result<bool, sqlx::Error> {
    for JobKey { key, fingerprint } in &job.keys {
        let recorded = sqlx::query(
            "insert into job_key (key, fingerprint, job_id, created_ms) values (?1, ?2, ?3, ?4)
             on conflict (key) do update set fingerprint = ?2, job_id = ?3, created_ms = ?4
                where job_id <> ?3 and (?5 or created_ms <= ?6)",
        )
        .bind(&key.as_bytes()[..])
        .bind(&fingerprint.as_bytes()[..])
        .bind(job.view.id.to_string())
        .bind(now)
        .bind(job.is_queued)
        .bind(now - KEY_LIFE_MS)
        .execute(&mut **tx)
        .await?;
        if recorded.rows_affected() == 0 && !job.is_queued {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An upload by its name.
pub(super) async fn find(pool: &SqlitePool, id: JobId) -> Result<Option<JobView>, CatalogError> {
    let row = sqlx::query("select * from job where id = ?").bind(id.to_string()).fetch_optional(pool).await;
    row.map_err(failed)?.as_ref().map(read_view).transpose().map_err(failed)
}

/// Uploads of a module, the latest first.
pub(super) async fn list(pool: &SqlitePool, target: &ModuleRef, limit: u32) -> Result<Vec<JobView>, CatalogError> {
    let rows = sqlx::query("select * from job where app_code = ? and module = ? order by id desc limit ?")
        .bind(target.app.as_str())
        .bind(target.module.as_str())
        .bind(limit)
        .fetch_all(pool)
        .await;
    rows.map_err(failed)?.iter().map(read_view).collect::<Result<_, _>>().map_err(failed)
}

/// The upload and the request that a key stands for.
pub(super) async fn find_by_key(
    pool: &SqlitePool,
    key: Sha256,
    since_ms: i64,
) -> Result<Option<(JobId, Sha256)>, CatalogError> {
    let row = sqlx::query("select job_id, fingerprint from job_key where key = ? and created_ms > ?")
        .bind(&key.as_bytes()[..])
        .bind(since_ms)
        .fetch_optional(pool)
        .await
        .map_err(failed)?;
    let read = |row: &SqliteRow| {
        let fingerprint: &[u8] = row.try_get("fingerprint")?;
        Ok((
            read_id(row.try_get("job_id")?)?,
            fingerprint.try_into().map(Sha256::from_bytes).map_err(|_| undecodable("a fingerprint"))?,
        ))
    };
    row.as_ref().map(read).transpose().map_err(failed)
}

/// Uploads that were accepted and have not ended.
pub(super) async fn unfinished(pool: &SqlitePool) -> Result<Vec<JobRecord>, CatalogError> {
    let rows = sqlx::query("select * from job where state is null order by lives, created_ms, id")
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    rows.iter().map(read_record).collect::<Result<_, _>>().map_err(failed)
}

/// How many jobs have ended and are remembered.
pub(super) async fn count_ended(tx: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar("select count(*) from job where state is not null").fetch_one(tx).await?;
    unsigned(count)
}

/// Forgets all but the latest jobs of a caller that have ended, and their keys.
pub(super) async fn forget_oldest_of(
    tx: &mut SqliteConnection,
    request: &JobRequest,
    remembered: usize,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from job where id in (select id from job where owner = ? and state is not null
                                      order by ended_ms desc, id desc limit -1 offset ?)",
    )
    .bind(owner_text(request))
    .bind(i64::try_from(remembered).unwrap_or(i64::MAX))
    .execute(tx)
    .await?;
    Ok(())
}

/// The same of all callers.
pub(super) async fn forget_oldest(tx: &mut SqliteConnection, remembered: usize) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from job where id in (select id from job where state is not null
                                      order by ended_ms desc, id desc limit -1 offset ?)",
    )
    .bind(i64::try_from(remembered).unwrap_or(i64::MAX))
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets jobs that ended before then, and their keys.
pub(super) async fn expire(pool: &SqlitePool, before_ms: i64) -> Result<u64, CatalogError> {
    let done =
        sqlx::query("delete from job where state is not null and ended_ms < ?").bind(before_ms).execute(pool).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}

fn read_record(row: &SqliteRow) -> Result<JobRecord, sqlx::Error> {
    let request = read_request(row)?;
    Ok(JobRecord {
        view: read_view(row)?,
        request,
        keys: Vec::new(),
        lives: row.try_get("lives")?,
        upload_key: None,
        is_queued: true,
    })
}

fn read_view(row: &SqliteRow) -> Result<JobView, sqlx::Error> {
    let state: Option<&str> = row.try_get("state")?;
    let state = state.map_or(Some(JobState::Queued), JobState::from_name).ok_or_else(|| undecodable("a state"))?;
    let total: Option<i64> = row.try_get("total_bytes")?;
    Ok(JobView {
        id: read_id(row.try_get("id")?)?,
        target: read_module(row)?,
        state,
        received_bytes: unsigned(row.try_get("received_bytes")?)?,
        total_bytes: total.map(unsigned).transpose()?,
        attempts: row.try_get("attempts")?,
        created_ms: row.try_get("created_ms")?,
        started_ms: row.try_get("started_ms")?,
        ended_ms: row.try_get("ended_ms")?,
        end: read_end(state, row.try_get("outcome")?)?,
    })
}
