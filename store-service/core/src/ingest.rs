//! The use case: a package is linked.
//!
//! Promises: an upload is all or nothing. A row is booked only after its blob is durable; a refused upload leaves no row,
//! no blob and no temporary file; an overwrite shows the old or the new, never a mix. When disk or books fail half-way a
//! blob that no row points at may stay, never a row without its blob. An upload runs in its own task, so a caller that
//! hangs up does not kill it; one whose caller was told that it goes on survives the end of the store, too. Refuses modules that are not deployed from packages, before anything is downloaded, and bytes
//! other than those that the caller named. Does not retry: what may be tried again is for the source to judge.

mod admission;
mod blocks;
mod error;
mod inside;
mod job;
mod jobs;
mod log;
mod modules;
pub mod ports;
mod provenance;
mod resume;
mod steps;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use linkgate_archive::Limits as PackageLimits;
use linkgate_contract::{AllowList, JobId, LinkRequest, ModuleRef, Problem};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info};

use crate::attest::Signer;
use crate::metrics::Metrics;
use admission::Admission;
pub use admission::Limits;
pub use error::{IngestError, NotReady};
pub use job::now_ms;
use job::{Job, Stage, Standing};
pub use jobs::Live;
use jobs::{Jobs, Listed};
pub use linkgate_fetch::chain;
pub use modules::{ModuleRules, SourceOrigin, UnknownModules};
use ports::{BlobStore, Catalog, CatalogError, Entry, Failure, JobEnd, JobKey, JobView, Source};

/// A package to link.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Whose it is.
    pub target: ModuleRef,
    /// What the caller asked for.
    pub request: LinkRequest,
    /// Which application asked.
    pub caller_app: String,
    /// On whose behalf, or the application once more.
    pub operator: String,
    /// What it may do.
    pub allowance: Allowance,
    /// The gateway's id of the request, by which its log lines are found. May be empty.
    pub request_id: String,
}

/// What the gate's policy allows an upload beside what the store's own settings allow every one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// Hosts that may have addresses which are not public.
    pub private_hosts: AllowList,
    /// Whether the package may be a file that is no archive.
    pub opaque: bool,
}

/// What came of an upload, for all who asked for it.
pub type Outcome = Arc<Result<Entry, IngestError>>;

/// Held while blobs and rows are brought in line. Without it, one upload could remove a blob as pointed at by no row
/// while another is about to book a row for the same bytes. A copy is the same lock.
#[derive(Clone, Debug, Default)]
pub struct Publishing(Arc<Mutex<()>>);

impl Publishing {
    /// Waits until nobody else publishes or removes.
    pub async fn hold(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.0).lock_owned().await
    }
}

/// What the operator decides about uploads.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which modules take packages.
    pub modules: ModuleRules,
    /// What a package may be.
    pub packages: PackageLimits,
    /// How many at once.
    pub uploads: Limits,
    /// Where links may point to. Callers' requests were held against it already; those that a store takes up again were
    /// not, since it may have changed.
    pub allowed_hosts: AllowList,
    /// How failures are told to callers.
    pub explain: fn(&IngestError) -> Problem,
}

/// An upload that somebody asks for.
pub enum Known {
    /// It is under way.
    Live(Live),
    /// The books have it.
    Booked(Box<JobView>),
}

impl Known {
    /// Where its package goes.
    #[must_use]
    pub fn target(&self) -> &ModuleRef {
        match self {
            Self::Live(live) => &live.job.upload.target,
            Self::Booked(view) => &view.target,
        }
    }
}

/// How long an `Idempotency-Key` stands for its request.
const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// Links packages, over whatever source, blob storage and books it is given.
pub struct Ingest<S, B, L> {
    source: S,
    blobs: B,
    catalog: L,
    signer: Signer,
    modules: ModuleRules,
    packages: PackageLimits,
    publishing: Publishing,
    admission: Admission,
    jobs: Jobs,
    allowed_hosts: AllowList,
    explain: fn(&IngestError) -> Problem,
    uploads: TaskTracker,
    stop: CancellationToken,
    metrics: Metrics,
}

impl<S: Source, B: BlobStore, L: Catalog> Ingest<S, B, L> {
    /// Brings the parts together; so much at once as the limits allow.
    pub fn new(source: S, blobs: B, catalog: L, signer: Signer, rules: Rules, metrics: Metrics) -> Self {
        let Rules { modules, packages, uploads, allowed_hosts, explain } = rules;
        let (publishing, admission) = (Publishing::default(), Admission::new(uploads));
        let (uploads, stop) = (TaskTracker::new(), CancellationToken::new());
        Self {
            source,
            blobs,
            catalog,
            signer,
            modules,
            packages,
            publishing,
            admission,
            jobs: Jobs::default(),
            allowed_hosts,
            explain,
            uploads,
            stop,
            metrics,
        }
    }

    /// Links a package in a task of its own, which goes on when nobody waits for it. A second call for the same, or with a
    /// key that was used for it, leads to the first one's upload.
    ///
    /// # Errors
    /// [`IngestError::KeyReused`], and what the books say when they fail.
    pub async fn begin(self: &Arc<Self>, upload: Upload, key: Option<JobKey>) -> Result<Known, IngestError> {
        if let Some(key) = key
            && let Some(known) = self.of_key(key).await?
        {
            return Ok(known);
        }
        let request_id = upload.request_id.clone();
        let new = Job::new(new_id(), upload, now_ms(), Standing::New);
        let (live, is_first) = self.jobs.join(new, key, |job, listed| self.spawn(job, listed))?;
        if !is_first {
            live.job.link_span();
            self.metrics.joined();
            info!(request.id = request_id, job.id = %live.job.id(), "Joined the same upload, which another request began");
        }
        Ok(Known::Live(live))
    }

    /// The upload that a key stands for. Asked again when it is joined: another one may begin meanwhile.
    async fn of_key(&self, key: JobKey) -> Result<Option<Known>, IngestError> {
        if let Some(live) = self.jobs.of_key(key)? {
            live.job.link_span();
            return Ok(Some(Known::Live(live)));
        }
        match self.catalog.job_of_key(key.key, now_ms() - KEY_LIFE_MS).await? {
            Some((_, fingerprint)) if fingerprint != key.fingerprint => Err(IngestError::KeyReused),
            Some((id, _)) => Ok(self.job(id).await?),
            None => Ok(None),
        }
    }

    /// Books that an upload goes on without its caller, who may be told so then. `false` if it has ended already, so that
    /// the caller may as well be told how.
    ///
    /// # Errors
    /// If it could not be booked.
    pub async fn accept(&self, live: &Live) -> Result<bool, IngestError> {
        live.job.make_patient();
        live.job.is_past(Stage::Checking).await;
        let mut standing = live.job.standing.lock().await;
        if *standing == Standing::Ended {
            return Ok(false);
        }
        self.catalog.accept(live.job.record()).await?;
        *standing = Standing::Accepted;
        Ok(true)
    }

    /// An upload by its name.
    ///
    /// # Errors
    /// If the books fail.
    pub async fn job(&self, id: JobId) -> Result<Option<Known>, CatalogError> {
        match self.jobs.by_id(id) {
            Some(live) => Ok(Some(Known::Live(live))),
            None => Ok(self.catalog.job(id).await?.map(|view| Known::Booked(Box::new(view)))),
        }
    }

    /// Cancels an upload, unless its bytes are all here already, and waits for its end.
    pub async fn cancel(&self, live: &Live) -> Outcome {
        live.job.cancel.cancel();
        live.outcome().await
    }

    /// What whoever asks for an upload is told now.
    #[must_use]
    pub fn view(&self, live: &Live, outcome: Option<&Outcome>) -> JobView {
        let view = live.job.view();
        let Some(end) = outcome.and_then(|outcome| self.end(outcome.as_ref().as_ref())) else { return view };
        JobView { state: end.state(), ended_ms: Some(now_ms()), end: Some(end), ..view }
    }

    /// How an upload ended; `None` if it goes on after the next start, should it have been accepted.
    fn end(&self, outcome: Result<&Entry, &IngestError>) -> Option<JobEnd> {
        match outcome {
            Ok(entry) => Some(JobEnd::Done(entry.clone())),
            Err(IngestError::Stopping) => None,
            Err(error) => {
                let failure = Failure::of(&(self.explain)(error));
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

    /// The lock for others who remove blobs.
    #[must_use]
    pub fn publishing(&self) -> Publishing {
        self.publishing.clone()
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
    JobId::from_bytes(uuid::Uuid::now_v7().into_bytes())
}

#[cfg(test)]
mod tests;
