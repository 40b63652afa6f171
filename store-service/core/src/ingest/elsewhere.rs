//! Jobs that another process works on.
//!
//! Promises: whoever asks here for what is done elsewhere hears how it ends, whichever process brings it to its end. A job that
//! does the same as one elsewhere ends like it, and is done here if that one goes away without an end.

use linkgate_contract::{ErrorCode, JobId};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::job::{Job, RecordState, Stage};
use super::outage::Away;
use super::ports::{Catalog as _, JobEnd, JobQueue as _, JobView, PackageRow, QueueError, Services};
use super::{Ingest, IngestError};

/// Within how many leases a cancelled job ends that is not waiting for its turn: whoever works on it hears of it well within one,
/// or is gone then, and the next one hears of it at once.
const LEASES_TO_CANCEL: u32 = 2;

impl<V: Services> Ingest<V> {
    /// What is known of a job as it changes, whoever works on it. `None` if nobody does.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn watch(&self, id: JobId) -> Result<Option<watch::Receiver<JobView>>, QueueError> {
        self.catalog.watch(id).await
    }

    /// Waits for the end of a job that another process works on.
    ///
    /// # Errors
    /// [`IngestError`] says why nothing was stored.
    pub async fn outcome_elsewhere(&self, view: &JobView) -> Result<PackageRow, IngestError> {
        let end = match &view.end {
            Some(end) => Some(end.clone()),
            None => tokio::select! {
                end = self.end_elsewhere(view.id, |_| {}) => end?,
                away = self.is_away_for_long() => return Err(IngestError::Away(away)),
                () = self.stop.cancelled() => return Err(IngestError::Stopping),
            },
        };
        end.map_or(Err(IngestError::ClaimLost), outcome)
    }

    /// Asks for the end of a job that another process works on, and waits for it; not for ever, for it may wait for its turn.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn cancel_elsewhere(&self, view: JobView) -> Result<JobView, QueueError> {
        if view.end.is_none() && self.catalog.cancel(view.id).await? {
            let ended = self.end_elsewhere(view.id, |_| {});
            let _in_time_or_not = timeout(self.rules.queue.lease * LEASES_TO_CANCEL, ended).await;
        }
        Ok(self.catalog.find_job(view.id).await?.unwrap_or(view))
    }

    /// Resolves when a job that waits here for its turn has ended elsewhere, or is on the queue no more: another process took this
    /// one for dead, which stood still. That takes a lease at least, and most jobs have had their turn by then.
    ///
    /// # Errors
    /// If the catalog fails.
    pub(super) async fn is_gone_elsewhere(&self, id: JobId) -> Result<(), QueueError> {
        sleep(self.rules.queue.lease).await;
        self.end_elsewhere(id, |_| {}).await.map(drop)
    }

    /// Waits for the end of a job that does the same. `None` if it went away without one, or this one has its own turn meanwhile; or
    /// if it failed for a reason that may be over, or another store's, for one that somebody was told will be done.
    pub(super) async fn follow(&self, job: &Job, other: JobId) -> Result<Option<JobEnd>, IngestError> {
        job.reach(Stage::Queued);
        let show = |view: &JobView| {
            job.progress.set_received(view.received_bytes);
            job.progress.set_total(view.total_bytes);
        };
        tokio::select! {
            end = self.end_elsewhere(other, show) => {
                let has_another_turn = other != job.id() && job.goes_on();
                Ok(end?.filter(|end| !(has_another_turn && is_for_now(end))))
            }
            () = job.claimed() => Ok(None),
            () = self.catalog.cancel_requested(job.id()) => Err(IngestError::Cancelled),
            // The other one may wait for what is away.
            away = self.gives_up_waiting(job) => Err(IngestError::Away(away)),
            reason = self.stopped(job) => Err(reason),
        }
    }

    /// Resolves when something is away that whoever asks may wait for, and has waited for as long as for a turn.
    async fn is_away_for_long(&self) -> Away {
        sleep(self.rules.queue.queue_timeout).await;
        self.outage.lasts().await
    }

    /// Ends a job like the one that did the same. That one may be this job itself, which another process has ended.
    pub(super) async fn end_alike(&self, job: &Job, other: JobId, end: JobEnd) -> Result<PackageRow, IngestError> {
        let row = outcome(end)?;
        if other == job.id() {
            *job.record_state.lock().await = RecordState::Ended;
            return Ok(row);
        }
        self.end_done(job, row).await
    }

    /// Ends a job whose version is there meanwhile: like an equal one, if that has put it there since this one was asked for. One
    /// follows the other, unless its process went away and another took it up. By a clock that is ahead an older one has done so,
    /// too, and the link may have other bytes since: where these have come, they must be the same.
    pub(super) async fn end_as_done_beside(&self, job: &Job) -> Result<PackageRow, IngestError> {
        let (key, target) = (job.upload_key(), &job.upload.target);
        let Some(row) = self.catalog.find_equal_done(key, target, job.created_ms()).await? else {
            return Err(IngestError::AlreadyExists);
        };
        if !job.may_be(row.sha256) {
            return Err(IngestError::AlreadyExists);
        }
        // It may have been deleted since, and another one be there.
        let live = self.catalog.find_live(target, &row.version).await?;
        if live.is_some_and(|live| (live.row.id, live.row.sha256) == (row.id, row.sha256)) {
            self.end_done(job, row).await
        } else {
            Err(IngestError::AlreadyExists)
        }
    }

    /// Ends a job with what an equal one has made.
    async fn end_done(&self, job: &Job, row: PackageRow) -> Result<PackageRow, IngestError> {
        let mut state = job.record_state.lock().await;
        if *state == RecordState::Accepted || !job.keys().is_empty() {
            self.catalog.finish(job.record(), JobEnd::Done(row.clone()), job.fence()).await?;
        }
        *state = RecordState::Ended;
        Ok(row)
    }

    async fn end_elsewhere(&self, id: JobId, mut show: impl FnMut(&JobView)) -> Result<Option<JobEnd>, QueueError> {
        if let Some(mut views) = self.catalog.watch(id).await? {
            // Closed once it has ended: its last value tells how, unless it went away without an end.
            let _ended_or_closed = views
                .wait_for(|view| {
                    show(view);
                    view.end.is_some()
                })
                .await;
        }
        Ok(self.catalog.find_job(id).await?.and_then(|view| view.end))
    }
}

/// Whether the same may be done well now, or at another store.
fn is_for_now(end: &JobEnd) -> bool {
    const CODES: [ErrorCode; 3] = [ErrorCode::Unavailable, ErrorCode::InsufficientStorage, ErrorCode::TooManyUploads];
    matches!(end, JobEnd::Failed(failure) if CODES.iter().any(|code| code.name() == failure.code))
}

fn outcome(end: JobEnd) -> Result<PackageRow, IngestError> {
    match end {
        JobEnd::Done(row) => Ok(row),
        JobEnd::Failed(failure) => Err(IngestError::JoinedFailed(failure)),
        JobEnd::Cancelled(_) => Err(IngestError::Cancelled),
    }
}
