//! Files that their callers send: taken in while they come, by the same steps as a download.
//!
//! Promises: a file that does not come to its end, in time and as it was announced, leaves nothing. It has no job that anybody
//! could ask for: its caller is there until it ends, and the row, its origin and its end as a job are recorded at once. Takes
//! none of the queue's places: how many come at once has bounds of its own, so slow callers hold up no downloads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use linkgate_contract::Sha256;
use linkgate_fetch::MinRate;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::job::{Job, RecordState, Stage};
use super::ports::{
    BlobStore as _, BytesFrom, Catalog as _, Chunk, FileBody, FileError, FinishedBlob as _, JobEnd, JobKey,
    JobQueue as _, LivePackage, NewPackage, PackageRow, Services, SourceError,
};
use super::provenance::Arrived;
use super::request::{FileRequest, PackageRequest as _};
use super::steps::{Finished, Incoming};
use super::{Ingest, IngestError, KEY_LIFE_MS, Upload, new_id, now_ms};
use crate::settings::FileRules;

impl<V: Services> Ingest<V> {
    /// Ingests a file in a task of its own, so that a caller who hangs up behind its last byte ends nothing half-way. With a
    /// key that stands for the same upload of the same bytes already, that one's row is the answer.
    ///
    /// # Errors
    /// [`IngestError`] says why it was not taken.
    pub async fn receive(
        self: &Arc<Self>,
        upload: Upload<FileRequest>,
        key: Option<Sha256>,
        body: impl FileBody,
    ) -> Result<PackageRow, IngestError> {
        let place = self.files.take(upload.owner(), 1).map_err(IngestError::TooManyFiles)?;
        let this = Arc::clone(self);
        let mut job = Job::new(new_id(), upload, now_ms(), RecordState::New);
        let span = job.span();
        let work = async move {
            let running = this.metrics.upload();
            let outcome = this.receive_steps(&mut job, key, body).await;
            if let Err(IngestError::QuotaExceeded(exceeded)) = &outcome {
                this.note_refusal(&job, *exceeded).await;
            }
            drop(place);
            Self::conclude(&job, running, &outcome);
            outcome
        };
        // The task is never aborted, so it is gone only if it panicked or the runtime stops.
        self.uploads.spawn(work.instrument(span)).await.unwrap_or(Err(IngestError::Stopping))
    }

    async fn receive_steps(
        &self,
        job: &mut Job<FileRequest>,
        key: Option<Sha256>,
        body: impl FileBody,
    ) -> Result<PackageRow, IngestError> {
        let registers_module = self.admit(&job.upload.target).await?;
        let rules = &self.rules.files;
        check_announced(&job.upload.request, rules)?;
        if let Some(row) = self.answer_early(&job.upload, key).await? {
            return Ok(row);
        }
        let (announced, size) = (job.upload.request.announced_bytes, job.upload.request.fields.size);
        // Held until the package is recorded or refused.
        let _reservation = self.reserve(job, announced.or(size).unwrap_or(0)).await?;
        self.blobs.check_space(announced.or(size).unwrap_or(0)).await?;
        job.reach(Stage::Fetching);
        let mut receiving = Receiving::new(body, rules, size);
        let exact = announced.filter(|_| job.upload.request.is_complete).or(size);
        job.progress.set_total(exact);
        let written = self.take_in(job, &mut receiving, exact).await?;
        if let Some(request) = receiving.request {
            job.upload.request = request;
        }
        job.reach(Stage::Storing);
        let digests: Vec<Sha256> = job.upload.request.digests().collect();
        let (finished, package) = self.finish(written, &digests).await?;
        let (sha256, size_bytes) = (finished.sha256(), finished.size_bytes());
        let arrived = Arrived { sha256, size_bytes, package, from: BytesFrom::Caller };
        let package = self.describe_package(job, registers_module, arrived)?;
        self.publish_file(job, key, finished, package).await
    }

    /// What can be told before a byte is read: that the file would be refused anyway, or that it is there already. Judged again
    /// once all is known. Who brings a key that is known may have been answered before, which only its bytes can tell.
    async fn answer_early(
        &self,
        upload: &Upload<FileRequest>,
        key: Option<Sha256>,
    ) -> Result<Option<PackageRow>, IngestError> {
        let request = &upload.request;
        let Some(version) = request.version().filter(|_| request.is_complete) else { return Ok(None) };
        let live = self.catalog.find_live(&upload.target, version).await?;
        let answer = judge_early(request, live);
        // After the look at the version: whoever recorded that has recorded its key as well.
        match key {
            Some(key) if !matches!(answer, Ok(None)) && self.is_known(key).await? => Ok(None),
            _ => answer,
        }
    }

    async fn is_known(&self, key: Sha256) -> Result<bool, IngestError> {
        Ok(self.catalog.find_job_by_key(key, now_ms() - KEY_LIFE_MS).await?.is_some())
    }

    /// Nobody else here has the key between the look at it and the record. Who sent the same to another process may be answered
    /// there meanwhile: what is against this one then is that one's package.
    async fn publish_file(
        &self,
        job: &Job<FileRequest>,
        key: Option<Sha256>,
        finished: Finished<V>,
        package: NewPackage,
    ) -> Result<PackageRow, IngestError> {
        let _its_key = match key {
            Some(key) => Some(self.file_keys.lock(key).await),
            None => None,
        };
        if let Some(key) = key {
            let key = JobKey { key, fingerprint: fingerprint(&job.upload, &package) };
            if let Some(row) = self.find_answer(key).await? {
                return Ok(row);
            }
            job.add_key(key, &job.upload.owner())?;
            let published = self.publish_or_find(job, finished, package).await;
            let Err(refused) = published else { return published };
            return match self.find_answer(key).await {
                Ok(Some(row)) => Ok(row),
                Err(reused @ IngestError::KeyReused) => Err(reused),
                Ok(None) | Err(_) => Err(refused),
            };
        }
        self.publish_or_find(job, finished, package).await
    }

    /// Publishes a file, unless it is there already and its caller is content with that.
    async fn publish_or_find(
        &self,
        job: &Job<FileRequest>,
        finished: Finished<V>,
        package: NewPackage,
    ) -> Result<PackageRow, IngestError> {
        if !job.upload.request.returns_existing || job.upload.request.allow_overwrite() {
            return self.publish(job, finished, package).await;
        }
        if let Some(row) = self.find_same(job, &package).await? {
            return Ok(row);
        }
        match self.publish(job, finished, package.clone()).await {
            // Another one was quicker.
            Err(IngestError::AlreadyExists) => self.find_same(job, &package).await?.ok_or(IngestError::AlreadyExists),
            published => published,
        }
    }

    /// The row of this version, if it has these bytes.
    async fn find_same(&self, job: &Job<FileRequest>, package: &NewPackage) -> Result<Option<PackageRow>, IngestError> {
        let live = self.catalog.find_live(&package.target, &package.version).await?;
        let Some(live) = live.filter(|live| live.row.sha256 == package.sha256) else { return Ok(None) };
        job.upload.request.conditions.judge(Some(&live.existing()))?;
        Ok(Some(live.row))
    }

    /// The row that a key stands for already.
    async fn find_answer(&self, key: JobKey) -> Result<Option<PackageRow>, IngestError> {
        if self.jobs.find_by_key(key)?.is_some() {
            return Err(IngestError::KeyReused);
        }
        let Some((id, known)) = self.catalog.find_job_by_key(key.key, now_ms() - KEY_LIFE_MS).await? else {
            return Ok(None);
        };
        if known != key.fingerprint {
            return Err(IngestError::KeyReused);
        }
        let end = self.catalog.find_job(id).await?.and_then(|view| view.end);
        Ok(end.and_then(|end| if let JobEnd::Done(row) = end { Some(row) } else { None }))
    }
}

/// What can be told of a file before a byte of it is read.
fn judge_early(request: &FileRequest, live: Option<LivePackage>) -> Result<Option<PackageRow>, IngestError> {
    request.conditions.judge(live.as_ref().map(LivePackage::existing).as_ref())?;
    let Some(live) = live.filter(|_| !request.allow_overwrite()) else { return Ok(None) };
    if !request.returns_existing || request.digests().any(|digest| digest != live.row.sha256) {
        return Err(IngestError::AlreadyExists);
    }
    Ok(request.digests().next().map(|_| live.row))
}

/// The request and its bytes, by which a key's second use is told from another request.
fn fingerprint(upload: &Upload<FileRequest>, package: &NewPackage) -> Sha256 {
    let (target, request) = (upload.target.path(), upload.request.to_json());
    Sha256::digest_parts([b"file", target.as_bytes(), request.as_bytes(), &package.sha256.as_bytes()[..]])
}

/// A file that says how large it is needs not be read to be refused.
fn check_announced(request: &FileRequest, rules: &FileRules) -> Result<(), FileError> {
    let limit_bytes = rules.max_bytes;
    let whole = request.announced_bytes.filter(|_| request.is_complete);
    if request.announced_bytes.into_iter().chain(request.fields.size).any(|bytes| bytes > limit_bytes) {
        return Err(FileError::TooLarge { limit_bytes });
    }
    match (request.fields.size, whole) {
        (Some(expected), Some(found)) if expected != found => {
            Err(FileError::SizeMismatch { expected, found: Some(found) })
        }
        _ => Ok(()),
    }
}

/// A file while it comes, held to its limits. Only the time that we wait for its caller counts for the rate.
struct Receiving<B> {
    body: B,
    size: Option<u64>,
    max_bytes: u64,
    idle_timeout: Duration,
    total_timeout: Duration,
    deadline: Instant,
    min_rate: MinRate,
    received: u64,
    /// What was asked for in the end.
    request: Option<FileRequest>,
}

impl<B: FileBody> Receiving<B> {
    fn new(body: B, rules: &FileRules, size: Option<u64>) -> Self {
        let FileRules { max_bytes, idle_timeout, total_timeout, min_rate, min_rate_window, .. } = *rules;
        Self {
            body,
            size,
            max_bytes,
            idle_timeout,
            total_timeout,
            deadline: Instant::now() + total_timeout,
            min_rate: MinRate::new(min_rate, min_rate_window),
            received: 0,
            request: None,
        }
    }

    /// Waits for something of the caller, but not for too long.
    async fn wait<T>(
        begun: Instant,
        (idle, total, deadline): (Duration, Duration, Instant),
        next: impl Future<Output = Result<T, FileError>>,
    ) -> Result<T, FileError> {
        let until = deadline.min(begun + idle);
        let timed_out = |_| if until == deadline { FileError::TimedOut(total) } else { FileError::Silent(idle) };
        timeout_at(until, next).await.map_err(timed_out)?
    }

    async fn read(&mut self) -> Result<Option<Bytes>, FileError> {
        let (begun, limits) = (Instant::now(), (self.idle_timeout, self.total_timeout, self.deadline));
        let Some(bytes) = Self::wait(begun, limits, self.body.next()).await? else {
            self.request = Some(Self::wait(begun, limits, self.body.end()).await?);
            self.check_size()?;
            return Ok(None);
        };
        self.received += bytes.len() as u64;
        let slow = |error| match error {
            SourceError::TooSlow { min_rate, over } => FileError::TooSlow { min_rate, over },
            _ => FileError::Broken,
        };
        self.min_rate.record_bytes(bytes.len(), begun.elapsed()).map_err(slow)?;
        if self.received > self.max_bytes {
            return Err(FileError::TooLarge { limit_bytes: self.max_bytes });
        }
        match self.size {
            Some(expected) if self.received > expected => Err(FileError::SizeMismatch { expected, found: None }),
            _ => Ok(Some(bytes)),
        }
    }

    fn check_size(&self) -> Result<(), FileError> {
        let expected = self.request.as_ref().and_then(|request| request.fields.size);
        match expected {
            Some(expected) if expected != self.received => {
                Err(FileError::SizeMismatch { expected, found: Some(self.received) })
            }
            _ => Ok(()),
        }
    }
}

impl<B: FileBody> Incoming for Receiving<B> {
    async fn next(&mut self) -> Result<Option<Chunk>, IngestError> {
        Ok(self.read().await?.map(Chunk::Data))
    }
}
