//! What goes on beside writers and readers: signs of life, and the deletion of what writers gave up.
//!
//! Promises: whatever ends a writer, its object and its parts are deleted at once; what cannot be deleted now is given up in
//! the database, and any store sweeps it. Signs of life go on whatever the storage does. Ends when the store and all its
//! writers and holds are gone, and what they gave up is deleted.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use linkgate_store_core::ingest::ports::{BlobKeys, KeyError, KeyHolder, ObjectKey};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

use super::client::Bucket;
use super::erase::{Traces, abort_uploads, erase};
use super::error::{chain, key_error};
use super::hold::Holds;

/// What may wait to be done. More wait for a sweep after this process.
const WAITING: usize = 4_096;
/// How many are done at once.
const AT_ONCE: usize = 8;
/// Between two tries to give up an object.
const AGAIN: Duration = Duration::from_secs(5);
/// Signs of life in the time of one lease: two may be lost.
const BEATS: u32 = 4;

/// An object that will be no blob's.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) key: ObjectKey,
    pub(crate) traces: Traces,
    /// Whether it may have become a blob's nevertheless: its publication was begun, and how that ended is not known.
    pub(crate) may_be_published: bool,
}

/// What is to be done when there is time.
enum Chore {
    /// Deletes this unless it is a blob's.
    Clean(Leftover),
    /// Aborts what uploads there are to a key whose object is complete: the reply to the first request for one may have
    /// been lost, and then a second one was made.
    AbortStrays(ObjectKey),
}

/// Where chores are handed in.
#[derive(Clone)]
pub(crate) struct Keeper {
    chores: Sender<Chore>,
}

impl Keeper {
    /// Runs until no handle is left.
    pub(crate) fn start<K: BlobKeys>(cleaner: Cleaner<K>, holds: Arc<Holds<K>>) -> Self {
        let (chores, waiting) = channel(WAITING);
        tokio::spawn(async move {
            let beats = pin!(beat(&cleaner, &holds));
            tokio::select! {
                () = do_all(&cleaner, waiting) => holds.release_dropped().await,
                never = beats => match never {},
            }
        });
        Self { chores }
    }

    /// Never waits.
    pub(crate) fn leave(&self, leftover: Leftover) {
        let key = leftover.key.clone();
        if self.chores.try_send(Chore::Clean(leftover)).is_err() {
            warn!(object.key = %key, "An object that was given up stays until this store has ended");
        }
    }

    /// Never waits. What does not fit in is left to the bucket's own rule.
    pub(crate) fn abort_strays(&self, key: ObjectKey) {
        let _forgotten = self.chores.try_send(Chore::AbortStrays(key));
    }
}

/// Deletes what this process wrote.
#[derive(Clone)]
pub(crate) struct Cleaner<K> {
    pub(crate) bucket: Bucket,
    pub(crate) keys: K,
    pub(crate) holder: KeyHolder,
}

impl<K: BlobKeys> Cleaner<K> {
    /// Deletes an object unless it is a blob's, and forgets its key.
    pub(crate) async fn clean(&self, leftover: &Leftover) {
        let Leftover { key, traces, may_be_published } = leftover;
        if *may_be_published && !self.give_up(key).await {
            return;
        }
        let erased = async {
            erase(&self.bucket, key, traces).await?;
            self.keys.forget(key).await.map_err(key_error)
        };
        if let Err(e) = erased.await {
            warn!(object.key = %key, error = chain(&e), "Cannot delete an object that was given up; leaving it to be swept");
            self.give_up(key).await;
        }
    }

    /// Leaves a key to whoever sweeps; `false` if it is a blob's, or if that is not known. Waits for a database that is away: for
    /// as long as this store lives nobody sweeps what it does not give up.
    async fn give_up(&self, key: &ObjectKey) -> bool {
        let mut is_first = true;
        loop {
            match self.keys.disown(self.holder, key).await {
                Ok(is_no_blob) => return is_no_blob,
                Err(e @ KeyError::Unavailable(_)) if is_first => {
                    warn!(object.key = %key, error = chain(&e), "Cannot give up an object now; trying again until it is done");
                    is_first = false;
                }
                Err(KeyError::Unavailable(_)) => {}
                Err(e) => {
                    warn!(object.key = %key, error = chain(&e), "Cannot give up an object; it stays until this store has ended");
                    return false;
                }
            }
            sleep(AGAIN).await;
        }
    }
}

async fn do_all<K: BlobKeys>(cleaner: &Cleaner<K>, mut waiting: Receiver<Chore>) {
    let chores = poll_fn(move |context| waiting.poll_recv(context));
    chores.for_each_concurrent(AT_ONCE, |chore| do_one(cleaner, chore)).await;
}

async fn do_one<K: BlobKeys>(cleaner: &Cleaner<K>, chore: Chore) {
    match chore {
        Chore::Clean(leftover) => cleaner.clean(&leftover).await,
        Chore::AbortStrays(key) => {
            if let Err(e) = abort_uploads(&cleaner.bucket, &key).await {
                warn!(object.key = %key, error = chain(&e), "Cannot look for uploads that were begun twice");
            }
        }
    }
}

async fn beat<K: BlobKeys>(cleaner: &Cleaner<K>, holds: &Holds<K>) -> Infallible {
    let mut ticks = interval(KeyHolder::LEASE / BEATS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _tick = ticks.tick() => {
                if let Err(e) = cleaner.keys.beat(cleaner.holder).await {
                    warn!(error = chain(&e), "Cannot say that this store is alive");
                }
            }
            () = holds.dropped() => {}
        }
        holds.release_dropped().await;
    }
}
