//! The memory that all uploads hold together.
//!
//! Promises: it is bounded, whatever comes. Nobody waits for memory to write into: who gets none now uses a file. Memory is
//! given for whole parts, since half-filled ones that waited for each other would wait for ever. A part that went into a file
//! must be in memory while it is sent, and waits for that; a share is set apart for it, which only those hold who are sending.
//! The ends of archives have a share beside it, since they are held for longer than any part; and so has what waits for its digest.

use std::sync::Arc;

use linkgate_store_core::ingest::ports::BlobError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::settings::Memory;

const KIB: usize = 1 << 10;
/// Parts up to this one have the usual length.
const LONGER_FROM: usize = 1_000;
/// How much longer the others are, if the memory allows.
const LONGER: usize = 8;
/// The most parts that S3 takes.
pub(crate) const MOST_PARTS: usize = 10_000;

/// Beside all parts, this share of their memory is for the ends of archives, and as much for what waits for its digest.
const BESIDE: usize = 8;

/// The memory of uploads.
pub(crate) struct Budget {
    filling: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
    part_bytes: usize,
    sending_bytes: usize,
}

/// Memory that was taken, until it is dropped.
pub(crate) struct Taken {
    permit: OwnedSemaphorePermit,
}

impl Taken {
    /// Takes so much more, if there is some now.
    pub(crate) fn extend(&mut self, budget: &Budget, bytes: usize) -> bool {
        let more = budget.try_take(bytes);
        more.map(|more| self.permit.merge(more.permit)).is_some()
    }
}

impl Budget {
    /// Half of it is for what is sent out of files.
    pub(crate) fn new(memory: &Memory) -> Self {
        let sending_bytes = memory.bytes / 2;
        let semaphore = |bytes: usize| Arc::new(Semaphore::new(kib(bytes) as usize));
        Self {
            filling: semaphore(memory.bytes - sending_bytes),
            sending: semaphore(sending_bytes),
            tails: semaphore(memory.bytes / BESIDE),
            ahead: semaphore(memory.bytes / BESIDE),
            part_bytes: memory.part_bytes,
            sending_bytes,
        }
    }

    /// How long this part of an upload is: the later ones are longer, or the largest packages had too many.
    pub(crate) fn part_bytes(&self, number: usize) -> usize {
        let longer = self.part_bytes.saturating_mul(LONGER).min(self.sending_bytes).max(self.part_bytes);
        if number < LONGER_FROM { self.part_bytes } else { longer }
    }

    /// The longest blob that has not too many parts.
    pub(crate) fn longest_blob(&self) -> u64 {
        let (usual, longer) =
            (LONGER_FROM * self.part_bytes(0), (MOST_PARTS - LONGER_FROM) * self.part_bytes(LONGER_FROM));
        (usual + longer) as u64
    }

    /// Memory to write into, if there is some now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Taken> {
        try_take(&self.filling, bytes)
    }

    /// Memory for the end of an archive, if there is some now.
    pub(crate) fn try_take_tail(&self, bytes: usize) -> Option<Taken> {
        try_take(&self.tails, bytes)
    }

    /// Memory for what waits for its digest, if there is some now.
    pub(crate) fn try_take_ahead(&self, bytes: usize) -> Option<Taken> {
        try_take(&self.ahead, bytes)
    }

    /// Memory for a part that is read back to be sent, which is at most as long as a part may be.
    pub(crate) async fn take_to_send(&self, bytes: usize) -> Result<Taken, BlobError> {
        let permit = Arc::clone(&self.sending).acquire_many_owned(kib(bytes)).await;
        permit.map(|permit| Taken { permit }).map_err(|_| BlobError::WriterGone)
    }

    /// What is taken now.
    #[cfg(test)]
    pub(crate) fn free_kib(&self) -> usize {
        self.filling.available_permits() + self.sending.available_permits()
    }
}

fn try_take(share: &Arc<Semaphore>, bytes: usize) -> Option<Taken> {
    let permit = Arc::clone(share).try_acquire_many_owned(kib(bytes)).ok()?;
    Some(Taken { permit })
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(mib: usize) -> Budget {
        Budget::new(&Memory { bytes: mib << 20, ..Memory::with_temp_dir("/tmp".into()) })
    }

    #[test]
    fn no_more_is_given_than_there_is_and_it_comes_back() {
        let budget = budget(64);
        let taken: Vec<_> = (0..9).map(|_| budget.try_take(8 << 20)).collect();
        assert_eq!(taken.iter().flatten().count(), 4, "half is for sending");
        drop(taken);
        assert_eq!(budget.free_kib(), 64 << 10);
    }

    #[test]
    fn a_short_blob_takes_only_what_it_is() {
        let budget = budget(64);
        let taken: Vec<_> = (0..64).map_while(|_| budget.try_take(100 << 10)).collect();
        assert_eq!(taken.len(), 64);
    }

    #[tokio::test]
    async fn who_fills_slowly_keeps_nobody_from_sending() {
        let budget = budget(64);
        let _slow: Vec<_> = std::iter::from_fn(|| budget.try_take(8 << 20)).collect();
        budget.take_to_send(8 << 20).await.map(drop).unwrap();
    }

    #[test]
    fn parts_of_the_largest_packages_are_longer_as_far_as_they_can_be_sent() {
        assert_eq!((budget(64).part_bytes(999), budget(64).part_bytes(1_000)), (8 << 20, 32 << 20));
        assert_eq!(budget(256).part_bytes(9_999), 64 << 20);
        assert_eq!(budget(32).part_bytes(1_000), 16 << 20);
        assert_eq!(budget(256).longest_blob(), (1_000 * 8 + 9_000 * 64) << 20);
    }
}
