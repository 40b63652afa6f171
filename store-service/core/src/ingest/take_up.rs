//! Takes up jobs whose process is gone.
//!
//! Promises: every job that was accepted and has not ended begins again, under its old id; what has come of it before
//! is not used. One that may not be done any more ends with the reason, and so does one whose process ended too often while
//! it was worked on. Where other processes are alive that may be allowed it, by other settings, they get it first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use linkgate_contract::{JobId, MediaType, Problem, UploadByLinkRequest};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::job::{Job, RecordState};
use super::ports::{Claim, Failure, Fence, JobEnd, JobQueue as _, JobRecord, JobRequest, QueueError, Services};
use super::{Ingest, IngestError, Upload, chain};

/// For so many leases a job is left to others. Each that refuses it, too, gets it again after one.
const LEASES_FOR_OTHERS: u32 = 10;
/// One that did not come again for so many was worked on meanwhile.
const LEASES_UNTIL_FORGOTTEN: u32 = 3;
/// How long a job is kept that is left to others, so that those who may not do it do not pass it to and fro all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// Jobs that were left to others: since when, and when last.
#[derive(Default)]
pub(super) struct LeftToOthers(Mutex<HashMap<JobId, (Instant, Instant)>>);

impl LeftToOthers {
    /// Whether a job may be left to others once more.
    fn may_be_left(&self, id: JobId, lease: Duration) -> bool {
        // Nothing in here panics half-way.
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|_, (_, last)| last.elapsed() < lease.saturating_mul(LEASES_UNTIL_FORGOTTEN));
        let now = Instant::now();
        let (since, last) = left.entry(id).or_insert((now, now));
        *last = now;
        since.elapsed() < lease.saturating_mul(LEASES_FOR_OTHERS)
    }
}

impl<V: Services> Ingest<V> {
    /// Begins those again that nobody works on. Called once, before anybody can ask for more.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn resume(self: &Arc<Self>) -> Result<(), QueueError> {
        for record in self.catalog.unfinished().await? {
            match self.take_up(record, None, false).await {
                // Another process, or this one, has claimed it meanwhile.
                Ok(()) | Err(QueueError::Fenced) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Works on a job that this process has claimed and does not know: its own is gone.
    pub(super) async fn take_over(self: &Arc<Self>, claim: Claim) {
        let Claim { record, fence, is_cancelled } = claim;
        let id = record.view.id;
        if let Err(e) = self.take_up(record, Some(fence), is_cancelled).await {
            error!(job.id = %id, error = chain(&e), "Cannot take over job `{id}`; it is claimed again when its lease runs out");
        }
    }

    async fn take_up(
        self: &Arc<Self>,
        record: JobRecord,
        fence: Option<Fence>,
        is_cancelled: bool,
    ) -> Result<(), QueueError> {
        let (id, created_ms, lives) = (record.view.id, record.view.created_ms, record.lives);
        if lives >= self.rules.max_lives {
            return self.give_up(record, fence).await;
        }
        match self.parse_upload(&record) {
            Ok(upload) => {
                info!(job.id = %id, request.id = upload.request_id, "Took job `{id}` up again, which was accepted before");
                let job = Job::new(id, upload, created_ms, RecordState::Accepted);
                let job = job.with_lives(lives).sealed_by(&self.rules.sealer);
                match fence {
                    Some(fence) => _ = job.hand_claim(fence),
                    None => self.catalog.adopt(job.record()),
                }
                if is_cancelled {
                    job.cancel.cancel();
                }
                // Its keys lead to it through the catalog. A store that starts may find it waiting and claim it at the same time.
                let listed = self.jobs.list_own(job, |job, listed| self.spawn(job, listed));
                if let (Some(live), Some(fence)) = (listed, fence) {
                    self.hand_claim(&live, fence);
                }
                Ok(())
            }
            Err(problem) if self.is_for_others(id).await? => {
                warn!(job.id = %id, error = problem.code().name(), "Job `{id}` was accepted before, and this store may not do it; it is left to others");
                if let Some(fence) = fence {
                    self.give_back_soon(id, fence);
                }
                Ok(())
            }
            Err(problem) => {
                let failure = Failure::from_problem(&problem);
                warn!(job.id = %id, error = failure.code, "Job `{id}` was accepted before and may not be done any more; it ends as failed");
                self.catalog.finish(record, JobEnd::Failed(failure), fence).await
            }
        }
    }

    /// Whether others may be allowed what this store is not: they may have been given other settings, or other keys.
    async fn is_for_others(&self, id: JobId) -> Result<bool, QueueError> {
        Ok(self.catalog.has_others().await? && self.left_to_others.may_be_left(id, self.rules.queue.lease))
    }

    /// Beside what else is claimed.
    fn give_back_soon(&self, id: JobId, fence: Fence) {
        let (catalog, stop) = (self.catalog.clone(), self.stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(sleep(PAUSE)).await;
            catalog.release(id, Some(fence));
        });
    }

    /// Its work may be what ended them all.
    async fn give_up(&self, record: JobRecord, fence: Option<Fence>) -> Result<(), QueueError> {
        let (id, lives): (JobId, u32) = (record.view.id, record.lives);
        error!(
            job.id = %id,
            request.id = record.request.request_id,
            app.code = record.view.target.app.as_str(),
            package.url = record.request.source_url,
            job.lives = lives,
            "Gave up job `{id}`: the store ended or failed {lives} times while it worked on it; look why before you let it be uploaded again"
        );
        let failure = Failure::from_problem(&(self.rules.explain)(&IngestError::GivenUp { lives }));
        self.catalog.finish(record, JobEnd::Failed(failure), fence).await
    }

    /// Judged like any request, for the operator may have changed what is allowed.
    fn parse_upload(&self, record: &JobRecord) -> Result<Upload, Problem> {
        let JobRequest { body, allowance, caller_app, operator, tenant, request_id, client_address, sealed, .. } =
            &record.request;
        let (id, sealer) = (record.view.id, &self.rules.sealer);
        let lost = |_| (self.rules.explain)(&IngestError::SealLost);
        let callers_own = sealed.as_ref().map(|sealed| sealer.open(id, sealed)).transpose().map_err(lost)?;
        let body = sealer.open_request(id, body).map_err(lost)?;
        Ok(Upload {
            target: record.view.target.clone(),
            request: UploadByLinkRequest::parse_body(&MediaType::Json, body.as_bytes(), &self.rules.allowed_hosts)?,
            caller_app: caller_app.clone(),
            operator: operator.clone(),
            tenant: tenant.clone(),
            allowance: allowance.clone(),
            callers_own,
            request_id: request_id.clone(),
            client_address: client_address.clone(),
        })
    }
}
