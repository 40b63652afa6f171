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
mod modules;
pub mod ports;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use linkgate_contract::{AllowList, LinkRequest, PackageName, Sha256, UploadPath};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::inspect::{Format, Limits as PackageLimits, Opaque, Package, Refused};
use crate::metrics::Metrics;
pub use admission::Limits;
use admission::{Admission, Place};
pub use error::{LinkError, NotReady, chain};
use flights::{Flights, Listed};
use inside::Inside;
pub use modules::{ModuleRules, SourceOrigin, UnknownModules};
use ports::{
    Blobs, Chunk, Draft, Entry, Held, Ledger, LedgerError, NewEntry, Recorded, Sealed, Sha256Hex, Source, SourceError,
    SourceStream, Wanted,
};

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

    async fn run(&self, upload: Upload) -> Result<Entry, LinkError> {
        let running = self.metrics.upload();
        let asked = upload.clone();
        let outcome = self.steps(upload).await;
        log(&asked, running.elapsed(), &outcome);
        running.end(outcome.as_ref().map_or_else(LinkError::kind, |_| "stored"));
        outcome
    }

    async fn steps(&self, upload: Upload) -> Result<Entry, LinkError> {
        let registers_module = self.admit(&upload.module).await?;
        self.refuse_early(&upload).await?;
        if let Some(entry) = self.book_held(&upload, registers_module).await? {
            return Ok(entry);
        }
        let _held_until_booked = self.enter(&upload).await?;
        let (sealed, package) = self.download(&upload).await?;
        let kept = Held { size_bytes: sealed.size_bytes(), package };
        let entry = new_entry(&upload, registers_module, sealed.sha256(), kept)?;
        self.publish(sealed, entry).await
    }

    /// Whether the module takes packages; `true` if it must be registered with its first one.
    async fn admit(&self, module: &UploadPath) -> Result<bool, LinkError> {
        let origin = match self.modules.declared(module) {
            Some(origin) => Some(origin),
            None => self.ledger.module_origin(module).await?,
        };
        match (origin, self.modules.unknown()) {
            (Some(origin), _) if origin.takes_packages() => Ok(false),
            (Some(origin), _) => Err(LinkError::UnsupportedOrigin(origin)),
            (None, UnknownModules::Register) => Ok(true),
            (None, UnknownModules::Refuse) => Err(LinkError::UnknownModule),
        }
    }

    /// Saves the download of a package that would be refused anyway. [`Linker::publish`] judges again.
    async fn refuse_early(&self, upload: &Upload) -> Result<(), LinkError> {
        let Some(version) = &upload.request.version else { return Ok(()) };
        let refused = !upload.request.allow_overwrite && self.ledger.has_live(&upload.module, version).await?;
        if refused { Err(LinkError::AlreadyExists) } else { Ok(()) }
    }

    /// Each download holds buffers, a thread and a connection.
    async fn enter(&self, upload: &Upload) -> Result<Place, LinkError> {
        let host = upload.request.package_url.host().map(|host| host.to_string()).unwrap_or_default();
        let place = self.admission.enter(&host, upload.module.app_code.as_str());
        tokio::select! {
            place = self.metrics.queued(place) => place.ok_or(LinkError::Busy),
            () = self.stop.cancelled() => Err(LinkError::Stopping),
        }
    }

    /// Fetches, hashes, writes and looks inside in one pass.
    async fn download(&self, upload: &Upload) -> Result<(B::Sealed, Package), LinkError> {
        let stopped = || self.stop.cancelled();
        let request = &upload.request;
        let wanted = Wanted { url: &request.package_url, private: &upload.private_hosts, size: request.size };
        let mut stream = tokio::select! {
            opened = self.metrics.timed("open", self.source.open(wanted)) => opened?,
            () = stopped() => return Err(LinkError::Stopping),
        };
        let mut draft = self.blobs.draft().await?;
        let mut inside = Inside::begin(&self.packages);
        let copied = tokio::select! {
            copied = self.metrics.timed("copy", self.copy(&mut stream, &mut draft, &mut inside)) => copied,
            () = stopped() => Err(LinkError::Stopping),
        };
        if let Err(error) = copied {
            draft.discard().await;
            return Err(error);
        }
        let sealed = self.metrics.timed("seal", draft.seal()).await?;
        compare(request.sha256.as_ref(), &sealed)?;
        let (sealed, package) = self.metrics.timed("inspect", inside.package(sealed)).await?;
        // An archive has proved that it is whole.
        let is_whole = stream.has_marked_end() || request.sha256.is_some() || request.size.is_some();
        if package.format == Format::Opaque && !is_whole {
            return Err(SourceError::NoEnd.into());
        }
        Ok((sealed, package))
    }

    async fn copy(&self, stream: &mut S::Stream, draft: &mut B::Draft, inside: &mut Inside) -> Result<(), LinkError> {
        while let Some(chunk) = stream.next().await? {
            match chunk {
                Chunk::Data(bytes) => {
                    inside.push(&bytes).await?;
                    draft.write(bytes).await?;
                }
                Chunk::Restart => {
                    *inside = Inside::begin(&self.packages);
                    std::mem::replace(draft, self.blobs.draft().await?).discard().await;
                }
            }
        }
        Ok(())
    }

    /// Keeps the blob, books the row, and removes whatever no row points at afterwards.
    async fn publish(&self, sealed: B::Sealed, entry: NewEntry) -> Result<Entry, LinkError> {
        let _one_at_a_time = self.metrics.timed("wait", self.publishing.hold()).await;
        let is_new = self.metrics.timed("keep", self.blobs.keep(sealed)).await?;
        self.book(entry, is_new).await
    }

    /// Books a package without a download, if the caller named its digest and the application has those bytes already.
    /// Bytes of another application are no proof that this caller could have read them.
    async fn book_held(&self, upload: &Upload, registers_module: bool) -> Result<Option<Entry>, LinkError> {
        let named = upload.request.sha256.as_ref().and_then(|digest| Sha256Hex::from_hex(digest.as_str()));
        let Some(sha256) = named else { return Ok(None) };
        let _one_at_a_time = self.metrics.timed("wait", self.publishing.hold()).await;
        let Some(held) = self.ledger.held(&upload.module.app_code, &sha256).await? else { return Ok(None) };
        let may_stay = held.package.format != Format::Opaque || self.packages.opaque == Opaque::Allow;
        // A blob that was lost is there again after a download.
        if !may_stay || !self.blobs.has(sha256.clone()).await? {
            return Ok(None);
        }
        if let Some(expected) = upload.request.size.filter(|expected| *expected != held.size_bytes) {
            return Err(SourceError::SizeMismatch { expected, found: Some(held.size_bytes) }.into());
        }
        let entry = new_entry(upload, registers_module, sha256, held)?;
        self.book(entry, false).await.map(Some)
    }

    /// Called while nobody else publishes.
    async fn book(&self, entry: NewEntry, is_new: bool) -> Result<Entry, LinkError> {
        let (sha256, size_bytes) = (entry.sha256.clone(), entry.size_bytes);
        match self.metrics.timed("book", self.ledger.record(entry)).await {
            Ok(Recorded { entry, replaced }) => {
                self.metrics.stored(size_bytes, is_new);
                if let Some(old) = replaced.filter(|old| *old != sha256) {
                    self.remove_unless_booked(old).await;
                }
                Ok(entry)
            }
            Err(error) => {
                // Only a clear refusal: a commit that reports a failure may yet be found done after a crash, and its row
                // must then find its blob.
                if is_new && matches!(error, LedgerError::AlreadyExists) {
                    self.remove_unless_booked(sha256).await;
                }
                Err(error.into())
            }
        }
    }

    /// A blob too many costs room, a blob too few costs a package: whenever the books do not answer, it stays.
    async fn remove_unless_booked(&self, sha256: Sha256Hex) {
        match self.ledger.points_at(&sha256).await {
            Ok(true) => {}
            Ok(false) => {
                if let Err(e) = self.blobs.remove(sha256.clone()).await {
                    warn!(package.sha256 = sha256.as_str(), error = chain(&e), "An unused blob could not be removed");
                }
            }
            Err(e) => {
                warn!(package.sha256 = sha256.as_str(), error = chain(&e), "A blob stays, the books did not answer");
            }
        }
    }
}

/// The request's version wins over the package's.
fn new_entry(upload: &Upload, registers_module: bool, sha256: Sha256Hex, kept: Held) -> Result<NewEntry, LinkError> {
    let Held { size_bytes, package } = kept;
    let version = upload.request.version.clone().or_else(|| package.version.clone());
    let version = version.ok_or(LinkError::VersionMissing { format: package.format })?;
    Ok(NewEntry {
        module: upload.module.clone(),
        registers_module,
        package_name: PackageName::new(&upload.request.package_url, &version).as_str().to_owned(),
        version,
        size_bytes,
        sha256,
        package,
        operator: upload.operator.clone(),
        allow_overwrite: upload.request.allow_overwrite,
    })
}

/// A caller that named no digest takes whatever comes.
fn compare(expected: Option<&Sha256>, sealed: &impl Sealed) -> Result<(), LinkError> {
    let found = sealed.sha256();
    match expected {
        Some(expected) if expected.as_str() != found.as_str() => {
            Err(LinkError::ChecksumMismatch { expected: expected.clone(), found })
        }
        _ => Ok(()),
    }
}

/// The closing line of an upload. A link is shown without its query, where signed links carry their secrets.
fn log(asked: &Upload, took: Duration, outcome: &Result<Entry, LinkError>) {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (app, name) = (asked.module.app_code.as_str(), asked.module.module.as_str());
    let (id, url) = (asked.request_id.as_str(), &asked.request.package_url);
    /// One line, at its level; what every line says stands here.
    macro_rules! line {
        ($level:ident, $($own:tt)*) => {
            $level!(
                request.id = id,
                app.code = app,
                module.name = name,
                package.url = %url,
                upload.duration_ms = ms,
                $($own)*
            )
        };
    }
    match outcome {
        Ok(entry) => line!(
            info,
            package.size_bytes = entry.size_bytes,
            package.sha256 = entry.sha256,
            "Stored `{}` for `{app}`/`{name}`",
            entry.version
        ),
        Err(e @ (LinkError::Blob(_) | LinkError::Refused(Refused::Io(_)) | LinkError::Ledger(_))) => {
            line!(error, error = chain(e), "Failed to store a package for `{app}`/`{name}`");
        }
        Err(e) => line!(info, error = chain(e), "Refused a package for `{app}`/`{name}`"),
    }
}

#[cfg(test)]
mod tests;
