//! Deletes what is no blob's: what writers left that are gone, and objects whose grace is over.
//!
//! Promises: an object of a living writer stays, as does one that was retired too lately; what cannot be deleted now is left
//! for the next time, here or elsewhere. Two stores that sweep at once delete nothing twice.

use std::time::{Duration, SystemTime};

use linkgate_store_core::ingest::ports::{BlobError, BlobKeys, OpenUpload, RetiredObject, Swept};
use tracing::warn;

use super::client::statements_of;
use super::erase::{Traces, erase};
use super::error::{chain, key_error};
use super::keeper::Cleaner;

impl<K: BlobKeys> Cleaner<K> {
    /// Deletes what was begun before then and has no writer any more.
    pub(crate) async fn sweep_abandoned(&self, begun_before: SystemTime) -> Result<Swept, BlobError> {
        let mut swept = Swept::default();
        loop {
            let taken = self.keys.take_abandoned(self.holder, begun_before).await.map_err(key_error)?;
            if taken.is_empty() {
                return Ok(swept);
            }
            let mut left = taken.into_iter();
            while let Some(next) = left.next() {
                match self.sweep_one(&next).await {
                    Ok(bytes) => swept = Swept { files: swept.files + 1, bytes: swept.bytes + bytes },
                    Err(e) => {
                        self.give_back(std::iter::once(next).chain(left)).await;
                        return Err(e);
                    }
                }
            }
        }
    }

    async fn sweep_one(&self, abandoned: &OpenUpload) -> Result<u64, BlobError> {
        let OpenUpload { key, upload_id } = abandoned;
        let bytes = self.bucket.size(key).await?.unwrap_or(0);
        erase(&self.bucket, key, &Traces::Uploads { known: upload_id.clone() }).await?;
        self.keys.forget(key).await.map_err(key_error)?;
        Ok(bytes)
    }

    /// What is not given back now is abandoned with this process.
    async fn give_back(&self, taken: impl Iterator<Item = OpenUpload>) {
        for OpenUpload { key, .. } in taken {
            if let Err(e) = self.keys.disown(self.holder, &key).await {
                warn!(object.key = %key, error = chain(&e), "Cannot give back an object that is to be swept");
            }
        }
    }

    /// Deletes objects that no blob needs any more since that time.
    pub(crate) async fn delete_expired(&self, retired_for: Duration) -> Result<Swept, BlobError> {
        let (mut swept, mut after) = (Swept::default(), None);
        loop {
            let page = self.keys.expired(retired_for, after.as_ref()).await.map_err(key_error)?;
            let Some(last) = page.last() else { return Ok(swept) };
            after = Some(last.key.clone());
            for RetiredObject { key, size_bytes } in page {
                // First, so that none is ever left without its package.
                self.bucket.delete(&statements_of(&key)).await?;
                self.bucket.delete(&key).await?;
                self.keys.forget_retired(&key).await.map_err(key_error)?;
                swept = Swept { files: swept.files + 1, bytes: swept.bytes + size_bytes };
            }
        }
    }
}
