//! Holds that keep all blobs.
//!
//! Promises: a hold that was dropped is released at once if the database answers, and later if it does not; it ends with
//! the process in any case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linkgate_store_core::ingest::ports::{BlobKeys, HoldId, KeyError, KeyHolder};
use tokio::sync::Notify;
use tracing::warn;

use super::error::chain;
use super::keeper::Keeper;

/// As long as it lives no blob is deleted, by whatever process.
pub struct S3Hold {
    id: HoldId,
    dropped: Arc<Dropped>,
    /// Signs of life must go on.
    _keeper: Keeper,
}

/// The holds of this process.
pub(crate) struct Holds<K> {
    keys: K,
    holder: KeyHolder,
    dropped: Arc<Dropped>,
    /// Whoever waits for a release waits also for one that is under way.
    releasing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Dropped {
    ids: Mutex<Vec<HoldId>>,
    added: Notify,
}

impl Dropped {
    /// A list is never half written, whoever panicked.
    fn ids(&self) -> MutexGuard<'_, Vec<HoldId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: BlobKeys> Holds<K> {
    pub(crate) fn new(keys: K, holder: KeyHolder) -> Self {
        Self { keys, holder, dropped: Arc::default(), releasing: tokio::sync::Mutex::default() }
    }

    pub(crate) async fn hold(&self, keeper: Keeper) -> Result<S3Hold, KeyError> {
        let id = self.keys.hold(self.holder).await?;
        Ok(S3Hold { id, dropped: Arc::clone(&self.dropped), _keeper: keeper })
    }

    /// Returns once a hold was dropped.
    pub(crate) async fn dropped(&self) {
        self.dropped.added.notified().await;
    }

    /// Releases what was dropped; what cannot be released now is tried the next time.
    pub(crate) async fn release_dropped(&self) {
        let _one_at_a_time = self.releasing.lock().await;
        let ids = std::mem::take(&mut *self.dropped.ids());
        for id in ids {
            if let Err(e) = self.keys.release(id).await {
                warn!(error = chain(&e), "Cannot release a hold on all blobs; trying again");
                self.dropped.ids().push(id);
            }
        }
    }
}

impl Drop for S3Hold {
    fn drop(&mut self) {
        self.dropped.ids().push(self.id);
        self.dropped.added.notify_one();
    }
}
