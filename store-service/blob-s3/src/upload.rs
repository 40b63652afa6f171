//! An upload in parts.
//!
//! Promises: at most [`AT_ONCE`] parts are on their way; they are put together in their order, whichever came first. What
//! is on its way is cut off when this is dropped.

use std::sync::Arc;
use std::time::Duration;

use linkgate_store_core::ingest::ports::BlobError;
use object_store::multipart::PartId;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::budget::{Budget, MOST_PARTS};
use super::client::{Bucket, Upload};
use super::error::too_many_parts;
use super::part::Part;

/// Parts of one upload that are sent at once. More of them would take memory from other uploads and bring little.
const AT_ONCE: usize = 3;

/// How long parts on their way may take whose upload is given up: a caller waits for its refusal.
const LAST_PARTS: Duration = Duration::from_secs(2);

/// An upload whose parts are being sent.
pub(crate) struct PartSender {
    bucket: Bucket,
    budget: Arc<Budget>,
    upload: Upload,
    next: usize,
    sending: JoinSet<Result<(usize, PartId), BlobError>>,
    sent: Vec<(usize, PartId)>,
}

impl PartSender {
    pub(crate) fn new(bucket: Bucket, budget: Arc<Budget>, upload: Upload) -> Self {
        Self { bucket, budget, upload, next: 0, sending: JoinSet::new(), sent: Vec::new() }
    }

    /// Sends a part, once there are not too many on their way. Fails by what has become of earlier ones.
    pub(crate) async fn send(&mut self, part: Part) -> Result<(), BlobError> {
        let number = self.next;
        if number >= MOST_PARTS {
            return Err(too_many_parts());
        }
        while self.sending.len() >= AT_ONCE {
            self.wait_for_one().await?;
        }
        let (bucket, budget, upload) = (self.bucket.clone(), Arc::clone(&self.budget), self.upload.clone());
        self.sending.spawn(async move {
            let (payload, _taken) = part.into_payload(&budget).await?;
            bucket.put_part(&upload, number, payload).await.map(|id| (number, id))
        });
        self.next += 1;
        Ok(())
    }

    /// Makes an object of so many bytes of the parts.
    pub(crate) async fn complete(&mut self, size_bytes: u64) -> Result<(), BlobError> {
        while !self.sending.is_empty() {
            self.wait_for_one().await?;
        }
        self.sent.sort_unstable_by_key(|(number, _)| *number);
        let parts = std::mem::take(&mut self.sent).into_iter().map(|(_, id)| id).collect();
        self.bucket.complete(&self.upload, parts, size_bytes).await
    }

    /// Lets what is on its way end by itself, or ends it if that takes too long.
    pub(crate) async fn stop(mut self) {
        let all = async { while self.sending.join_next().await.is_some() {} };
        let _late = timeout(LAST_PARTS, all).await;
        self.sending.shutdown().await;
    }

    async fn wait_for_one(&mut self) -> Result<(), BlobError> {
        if let Some(sent) = self.sending.join_next().await {
            self.sent.push(sent.unwrap_or(Err(BlobError::WriterGone))?);
        }
        Ok(())
    }
}
