//! The queue of jobs: in memory as long as a job waits or runs, in SQLite what must outlive this process.

use std::time::Duration;

use linkgate_contract::{JobId, ModuleRef, PackageVersion, Sha256};
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    BeatReply, CatalogError, Claim, Enqueued, Fence, Heartbeat, HolderId, JobEnd, JobQueue, JobRecord, JobView, NewJob,
    PackageRow, QueueError, UploadKey,
};
use tokio::sync::watch;
use tokio::time::sleep;

use super::SqliteCatalog;
use super::database::BEGIN;
use super::jobs;
use crate::again::{Tries, from_catalog, queue_failed, retried};

/// How long after a failure what must be written is written again.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

impl JobQueue for SqliteCatalog {
    async fn enqueue(&self, job: NewJob) -> Result<Enqueued, QueueError> {
        self.claims.enqueue(job)
    }

    async fn claim(&self, holder: HolderId) -> Result<Claim, QueueError> {
        Ok(self.claims.claim(holder).await)
    }

    async fn heartbeat(&self, beats: Vec<Heartbeat>) -> Result<Vec<BeatReply>, QueueError> {
        Ok(self.claims.heartbeat(beats))
    }

    async fn withdraw(&self, id: JobId) -> Result<bool, QueueError> {
        Ok(self.claims.withdraw(id))
    }

    fn release(&self, id: JobId, fence: Option<Fence>) {
        self.claims.release(id, fence);
    }

    async fn accept(&self, job: JobRecord) -> Result<(), QueueError> {
        retried!(while it is away, self.try_accept(&job))?;
        self.claims.accept(job);
        Ok(())
    }

    async fn begin_life(&self, id: JobId) -> Result<(), QueueError> {
        self.claims.count_life(id, 1);
        let counted = retried!(while it is away, self.record_lives(id)).map_err(from_catalog);
        if counted.is_err() {
            self.claims.count_life(id, -1);
        }
        counted
    }

    async fn give_life_back(&self, id: JobId) -> Result<(), QueueError> {
        self.claims.count_life(id, -1);
        match self.record_lives(id).await {
            Err(CatalogError::Unavailable(_)) => {
                tokio::spawn(self.clone().record_lives_later(id));
                Ok(())
            }
            recorded => recorded.map_err(from_catalog),
        }
    }

    fn adopt(&self, job: JobRecord) {
        self.claims.accept(job);
    }

    async fn stay_alive(&self) -> Result<(), QueueError> {
        Ok(())
    }

    async fn finish(&self, job: JobRecord, end: JobEnd, fence: Option<Fence>) -> Result<(), QueueError> {
        self.end_job(job, end, fence, Tries::while_it_is_away()).await
    }

    async fn finish_at_once(&self, job: JobRecord, end: JobEnd, fence: Option<Fence>) -> Result<(), QueueError> {
        self.end_job(job, end, fence, Tries::default()).await
    }

    async fn cancel(&self, id: JobId) -> Result<bool, QueueError> {
        Ok(self.claims.cancel(id))
    }

    async fn cancel_requested(&self, _: JobId) {
        std::future::pending().await
    }

    async fn watch(&self, id: JobId) -> Result<Option<watch::Receiver<JobView>>, QueueError> {
        Ok(self.claims.watch(id))
    }

    async fn find_job(&self, id: JobId) -> Result<Option<JobView>, QueueError> {
        jobs::find(&self.reader.pool, id).await.map_err(from_catalog)
    }

    /// Equal uploads are one job here, and none of it is left to another process.
    async fn find_equal_done(&self, _: UploadKey, _: &ModuleRef, _: i64) -> Result<Option<PackageRow>, QueueError> {
        Ok(None)
    }

    async fn list_jobs(&self, target: &ModuleRef, limit: u32) -> Result<Vec<JobView>, QueueError> {
        jobs::list(&self.reader.pool, target, limit).await.map_err(from_catalog)
    }

    async fn find_job_by_key(&self, key: Sha256, since_ms: i64) -> Result<Option<(JobId, Sha256)>, QueueError> {
        jobs::find_by_key(&self.reader.pool, key, since_ms).await.map_err(from_catalog)
    }

    async fn uploading(&self, target: &ModuleRef) -> Result<Vec<PackageVersion>, QueueError> {
        Ok(self.claims.uploading(target))
    }

    async fn unfinished(&self) -> Result<Vec<JobRecord>, QueueError> {
        let mut left = jobs::unfinished(&self.reader.pool).await.map_err(from_catalog)?;
        left.retain(|job| !self.claims.has(job.view.id));
        Ok(left)
    }

    async fn has_others(&self) -> Result<bool, QueueError> {
        Ok(false)
    }
}

impl SqliteCatalog {
    async fn try_accept(&self, job: &JobRecord) -> Result<(), QueueError> {
        let mut tx = self.writer.begin_with(BEGIN).await.map_err(queue_failed)?;
        jobs::record_acceptance(&mut tx, job).await.map_err(queue_failed)?;
        reached(Step::AcceptDue);
        tx.commit().await.map_err(queue_failed)?;
        reached(Step::Accepted);
        Ok(())
    }

    /// Writes down what this process counts.
    async fn record_lives(&self, id: JobId) -> Result<(), CatalogError> {
        match self.claims.lives(id) {
            Some(lives) => jobs::record_lives(&self.writer, id, lives).await,
            None => Ok(()),
        }
    }

    /// Once the database is back, or nobody has the job any more.
    async fn record_lives_later(self, id: JobId) {
        while !self.writer.is_closed() && self.record_lives(id).await.is_err() {
            sleep(RECORD_AGAIN).await;
        }
    }

    async fn end_job(&self, job: JobRecord, end: JobEnd, fence: Option<Fence>, tries: Tries) -> Result<(), QueueError> {
        let ending = self.claims.begin_end(job.view.id, fence)?;
        let now = retried!(tries, self.try_finish(&job, &end))?;
        ending.end(job.view, end, now);
        Ok(())
    }

    /// When it ended.
    async fn try_finish(&self, job: &JobRecord, end: &JobEnd) -> Result<i64, QueueError> {
        let now = now_ms();
        let mut tx = self.writer.begin_with(BEGIN).await.map_err(queue_failed)?;
        jobs::record_end(&mut tx, job, end, now).await.map_err(queue_failed)?;
        self.ended.add(&mut tx, &job.request).await.map_err(queue_failed)?;
        tx.commit().await.map_err(queue_failed)?;
        Ok(now)
    }
}
