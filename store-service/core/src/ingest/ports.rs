//! What the use case needs from the world: where bytes come from, where they are kept, where the books are.
//!
//! Each port names its own failures, free of HTTP and of any adapter, with values instead of ready-made sentences.

mod blob;
mod catalog;
mod job;

pub use blob::{BlobError, BlobStore, BlobWriter, FinishedBlob};
pub use catalog::{Catalog, CatalogError, Entry, Held, NewEntry, Provenance, Recorded};
pub use job::{Failure, JobEnd, JobKey, JobRecord, JobRequest, JobState, JobView};
pub use linkgate_fetch::{Cause, Chunk, Fetched, Phase, Progress, Source, SourceError, SourceStream, Wanted};

/// A SHA-256 in 64 lower-case hex digits. Safe in a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sha256Hex(String);

impl Sha256Hex {
    /// Takes a digest.
    #[must_use]
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(hex::encode(digest))
    }

    /// Reads hex digits; `None` unless they are what [`Sha256Hex::from_digest`] writes.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let good = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(text.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
