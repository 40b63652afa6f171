//! The steps of an upload, in their order.

use std::pin::pin;

use bytes::Bytes;
use linkgate_archive::{Format, Limits, Opaque, Package};
use linkgate_contract::{ModuleRef, Sha256};
use tracing::{error, warn};

use super::admission::Place;
use super::blocks::Blocks;
use super::inside::Inside;
use super::job::{Job, Stage, Standing};
use super::log::log;
use super::ports::{
    BlobStore, BlobWriter, Catalog, CatalogError, Chunk, Entry, Fetched, FinishedBlob, Held, NewEntry, Recorded,
    Source, SourceError, SourceStream, Wanted,
};
use super::{Ingest, IngestError, UnknownModules, Upload, chain};
use crate::failpoint::{Step, reached};
use crate::trace;

impl<S: Source, B: BlobStore, L: Catalog> Ingest<S, B, L> {
    pub(super) async fn run(&self, job: &Job) -> Result<Entry, IngestError> {
        let running = self.metrics.upload();
        let outcome = self.steps(job).await;
        if let Err(error) = &outcome {
            self.book_failure(job, error).await;
        }
        reached(Step::ReplyDue);
        job.reach(Stage::Ended);
        log(job, running.elapsed(), &outcome);
        trace::ended(outcome.as_ref().map(|entry| entry.size_bytes).map_err(IngestError::kind));
        running.end(outcome.as_ref().map_or_else(IngestError::kind, |_| "stored"));
        outcome
    }

    async fn steps(&self, job: &Job) -> Result<Entry, IngestError> {
        let upload = &job.upload;
        let registers_module = self.admit(&upload.target).await?;
        self.refuse_early(upload).await?;
        if let Some(entry) = self.book_held(job, registers_module).await? {
            return Ok(entry);
        }
        let _held_until_booked = self.enter(job).await?;
        job.reach(Stage::Fetching);
        let (finished, package, fetched) = self.download(job).await?;
        let kept = Held { size_bytes: finished.size_bytes(), package };
        let entry = self.new_entry(job, registers_module, finished.sha256(), kept, Some(fetched))?;
        self.publish(job, finished, entry).await
    }

    /// What nobody was told of and did not begin in earnest leaves no trace; what was accepted and only has to stop with the
    /// store is taken up again.
    async fn book_failure(&self, job: &Job, error: &IngestError) {
        let mut standing = job.standing.lock().await;
        let is_known = *standing == Standing::Accepted || job.has_reached(Stage::Fetching);
        if let Some(end) = self.end(Err(error)).filter(|_| is_known)
            && let Err(e) = self.catalog.give_up(job.record(), end).await
        {
            error!(job.id = %job.id(), error = chain(&e), "The end of an upload could not be booked");
        }
        *standing = Standing::Ended;
    }

    /// Resolves when the upload must end, with the reason.
    async fn stopped(&self, job: &Job) -> IngestError {
        tokio::select! {
            () = self.stop.cancelled() => IngestError::Stopping,
            () = job.cancel.cancelled() => IngestError::Cancelled,
        }
    }

    /// Whether the module takes packages; `true` if it must be registered with its first one.
    async fn admit(&self, target: &ModuleRef) -> Result<bool, IngestError> {
        let origin = match self.modules.declared(target) {
            Some(origin) => Some(origin),
            None => self.catalog.module_origin(target).await?,
        };
        match (origin, self.modules.unknown()) {
            (Some(origin), _) if origin.takes_packages() => Ok(false),
            (Some(origin), _) => Err(IngestError::UnsupportedOrigin(origin)),
            (None, UnknownModules::Register) => Ok(true),
            (None, UnknownModules::Refuse) => Err(IngestError::UnknownModule),
        }
    }

    /// Saves the download of a package that would be refused anyway. [`Ingest::publish`] judges again.
    async fn refuse_early(&self, upload: &Upload) -> Result<(), IngestError> {
        let Some(version) = &upload.request.version else { return Ok(()) };
        let refused = !upload.request.allow_overwrite && self.catalog.has_live(&upload.target, version).await?;
        if refused { Err(IngestError::AlreadyExists) } else { Ok(()) }
    }

    /// The store's own limits, with what the gate allows this upload.
    fn limits(&self, upload: &Upload) -> Limits {
        let limits = self.packages.clone();
        if upload.allowance.opaque { Limits { opaque: Opaque::Allow, ..limits } } else { limits }
    }

    /// Each download holds buffers, a thread and a connection.
    async fn enter(&self, job: &Job) -> Result<Place, IngestError> {
        let Upload { request, target, .. } = &job.upload;
        let host = request.package_url.host().map(|host| host.to_string()).unwrap_or_default();
        let was_accepted = *job.standing.lock().await == Standing::Accepted;
        let turn = self.admission.queue(&host, target.app.as_str(), was_accepted).ok_or(IngestError::Busy)?;
        job.reach(Stage::Queued);
        tokio::select! {
            place = self.metrics.queued(turn.wait(job.gives_up(self.admission.patience()))) => place.ok_or(IngestError::Busy),
            reason = self.stopped(job) => Err(reason),
        }
    }

    /// Fetches, hashes, writes and looks inside in one pass.
    async fn download(&self, job: &Job) -> Result<(B::Finished, Package, Fetched), IngestError> {
        let Upload { request, allowance, .. } = &job.upload;
        let (private, progress) = (&allowance.private_hosts, &job.progress);
        let wanted = Wanted { url: &request.package_url, private, size: request.size, progress };
        // Nobody is asked for what would find no room, as far as that is known.
        self.blobs.check_space(request.size.unwrap_or(0)).await?;
        let mut stream = tokio::select! {
            opened = self.metrics.timed("open", self.source.open(wanted)) => opened?,
            reason = self.stopped(job) => return Err(reason),
        };
        let mut writer = self.blobs.open_writer(request.size.or(progress.total())).await?;
        let mut inside = Inside::begin(&self.limits(&job.upload));
        let copied = tokio::select! {
            copied = self.metrics.timed("copy", self.copy(job, &mut stream, &mut writer, &mut inside)) => copied,
            reason = self.stopped(job) => Err(reason),
        };
        if let Err(error) = copied {
            writer.discard().await;
            return Err(error);
        }
        job.reach(Stage::Storing);
        let finished = self.metrics.timed("seal", writer.finish()).await?;
        compare(request.sha256, &finished)?;
        let (finished, package) = self.metrics.timed("inspect", inside.package(finished)).await?;
        let fetched = stream.fetched();
        // An archive has proved that it is whole.
        let is_whole = fetched.has_marked_end || request.sha256.is_some() || request.size.is_some();
        if package.format == Format::Opaque && !is_whole {
            return Err(SourceError::NoEnd.into());
        }
        Ok((finished, package, fetched))
    }

    async fn copy(
        &self,
        job: &Job,
        stream: &mut S::Stream,
        writer: &mut B::Writer,
        inside: &mut Inside,
    ) -> Result<(), IngestError> {
        let (mut received, mut blocks) = (0, Blocks::default());
        loop {
            let mut next = pin!(stream.next());
            let chunk = match blocks.wait_for(next.as_mut()).await {
                Some(chunk) => chunk?,
                None => {
                    pass(blocks.take(), writer, inside).await?;
                    next.await?
                }
            };
            match chunk {
                Some(Chunk::Data(mut bytes)) => {
                    received += bytes.len() as u64;
                    job.progress.set_received(received);
                    while !bytes.is_empty() {
                        pass(blocks.fill(&mut bytes), writer, inside).await?;
                    }
                }
                Some(Chunk::Restart) => {
                    (received, blocks) = (0, Blocks::default());
                    *inside = Inside::begin(&self.limits(&job.upload));
                    // No room is asked for: until the old one is discarded it holds what the new one will need.
                    std::mem::replace(writer, self.blobs.open_writer(None).await?).discard().await;
                }
                None => return pass(blocks.take(), writer, inside).await,
            }
        }
    }

    /// Keeps the blob, books the row, and removes whatever no row points at afterwards.
    async fn publish(&self, job: &Job, finished: B::Finished, entry: NewEntry) -> Result<Entry, IngestError> {
        let _one_at_a_time = self.metrics.timed("wait", self.publishing.hold()).await;
        let is_new = self.metrics.timed("keep", self.blobs.commit(finished)).await?;
        self.book(job, entry, is_new).await
    }

    /// Books a package without a download, if the caller named its digest and the application has those bytes already.
    /// Bytes of another application are no proof that this caller could have read them.
    async fn book_held(&self, job: &Job, registers_module: bool) -> Result<Option<Entry>, IngestError> {
        let upload = &job.upload;
        let Some(sha256) = upload.request.sha256 else { return Ok(None) };
        let _one_at_a_time = self.metrics.timed("wait", self.publishing.hold()).await;
        let Some(held) = self.catalog.held(&upload.target.app, &sha256).await? else { return Ok(None) };
        let may_stay = held.package.format != Format::Opaque || self.limits(upload).opaque == Opaque::Allow;
        // A blob that was lost is there again after a download.
        if !may_stay || !self.blobs.has(sha256).await? {
            return Ok(None);
        }
        if let Some(expected) = upload.request.size.filter(|expected| *expected != held.size_bytes) {
            return Err(SourceError::SizeMismatch { expected, found: Some(held.size_bytes) }.into());
        }
        let entry = self.new_entry(job, registers_module, sha256, held, None)?;
        self.book(job, entry, false).await.map(Some)
    }

    /// Called while nobody else publishes.
    async fn book(&self, job: &Job, entry: NewEntry, is_new: bool) -> Result<Entry, IngestError> {
        let (sha256, size_bytes) = (entry.sha256, entry.size_bytes);
        let mut standing = job.standing.lock().await;
        match self.metrics.timed("book", self.catalog.record(entry, job.record())).await {
            Ok(Recorded { entry, replaced, waited }) => {
                self.metrics.waited_for_database(waited);
                *standing = Standing::Ended;
                drop(standing);
                self.attach(sha256).await;
                self.metrics.stored(size_bytes, is_new);
                if let Some(old) = replaced.filter(|old| *old != sha256) {
                    reached(Step::ReplacedFound);
                    self.remove_unless_booked(old).await;
                    reached(Step::ReplacedRemoved);
                }
                Ok(entry)
            }
            Err(error) => {
                // Only a clear refusal: a commit that reports a failure may yet be found done after a crash, and its row
                // must then find its blob.
                if is_new && matches!(error, CatalogError::AlreadyExists) {
                    self.remove_unless_booked(sha256).await;
                }
                Err(error.into())
            }
        }
    }

    /// The books have the statements, so a package without them is only less handy.
    async fn attach(&self, sha256: Sha256) {
        let attached = async {
            let statements = self.catalog.statements(&sha256).await?;
            Ok::<_, IngestError>(self.blobs.attach(sha256, lines(&statements)).await?)
        };
        if let Err(e) = attached.await {
            warn!(error = chain(&e), "The statements of a package could not be put beside it");
        }
    }

    /// A blob too many costs room, a blob too few costs a package: whenever the books do not answer, it stays.
    async fn remove_unless_booked(&self, sha256: Sha256) {
        match self.catalog.points_at(&sha256).await {
            Ok(true) => {}
            Ok(false) => {
                if let Err(e) = self.blobs.remove(sha256).await {
                    warn!(package.sha256 = %sha256, error = chain(&e), "An unused blob could not be removed");
                }
            }
            Err(e) => {
                warn!(package.sha256 = %sha256, error = chain(&e), "A blob stays, the books did not answer");
            }
        }
    }
}

async fn pass(block: Option<Bytes>, writer: &mut impl BlobWriter, inside: &mut Inside) -> Result<(), IngestError> {
    if let Some(block) = block {
        inside.push(&block).await?;
        writer.write(block).await?;
    }
    Ok(())
}

fn lines(statements: &[String]) -> String {
    statements.iter().flat_map(|statement| [statement.as_str(), "\n"]).collect()
}

/// A caller that named no digest takes whatever comes.
fn compare(expected: Option<Sha256>, finished: &impl FinishedBlob) -> Result<(), IngestError> {
    let found = finished.sha256();
    match expected {
        Some(expected) if expected != found => Err(IngestError::ChecksumMismatch { expected, found }),
        _ => Ok(()),
    }
}
