//! The use case: a package is linked.
//!
//! Promises: an upload is all or nothing. A row is booked only after its blob is durable; a refused upload leaves no row,
//! no blob and no temporary file; an overwrite shows the old or the new, never a mix. When disk or books fail half-way a
//! blob that no row points at may stay, never a row without its blob. An upload runs in its own task, so a caller that
//! hangs up does not kill it. Refuses modules that are not deployed from packages, before anything is downloaded, and bytes
//! other than those that the caller named. Does not retry: what may be tried again is for the source to judge.

mod admission;
mod error;
mod flights;
mod inside;
mod log;
mod modules;
pub mod ports;
mod steps;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use linkgate_contract::{AllowList, LinkRequest, UploadPath};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::inspect::Limits as PackageLimits;
use crate::metrics::Metrics;
use admission::Admission;
pub use admission::Limits;
pub use error::{LinkError, NotReady, chain};
use flights::{Flights, Listed};
pub use modules::{ModuleRules, SourceOrigin, UnknownModules};
use ports::{Blobs, Entry, Ledger, Source};

/// A package to link.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Whose it is.
    pub module: UploadPath,
    /// What the caller asked for.
    pub request: LinkRequest,
    /// Who asked.
    pub operator: String,
    /// Hosts that may have addresses which are not public, for this upload, beside those that the source itself knows.
    pub private_hosts: AllowList,
    /// The gateway's id of the request, by which its log lines are found. May be empty.
    pub request_id: String,
}

/// What came of an upload, for all who asked for it.
pub type Outcome = Arc<Result<Entry, LinkError>>;

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
}

/// Links packages, over whatever source, blob storage and books it is given.
pub struct Linker<S, B, L> {
    source: S,
    blobs: B,
    ledger: L,
    modules: ModuleRules,
    packages: PackageLimits,
    publishing: Publishing,
    admission: Admission,
    flights: Flights,
    uploads: TaskTracker,
    stop: CancellationToken,
    metrics: Metrics,
}

impl<S: Source, B: Blobs, L: Ledger> Linker<S, B, L> {
    /// Brings the parts together; so much at once as the limits allow.
    pub fn new(source: S, blobs: B, ledger: L, rules: Rules, metrics: Metrics) -> Self {
        let Rules { modules, packages, uploads } = rules;
        let (publishing, admission) = (Publishing::default(), Admission::new(uploads));
        let (uploads, stop) = (TaskTracker::new(), CancellationToken::new());
        Self {
            source,
            blobs,
            ledger,
            modules,
            packages,
            publishing,
            admission,
            flights: Flights::default(),
            uploads,
            stop,
            metrics,
        }
    }

    /// Links a package in a task of its own and waits for it; the task goes on when the waiting is given up. A second call
    /// for the same waits for the first one's task.
    pub async fn link(self: &Arc<Self>, upload: Upload) -> Outcome {
        let (landing, is_first) = self.flights.join(&upload, |listed| self.begin(upload.clone(), listed));
        if !is_first {
            self.metrics.joined();
            info!(request.id = upload.request_id, "Waiting for the same upload, which another request began");
        }
        landing.await
    }

    fn begin(self: &Arc<Self>, upload: Upload, listed: Listed) -> BoxFuture<'static, Outcome> {
        let this = Arc::clone(self);
        let task = self.uploads.spawn(async move {
            let outcome = Arc::new(this.run(upload).await);
            drop(listed);
            outcome
        });
        // The task is never aborted, so it is gone only if it panicked or the runtime stops.
        task.map(|ended| ended.unwrap_or_else(|_| Arc::new(Err(LinkError::Stopping)))).boxed()
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
        let (blobs, ledger) = tokio::join!(self.blobs.check(), self.ledger.check());
        let failed: Vec<_> =
            blobs.map_err(NotReady::Blobs).err().into_iter().chain(ledger.map_err(NotReady::Ledger).err()).collect();
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}

#[cfg(test)]
mod tests;
