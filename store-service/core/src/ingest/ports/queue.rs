//! Where jobs wait, and who may work on which.

use linkgate_contract::{JobId, ModuleRef, PackageVersion, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Cause, JobEnd, JobRecord, JobView, PackageRow};
use crate::budget::Exhausted;

/// Where jobs wait for their turn. A copy is another handle on the same queue.
///
/// Promises, for all processes that share it: equal uploads are one job; never more jobs are claimed than the limits allow,
/// in all, from one host and of one caller, and never more of a caller's wait than its share; a job counts for the caller
/// that asked for it first, from its place in the queue to its end, also after it was accepted and taken up again. Whoever
/// waits is claimed in turn, the caller with the fewest claimed jobs first, and a busy host or caller holds nobody else up. A
/// job whose lease ran out can be claimed again, and its old claim is worth nothing from then on. Jobs that are taken up again
/// are claimed a few at a time, and one more for each that has ended, for one of them may have ended the process before. Of jobs
/// that have ended, no more are remembered than may be, of one caller and in sum; the oldest go first.
pub trait JobQueue: Clone + Send + Sync + 'static {
    /// Queues a job, unless one that does the same, or that one of its keys stands for, has not ended: that one is joined.
    ///
    /// [`QueueError::Full`] if as many wait as may, of this caller or in all, and [`QueueError::KeyReused`] if a key stands for another request.
    fn enqueue(&self, job: NewJob) -> impl Future<Output = Result<Enqueued, QueueError>> + Send;
    /// Waits for a job that may run now, and leases it to this holder.
    fn claim(&self, holder: HolderId) -> impl Future<Output = Result<Claim, QueueError>> + Send;
    /// Extends the leases of claimed jobs and says how far they are. Answers in the same order.
    fn heartbeat(&self, beats: Vec<Heartbeat>) -> impl Future<Output = Result<Vec<BeatReply>, QueueError>> + Send;
    /// Takes a job that still waits off the queue; `false` if it is claimed, and then it is to be released, or was never there.
    fn withdraw(&self, id: JobId) -> impl Future<Output = Result<bool, QueueError>> + Send;
    /// Gives up a job that has no end, whether this was its claim, or it is in the name of this process without one. One that was
    /// accepted is claimed again. Does nothing once the job has ended, or where another claim is good, so it is safe to call whenever
    /// its worker goes away.
    fn release(&self, id: JobId, fence: Option<Fence>);
    /// Records that a job goes on without its caller: from here on it survives whatever happens to the store. Recorded
    /// again, it gets further keys.
    fn accept(&self, job: JobRecord) -> impl Future<Output = Result<(), QueueError>> + Send;
    /// Records, before anything is done for an accepted job, that this process works on it: one life of it, which is not
    /// forgotten whatever happens to the process.
    fn begin_life(&self, id: JobId) -> impl Future<Output = Result<(), QueueError>> + Send;
    /// Takes that back: the process stops, and nothing about the job made it.
    fn give_life_back(&self, id: JobId) -> impl Future<Output = Result<(), QueueError>> + Send;
    /// This process has a job in hand that was accepted before, and that it has not claimed: it may have to give it up before it
    /// has a place on the queue.
    fn adopt(&self, job: JobRecord);
    /// Says that this process is alive, for what is reserved, waits and follows in its name, while it claims nothing. Whoever claims
    /// says so by that.
    fn stay_alive(&self) -> impl Future<Output = Result<(), QueueError>> + Send;
    /// Records that a job ended without a package. Its keys are free again.
    ///
    /// [`QueueError::Fenced`] if this fence is not that of its last claim: nothing is recorded.
    fn finish(
        &self,
        job: JobRecord,
        end: JobEnd,
        fence: Option<Fence>,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
    /// The same of one that nobody was told goes on: it is not worth waiting for a database that is away.
    fn finish_at_once(
        &self,
        job: JobRecord,
        end: JobEnd,
        fence: Option<Fence>,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
    /// Asks for a job's end. Its worker hears of it by its next heartbeat, or when the job is claimed. `false` if there is
    /// no such job, or it has ended.
    fn cancel(&self, id: JobId) -> impl Future<Output = Result<bool, QueueError>> + Send;
    /// Resolves when somebody asks, at whatever process, for the end of a job that this one has and has not claimed: whoever works
    /// on a job that is claimed hears of it by its heartbeats. Never where there is one process, for that has all its jobs at hand.
    fn cancel_requested(&self, id: JobId) -> impl Future<Output = ()> + Send;
    /// What is known of a job as it changes; the last value is its end. `None` if there is no such job on the queue.
    fn watch(&self, id: JobId) -> impl Future<Output = Result<Option<watch::Receiver<JobView>>, QueueError>> + Send;
    /// A job that was accepted or has ended.
    fn find_job(&self, id: JobId) -> impl Future<Output = Result<Option<JobView>, QueueError>> + Send;
    /// What a job made that did the same and has ended since then, at whatever process. Of one that was asked for while that one
    /// was at work, and is taken up again at another process, this tells that it is done. None where equal uploads are never two.
    fn find_equal_done(
        &self,
        key: UploadKey,
        target: &ModuleRef,
        since_ms: i64,
    ) -> impl Future<Output = Result<Option<PackageRow>, QueueError>> + Send;
    /// Jobs of a module that were accepted or have ended, the latest first. One that somebody works on may be further than this says.
    fn list_jobs(
        &self,
        target: &ModuleRef,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<JobView>, QueueError>> + Send;
    /// The job that a key stands for, if it was used since then, and the request's fingerprint.
    fn find_job_by_key(
        &self,
        key: Sha256,
        since_ms: i64,
    ) -> impl Future<Output = Result<Option<(JobId, Sha256)>, QueueError>> + Send;
    /// Versions of a module that uploads in progress have named.
    fn uploading(&self, target: &ModuleRef) -> impl Future<Output = Result<Vec<PackageVersion>, QueueError>> + Send;
    /// Jobs that were accepted, have not ended and that nobody works on: those of a process that died. Those with the fewest
    /// lives first, and of these the oldest.
    fn unfinished(&self) -> impl Future<Output = Result<Vec<JobRecord>, QueueError>> + Send;
    /// Whether other processes are alive that claim the same jobs.
    fn has_others(&self) -> impl Future<Output = Result<bool, QueueError>> + Send;
}

/// A job to be queued.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// What is known of it, and what it takes to run it.
    pub record: JobRecord,
    /// What makes two jobs the same.
    pub key: UploadKey,
    /// The host that it downloads from.
    pub host: String,
    /// Whether it was accepted before this process began. It has had its place in the queue then, and gets one however full
    /// it is.
    pub is_resumed: bool,
}

/// What makes two uploads the same: the SHA-256 of all that decides what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadKey(pub Sha256);

/// What became of a job that was to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits for its turn.
    Queued,
    /// This one does the same.
    Joined(JobId),
}

/// A process that works on jobs, from its start to its end: no two starts have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HolderId(Uuid);

impl HolderId {
    /// Another one each time.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// As it is written down.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// Tells a job's last claim from all that were before it. The holder is part of it: a database that forgot an epoch in a
/// crash cannot hand out the same fence twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Who claimed it.
    pub holder: HolderId,
    /// Which claim of this job it is, counted from 1.
    pub epoch: u64,
}

/// A job that is leased to its holder.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What it takes to run it.
    pub record: JobRecord,
    /// What proves that the claim is the last one.
    pub fence: Fence,
    /// Whether its end was asked for already.
    pub is_cancelled: bool,
}

/// A sign of life of one claimed job.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Of which claim.
    pub fence: Fence,
    /// How far the job is.
    pub view: JobView,
}

/// What a worker learns by its heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatReply {
    /// The claim is good for another lease.
    Extended,
    /// It is, and somebody asks for the job's end.
    CancelRequested,
    /// The job is somebody else's now, or has ended.
    Lost,
}

/// Why the queue refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// As many jobs wait as may.
    #[error("the queue is full: {0}")]
    Full(Exhausted),
    /// The key stands for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// Somebody else has claimed the job meanwhile, or it was taken off the queue.
    #[error("the job's claim has run out")]
    Fenced,
    /// The database is away, or cannot do it now. What was to be changed may be changed.
    #[error("the database is away")]
    Unavailable(#[source] Cause),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Cause),
}
