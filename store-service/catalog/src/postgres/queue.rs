//! The queue of jobs in PostgreSQL, for any number of processes.
//!
//! Promises: what the port promises, by the clock of the server and no other. Who may claim what is decided in the server, by
//! one after the other (`migrations/postgres`); a word from one process to another is a hint, and everybody looks by themselves
//! every few seconds. A claim that its caller did not wait for is put back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use linkgate_contract::{JobId, ModuleRef, PackageVersion, Sha256};
use linkgate_store_core::budget::Exhausted;
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    BeatReply, Claim, Enqueued, Fence, Heartbeat, HolderId, JobEnd, JobQueue, JobRecord, JobView, NewJob, PackageRow,
    QueueError, UploadKey,
};
use linkgate_store_core::settings::QueueLimits;
use sqlx::{PgConnection, PgPool, Postgres, Row as _, Transaction};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::PostgresCatalog;
use super::chores::{Chore, Chores};
use super::database::{ASKED_AFTER, ASKED_AGAIN, UnknownOutcome, failed, is_refusal, limit};
use super::hints::{tell_all, tell_others};
use super::jobs::{self, Place};
use super::queue_state::QueueState;
use super::replicas;
use crate::again::{Tries, from_catalog, is_away, queue_failed, retried};
use crate::shared::{owner_text, signed, unsigned};

/// How often everybody looks all the same.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often at most, however short the leases are.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// The first half of the lock of the queue, which its functions in the server take.
const QUEUE_LOCK: i32 = 7301;

impl JobQueue for PostgresCatalog {
    async fn enqueue(&self, job: NewJob) -> Result<Enqueued, QueueError> {
        // Before anybody can claim it.
        self.state.keep(&job.record);
        let enqueued = retried!(while it is away, self.try_enqueue(&job));
        match &enqueued {
            Ok(Enqueued::Queued) => {
                self.state.count_as_queued(job.record.view.id);
                self.state.changed.notify_one();
            }
            Ok(Enqueued::Joined(_)) | Err(_) => self.state.forget(job.record.view.id),
        }
        enqueued
    }

    async fn claim(&self, holder: HolderId) -> Result<Claim, QueueError> {
        let look_every = (self.state.limits.lease / 2).clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY);
        loop {
            // Made before the look, so that no change between the two is missed.
            let mut changed = std::pin::pin!(self.state.changed.notified());
            changed.as_mut().enable();
            if let Some(claim) = self.claim_now(holder).await? {
                // Another one may be claimable as well, by whoever else waits here.
                self.state.changed.notify_one();
                return Ok(claim);
            }
            let _changed_or_time_to_look = timeout(look_every, changed).await;
        }
    }

    async fn heartbeat(&self, beats: Vec<Heartbeat>) -> Result<Vec<BeatReply>, QueueError> {
        let replies = retried!(self.try_heartbeat(&beats))?;
        for (beat, reply) in beats.into_iter().zip(&replies) {
            if *reply != BeatReply::Lost {
                self.state.show(beat.view);
            }
        }
        Ok(replies)
    }

    async fn withdraw(&self, id: JobId) -> Result<bool, QueueError> {
        let is_gone = retried!(withdraw(&self.pool, self.state.process, id)).map_err(queue_failed)?;
        if is_gone {
            self.state.forget(id);
            self.state.wake();
            self.chores.add(Chore::Tell);
        }
        Ok(is_gone)
    }

    fn release(&self, id: JobId, fence: Option<Fence>) {
        give_up(&self.state, &self.chores, id, fence);
    }

    async fn accept(&self, job: JobRecord) -> Result<(), QueueError> {
        retried!(while it is away, self.try_accept(&job)).map_err(queue_failed)
    }

    async fn begin_life(&self, id: JobId) -> Result<(), QueueError> {
        retried!(while it is away, jobs::count_life(&self.pool, id, 1)).map_err(queue_failed)
    }

    async fn give_life_back(&self, id: JobId) -> Result<(), QueueError> {
        let given = jobs::count_life(&self.pool, id, -1).await;
        if given.as_ref().is_err_and(is_away) {
            self.chores.add(Chore::GiveLifeBack { id });
            return Ok(());
        }
        given.map_err(queue_failed)
    }

    /// What is in nobody's name anybody may claim.
    fn adopt(&self, _: JobRecord) {}

    async fn stay_alive(&self) -> Result<(), QueueError> {
        retried!(stay_alive(&self.pool, &self.state)).map_err(queue_failed)
    }

    async fn finish(&self, job: JobRecord, end: JobEnd, fence: Option<Fence>) -> Result<(), QueueError> {
        self.end_job(job, end, fence, Tries::while_it_is_away()).await
    }

    async fn finish_at_once(&self, job: JobRecord, end: JobEnd, fence: Option<Fence>) -> Result<(), QueueError> {
        self.end_job(job, end, fence, Tries::default()).await
    }

    async fn cancel(&self, id: JobId) -> Result<bool, QueueError> {
        let state = retried!(ask_for_end(&self.pool, id)).map_err(queue_failed)?;
        // Whoever has it follows an equal one, and listens.
        if state.as_deref() == Some("parked") {
            tell_all(&self.pool).await.map_err(queue_failed)?;
        }
        Ok(state.is_some())
    }

    async fn cancel_requested(&self, id: JobId) {
        let mut asked = self.state.listen_for_cancel(id);
        // It may have been asked for before.
        self.state.moved.notify_one();
        if asked.wait_for(|is_asked| *is_asked).await.is_err() {
            // The sender stays as long as somebody listens.
            std::future::pending().await
        }
    }

    async fn watch(&self, id: JobId) -> Result<Option<watch::Receiver<JobView>>, QueueError> {
        if let Some(known) = self.state.subscribe(id) {
            return Ok(Some(known));
        }
        let ids = [id.as_uuid()];
        let found = retried!(while it is away, jobs::find_all(&self.pool, &ids)).map_err(queue_failed)?;
        let live = found.into_iter().find(|view| view.end.is_none());
        Ok(live.map(|view| self.state.watch(view)))
    }

    async fn find_job(&self, id: JobId) -> Result<Option<JobView>, QueueError> {
        retried!(while it is away, jobs::find(&self.pool, id)).map_err(from_catalog)
    }

    async fn find_equal_done(
        &self,
        key: UploadKey,
        target: &ModuleRef,
        since_ms: i64,
    ) -> Result<Option<PackageRow>, QueueError> {
        retried!(while it is away, jobs::find_equal_done(&self.pool, key, target, since_ms)).map_err(from_catalog)
    }

    async fn list_jobs(&self, target: &ModuleRef, limit: u32) -> Result<Vec<JobView>, QueueError> {
        jobs::list(&self.pool, target, limit).await.map_err(from_catalog)
    }

    async fn find_job_by_key(&self, key: Sha256, since_ms: i64) -> Result<Option<(JobId, Sha256)>, QueueError> {
        jobs::find_by_key(&self.pool, key, since_ms).await.map_err(from_catalog)
    }

    async fn uploading(&self, target: &ModuleRef) -> Result<Vec<PackageVersion>, QueueError> {
        jobs::uploading(&self.pool, target).await.map_err(from_catalog)
    }

    async fn unfinished(&self) -> Result<Vec<JobRecord>, QueueError> {
        retried!(while it is away, jobs::unfinished(&self.pool)).map_err(from_catalog)
    }

    async fn has_others(&self) -> Result<bool, QueueError> {
        replicas::has_others(&self.pool, self.state.process).await.map_err(queue_failed)
    }
}

impl PostgresCatalog {
    async fn try_enqueue(&self, job: &NewJob) -> Result<Enqueued, QueueError> {
        let (process, lease) = (self.state.process, self.state.limits.lease);
        let _place = self.waiting.place().await.map_err(queue_failed)?;
        let mut tx = self.pool.begin().await.map_err(queue_failed)?;
        let (verdict, joined) = admit(&mut tx, job, &self.state).await.map_err(queue_failed)?;
        let QueueLimits { queued, queued_per_app, .. } = self.state.limits;
        match verdict.as_str() {
            "new" => {}
            "claimed" => return Ok(Enqueued::Queued),
            "joined" => return Ok(Enqueued::Joined(joined)),
            "key_reused" => return Err(QueueError::KeyReused),
            "owner_full" => return Err(QueueError::Full(Exhausted::Owner { bound: queued_per_app })),
            _ => return Err(QueueError::Full(Exhausted::Sum { bound: queued })),
        }
        jobs::enqueue(&mut tx, job, process, lease).await.map_err(queue_failed)?;
        tx.commit().await.map_err(queue_failed)?;
        Ok(Enqueued::Queued)
    }

    /// The next job that may run now, if there is one. In a task of its own: what the server has given out, it has given out,
    /// whether its caller waits or not.
    pub(super) async fn claim_now(&self, holder: HolderId) -> Result<Option<Claim>, QueueError> {
        let (sender, receiver) = oneshot::channel();
        let (pool, state, chores) = (self.pool.clone(), Arc::clone(&self.state), self.chores.clone());
        tokio::spawn(async move {
            let asked = ask(&pool, &state, holder).await;
            let asked = asked.map(|claim| claim.map(|claim| Handed { claim: Some(claim), state, chores }));
            let _put_back_if_nobody_waits = sender.send(asked);
        });
        match receiver.await {
            Ok(Ok(handed)) => Ok(handed.and_then(Handed::take)),
            Ok(Err(error)) => Err(queue_failed(error)),
            // The runtime ends.
            Err(_) => Ok(None),
        }
    }

    async fn try_heartbeat(&self, beats: &[Heartbeat]) -> Result<Vec<BeatReply>, QueueError> {
        let alive = beat(&self.pool, beats, self.state.limits.lease).await.map_err(queue_failed)?;
        let reply = |beat: &Heartbeat| match alive.get(&beat.view.id.as_uuid()) {
            Some(true) => BeatReply::CancelRequested,
            Some(false) => BeatReply::Extended,
            None => BeatReply::Lost,
        };
        Ok(beats.iter().map(reply).collect())
    }

    async fn try_accept(&self, job: &JobRecord) -> Result<(), sqlx::Error> {
        // Others may have taken its row away, where this process stood still: it waits for its turn once more then.
        let place = if self.state.is_queued(job.view.id) { Place::Queue } else { Place::None };
        let mut tx = self.pool.begin().await?;
        let is_new = jobs::record_acceptance(&mut tx, job, place, self.state.process, self.state.limits.lease).await?;
        reached(Step::AcceptDue);
        tx.commit().await?;
        reached(Step::Accepted);
        if is_new && place == Place::Queue {
            self.state.changed.notify_one();
        }
        Ok(())
    }

    async fn end_job(&self, job: JobRecord, end: JobEnd, fence: Option<Fence>, tries: Tries) -> Result<(), QueueError> {
        let ended_ms = retried!(tries, self.try_finish(&job, &end, fence))?;
        self.has_ended(job.view, end, ended_ms);
        Ok(())
    }

    /// When it ended.
    async fn try_finish(&self, job: &JobRecord, end: &JobEnd, fence: Option<Fence>) -> Result<i64, QueueError> {
        let now = now_ms();
        let mut tx = self.pool.begin().await.map_err(queue_failed)?;
        if !jobs::may_end(&mut tx, job.view.id, fence, self.state.process).await.map_err(queue_failed)? {
            return Err(QueueError::Fenced);
        }
        jobs::record_end(&mut tx, job, end, now).await.map_err(queue_failed)?;
        self.ended.add(&mut tx, &job.request).await.map_err(queue_failed)?;
        commit_end(&self.pool, tx, job.view.id, end).await?;
        Ok(now)
    }

    /// The end of a job is recorded.
    pub(super) fn has_ended(&self, view: JobView, end: JobEnd, ended_ms: i64) {
        self.state.forget(view.id);
        self.state.show(JobView { state: end.state(), ended_ms: Some(ended_ms), end: Some(end), ..view });
        self.state.changed.notify_one();
        self.chores.add(Chore::Tell);
    }
}

/// Judges a job that is to be queued.
async fn admit(tx: &mut PgConnection, job: &NewJob, state: &QueueState) -> Result<(String, JobId), sqlx::Error> {
    let NewJob { record, key, host, is_resumed } = job;
    let limits = &state.limits;
    let keys: Vec<Vec<u8>> = record.keys.iter().map(|key| key.key.as_bytes().to_vec()).collect();
    let fingerprints: Vec<Vec<u8>> = record.keys.iter().map(|key| key.fingerprint.as_bytes().to_vec()).collect();
    let row = sqlx::query("select * from admit_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
        .bind(state.process)
        .bind(record.view.id.as_uuid())
        .bind(&key.0.as_bytes()[..])
        .bind(keys)
        .bind(fingerprints)
        .bind(owner_text(&record.request))
        .bind(host)
        .bind(!is_resumed)
        .bind(limit(limits.running))
        .bind(limit(limits.per_host))
        .bind(limit(limits.per_app))
        .bind(limit(limits.resumed))
        .bind(limit(limits.queued))
        .bind(limit(limits.queued_per_app))
        .fetch_one(tx)
        .await?;
    Ok((row.try_get("verdict")?, JobId::from_uuid(row.try_get("joined")?)))
}

/// A claim on its way to whoever waits for it.
struct Handed {
    claim: Option<(Claim, Whose)>,
    state: Arc<QueueState>,
    chores: Chores,
}

/// Whose job was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// It waits at this process.
    Own,
    /// Any process may have it.
    Anybodys,
}

impl Handed {
    fn take(mut self) -> Option<Claim> {
        self.claim.take().map(|(claim, _)| claim)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let Some((claim, whose)) = self.claim.take() else { return };
        let (id, fence) = (claim.record.view.id, claim.fence);
        match whose {
            Whose::Own => self.chores.add(Chore::PutBack { id, fence }),
            Whose::Anybodys => give_up(&self.state, &self.chores, id, Some(fence)),
        }
    }
}

/// Claimed here before that is done, it is nobody's any more, unless it was accepted.
fn give_up(state: &QueueState, chores: &Chores, id: JobId, fence: Option<Fence>) {
    state.forget(id);
    chores.add(Chore::Release { id, fence });
}

async fn ask(pool: &PgPool, state: &QueueState, holder: HolderId) -> Result<Option<(Claim, Whose)>, sqlx::Error> {
    loop {
        let Some((id, fence, is_cancelled)) = claim(pool, state, holder).await? else { return Ok(None) };
        let found = match state.own(id) {
            Some(record) => Some((record, Whose::Own)),
            None => jobs::find_record(pool, id).await?.map(|record| (record, Whose::Anybodys)),
        };
        if let Some((record, whose)) = found {
            state.keep(&record);
            state.count_as_queued(id);
            return Ok(Some((Claim { record, fence, is_cancelled }, whose)));
        }
        // Nobody was told of it, and nobody here knows it: its enqueuing was given up.
        release(pool, state, id, Some(fence)).await?;
    }
}

async fn claim(
    pool: &PgPool,
    state: &QueueState,
    holder: HolderId,
) -> Result<Option<(JobId, Fence, bool)>, sqlx::Error> {
    let limits = &state.limits;
    let row = sqlx::query("select * from claim_job($1, $2, $3, $4, $5, $6, $7)")
        .bind(state.process)
        .bind(holder.as_uuid())
        .bind(limits.lease)
        .bind(limit(limits.running))
        .bind(limit(limits.per_host))
        .bind(limit(limits.per_app))
        .bind(limit(limits.resumed))
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let fence = Fence { holder, epoch: unsigned(row.try_get("epoch")?)? };
    Ok(Some((JobId::from_uuid(row.try_get("id")?), fence, row.try_get("is_cancelled")?)))
}

/// As a claim does before it looks, and under the same lock.
async fn stay_alive(pool: &PgPool, state: &QueueState) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let lock = "select set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock($1, 0)";
    sqlx::query(lock).bind(QUEUE_LOCK).execute(&mut *tx).await?;
    let alive = sqlx::query("select take_back($1, $2)").bind(state.process).bind(state.limits.lease);
    alive.execute(&mut *tx).await?;
    tx.commit().await
}

/// Which claims are good still, and whether somebody asks for the ends of their jobs.
async fn beat(pool: &PgPool, beats: &[Heartbeat], lease: Duration) -> Result<HashMap<Uuid, bool>, sqlx::Error> {
    let views = || beats.iter().map(|beat| &beat.view);
    let numbers = |number: fn(&JobView) -> u64| views().map(|view| signed(number(view))).collect::<Result<Vec<_>, _>>();
    let totals: Vec<Option<i64>> =
        views().map(|view| view.total_bytes.map(signed).transpose()).collect::<Result<_, _>>()?;
    let epochs: Vec<i64> = beats.iter().map(|beat| signed(beat.fence.epoch)).collect::<Result<_, _>>()?;
    let rows = sqlx::query("select * from beat_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(views().map(|view| view.id.as_uuid()).collect::<Vec<_>>())
        .bind(beats.iter().map(|beat| beat.fence.holder.as_uuid()).collect::<Vec<_>>())
        .bind(epochs)
        .bind(views().map(|view| view.state.name()).collect::<Vec<_>>())
        .bind(numbers(|view| view.received_bytes)?)
        .bind(totals)
        .bind(numbers(|view| view.attempts.into())?)
        .bind(views().map(|view| view.started_ms).collect::<Vec<_>>())
        .bind(lease)
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("is_cancelled")?))).collect()
}

/// Notes that somebody wants a job to end, and returns its state if it has not.
async fn ask_for_end(pool: &PgPool, id: JobId) -> Result<Option<String>, sqlx::Error> {
    let query = "update job set is_cancelled = true
        where id = $1 and state in ('waiting', 'ready', 'claimed', 'parked') returning state";
    sqlx::query_scalar(query).bind(id.as_uuid()).fetch_optional(pool).await
}

/// Whether a job of this process still waited: it is off the queue then.
async fn withdraw(pool: &PgPool, process: Uuid, id: JobId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "with gone as (
            delete from job where id = $1 and process = $2 and state in ('waiting', 'ready') and not is_accepted returning 1
         ), parked as (
            update job set state = 'parked', ready_no = null
            where id = $1 and process = $2 and state in ('waiting', 'ready') and is_accepted returning 1
         )
         select exists(select from gone) or exists(select from parked)",
    )
    .bind(id.as_uuid())
    .bind(process)
    .fetch_one(pool)
    .await
}

/// Gives up a job, with this claim or without one: if it was accepted another process can claim it, every other one is gone. Without
/// a claim it is in the name of this process: it waits, follows another one, or was accepted after its claim was lost.
pub(super) async fn release(
    pool: &PgPool,
    state: &QueueState,
    id: JobId,
    fence: Option<Fence>,
) -> Result<(), sqlx::Error> {
    let is_released: bool = sqlx::query_scalar(
        "with given_up as (
            select id from job where id = $1 and (holder = $2 and epoch = $3 and state = 'claimed'
                or process = $4 and state in ('waiting', 'ready', 'parked')) for update
         ), gone as (
            delete from job where id in (select id from given_up) and not is_accepted returning 1
         ), free as (
            update job set state = 'waiting', phase = 'queued', process = null, holder = null, lease_until = null,
                ready_no = null, resumed_at = clock_timestamp(), released_by = $4,
                queue_no = coalesce(queue_no, nextval('job_turn'))
            where id in (select id from given_up) and is_accepted returning 1
         )
         select exists(select from gone) or exists(select from free)",
    )
    .bind(id.as_uuid())
    .bind(fence.map(|fence| fence.holder.as_uuid()))
    .bind(fence.map(|fence| signed(fence.epoch)).transpose()?)
    .bind(state.process)
    .fetch_one(pool)
    .await?;
    if !is_released {
        return Ok(());
    }
    state.wake();
    tell_others(pool, state).await
}

/// Lets a job be claimed again that was claimed for nobody.
pub(super) async fn put_back(pool: &PgPool, state: &QueueState, id: JobId, fence: Fence) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update job set state = 'ready', holder = null, ready_no = 0
         where id = $1 and holder = $2 and epoch = $3 and state = 'claimed'",
    )
    .bind(id.as_uuid())
    .bind(fence.holder.as_uuid())
    .bind(signed(fence.epoch)?)
    .execute(pool)
    .await?;
    state.changed.notify_one();
    Ok(())
}

/// Gives up all that is in the name of this process.
pub(super) async fn leave(pool: &PgPool, state: &QueueState) -> Result<(), sqlx::Error> {
    sqlx::query("select leave_jobs($1)").bind(state.process).execute(pool).await?;
    tell_others(pool, state).await
}

/// Commits the end of a job. If the reply is lost, the job says whether it has ended.
async fn commit_end(pool: &PgPool, tx: Transaction<'_, Postgres>, id: JobId, end: &JobEnd) -> Result<(), QueueError> {
    let Err(error) = tx.commit().await else { return Ok(()) };
    if is_refusal(&error) {
        return Err(queue_failed(error));
    }
    for _ in 0..ASKED_AFTER {
        match jobs::has_ended(pool, id, end).await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(from_catalog(failed(error))),
            Err(_) => sleep(ASKED_AGAIN).await,
        }
    }
    Err(QueueError::Unavailable(UnknownOutcome(error).into()))
}
