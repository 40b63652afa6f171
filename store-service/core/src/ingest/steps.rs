//! The steps of an upload, in their order.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use linkgate_archive::{Format, Limits, Opaque, Package};
use linkgate_contract::{CallerApp, JobId, ModuleRef, Sha256};
use tracing::{error, warn};

use super::blocks::Blocks;
use super::inspection::StreamInspection;
use super::job::{Job, RecordState, Stage};
use super::log::log_end;
use super::outage::Away;
use super::ports::{
    Access, BlobStore, BlobWriter, BytesFrom, Catalog, CatalogError, CatalogReader, Chunk, Enqueued, FetchRequest,
    Fetched, FinishedBlob, JobEnd, JobQueue, NewJob, NewPackage, PackageRow, QueueError, Recorded, Services, Source,
    SourceError, SourceStream, StoredPackage,
};
use super::provenance::Arrived;
use super::{Ingest, IngestError, PackageRequest, Upload, chain, free_unless_referenced};
use crate::failpoint::{Step, reached};
use crate::metrics::Running;
use crate::settings::UnknownModules;
use crate::trace;

type Writer<V> = <<V as Services>::Blobs as BlobStore>::Writer;
pub(super) type Finished<V> = <<V as Services>::Blobs as BlobStore>::Finished;
pub(super) type Reservation<V> = <<V as Services>::Catalog as Catalog>::Reservation;
type BlobLock<V> = <<V as Services>::Catalog as CatalogReader>::BlobLock;

/// A job that finds at once that it must wait for what is away may be accepted before it is given up.
const TO_ACCEPT: Duration = Duration::from_secs(1);

/// What gives the bytes of an upload, in order.
pub(super) trait Incoming: Send {
    /// What comes next; `None` once all has come and nothing of it is wrong.
    fn next(&mut self) -> impl Future<Output = Result<Option<Chunk>, IngestError>> + Send;
}

/// A download.
struct Fetching<'a, S>(&'a mut S);

impl<S: SourceStream> Incoming for Fetching<'_, S> {
    async fn next(&mut self) -> Result<Option<Chunk>, IngestError> {
        Ok(self.0.next().await?)
    }
}

/// All bytes, written and not yet durable, and what was found in them so far.
pub(super) struct Written<V: Services> {
    writer: Writer<V>,
    inspection: StreamInspection,
}

/// Gives a job up when its work ends, however it ends: it may be in the name of this process without a claim as well.
struct ReleaseOnDrop<'a, Q: JobQueue> {
    queue: &'a Q,
    job: &'a Job,
}

impl<Q: JobQueue> Drop for ReleaseOnDrop<'_, Q> {
    fn drop(&mut self) {
        let fence = self.job.leave();
        if fence.is_some() || self.job.has_reached(Stage::Queued) || self.job.goes_on() {
            self.queue.release(self.job.id(), fence);
        }
    }
}

impl<V: Services> Ingest<V> {
    pub(super) async fn run(&self, job: &Job) -> Result<PackageRow, IngestError> {
        let running = self.metrics.upload();
        let claim = ReleaseOnDrop { queue: &self.catalog, job };
        let is_taken_up = *job.record_state.lock().await == RecordState::Accepted;
        let outcome = match self.steps(job).await {
            Err(IngestError::AlreadyExists) if is_taken_up || job.has_reached(Stage::Fetching) => {
                self.end_as_done_beside(job).await
            }
            outcome => outcome,
        };
        if let Err(error) = &outcome {
            if let IngestError::QuotaExceeded(exceeded) = error {
                self.note_refusal(job, *exceeded).await;
            }
            self.record_failure(job, error).await;
        }
        drop(claim);
        Self::conclude(job, running, &outcome);
        outcome
    }

    /// All is done but the reply.
    pub(super) fn conclude<R: PackageRequest>(
        job: &Job<R>,
        running: Running,
        outcome: &Result<PackageRow, IngestError>,
    ) {
        reached(Step::ReplyDue);
        job.reach(Stage::Ended);
        log_end(job, running.elapsed(), outcome);
        trace::ended(outcome.as_ref().map(|row| row.size_bytes).map_err(IngestError::kind));
        running.end(outcome.as_ref().map_or_else(IngestError::kind, |_| "stored"));
    }

    async fn steps(&self, job: &Job) -> Result<PackageRow, IngestError> {
        let upload = &job.upload;
        let registers_module = self.admit(&upload.target).await?;
        self.refuse_early(upload).await?;
        // Held until the package is recorded or refused.
        let mut reservation = self.reserve(job, upload.request.size.unwrap_or(0)).await?;
        if let Some(row) = self.record_stored(job, registers_module).await? {
            return Ok(row);
        }
        while let Enqueued::Joined(other) = self.wait_for_claim(job).await? {
            if let Some(end) = self.follow(job, other).await? {
                return self.end_alike(job, other, end).await;
            }
        }
        self.begin_life(job).await?;
        job.reach(Stage::Fetching);
        let (finished, package, fetched) = self.download(job, &mut reservation).await?;
        let (sha256, size_bytes, from) = (finished.sha256(), finished.size_bytes(), BytesFrom::Source(fetched));
        let package = self.describe_package(job, registers_module, Arrived { sha256, size_bytes, package, from })?;
        self.publish(job, finished, package).await
    }

    /// What nobody was told of and did not begin in earnest leaves no trace; what was accepted and only has to stop with the
    /// store, or for a storage or a database that is away, is taken up again.
    async fn record_failure(&self, job: &Job, error: &IngestError) {
        let mut state = job.record_state.lock().await;
        let is_known = *state == RecordState::Accepted || job.has_reached(Stage::Fetching);
        if let Some(away) = error.away().filter(|_| is_known) {
            self.outage.note(away);
        }
        match self.end(job, Err(error)).filter(|_| is_known) {
            Some(end) => self.record_end(job, end, *state).await,
            None if *state == RecordState::Accepted && job.cancel.is_cancelled() => self.ask_for_end(job.id()).await,
            None => {}
        }
        if *state == RecordState::Accepted
            && job.has_reached(Stage::Fetching)
            && self.is_no_fault_of_its_own(error).await
        {
            self.give_life_back(job).await;
        }
        *state = RecordState::Ended;
    }

    /// Only for one that was accepted it is worth waiting for a database that is away.
    async fn record_end(&self, job: &Job, end: JobEnd, state: RecordState) {
        let (id, is_cancelled) = (job.id(), matches!(end, JobEnd::Cancelled(_)));
        if state != RecordState::Accepted {
            if let Err(e) = self.catalog.finish_at_once(job.record(), end, job.fence()).await {
                warn!(job.id = %id, error = chain(&e), "Cannot record the end of job `{id}`; nobody was told that it goes on");
            }
            return;
        }
        let Err(e) = self.catalog.finish(job.record(), end, job.fence()).await else { return };
        error!(job.id = %id, error = chain(&e), "Cannot record the end of job `{id}`, which was accepted; it is begun again");
        if !matches!(e, QueueError::Fenced) {
            self.outage.note(Away::Catalog);
        }
        if is_cancelled {
            self.ask_for_end(id).await;
        }
    }

    /// Of a job that goes on though it was cancelled.
    async fn ask_for_end(&self, id: JobId) {
        if let Err(e) = self.catalog.cancel(id).await {
            warn!(job.id = %id, error = chain(&e), "Cannot record that job `{id}` was cancelled; it may be begun again");
        }
    }

    /// What the storage does not take though all seems well may be the fault of the upload: its lives say how often that is tried.
    async fn is_no_fault_of_its_own(&self, error: &IngestError) -> bool {
        match error.away() {
            Some(Away::Blobs) => self.ready().await.is_err(),
            Some(Away::Catalog) => true,
            None => matches!(error, IngestError::Stopping),
        }
    }

    async fn give_life_back(&self, job: &Job) {
        let id = job.id();
        if let Err(e) = self.catalog.give_life_back(id).await {
            warn!(job.id = %id, error = chain(&e), "Cannot record that job `{id}` was stopped in good order; one of its lives is gone");
        }
    }

    /// Whoever accepts it from now on records this life along with it.
    async fn begin_life(&self, job: &Job) -> Result<(), IngestError> {
        let state = job.record_state.lock().await;
        job.begin_life();
        if *state == RecordState::Accepted {
            self.catalog.begin_life(job.id()).await?;
        }
        Ok(())
    }

    /// Resolves when the upload must end, with the reason.
    pub(super) async fn stopped<R>(&self, job: &Job<R>) -> IngestError {
        tokio::select! {
            () = self.stop.cancelled() => IngestError::Stopping,
            () = job.cancel.cancelled() => IngestError::Cancelled,
            () = job.lost.cancelled() => IngestError::ClaimLost,
        }
    }

    /// Whether the module takes packages; `true` if it must be registered with its first one.
    pub(super) async fn admit(&self, target: &ModuleRef) -> Result<bool, IngestError> {
        let origin = match self.rules.modules.declared(target) {
            Some(origin) => Some(origin),
            None => self.catalog.module_origin(target).await?,
        };
        match (origin, self.rules.modules.unknown()) {
            (Some(origin), _) if origin.takes_packages() => Ok(false),
            (Some(origin), _) => Err(IngestError::UnsupportedOrigin(origin)),
            (None, UnknownModules::Register) => Ok(true),
            (None, UnknownModules::Refuse) => Err(IngestError::UnknownModule),
        }
    }

    /// Saves the download of a package that would be refused anyway. [`Ingest::publish`] judges again.
    async fn refuse_early(&self, upload: &Upload) -> Result<(), IngestError> {
        let Some(version) = &upload.request.version else { return Ok(()) };
        if !upload.request.allow_overwrite {
            let is_there = self.catalog.has_live(&upload.target, version).await?;
            return if is_there { Err(IngestError::AlreadyExists) } else { Ok(()) };
        }
        let pins = self.catalog.protecting_pins(&upload.target, version).await?;
        if pins.is_empty() { Ok(()) } else { Err(IngestError::InUse(pins)) }
    }

    /// The store's own limits, with what the gate allows this upload.
    fn limits<R>(&self, upload: &Upload<R>) -> Limits {
        let limits = self.rules.packages.clone();
        if upload.allowance.opaque { Limits { opaque: Opaque::Allow, ..limits } } else { limits }
    }

    fn begin_inspection<R>(&self, upload: &Upload<R>) -> StreamInspection {
        let owner = upload.caller_app.as_ref().map_or("", CallerApp::as_str);
        self.inspections.begin(&self.limits(upload), owner)
    }

    /// Each download holds buffers, a thread and a connection, so it waits until the queue lets it work.
    async fn wait_for_claim(&self, job: &Job) -> Result<Enqueued, IngestError> {
        if job.fence().is_some() {
            return Ok(Enqueued::Queued);
        }
        if let Some(away) = self.outage.seen().filter(|_| !job.goes_on()) {
            return Err(IngestError::Away(away));
        }
        let host = job.upload.request.package_url.host().to_string();
        let is_resumed = *job.record_state.lock().await == RecordState::Accepted;
        let (record, key) = (job.record(), job.upload_key());
        let enqueued = self.catalog.enqueue(NewJob { record, key, host, is_resumed }).await?;
        if enqueued != Enqueued::Queued {
            return Ok(enqueued);
        }
        job.reach(Stage::Queued);
        let waited = self.wait_for_turn(job).await;
        if waited.is_err() {
            // If it was claimed this very moment, or this fails, it is given up when its work ends.
            let _is_withdrawn_now = self.catalog.withdraw(job.id()).await;
        }
        waited
    }

    async fn wait_for_turn(&self, job: &Job) -> Result<Enqueued, IngestError> {
        loop {
            let turn = async {
                tokio::select! {
                    () = job.claimed() => Ok(Enqueued::Queued),
                    gone = self.is_gone_elsewhere(job.id()) => gone.map(|()| Enqueued::Joined(job.id())).map_err(Into::into),
                    () = job.queue_timed_out(self.rules.queue.queue_timeout) => Err(IngestError::Busy),
                    // Another store may be able to do it, or its caller to ask that one.
                    away = self.outage.lasts_for(TO_ACCEPT) => Err(IngestError::Away(away)),
                }
            };
            let waited = tokio::select! {
                turn = self.metrics.queued(turn) => turn,
                reason = self.stopped(job) => Err(reason),
            };
            if let Err(IngestError::Busy | IngestError::Away(_)) = waited {
                // Whoever has it accepted at this very moment comes first, and then it has no timeout.
                drop(job.record_state.lock().await);
            }
            if !matches!(waited, Err(IngestError::Busy)) || !job.goes_on() {
                return waited;
            }
        }
    }

    /// Fetches, hashes, writes and inspects in one pass.
    async fn download(
        &self,
        job: &Job,
        reservation: &mut Option<Reservation<V>>,
    ) -> Result<(Finished<V>, Package, Fetched), IngestError> {
        let Upload { request, allowance, callers_own, .. } = &job.upload;
        let (private, progress) = (&allowance.private_hosts, &job.progress);
        let callers_own = callers_own.as_ref().map(|own| &own.value);
        let access = Access { credentials: &allowance.credentials, callers_own };
        let wanted = FetchRequest { url: &request.package_url, private, access, size: request.size, progress };
        // Nobody is asked for what would find no space, as far as that is known.
        self.blobs.check_space(request.size.unwrap_or(0)).await?;
        let mut stream = tokio::select! {
            opened = self.metrics.timed("open", self.source.open(wanted)) => opened?,
            reason = self.stopped(job) => return Err(reason),
        };
        self.judge_total(job, reservation).await?;
        let written = self.take_in(job, &mut Fetching(&mut stream), request.size.or(progress.total())).await?;
        job.reach(Stage::Storing);
        let (finished, package) = self.finish(written, request.sha256.as_slice()).await?;
        let fetched = stream.fetched();
        // Most archives have proved that they are whole.
        let is_whole = fetched.has_marked_end || request.sha256.is_some() || request.size.is_some();
        if !package.proves_whole && !is_whole {
            return Err(SourceError::NoEnd.into());
        }
        Ok((finished, package, fetched))
    }

    /// Writes and inspects what comes; nothing is left of what does not come to its end.
    pub(super) async fn take_in<R: PackageRequest>(
        &self,
        job: &Job<R>,
        incoming: &mut impl Incoming,
        size: Option<u64>,
    ) -> Result<Written<V>, IngestError> {
        let mut writer = self.blobs.open_writer(size).await?;
        let mut inspection = self.begin_inspection(&job.upload);
        let copied = tokio::select! {
            copied = self.metrics.timed("copy", self.copy(job, incoming, &mut writer, &mut inspection)) => copied,
            reason = self.stopped(job) => Err(reason),
        };
        match copied {
            Ok(()) => Ok(Written { writer, inspection }),
            Err(error) => {
                writer.discard().await;
                Err(error)
            }
        }
    }

    /// Makes all bytes durable, holds them against the digests that they must have, and says what they are.
    pub(super) async fn finish(
        &self,
        written: Written<V>,
        digests: &[Sha256],
    ) -> Result<(Finished<V>, Package), IngestError> {
        let Written { writer, inspection } = written;
        let finished = self.metrics.timed("finish", writer.finish()).await?;
        compare_digests(digests, &finished)?;
        self.metrics.timed("inspect", inspection.package(finished)).await
    }

    async fn copy<R: PackageRequest>(
        &self,
        job: &Job<R>,
        incoming: &mut impl Incoming,
        writer: &mut Writer<V>,
        inspection: &mut StreamInspection,
    ) -> Result<(), IngestError> {
        let (mut received, mut blocks) = (0, Blocks::default());
        loop {
            let mut next = pin!(incoming.next());
            let chunk = match blocks.wait_for(next.as_mut()).await {
                Some(chunk) => chunk?,
                None => {
                    pass_on(blocks.take(), writer, inspection).await?;
                    next.await?
                }
            };
            match chunk {
                Some(Chunk::Data(mut bytes)) => {
                    received += bytes.len() as u64;
                    job.progress.set_received(received);
                    while !bytes.is_empty() {
                        pass_on(blocks.fill(&mut bytes), writer, inspection).await?;
                    }
                }
                Some(Chunk::Restart) => {
                    (received, blocks) = (0, Blocks::default());
                    *inspection = self.begin_inspection(&job.upload);
                    // No space is reserved: until the old one is discarded it holds what the new one will need.
                    std::mem::replace(writer, self.blobs.open_writer(None).await?).discard().await;
                }
                None => return pass_on(blocks.take(), writer, inspection).await,
            }
        }
    }

    /// Commits the blob, records the row, and deletes whatever no row references afterwards.
    pub(super) async fn publish<R: PackageRequest>(
        &self,
        job: &Job<R>,
        finished: Finished<V>,
        package: NewPackage,
    ) -> Result<PackageRow, IngestError> {
        job.has_arrived(package.sha256);
        let lock = self.lock_blob(&package.sha256).await;
        let is_new = self.metrics.timed("commit", self.blobs.commit(finished)).await?;
        self.record(job, package, is_new, lock).await
    }

    async fn lock_blob(&self, sha256: &Sha256) -> BlobLock<V> {
        self.metrics.timed("lock", self.catalog.lock_blob(sha256)).await
    }

    /// Records a package without a download, if the caller named its digest and the module has those bytes already. Bytes of
    /// another module are no proof that this caller could have read them: grants may end at modules, and the gate's token
    /// does not say which of them it covers.
    async fn record_stored(&self, job: &Job, registers_module: bool) -> Result<Option<PackageRow>, IngestError> {
        let upload = &job.upload;
        let Some(sha256) = upload.request.sha256 else { return Ok(None) };
        let lock = self.lock_blob(&sha256).await;
        let Some(stored) = self.catalog.find_stored(&upload.target, &sha256).await? else { return Ok(None) };
        let may_stay = stored.package.format != Format::Opaque || self.limits(upload).opaque == Opaque::Allow;
        // A blob that was lost is there again after a download.
        if !may_stay || self.blobs.stat(sha256).await?.is_none() {
            return Ok(None);
        }
        if let Some(expected) = upload.request.size.filter(|expected| *expected != stored.size_bytes) {
            return Err(SourceError::SizeMismatch { expected, found: Some(stored.size_bytes) }.into());
        }
        let StoredPackage { size_bytes, package, origin } = stored;
        let arrived = Arrived { sha256, size_bytes, package, from: BytesFrom::Stored(origin) };
        let package = self.describe_package(job, registers_module, arrived)?;
        self.record(job, package, false, lock).await.map(Some)
    }

    /// Called with the lock of its blob.
    async fn record<R: PackageRequest>(
        &self,
        job: &Job<R>,
        package: NewPackage,
        is_new: bool,
        lock: BlobLock<V>,
    ) -> Result<PackageRow, IngestError> {
        let (sha256, size_bytes) = (package.sha256, package.size_bytes);
        let mut state = job.record_state.lock().await;
        match self.metrics.timed("record", self.catalog.record(package, job.record(), job.fence())).await {
            Ok(Recorded { row, replaced, waited }) => {
                self.metrics.waited_for_database(waited);
                self.outage.has_stored();
                *state = RecordState::Ended;
                drop(state);
                self.attach_statements(sha256).await;
                self.metrics.stored(size_bytes, is_new);
                drop(lock);
                if let Some(old) = replaced.filter(|old| *old != sha256) {
                    self.free_replaced(old).await;
                }
                Ok(row)
            }
            Err(error) => {
                // Only a clear refusal: a commit that reports a failure may yet be found done after a crash, and its row
                // must then find its blob.
                if is_new && !matches!(error, CatalogError::Unavailable(_) | CatalogError::Database(_)) {
                    free_unless_referenced(&self.blobs, &self.catalog, sha256).await;
                }
                Err(error.into())
            }
        }
    }

    async fn free_replaced(&self, old: Sha256) {
        reached(Step::ReplacedFound);
        let _lock = self.lock_blob(&old).await;
        free_unless_referenced(&self.blobs, &self.catalog, old).await;
        reached(Step::ReplacedRemoved);
    }

    /// The catalog has the statements, so a package without them is only less handy.
    async fn attach_statements(&self, sha256: Sha256) {
        let attached = async {
            let statements = self.catalog.statements(&sha256).await?;
            Ok::<_, IngestError>(self.blobs.attach_statements(sha256, join_lines(&statements)).await?)
        };
        if let Err(e) = attached.await {
            warn!(
                package.sha256 = %sha256,
                error = chain(&e),
                "Cannot put the statements beside blob `{sha256}`; the catalog has them"
            );
        }
    }
}

async fn pass_on(
    block: Option<Bytes>,
    writer: &mut impl BlobWriter,
    inspection: &mut StreamInspection,
) -> Result<(), IngestError> {
    if let Some(block) = block {
        inspection.push(&block).await?;
        writer.write(block).await?;
    }
    Ok(())
}

fn join_lines(statements: &[String]) -> String {
    statements.iter().flat_map(|statement| [statement.as_str(), "\n"]).collect()
}

/// A caller that named no digest takes whatever comes.
fn compare_digests(expected: &[Sha256], finished: &impl FinishedBlob) -> Result<(), IngestError> {
    let found = finished.sha256();
    match expected.iter().find(|expected| **expected != found) {
        Some(expected) => Err(IngestError::ChecksumMismatch { expected: *expected, found }),
        None => Ok(()),
    }
}
