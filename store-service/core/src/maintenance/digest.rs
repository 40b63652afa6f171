//! Reads a blob from its first byte to its last and says whether it is what its name says.
//!
//! Promises: at most `STEP_BYTES` are in memory, and no thread is held while the rate lets the disk rest.

use linkgate_contract::Sha256;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::hasher::Hasher;
use crate::ingest::ports::{BlobError, BlobReader as _, BlobStore};

/// What is read at a time. At a low rate it is also the largest burst.
const STEP_BYTES: usize = 1 << 20;

/// How fast is read.
#[derive(Clone, Copy, Debug)]
pub enum ReadRate {
    /// As fast as the disk gives.
    Full,
    /// At most so many bytes in a second, over a blob and over many.
    BytesPerSecond(u64),
}

/// What a blob holds.
#[derive(Debug)]
pub enum Content {
    /// What its name says.
    Sound {
        /// Its length.
        size_bytes: u64,
    },
    /// Something else.
    Corrupt {
        /// Its length.
        size_bytes: u64,
    },
    /// The disk does not give it.
    Unreadable(BlobError),
    /// It is not there any more.
    Gone,
}

/// Digests blobs and keeps to its rate.
pub struct BlobDigester<B> {
    blobs: B,
    rate: ReadRate,
    due: Instant,
}

impl<B: BlobStore> BlobDigester<B> {
    /// Begins; its rate counts from now.
    #[must_use]
    pub fn new(blobs: B, rate: ReadRate) -> Self {
        Self { blobs, rate, due: Instant::now() }
    }

    /// Reads a blob to its end.
    pub async fn examine(&mut self, sha256: &Sha256) -> Content {
        match self.digest(sha256).await {
            Ok((digest, size_bytes)) if digest == *sha256 => Content::Sound { size_bytes },
            Ok((_, size_bytes)) => Content::Corrupt { size_bytes },
            Err(BlobError::NotFound) => Content::Gone,
            Err(e) => Content::Unreadable(e),
        }
    }

    async fn digest(&mut self, sha256: &Sha256) -> Result<(Sha256, u64), BlobError> {
        let mut reader = self.blobs.open(*sha256, None).await?;
        let (mut hash, mut size_bytes) = (Hasher::default(), 0);
        while let Some(chunk) = reader.read_chunk(STEP_BYTES).await? {
            let bytes = chunk.len() as u64;
            size_bytes += bytes;
            // Not on the threads that serve requests.
            hash = tokio::task::spawn_blocking(move || {
                hash.update(&chunk);
                hash
            })
            .await
            .map_err(|_| BlobError::WriterGone)?;
            self.rest(bytes).await;
        }
        Ok((hash.finish(), size_bytes))
    }

    /// Time that was not used up is not saved for a burst.
    async fn rest(&mut self, bytes: u64) {
        let ReadRate::BytesPerSecond(rate) = self.rate else { return };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.due = self.due.max(Instant::now()) + takes;
        sleep_until(self.due).await;
    }
}
