//! The use case: a package is ingested. It is fetched, hashed, inspected, stored and recorded.
//!
//! Promises: an upload is all or nothing. A row is recorded only after its blob is durable; a refused upload leaves no row,
//! no blob and no temporary file; an overwrite shows the old or the new, never a mix. When disk or database fail half-way an
//! orphaned blob may stay, never a row without its blob. An upload runs in its own task, so a caller that hangs up does not
//! end it; one whose caller was told that it goes on survives the end of the store, too. Refuses modules that are not
//! deployed from packages, before anything is downloaded or read, and bytes other than those that the caller named. Does not retry:
//! what may be tried again is for the source to judge.
//!
//! What keeps two uploads apart is asked of the ports: equal ones are one job of the queue, whoever works has claimed the
//! job, and blobs and rows change under the catalog's publish lock. What is here besides, in `Jobs`, are the jobs that
//! this very process works on, for those who wait for them.

mod blocks;
mod decoder_memory;
mod dispatch;
mod elsewhere;
mod error;
mod free;
mod inspection;
mod job;
mod jobs;
mod log;
mod members;
mod outage;
pub mod ports;
mod provenance;
mod quota;
mod receive;
mod request;
mod steps;
mod take_up;
mod upload_key;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use linkgate_archive::Limits as PackageLimits;
use linkgate_contract::{
    AllowList, CallerApp, CredentialName, JobId, ModuleRef, Operator, Problem, Sha256, TenantId, UploadByLinkRequest,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info};

use crate::attest::{Signer, Worth};
use crate::budget::{Budget, Owner};
use crate::keyed_locks::KeyedLocks;
use crate::metrics::Metrics;
use crate::sealing::{CallersOwn, Sealer};
use crate::settings::{FileRules, InspectionRules, ModuleRules, QueueLimits, QuotaRules};
pub use error::{IngestError, NotReady};
pub(crate) use free::free_unless_referenced;
use inspection::Inspections;
pub use job::now_ms;
use job::{Job, RecordState, Stage};
pub use jobs::Live;
use jobs::{Jobs, Listed};
pub use linkgate_fetch::chain;
pub use outage::Away;
use outage::Outage;
use ports::{
    BlobStore, Catalog as _, Failure, HolderId, JobEnd, JobKey, JobQueue as _, JobView, PackageRow, QueueError,
    Services,
};
pub use request::{FileRequest, PackageRequest};
use take_up::LeftToOthers;

/// A package to ingest.
#[derive(Clone, Debug)]
pub struct Upload<R = UploadByLinkRequest> {
    /// Whose it is.
    pub target: ModuleRef,
    /// What the caller asked for.
    pub request: R,
    /// Which application asked, if one was verified.
    pub caller_app: Option<CallerApp>,
    /// On whose behalf, or the application once more.
    pub operator: Operator,
    /// The tenant that it is for, where there are tenants.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub allowance: Allowance,
    /// What its caller wants to be shown to the source.
    pub callers_own: Option<CallersOwn>,
    /// The gateway's id of the request, by which its log lines are found. May be empty.
    pub request_id: String,
    /// Where the request came from, as the gate saw it. May be empty.
    pub client_address: String,
}

impl<R> Upload<R> {
    /// On whose account it is.
    pub(crate) fn owner(&self) -> Owner {
        Owner::of(self.caller_app.as_ref(), &self.operator)
    }
}

/// What the gate's policy allows an upload beside what the store's own settings allow every one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// Hosts that may have addresses which are not public.
    pub private_hosts: AllowList,
    /// Whether the package may be a file that is no archive.
    pub opaque: bool,
    /// The operator's credentials that may be used for its source.
    pub credentials: Vec<CredentialName>,
}

/// What came of an upload, for all who asked for it.
pub type Outcome = Arc<Result<PackageRow, IngestError>>;

/// What the operator decides about uploads.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which modules take packages.
    pub modules: ModuleRules,
    /// What a package may be.
    pub packages: PackageLimits,
    /// How much is kept.
    pub quotas: QuotaRules,
    /// What inspections may take.
    pub inspection: InspectionRules,
    /// How callers may send files themselves.
    pub files: FileRules,
    /// How many at once, and how long they wait.
    pub queue: QueueLimits,
    /// How often a process may end while it works on an accepted upload, before that is given up.
    pub max_lives: u32,
    /// Where links may point to. Callers' requests were held against it already; those that a store takes up again were
    /// not, since it may have changed.
    pub allowed_hosts: AllowList,
    /// What seals callers' credentials that must be written down.
    pub sealer: Sealer,
    /// How failures are put to callers.
    pub explain: fn(&IngestError) -> Problem,
}

/// An upload that somebody asks for.
pub enum Known {
    /// This process works on it.
    Live(Live),
    /// It has ended, or another process works on it.
    Recorded(Box<JobView>),
}

impl Known {
    /// Where its package goes.
    #[must_use]
    pub fn target(&self) -> &ModuleRef {
        match self {
            Self::Live(live) => &live.job.upload.target,
            Self::Recorded(view) => &view.target,
        }
    }
}

/// How long an `Idempotency-Key` stands for its request.
pub const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// Ingests packages, over whatever source, blob store, catalog and queue it is given.
pub struct Ingest<V: Services> {
    source: V::Source,
    blobs: V::Blobs,
    catalog: V::Catalog,
    signer: Signer,
    rules: Rules,
    jobs: Jobs,
    inspections: Inspections,
    /// Callers who send a file.
    files: Budget,
    /// Of files, so that a key is looked up and recorded for one of them at a time.
    file_keys: KeyedLocks<Sha256>,
    /// Callers who look inside a package.
    listings: Budget,
    uploads: TaskTracker,
    left_to_others: LeftToOthers,
    outage: Outage,
    stop: CancellationToken,
    metrics: Metrics,
    _dispatcher: DropGuard,
}

impl<V: Services> Ingest<V> {
    /// Brings the parts together and begins to claim jobs.
    pub fn start(
        source: V::Source,
        blobs: V::Blobs,
        catalog: V::Catalog,
        signer: Signer,
        rules: Rules,
        metrics: Metrics,
    ) -> Arc<Self> {
        let (uploads, stop, ended) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let _dispatcher = ended.clone().drop_guard();
        let jobs = Jobs::default();
        let inspections = Inspections::new(rules.inspection, metrics.clone());
        let files = Budget::new(rules.files.at_once);
        let this = Arc::new(Self {
            source,
            blobs,
            catalog,
            signer,
            rules,
            jobs,
            inspections,
            files,
            file_keys: KeyedLocks::default(),
            listings: Budget::new(members::LISTINGS),
            uploads,
            left_to_others: LeftToOthers::default(),
            outage: Outage::default(),
            stop,
            metrics,
            _dispatcher,
        });
        dispatch::start(&this, HolderId::random(), ended);
        this
    }

    /// Ingests a package in a task of its own, which goes on when nobody waits for it. A second call for the same, or with a
    /// key that was used for it, leads to the first one's upload.
    ///
    /// # Errors
    /// [`IngestError::KeyReused`], and what the catalog says when it fails.
    pub async fn begin(self: &Arc<Self>, upload: Upload, key: Option<JobKey>) -> Result<Known, IngestError> {
        if let Some(key) = key
            && let Some(known) = self.find_by_key(key).await?
        {
            return Ok(known);
        }
        let (id, request_id) = (new_id(), upload.request_id.clone());
        let new = Job::new(id, upload, now_ms(), RecordState::New).sealed_by(&self.rules.sealer);
        let (live, is_first) = self.jobs.join(new, key, |job, listed| self.spawn(job, listed))?;
        if !is_first {
            live.job.link_span();
            self.metrics.joined();
            info!(request.id = request_id, job.id = %live.job.id(), "Joined the same upload, which another request began");
        }
        Ok(Known::Live(live))
    }

    /// The upload that a key stands for. Asked again when it is joined: another one may begin meanwhile.
    async fn find_by_key(&self, key: JobKey) -> Result<Option<Known>, IngestError> {
        if let Some(live) = self.jobs.find_by_key(key)? {
            live.job.link_span();
            return Ok(Some(Known::Live(live)));
        }
        match self.catalog.find_job_by_key(key.key, now_ms() - KEY_LIFE_MS).await? {
            Some((_, fingerprint)) if fingerprint != key.fingerprint => Err(IngestError::KeyReused),
            Some((id, _)) => Ok(self.job(id).await?),
            None => Ok(None),
        }
    }

    /// Whether an upload may outlive its request: a caller's own credential is written down sealed or not at all.
    ///
    /// # Errors
    /// [`IngestError::NoSealingKey`].
    pub fn may_outlive(&self, upload: &Upload) -> Result<(), IngestError> {
        if upload.callers_own.is_none() || self.rules.sealer.can_seal() {
            Ok(())
        } else {
            Err(IngestError::NoSealingKey)
        }
    }

    /// Records that an upload goes on without its caller, who may be told so then. `false` if it has ended already, so that
    /// the caller may as well be told how.
    ///
    /// # Errors
    /// If it could not be recorded.
    pub async fn accept(&self, live: &Live) -> Result<bool, IngestError> {
        self.may_outlive(&live.job.upload)?;
        live.job.lift_queue_timeout();
        live.job.is_past(Stage::Checking).await;
        let mut record_state = live.job.record_state.lock().await;
        if *record_state == RecordState::Ended {
            return Ok(false);
        }
        // Another one that asked for the same may have failed to have it accepted meanwhile.
        live.job.lift_queue_timeout();
        let mut record = live.job.record();
        if let Some(sealed) = self.rules.sealer.seal_request(record.view.id, &record.request.body) {
            record.request.body = sealed;
        }
        if let Err(e) = self.catalog.accept(record).await {
            if *record_state == RecordState::New {
                live.job.restore_queue_timeout();
            }
            return Err(e.into());
        }
        *record_state = RecordState::Accepted;
        Ok(true)
    }

    /// An upload by its name.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn job(&self, id: JobId) -> Result<Option<Known>, QueueError> {
        match self.jobs.by_id(id) {
            Some(live) => Ok(Some(Known::Live(live))),
            None => Ok(self.catalog.find_job(id).await?.map(|view| Known::Recorded(Box::new(view)))),
        }
    }

    /// What a statement is worth that was recorded with a package.
    #[must_use]
    pub fn judge_statement(&self, envelope: &str) -> Worth {
        self.signer.judge(envelope)
    }

    /// Uploads of a module that are under way here or were accepted or have ended, the latest first.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn list_jobs(&self, target: &ModuleRef, limit: u32) -> Result<Vec<JobView>, QueueError> {
        let recorded = self.catalog.list_jobs(target, limit).await?;
        let live = self.jobs.all().into_iter().filter(|job| job.upload.target == *target).map(|job| job.view());
        // Of one that is in both, what this process knows comes later and counts.
        let views: BTreeMap<JobId, JobView> = recorded.into_iter().chain(live).map(|view| (view.id, view)).collect();
        Ok(views.into_values().rev().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    /// Cancels an upload, unless its bytes are all here already, and waits for its end.
    pub async fn cancel(&self, live: &Live) -> Outcome {
        live.job.cancel.cancel();
        live.outcome().await
    }

    /// What is known of an upload now.
    #[must_use]
    pub fn view(&self, live: &Live, outcome: Option<&Outcome>) -> JobView {
        let view = live.job.view();
        let end = outcome.and_then(|outcome| self.end(&live.job, outcome.as_ref().as_ref()));
        let Some(end) = end else { return view };
        JobView { state: end.state(), ended_ms: Some(now_ms()), end: Some(end), ..view }
    }

    /// How an upload ended; `None` if it goes on, should it have been accepted: after the next start, at another store, or when
    /// the storage or the database is back.
    fn end(&self, job: &Job, outcome: Result<&PackageRow, &IngestError>) -> Option<JobEnd> {
        match outcome {
            Ok(row) => Some(JobEnd::Done(row.clone())),
            Err(IngestError::Stopping | IngestError::ClaimLost) => None,
            Err(error) if error.may_be_done_again() && job.goes_on() => None,
            Err(error) => {
                let failure = Failure::from_problem(&(self.rules.explain)(error));
                let is_wanted = !matches!(error, IngestError::Cancelled);
                Some(if is_wanted { JobEnd::Failed(failure) } else { JobEnd::Cancelled(failure) })
            }
        }
    }

    fn spawn(self: &Arc<Self>, job: Arc<Job>, listed: Listed) -> BoxFuture<'static, Outcome> {
        let this = Arc::clone(self);
        let span = job.span();
        let work = async move {
            let outcome = Arc::new(this.run(&job).await);
            drop(listed);
            outcome
        };
        let task = self.uploads.spawn(work.instrument(span));
        // The task is never aborted, so it is gone only if it panicked or the runtime stops.
        task.map(|ended| ended.unwrap_or_else(|_| Arc::new(Err(IngestError::Stopping)))).boxed()
    }

    /// Waits until no upload runs.
    pub async fn idle(&self) {
        self.uploads.close();
        self.uploads.wait().await;
    }

    /// Ends all downloads; what they left is removed.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Proves that a package could be taken now.
    ///
    /// # Errors
    /// [`NotReady`] lists what could not.
    pub async fn ready(&self) -> Result<(), Vec<NotReady>> {
        let (blobs, catalog) = tokio::join!(self.blobs.check(), self.catalog.check());
        let failed: Vec<_> =
            blobs.map_err(NotReady::Blobs).err().into_iter().chain(catalog.map_err(NotReady::Catalog).err()).collect();
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}

fn new_id() -> JobId {
    JobId::from_uuid(uuid::Uuid::now_v7())
}
