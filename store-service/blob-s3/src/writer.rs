//! The byte path: from the network to the bucket in one pass.
//!
//! Promises: every byte is hashed and sent once, in order. A blob of one part is one request; a longer one is sent while it
//! comes. Whatever ends a writer leaves its object to be deleted.

use std::sync::Arc;

use bytes::Bytes;
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::ports::{BlobError, BlobKeys, BlobObject, BlobWriter};
use object_store::PutPayload;

use super::digest::Digest;
use super::finished::S3FinishedBlob;
use super::part::Part;
use super::sending::Sending;
use super::store::Shared;
use super::tail::Tail;
use super::unpublished::Unpublished;

/// A blob that is being written.
pub struct S3BlobWriter<K: BlobKeys> {
    sending: Option<Sending<K>>,
    shared: Arc<Shared<K>>,
    digest: Digest,
    size_bytes: u64,
    announced: Option<u64>,
    part: Option<Part>,
    /// How many were sent before this one.
    parts: usize,
    tail: Tail,
}

impl<K: BlobKeys> S3BlobWriter<K> {
    /// Called within the runtime.
    pub(crate) fn new(shared: Arc<Shared<K>>, announced: Option<u64>) -> Self {
        let digest = Digest::begin(&shared.budget, announced);
        Self { sending: None, shared, digest, size_bytes: 0, announced, part: None, parts: 0, tail: Tail::default() }
    }

    async fn fill(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            // Only now, since the last part is sent otherwise.
            if let Some(full) = self.part.take_if(|part| part.is_full()) {
                self.send_or_grow(full).await?;
            }
            let mut part = match self.part.take() {
                Some(part) => part,
                None => self.begin_part().await?,
            };
            let to_come = bytes.len();
            part.fill(&mut bytes).await?;
            self.part = Some(part);
            self.size_bytes += (to_come - bytes.len()) as u64;
        }
        Ok(())
    }

    async fn begin_part(&mut self) -> Result<Part, BlobError> {
        let longest = self.shared.budget.part_bytes(self.parts);
        let to_come = self.announced.map(|announced| announced.saturating_sub(self.size_bytes));
        let expected = to_come.and_then(|to_come| usize::try_from(to_come).ok()).filter(|expected| *expected > 0);
        let capacity = expected.map_or(longest, |expected| expected.min(longest));
        Part::begin(&self.shared.budget, &self.shared.temp_dir, capacity).await
    }

    /// A part that would be the last one if no more came than was announced is too short to be another one.
    async fn send_or_grow(&mut self, mut part: Part) -> Result<(), BlobError> {
        let longest = self.shared.budget.part_bytes(self.parts);
        if part.capacity() < longest {
            part.grow(&self.shared.budget, &self.shared.temp_dir, longest).await?;
            self.part = Some(part);
            return Ok(());
        }
        self.parts += 1;
        self.send(part).await
    }

    async fn send(&mut self, part: Part) -> Result<(), BlobError> {
        let sending = match &mut self.sending {
            Some(sending) => sending,
            none => none.insert(Sending::begin(&self.shared).await?),
        };
        sending.send(part).await
    }

    /// The object with all bytes in it.
    async fn complete(&mut self) -> Result<Unpublished<K>, BlobError> {
        let part = self.part.take();
        if let Some(mut sending) = self.sending.take() {
            if let Some(part) = part {
                sending.send(part).await?;
            }
            return sending.complete(self.size_bytes).await;
        }
        let mut object = self.shared.begin_object().await?;
        let (payload, _taken) = match part {
            Some(part) => part.into_payload(&self.shared.budget).await.map(|(all, taken)| (all, Some(taken)))?,
            None => (PutPayload::new(), None),
        };
        object.put(payload).await?;
        Ok(object)
    }
}

impl<K: BlobKeys> BlobWriter for S3BlobWriter<K> {
    type Finished = S3FinishedBlob<K>;

    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.digest.update(bytes.clone()).await?;
        self.tail.push(bytes.clone(), &self.shared.budget);
        self.fill(bytes).await?;
        reached(Step::BlockWritten);
        Ok(())
    }

    async fn finish(mut self) -> Result<S3FinishedBlob<K>, BlobError> {
        reached(Step::BlobWritten);
        let object = self.complete().await?;
        reached(Step::BlobSynced);
        let sha256 = self.digest.finish().await?;
        let blob = BlobObject { sha256, size_bytes: self.size_bytes, key: object.key().clone() };
        Ok(S3FinishedBlob::new(blob, object, self.tail, self.shared.cleaner.bucket.clone()))
    }

    async fn discard(self) {
        if let Some(sending) = self.sending {
            sending.discard().await;
        }
    }
}
