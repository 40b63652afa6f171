//! An object that is being written.
//!
//! Promises: its key is noted before anything is sent; whatever drops it leaves it to be deleted.

use std::time::Duration;

use linkgate_store_core::ingest::ports::{BlobError, BlobKeys, BlobObject, KeyError, ObjectKey, Published};
use object_store::PutPayload;
use tokio::time::timeout;

use super::client::Upload;
use super::erase::Traces;
use super::error::key_error;
use super::keeper::{Cleaner, Keeper, Leftover};

/// How long whoever discards an upload waits for its object to be deleted: a caller waits for its refusal.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// An object that is no blob's yet.
pub(crate) struct Unpublished<K: BlobKeys> {
    cleaner: Cleaner<K>,
    keeper: Keeper,
    /// `None` once it is a blob's.
    leftover: Option<Leftover>,
    key: ObjectKey,
}

impl<K: BlobKeys> Unpublished<K> {
    pub(crate) async fn begin(cleaner: &Cleaner<K>, keeper: &Keeper, prefix: &str) -> Result<Self, BlobError> {
        let key = ObjectKey::unused(prefix);
        let leftover = Leftover { key: key.clone(), traces: Traces::Nothing, may_be_published: false };
        let begun = Self { cleaner: cleaner.clone(), keeper: keeper.clone(), leftover: Some(leftover), key };
        cleaner.keys.begin(cleaner.holder, &begun.key).await.map_err(key_error)?;
        Ok(begun)
    }

    pub(crate) fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Writes it in one request.
    pub(crate) async fn put(&mut self, payload: PutPayload) -> Result<(), BlobError> {
        self.leaves(Traces::Object);
        self.cleaner.bucket.put(&self.key, payload).await
    }

    /// Begins to write it in parts.
    pub(crate) async fn begin_upload(&mut self) -> Result<Upload, BlobError> {
        self.leaves(Traces::Uploads { known: None });
        let upload = self.cleaner.bucket.begin_upload(&self.key).await?;
        self.leaves(Traces::Uploads { known: Some(upload.id.clone()) });
        self.cleaner.keys.note_upload(&self.key, &upload.id).await.map_err(key_error)?;
        Ok(upload)
    }

    /// Makes it the object of its blob, unless that has another one.
    pub(crate) async fn publish(
        &mut self,
        object: &BlobObject,
        lost: Option<&ObjectKey>,
    ) -> Result<Published, BlobError> {
        self.is_published_perhaps(true);
        let published = self.cleaner.keys.publish(self.cleaner.holder, object, lost).await;
        match &published {
            Ok(Published::New | Published::Replaced) => {
                if let Some(Leftover { key, traces: Traces::Uploads { .. }, .. }) = self.leftover.take() {
                    self.keeper.abort_strays(key);
                }
            }
            Ok(Published::Existing(_)) | Err(KeyError::Lost) => self.is_published_perhaps(false),
            Err(KeyError::Unavailable(_) | KeyError::Database(_)) => {}
        }
        published.map_err(key_error)
    }

    /// Deletes it; nothing is left once this returns, unless the storage does not answer soon.
    pub(crate) async fn discard(mut self) {
        let Some(leftover) = &self.leftover else { return };
        if timeout(DISCARD_TIMEOUT, self.cleaner.clean(leftover)).await.is_ok() {
            self.leftover = None;
        }
    }

    fn leaves(&mut self, traces: Traces) {
        if let Some(leftover) = &mut self.leftover {
            leftover.traces = traces;
        }
    }

    fn is_published_perhaps(&mut self, perhaps: bool) {
        if let Some(leftover) = &mut self.leftover {
            leftover.may_be_published = perhaps;
        }
    }
}

impl<K: BlobKeys> Drop for Unpublished<K> {
    fn drop(&mut self) {
        if let Some(leftover) = self.leftover.take() {
            self.keeper.leave(leftover);
        }
    }
}
