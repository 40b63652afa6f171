//! Reads a blob from its first byte to its last and says whether it is what its name says.
//!
//! Promises: at most [`STEP_BYTES`] are in memory, and no thread is held while the pace lets the disk rest.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use linkgate_blob::DirectoryBlobStore;
use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::BlobError;
use tokio::time::{Instant, sleep_until};

/// What is read at a time. At a low rate it is also the largest burst.
const STEP_BYTES: usize = 1 << 20;

/// How fast is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReadRate {
    /// As fast as the disk gives.
    Full,
    /// At most so many bytes in a second, over a blob and over many.
    BytesPerSecond(u64),
}

/// What a blob holds.
#[derive(Debug)]
pub(super) enum Content {
    /// What its name says.
    Sound {
        /// Its length.
        size_bytes: u64,
    },
    /// Something else.
    Wrong {
        /// Its length.
        size_bytes: u64,
    },
    /// The disk does not give it.
    Unreadable(BlobError),
    /// It is not there any more.
    Gone,
}

/// A reader of blobs that keeps to its pace.
pub(super) struct BlobDigester {
    blobs: DirectoryBlobStore,
    pace: ReadRate,
    due: Instant,
}

impl BlobDigester {
    pub(super) fn new(blobs: DirectoryBlobStore, pace: ReadRate) -> Self {
        Self { blobs, pace, due: Instant::now() }
    }

    pub(super) async fn read(&mut self, sha256: &Sha256) -> Content {
        match self.digest(sha256).await {
            Ok((digest, size_bytes)) if digest == *sha256 => Content::Sound { size_bytes },
            Ok((_, size_bytes)) => Content::Wrong { size_bytes },
            Err(BlobError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Content::Gone,
            Err(e) => Content::Unreadable(e),
        }
    }

    async fn digest(&mut self, sha256: &Sha256) -> Result<(Sha256, u64), BlobError> {
        let mut step = Step { file: self.blobs.read(*sha256).await?, hash: Context::new(&SHA256), read: 0 };
        let mut size_bytes = 0;
        loop {
            step = tokio::task::spawn_blocking(|| step.next()).await.map_err(|_| BlobError::WriterGone)??;
            size_bytes += step.read;
            self.rest(step.read).await;
            if step.read < STEP_BYTES as u64 {
                let mut digest = [0; 32];
                digest.copy_from_slice(step.hash.finish().as_ref());
                return Ok((Sha256::from_bytes(digest), size_bytes));
            }
        }
    }

    /// Time that was not used up is not saved for a burst.
    async fn rest(&mut self, bytes: u64) {
        let ReadRate::BytesPerSecond(rate) = self.pace else { return };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.due = self.due.max(Instant::now()) + takes;
        sleep_until(self.due).await;
    }
}

struct Step {
    file: File,
    hash: Context,
    read: u64,
}

impl Step {
    fn next(mut self) -> Result<Self, BlobError> {
        let mut buffer = Vec::with_capacity(STEP_BYTES);
        let limit = STEP_BYTES as u64;
        let read = (&self.file).take(limit).read_to_end(&mut buffer);
        read.map_err(|e| BlobError::from_io("reading a blob", e))?;
        self.hash.update(&buffer);
        self.read = buffer.len() as u64;
        Ok(self)
    }
}
