//! The digest of a blob, made while its bytes go on their way.
//!
//! Promises: every byte counts once, in order. It is made in a thread, for it takes as much of a core as all else that an upload needs of
//! one, and the runtime has the fewest threads that can do that. At most [`QUEUED`] pieces and the one that is hashed are held
//! for it, or [`AHEAD`] where there is memory for them. The thread ends soon after its handle.

use bytes::Bytes;
use linkgate_contract::Sha256;
use linkgate_store_core::block::BLOCK_BYTES;
use linkgate_store_core::hasher::Hasher;
use linkgate_store_core::ingest::ports::BlobError;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::budget::{Budget, Taken};

/// They bridge the time when either side is held up.
const QUEUED: usize = 2;
/// As many bridge the time for which the kernel lets another thread have the processor.
const AHEAD: usize = 16;

/// The digest of what has come until now.
pub(crate) struct Digest {
    pieces: mpsc::Sender<Bytes>,
    thread: JoinHandle<Sha256>,
}

impl Digest {
    /// Of no bytes yet, of so many that were announced. Called within the runtime.
    pub(crate) fn begin(budget: &Budget, announced: Option<u64>) -> Self {
        let announced = announced.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let ahead = budget.try_take_ahead(announced.min(AHEAD * BLOCK_BYTES));
        let (pieces, queue) = mpsc::channel(if ahead.is_some() { AHEAD } else { QUEUED });
        Self { pieces, thread: spawn_blocking(move || hash_all(queue, ahead)) }
    }

    pub(crate) async fn update(&self, piece: Bytes) -> Result<(), BlobError> {
        self.pieces.send(piece).await.map_err(|_| BlobError::WriterGone)
    }

    /// Of all that came.
    pub(crate) async fn finish(self) -> Result<Sha256, BlobError> {
        drop(self.pieces);
        self.thread.await.map_err(|_| BlobError::WriterGone)
    }
}

/// What is left in the queue counts until it is hashed, whoever has given up its digest.
fn hash_all(mut queue: mpsc::Receiver<Bytes>, _ahead: Option<Taken>) -> Sha256 {
    let mut hash = Hasher::default();
    while let Some(piece) = queue.blocking_recv() {
        hash.update(&piece);
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest as digest_of};

    use super::*;
    use crate::settings::Memory;

    #[tokio::test]
    async fn pieces_have_the_digest_of_all_bytes_in_their_order() {
        let all: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let budget = Budget::new(&Memory { bytes: 32 << 20, ..Memory::with_temp_dir("/tmp".into()) });
        for piece_bytes in [1_000, 33_333, 100_000] {
            let digest = Digest::begin(&budget, None);
            for piece in all.chunks(piece_bytes) {
                digest.update(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            assert_eq!(digest.finish().await.unwrap().as_bytes()[..], *digest_of(&SHA256, &all).as_ref());
        }
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::begin(&budget, Some(0)).finish().await.unwrap().to_string(), of_nothing);
    }

    #[tokio::test]
    async fn some_digests_may_fall_behind_and_the_others_take_no_memory() {
        let budget = Budget::new(&Memory { bytes: 32 << 20, ..Memory::with_temp_dir("/tmp".into()) });
        let depths: Vec<_> = (0..3).map(|_| Digest::begin(&budget, None)).collect();
        let depths = depths.iter().map(|digest| digest.pieces.max_capacity());
        assert_eq!(depths.collect::<Vec<_>>(), [AHEAD, AHEAD, QUEUED], "an eighth of 32 MiB, 2 MiB each");
        assert_eq!(Digest::begin(&budget, Some(0)).pieces.max_capacity(), AHEAD, "it will have nothing in it");
    }
}
