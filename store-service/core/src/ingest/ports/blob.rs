//! Where the bytes of packages are stored.

use std::io::{self, Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::mpsc;

use linkgate_contract::Sha256;

use super::Cause;

/// Where the bytes of packages are stored, each blob under the SHA-256 of its bytes. A copy is another handle on the same.
pub trait BlobStore: Clone + Send + Sync + 'static {
    /// A blob that is being written.
    type Writer: BlobWriter<Finished = Self::Finished>;
    /// A blob that is written and durable, under no name yet. Dropping it discards it.
    type Finished: FinishedBlob;
    /// A blob that is being read.
    type Reader: BlobReader;
    /// As long as it lives no blob is deleted, by whatever process.
    type Hold: Send + 'static;
    /// Blobs that are being copied into a directory.
    type Export: BlobExport;

    /// Fails unless a blob of so many bytes would find space now. Reserves nothing.
    fn check_space(&self, bytes: u64) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Begins a blob. One whose size is known gets all of its space reserved, or is refused.
    fn open_writer(&self, size: Option<u64>) -> impl Future<Output = Result<Self::Writer, BlobError>> + Send;
    /// Gives a blob its name for good: it survives a power cut once this returns. `true` if it was not there before.
    fn commit(&self, finished: Self::Finished) -> impl Future<Output = Result<bool, BlobError>> + Send;
    /// Opens a blob to be read, from its first byte or only these bytes of it.
    ///
    /// [`BlobError::NotFound`] if it is not there.
    fn open(
        &self,
        sha256: Sha256,
        range: Option<Range<u64>>,
    ) -> impl Future<Output = Result<Self::Reader, BlobError>> + Send;
    /// An address where whoever has it gets these bytes from the storage itself for some minutes, named and typed like this; `None`
    /// where all bytes go through this store.
    ///
    /// [`BlobError::NotFound`] if the blob is not there.
    fn link(
        &self,
        _sha256: Sha256,
        _shown: &ShownAs,
    ) -> impl Future<Output = Result<Option<String>, BlobError>> + Send {
        std::future::ready(Ok(None))
    }
    /// What is known of a blob, as far as its name tells; `None` if it is not there.
    fn stat(&self, sha256: Sha256) -> impl Future<Output = Result<Option<BlobStat>, BlobError>> + Send;
    /// Lists all blobs, in 256 parts by the first byte of the digest, beginning with this part. Ends early when the
    /// receiver is dropped.
    fn list(&self, first_part: u8) -> mpsc::Receiver<Result<Listed, BlobError>>;
    /// Deletes a blob and what was attached to it. `false` if it stays because somebody holds them all; one that is not
    /// there counts as deleted.
    fn delete(&self, sha256: Sha256) -> impl Future<Output = Result<bool, BlobError>> + Send;
    /// Moves a blob to where nothing is ever deleted, and says where it is now.
    fn quarantine(&self, sha256: Sha256) -> impl Future<Output = Result<PathBuf, BlobError>> + Send;
    /// Deletes what writers left that are gone, if nobody has written to it since; `dry_run` only counts.
    fn sweep_abandoned(
        &self,
        written_before: SystemTime,
        dry_run: bool,
    ) -> impl Future<Output = Result<Swept, BlobError>> + Send;
    /// Lists what lies among the blobs of a storage that knows them by names of its own, and is none: no process writes it, and
    /// nothing says of which blob it was. Ends early when the receiver is dropped. Empty where [`list`](Self::list) finds such
    /// things.
    fn list_unknown(&self) -> mpsc::Receiver<Result<UnknownObject, BlobError>>;
    /// Deletes such a thing if it is still unknown, its name is one that this store gives, and it has lain there for as long as
    /// a blob that nobody needs. `false` if it stays.
    fn delete_unknown(&self, object: &UnknownObject) -> impl Future<Output = Result<bool, BlobError>> + Send;
    /// Attaches statements to a blob, one in a line, in the place of those that are there. They need not survive a power
    /// cut: the catalog has them.
    fn attach_statements(
        &self,
        sha256: Sha256,
        statements: String,
    ) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Keeps every blob from being deleted.
    fn hold(&self) -> impl Future<Output = Result<Self::Hold, BlobError>> + Send;
    /// Begins to copy blobs into a directory that is a data directory or a backup.
    fn begin_export(&self, into: &Path) -> impl Future<Output = Result<Self::Export, BlobError>> + Send;
    /// Proves that blobs can be written.
    fn check(&self) -> impl Future<Output = Result<(), BlobError>> + Send;
}

/// What a reply says of a blob that a storage sends by itself.
#[derive(Clone, Debug)]
pub struct ShownAs {
    /// `Content-Type`.
    pub media_type: String,
    /// `Content-Disposition`.
    pub disposition: String,
}

/// A blob that is being written. Dropping it discards it, though not at once.
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

/// What is known of a written blob.
pub trait FinishedBlob: Send + 'static {
    /// Its bytes, to be read in any order: the directory of a zip archive stands at its end, so inspection cannot do with
    /// less. A store without local files reads ranges behind this.
    type Seekable: Read + Seek;

    /// Opens it. Blocks, as does reading it.
    ///
    /// # Errors
    /// If the storage fails.
    fn open_seekable(&self) -> Result<Self::Seekable, BlobError>;
    /// Its digest, which becomes its name.
    fn sha256(&self) -> Sha256;
    /// Its bytes.
    fn size_bytes(&self) -> u64;
}

/// A blob that is being read.
pub trait BlobReader: Send {
    /// The next bytes, at most so many; `None` after the last.
    fn read_chunk(&mut self, at_most: usize) -> impl Future<Output = Result<Option<Bytes>, BlobError>> + Send;
}

/// Blobs that are being copied into a directory.
pub trait BlobExport: Send {
    /// Copies these, with what is attached to them, and says what became of each.
    fn copy(&mut self, blobs: Vec<Sha256>) -> impl Future<Output = Result<Vec<Exported>, BlobError>> + Send;
    /// Makes all of it durable.
    fn finish(self) -> impl Future<Output = Result<(), BlobError>> + Send;
}

/// A blob, as its store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// Its name.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written or took its name, whichever is later.
    pub modified: SystemTime,
}

/// Something where only blobs should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It lies where the blob of its name belongs.
    Blob(BlobStat),
    /// Anything else. The store puts no such thing there.
    Stray(PathBuf),
}

/// Something among the blobs of a storage that its database does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownObject {
    /// As the storage knows it.
    pub name: String,
    /// Where somebody with other tools finds it.
    pub address: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

/// What abandoned writers left, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many files or uploads.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What became of a blob that was to be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    /// It is there now.
    Copied {
        /// Its bytes.
        bytes: u64,
        /// Whether it shares them with where it came from.
        is_linked: bool,
    },
    /// It was not there to be copied.
    Missing(Sha256),
}

/// Why a blob could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not there.
    #[error("the blob is not there")]
    NotFound,
    /// No space.
    #[error("no space left on the disk")]
    NoSpace(#[source] io::Error),
    /// The storage does not answer, or not well, however often it was asked. Later it may.
    #[error("the storage does not answer")]
    Unavailable(#[source] Cause),
    /// What was written is gone: another process swept it, because its writer had shown no sign of life. It can be written again.
    #[error("what was written was swept, because its writer had shown no sign of life")]
    Swept,
    /// Anything else that the storage says.
    #[error("{doing} failed")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the storage said.
        #[source]
        cause: io::Error,
    },
    /// The writer went away: it panicked, or the runtime is stopping.
    #[error("the writer went away")]
    WriterGone,
}

/// What a reader says of a storage that is away. Who inspects what it reads keeps no more of an error than its kind.
pub const AWAY: io::ErrorKind = io::ErrorKind::HostUnreachable;

impl BlobError {
    /// As a reader has it.
    #[must_use]
    pub fn into_read_error(self) -> io::Error {
        let kind = if matches!(self, Self::Unavailable(_)) { AWAY } else { io::ErrorKind::Other };
        io::Error::new(kind, self)
    }

    /// Sorts a failure of the disk.
    #[must_use]
    pub fn from_io(doing: &'static str, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(cause),
            _ => Self::Io { doing, cause },
        }
    }
}
