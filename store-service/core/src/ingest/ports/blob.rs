//! Where packages are kept.

use std::io::{self, Read, Seek};

use bytes::Bytes;
use linkgate_contract::Sha256;

/// Where packages are kept, by the SHA-256 of their bytes.
pub trait BlobStore: Send + Sync + 'static {
    /// A package that is being written.
    type Writer: BlobWriter<Finished = Self::Finished>;
    /// A package that is written, but not kept yet. Dropping it discards it.
    type Finished: FinishedBlob;

    /// Fails unless a package of so many bytes would find room now. Promises nothing.
    fn check_space(&self, bytes: u64) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Begins a package. One whose size is known is promised room for all of it, or refused.
    fn open_writer(&self, size: Option<u64>) -> impl Future<Output = Result<Self::Writer, BlobError>> + Send;
    /// Keeps a package for good: it survives a power cut once this returns. `true` if it was not there before.
    fn commit(&self, finished: Self::Finished) -> impl Future<Output = Result<bool, BlobError>> + Send;
    /// Whether a package is there, as far as its name tells.
    fn has(&self, sha256: Sha256) -> impl Future<Output = Result<bool, BlobError>> + Send;
    /// Puts statements beside a package, one in a line, in the place of those that are there. They need not survive a power
    /// cut: the books have them.
    fn attach(&self, sha256: Sha256, statements: String) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Removes a package and what was put beside it. One that somebody needs for a while, a backup for one, stays without an error.
    fn remove(&self, sha256: Sha256) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Proves that packages can be written.
    fn check(&self) -> impl Future<Output = Result<(), BlobError>> + Send;
}

/// A package that is being written. Dropping it discards it, though not at once.
pub trait BlobWriter: Send {
    /// What it becomes.
    type Finished;

    /// Takes the next bytes.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Ends it: all bytes are hashed and durable, under no name yet.
    fn finish(self) -> impl Future<Output = Result<Self::Finished, BlobError>> + Send;
    /// Discards it; nothing is left once this returns.
    fn discard(self) -> impl Future<Output = ()> + Send;
}

/// What is known of a written package.
pub trait FinishedBlob: Send + 'static {
    /// Its bytes, to be read.
    type Reader: Read + Seek;

    /// Opens it. Blocks, as does reading it.
    ///
    /// # Errors
    /// If the disk fails.
    fn open(&self) -> Result<Self::Reader, BlobError>;
    /// Its hash, which is also its name.
    fn sha256(&self) -> Sha256;
    /// Its bytes.
    fn size_bytes(&self) -> u64;
}

/// Why a package could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No room.
    #[error("no room on the disk")]
    NoSpace(#[source] io::Error),
    /// Anything else that the disk says.
    #[error("{doing} failed")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the disk said.
        #[source]
        cause: io::Error,
    },
    /// The writer went away: it panicked, or the runtime is stopping.
    #[error("the writer went away")]
    WriterGone,
}

impl BlobError {
    /// Sorts a failure of the disk.
    #[must_use]
    pub fn from_io(doing: &'static str, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(cause),
            _ => Self::Io { doing, cause },
        }
    }
}
