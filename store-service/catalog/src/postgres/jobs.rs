//! Jobs in the catalog of PostgreSQL.
//!
//! Promises: an upload that was accepted is found again after a crash, until it has ended; what it took to run it is
//! overwritten then, for a link may hold a signature. Only the last claim of a job ends it.

use linkgate_contract::{CredentialName, JobId, ModuleRef, PackageVersion, Sha256};
use linkgate_store_core::ingest::ports::{
    CatalogError, Fence, JobEnd, JobKey, JobRecord, JobRequest, JobState, JobView, NewJob, PackageRow, UploadKey,
};
use linkgate_store_core::ingest::{KEY_LIFE_MS, now_ms};
use linkgate_store_core::sealing::Sealed;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::columns::select;
use super::database::{failed, limit, small};
use crate::rows::{read_module, read_request};
use crate::shared::{
    caller_text, json_text, named_version, owner_text, read_end, signed, source_host, tenant_text, undecodable,
    unsigned,
};

/// States of jobs that have not ended.
const LIVE: [&str; 4] = ["waiting", "ready", "claimed", "parked"];

/// A statement that inserts or ends: an upload that nobody was told of and that waited for nothing is not there before it ends.
const UPSERT_ENDED: &str = "
    insert into job (id, app_code, module, source_url, operator, request_id, created_ms, started_ms, received_bytes,
                     total_bytes, attempts, state, outcome, ended_ms, caller_app, tenant_id, upload_key)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    on conflict (id) do update set started_ms = $8, received_bytes = $9, total_bytes = $10, attempts = $11, state = $12,
        outcome = $13, ended_ms = $14, request = null, private_hosts = null, credentials = null, sealed_credential = null,
        process = null, holder = null, lease_until = null, ended_at = clock_timestamp(),
        upload_key = coalesce($17, job.upload_key)";

/// Whether a job may be ended: by this claim if it has one, which is the last; without one by its own process, if nobody has
/// claimed it. Nobody else can end it before this transaction has.
pub(super) async fn may_end(
    tx: &mut PgConnection,
    id: JobId,
    fence: Option<Fence>,
    process: Uuid,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("select state, process, holder, epoch from job where id = $1 for update")
        .bind(id.as_uuid())
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(fence.is_none()) };
    let state: &str = row.try_get("state")?;
    match fence {
        Some(fence) => {
            let (holder, epoch): (Option<Uuid>, i64) = (row.try_get("holder")?, row.try_get("epoch")?);
            Ok(state == "claimed" && holder == Some(fence.holder.as_uuid()) && unsigned(epoch)? == fence.epoch)
        }
        None => {
            let owner: Option<Uuid> = row.try_get("process")?;
            Ok(LIVE.contains(&state) && state != "claimed" && owner.is_none_or(|owner| owner == process))
        }
    }
}

/// Records that an upload ended, within the transaction that records what it made. `false` if it is done and a key of it stands for
/// another one, see [`record_keys`].
pub(super) async fn record_end(
    tx: &mut PgConnection,
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
        .bind(view.id.as_uuid())
        .bind(view.target.app.as_str())
        .bind(view.target.module.as_str())
        .bind(&request.source_url)
        .bind(request.operator.as_str())
        .bind(&request.request_id)
        .bind(view.created_ms)
        .bind(view.started_ms)
        .bind(signed(view.received_bytes)?)
        .bind(view.total_bytes.map(signed).transpose()?)
        .bind(i64::from(view.attempts))
        .bind(end.state().name())
        .bind(outcome.map_err(|e| sqlx::Error::Encode(e.into()))?)
        .bind(now)
        .bind(caller_text(request))
        .bind(tenant_text(request))
        .bind(job.upload_key.map(|key| key.0.as_bytes().to_vec()))
        .execute(&mut *tx)
        .await?;
    match end {
        JobEnd::Done(_) => record_keys(tx, job, now).await,
        // Who tries again means to.
        JobEnd::Failed(_) | JobEnd::Cancelled(_) => {
            sqlx::query("delete from job_key where job_id = $1").bind(view.id.as_uuid()).execute(tx).await?;
            Ok(true)
        }
    }
}

/// Whether an upload has ended so. Waits for whoever is about to end it.
pub(super) async fn has_ended(pool: &PgPool, id: JobId, end: &JobEnd) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let state: Option<String> = sqlx::query_scalar("select state from job where id = $1 for update")
        .bind(id.as_uuid())
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(state.as_deref() == Some(end.state().name()))
}

/// Writes a job that has a place on the queue from then on.
pub(super) async fn enqueue(
    tx: &mut PgConnection,
    job: &NewJob,
    process: Uuid,
    lease: std::time::Duration,
) -> Result<(), sqlx::Error> {
    let NewJob { record, key, host, is_resumed } = job;
    let JobRecord { view, request, .. } = record;
    sqlx::query(
        "insert into job (id, app_code, module, state, source_url, caller_app, operator, tenant_id, request_id,
                          client_address, created_ms, lives, upload_key, host, named_version, process, lease_until, queue_no,
                          resumed_at)
         values ($1, $2, $3, 'waiting', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, clock_timestamp() + $16,
                 nextval('job_turn'), case when $17 then clock_timestamp() end)
         on conflict (id) do update set state = 'waiting', phase = 'queued', upload_key = excluded.upload_key,
            host = excluded.host, named_version = excluded.named_version, process = excluded.process,
            lease_until = excluded.lease_until, queue_no = excluded.queue_no, ready_no = null, released_by = null,
            resumed_at = excluded.resumed_at",
    )
    .bind(view.id.as_uuid())
    .bind(view.target.app.as_str())
    .bind(view.target.module.as_str())
    .bind(&request.source_url)
    .bind(caller_text(request))
    .bind(request.operator.as_str())
    .bind(tenant_text(request))
    .bind(&request.request_id)
    .bind(&request.client_address)
    .bind(view.created_ms)
    .bind(i64::from(record.lives))
    .bind(&key.0.as_bytes()[..])
    .bind(host)
    .bind(named_version(&request.body).as_ref().map(PackageVersion::as_str))
    .bind(process)
    .bind(lease)
    .bind(*is_resumed)
    .execute(&mut *tx)
    .await?;
    announce_keys(tx, record).await
}

/// Keys by which a job that has not ended is found. One that stands for another job goes on to do so until this one is accepted
/// or stored.
async fn announce_keys(tx: &mut PgConnection, job: &JobRecord) -> Result<(), sqlx::Error> {
    for JobKey { key, fingerprint } in &job.keys {
        sqlx::query(
            "insert into job_key (key, fingerprint, job_id, created_ms) values ($1, $2, $3, $4) on conflict (key) do nothing",
        )
        .bind(&key.as_bytes()[..])
        .bind(&fingerprint.as_bytes()[..])
        .bind(job.view.id.as_uuid())
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Where an upload is that is accepted and has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits for its turn.
    Queue,
    /// It follows another one.
    None,
}

/// Records that an upload goes on without its caller. `true` if it had no row.
pub(super) async fn record_acceptance(
    tx: &mut PgConnection,
    job: &JobRecord,
    place: Place,
    process: Uuid,
    lease: std::time::Duration,
) -> Result<bool, sqlx::Error> {
    let JobRecord { view, request, .. } = job;
    let private_hosts: Vec<String> = request.allowance.private_hosts.rules().map(ToString::to_string).collect();
    let credentials: Vec<&str> = request.allowance.credentials.iter().map(CredentialName::as_str).collect();
    let query = sqlx::query_scalar(
        "insert into job (id, app_code, module, is_accepted, request, private_hosts, opaque, source_url, caller_app,
                          operator, request_id, created_ms, lives, tenant_id, credentials, sealed_credential, client_address,
                          process, lease_until, state, queue_no, epoch, host)
         values ($1, $2, $3, true, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                 clock_timestamp() + $18, case when $19 then 'waiting' else 'parked' end,
                 nextval('job_turn'), case when $19 then nextval('job_turn') else 0 end, $20)
         on conflict (id) do update set is_accepted = true, request = excluded.request,
            private_hosts = excluded.private_hosts, opaque = excluded.opaque, credentials = excluded.credentials,
            sealed_credential = excluded.sealed_credential, lives = excluded.lives
         where not job.is_accepted and job.ended_ms is null
         returning xmax = 0",
    );
    let is_new: Option<bool> = query
        .bind(view.id.as_uuid())
        .bind(view.target.app.as_str())
        .bind(view.target.module.as_str())
        .bind(&request.body)
        .bind(json_text(&private_hosts)?)
        .bind(request.allowance.opaque)
        .bind(&request.source_url)
        .bind(caller_text(request))
        .bind(request.operator.as_str())
        .bind(&request.request_id)
        .bind(view.created_ms)
        .bind(i64::from(job.lives))
        .bind(tenant_text(request))
        .bind(json_text(&credentials)?)
        .bind(request.sealed.as_ref().map(Sealed::as_bytes))
        .bind(&request.client_address)
        .bind(process)
        .bind(lease)
        .bind(place == Place::Queue)
        .bind(source_host(request))
        .fetch_optional(&mut *tx)
        .await?;
    record_keys(tx, job, now_ms()).await?;
    Ok(is_new == Some(true))
}

/// Records one life more of an accepted upload, or one less.
pub(super) async fn count_life(pool: &PgPool, id: JobId, by: i64) -> Result<(), sqlx::Error> {
    let counted = sqlx::query(
        "update job set lives = greatest(lives + $1, 0) where id = $2 and is_accepted and ended_ms is null",
    )
    .bind(by)
    .bind(id.as_uuid())
    .execute(pool)
    .await;
    counted.map(|_| ())
}

/// A key that is there already is over its time, stands for this very upload, or for a file that came while this one was queued.
/// `false` if this one is not queued, and one of its keys stands for another upload.
async fn record_keys(tx: &mut PgConnection, job: &JobRecord, now: i64) -> Result<bool, sqlx::Error> {
    for JobKey { key, fingerprint } in &job.keys {
        // Waits for whoever is about to record it.
        let recorded = sqlx::query(
            "insert into job_key as known (key, fingerprint, job_id, created_ms) values ($1, $2, $3, $4)
             on conflict (key) do update set fingerprint = $2, job_id = $3, created_ms = $4
                where known.job_id <> $3 and ($5 or known.created_ms <= $6)",
        )
        .bind(&key.as_bytes()[..])
        .bind(&fingerprint.as_bytes()[..])
        .bind(job.view.id.as_uuid())
        .bind(now)
        .bind(job.is_queued)
        .bind(now - KEY_LIFE_MS)
        .execute(&mut *tx)
        .await?;
        if recorded.rows_affected() == 0 && !job.is_queued {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An upload by its name, if it was accepted or has ended.
pub(super) async fn find(pool: &PgPool, id: JobId) -> Result<Option<JobView>, CatalogError> {
    let query = sqlx::query(select!(job, " from job where id = $1 and (is_accepted or ended_ms is not null)"));
    let row = query.bind(id.as_uuid()).fetch_optional(pool).await;
    row.map_err(failed)?.as_ref().map(read_view).transpose().map_err(failed)
}

/// The package of an upload that did the same and has ended since then.
pub(super) async fn find_equal_done(
    pool: &PgPool,
    key: UploadKey,
    target: &ModuleRef,
    since_ms: i64,
) -> Result<Option<PackageRow>, CatalogError> {
    let query = sqlx::query(select!(
        job,
        " from job where app_code = $1 and module = $2 and upload_key = $3 and state = 'done' and ended_ms >= $4
         order by ended_ms desc limit 1"
    ));
    let query = query.bind(target.app.as_str()).bind(target.module.as_str()).bind(&key.0.as_bytes()[..]);
    let row = query.bind(since_ms).fetch_optional(pool).await.map_err(failed)?;
    let view = row.as_ref().map(read_view).transpose().map_err(failed)?;
    Ok(view.and_then(|view| match view.end {
        Some(JobEnd::Done(row)) => Some(row),
        _ => None,
    }))
}

/// Uploads of a module, the latest first.
pub(super) async fn list(pool: &PgPool, target: &ModuleRef, limit: u32) -> Result<Vec<JobView>, CatalogError> {
    let rows = sqlx::query(select!(
        job,
        " from job where app_code = $1 and module = $2 and (is_accepted or ended_ms is not null)
         order by id desc limit $3"
    ))
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await;
    rows.map_err(failed)?.iter().map(read_view).collect::<Result<_, _>>().map_err(failed)
}

/// Uploads by their names, whatever has come of them. Those that are not there are left out.
pub(super) async fn find_all(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<JobView>, sqlx::Error> {
    let rows = sqlx::query(select!(job, " from job where id = any($1)")).bind(ids).fetch_all(pool).await?;
    rows.iter().map(read_view).collect()
}

/// What it takes to run an accepted upload.
pub(super) async fn find_record(pool: &PgPool, id: JobId) -> Result<Option<JobRecord>, sqlx::Error> {
    let query = sqlx::query(select!(job, " from job where id = $1 and is_accepted and ended_ms is null"));
    query.bind(id.as_uuid()).fetch_optional(pool).await?.as_ref().map(read_record).transpose()
}

/// The upload and the request that a key stands for.
pub(super) async fn find_by_key(
    pool: &PgPool,
    key: Sha256,
    since_ms: i64,
) -> Result<Option<(JobId, Sha256)>, CatalogError> {
    let row = sqlx::query(
        "select job_id, fingerprint from job_key join job on job.id = job_id
         where key = $1 and job_key.created_ms > $2 and (is_accepted or ended_ms is not null)",
    )
    .bind(&key.as_bytes()[..])
    .bind(since_ms)
    .fetch_optional(pool)
    .await
    .map_err(failed)?;
    let read = |row: &PgRow| {
        let fingerprint: &[u8] = row.try_get("fingerprint")?;
        Ok((
            JobId::from_uuid(row.try_get("job_id")?),
            fingerprint.try_into().map(Sha256::from_bytes).map_err(|_| undecodable("a fingerprint"))?,
        ))
    };
    row.as_ref().map(read).transpose().map_err(failed)
}

/// Uploads that were accepted, have not ended and are in no process's name.
pub(super) async fn unfinished(pool: &PgPool) -> Result<Vec<JobRecord>, CatalogError> {
    let rows = sqlx::query(select!(
        job,
        " from job where is_accepted and process is null and state in ('waiting', 'ready')
         order by lives, created_ms, id"
    ))
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    rows.iter().map(read_record).collect::<Result<_, _>>().map_err(failed)
}

/// Versions of a module that uploads under way have named.
pub(super) async fn uploading(pool: &PgPool, target: &ModuleRef) -> Result<Vec<PackageVersion>, CatalogError> {
    let named: Vec<String> = sqlx::query_scalar(
        "select named_version from job
         where app_code = $1 and module = $2 and named_version is not null
             and state in ('waiting', 'ready', 'claimed', 'parked')",
    )
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    Ok(named.into_iter().filter_map(|version| PackageVersion::new(&version).ok()).collect())
}

/// How many jobs have ended and are remembered.
pub(super) async fn count_ended(tx: &mut PgConnection) -> Result<u64, sqlx::Error> {
    unsigned(sqlx::query_scalar("select count(*) from job where ended_ms is not null").fetch_one(tx).await?)
}

/// Forgets all but the latest jobs of a caller that have ended, and their keys.
pub(super) async fn forget_oldest_of(
    tx: &mut PgConnection,
    request: &JobRequest,
    remembered: usize,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from job where id in (select id from job where owner = $1 and ended_ms is not null
                                      order by ended_ms desc, id desc offset $2)",
    )
    .bind(owner_text(request))
    .bind(limit(remembered))
    .execute(tx)
    .await?;
    Ok(())
}

/// The same of all callers.
pub(super) async fn forget_oldest(tx: &mut PgConnection, remembered: usize) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from job where id in (select id from job where ended_ms is not null
                                      order by ended_ms desc, id desc offset $1)",
    )
    .bind(limit(remembered))
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets jobs that ended before then, and their keys.
pub(super) async fn expire(pool: &PgPool, before_ms: i64) -> Result<u64, CatalogError> {
    let done = sqlx::query("delete from job where ended_ms < $1").bind(before_ms).execute(pool).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}

fn read_record(row: &PgRow) -> Result<JobRecord, sqlx::Error> {
    let request = read_request(row)?;
    let lives = small(row.try_get("lives")?)?;
    Ok(JobRecord { view: read_view(row)?, request, keys: Vec::new(), lives, upload_key: None, is_queued: true })
}

fn read_view(row: &PgRow) -> Result<JobView, sqlx::Error> {
    let state = read_state(row.try_get("state")?, row.try_get("phase")?)?;
    let total: Option<i64> = row.try_get("total_bytes")?;
    Ok(JobView {
        id: JobId::from_uuid(row.try_get("id")?),
        target: read_module(row)?,
        state,
        received_bytes: unsigned(row.try_get("received_bytes")?)?,
        total_bytes: total.map(unsigned).transpose()?,
        attempts: small(row.try_get("attempts")?)?,
        created_ms: row.try_get("created_ms")?,
        started_ms: row.try_get("started_ms")?,
        ended_ms: row.try_get("ended_ms")?,
        end: read_end(state, row.try_get("outcome")?)?,
    })
}

/// How far it is, of one that has not ended; else how it ended.
fn read_state(state: &str, phase: &str) -> Result<JobState, sqlx::Error> {
    let name = if LIVE.contains(&state) { phase } else { state };
    JobState::from_name(name).ok_or_else(|| undecodable("a state"))
}
