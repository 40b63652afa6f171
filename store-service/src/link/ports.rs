//! What the use case needs from the world: where bytes come from, where they are kept, where the books are.
//!
//! Each port names its own failures, free of HTTP and of any adapter, with values instead of ready-made sentences.

use std::io::{self, Read, Seek};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use linkgate_contract::{AllowList, AppCode, InvalidUrl, PackageUrl, PackageVersion, UploadPath};

use super::SourceOrigin;
use crate::inspect::Package;

/// An adapter's own error, kept for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Where bytes come from.
pub trait Source: Send + Sync + 'static {
    /// One download.
    type Stream: SourceStream;

    /// Asks for the link and waits until its body begins.
    fn open(&self, wanted: Wanted<'_>) -> impl Future<Output = Result<Self::Stream, SourceError>> + Send;
}

/// What to download.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The link.
    pub url: &'a PackageUrl,
    /// Hosts that may have addresses that are not public, in this download and beside those that the source knows as
    /// such; they must be allowed like any other.
    pub private: &'a AllowList,
    /// How many bytes it must have, if the caller said so.
    pub size: Option<u64>,
}

/// The bytes of one download, in order.
pub trait SourceStream: Send {
    /// What comes next; `None` once all has come.
    fn next(&mut self) -> impl Future<Output = Result<Option<Chunk>, SourceError>> + Send;
    /// Whether the source said how long the body is or where it ends. A body that ends with its connection looks the same
    /// when it was cut off.
    fn has_marked_end(&self) -> bool;
}

/// A step of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// The next bytes.
    Data(Bytes),
    /// The source has to begin again: all bytes so far are void, the first one comes next.
    Restart,
}

/// Why a source gave no package.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The host has an address that is not public. For the log only: a caller must not learn what our resolver sees.
    #[error("{host} has the address {address}, which is not public")]
    ForbiddenAddress {
        /// The host.
        host: String,
        /// The first address that is not public.
        address: IpAddr,
    },
    /// A redirect leads to a host that is not allowed.
    #[error("redirected to {host}, which is not allowed")]
    RedirectNotAllowed {
        /// The host.
        host: String,
    },
    /// A redirect leads to something that is no link.
    #[error("redirected to something that {0}")]
    RedirectInvalid(InvalidUrl),
    /// A redirect leads from https to http.
    #[error("redirected from https to http")]
    RedirectDowngrade,
    /// One redirect after the other.
    #[error("redirected more than {limit} times")]
    TooManyRedirects {
        /// How many are followed.
        limit: usize,
    },
    /// Not 200.
    #[error("answered {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The body is encoded, though we asked for it as it is.
    #[error("answered with a content encoding")]
    Encoded,
    /// An HTML page where a package was due: a login, an error, a list of files.
    #[error("gave an HTML page")]
    Page,
    /// The file is another one than when its download began.
    #[error("changed while it was read")]
    Changed,
    /// Nobody said how long the file is, and the file does not tell either.
    #[error("did not say where the file ends")]
    NoEnd,
    /// More or fewer bytes than the caller named.
    #[error("has another size: expected {expected} bytes, got {}", found.map_or("more".to_owned(), |n| n.to_string()))]
    SizeMismatch {
        /// What the caller named.
        expected: u64,
        /// What was announced or came; `None` if it was cut off when it became more.
        found: Option<u64>,
    },
    /// More bytes than a package may have.
    #[error("has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Too slow.
    #[error("was too slow: {phase} took over {after:?}")]
    TimedOut {
        /// What took so long.
        phase: Phase,
        /// How long we waited.
        after: Duration,
    },
    /// Bytes come, but too few.
    #[error("was too slow: it sent less than {min_rate} bytes per second for {over:?}")]
    TooSlow {
        /// Bytes per second that are due.
        min_rate: u64,
        /// For how long they were not met.
        over: Duration,
    },
    /// No such name, no connection, no TLS, or a body that broke off.
    #[error("could not be read ({phase})")]
    Transport {
        /// What failed.
        phase: Phase,
        /// The client's error.
        #[source]
        cause: Cause,
    },
}

impl SourceError {
    /// What it is called in metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::ForbiddenAddress { .. }
            | Self::RedirectNotAllowed { .. }
            | Self::RedirectInvalid(_)
            | Self::RedirectDowngrade
            | Self::TooManyRedirects { .. } => "source_forbidden",
            Self::Status { .. } | Self::Encoded | Self::Page | Self::Changed | Self::NoEnd => "source_refused",
            Self::SizeMismatch { .. } => "size_mismatch",
            Self::TooLarge { .. } => "too_large",
            Self::TimedOut { .. } | Self::TooSlow { .. } => "source_timeout",
            Self::Transport { .. } => "source_unreachable",
        }
    }
}

/// A part of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Name, connection, TLS.
    Connect,
    /// From the request to the head of the reply.
    Head,
    /// The body.
    Body,
    /// All of it.
    Whole,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Head => "the head",
            Self::Body => "the body",
            Self::Whole => "the whole download",
        })
    }
}

/// Where packages are kept, by the SHA-256 of their bytes.
pub trait Blobs: Send + Sync + 'static {
    /// A package that is being written.
    type Draft: Draft<Sealed = Self::Sealed>;
    /// A package that is written, but not kept yet. Dropping it discards it.
    type Sealed: Sealed;

    /// Begins a package.
    fn draft(&self) -> impl Future<Output = Result<Self::Draft, BlobError>> + Send;
    /// Keeps a package for good: it survives a power cut once this returns. `true` if it was not there before.
    fn keep(&self, sealed: Self::Sealed) -> impl Future<Output = Result<bool, BlobError>> + Send;
    /// Whether a package is there, as far as its name tells.
    fn has(&self, sha256: Sha256Hex) -> impl Future<Output = Result<bool, BlobError>> + Send;
    /// Removes a package. One that somebody needs for a while, a backup for one, stays without an error.
    fn remove(&self, sha256: Sha256Hex) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Proves that packages can be written.
    fn check(&self) -> impl Future<Output = Result<(), BlobError>> + Send;
}

/// A package that is being written. Dropping it discards it, though not at once.
pub trait Draft: Send {
    /// What it becomes.
    type Sealed;

    /// Takes the next bytes.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), BlobError>> + Send;
    /// Ends it: all bytes are hashed and durable, under no name yet.
    fn seal(self) -> impl Future<Output = Result<Self::Sealed, BlobError>> + Send;
    /// Discards it; nothing is left once this returns.
    fn discard(self) -> impl Future<Output = ()> + Send;
}

/// What is known of a written package.
pub trait Sealed: Send + 'static {
    /// Its bytes, to be read.
    type Reader: Read + Seek;

    /// Opens it. Blocks, as does reading it.
    ///
    /// # Errors
    /// If the disk fails.
    fn open(&self) -> Result<Self::Reader, BlobError>;
    /// Its hash, which is also its name.
    fn sha256(&self) -> Sha256Hex;
    /// Its bytes.
    fn size_bytes(&self) -> u64;
}

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

/// Where the books are.
pub trait Ledger: Send + Sync + 'static {
    /// The booked origin of a module.
    fn module_origin(
        &self,
        module: &UploadPath,
    ) -> impl Future<Output = Result<Option<SourceOrigin>, LedgerError>> + Send;
    /// Whether a version is there and not deleted.
    fn has_live(
        &self,
        module: &UploadPath,
        version: &PackageVersion,
    ) -> impl Future<Output = Result<bool, LedgerError>> + Send;
    /// Books a package, and its module if that is new, in one transaction.
    fn record(&self, entry: NewEntry) -> impl Future<Output = Result<Recorded, LedgerError>> + Send;
    /// A package that a live row of this application points at, if it was looked into.
    fn held(
        &self,
        app_code: &AppCode,
        sha256: &Sha256Hex,
    ) -> impl Future<Output = Result<Option<Held>, LedgerError>> + Send;
    /// Whether any row points at a package. A deleted row does not: deleting is how its bytes are given up.
    fn points_at(&self, sha256: &Sha256Hex) -> impl Future<Output = Result<bool, LedgerError>> + Send;
    /// Proves that the books can be written.
    fn check(&self) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// A package to book.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Whose it is.
    pub module: UploadPath,
    /// Whether the module is booked along with it.
    pub registers_module: bool,
    /// Its version.
    pub version: PackageVersion,
    /// Its display name.
    pub package_name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Its hash.
    pub sha256: Sha256Hex,
    /// What is inside.
    pub package: Package,
    /// Who uploads it.
    pub operator: String,
    /// Whether a live row of the same version is replaced.
    pub allow_overwrite: bool,
}

/// A package that is kept already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its bytes.
    pub size_bytes: u64,
    /// What is inside.
    pub package: Package,
}

/// A booked package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The row's number.
    pub id: i64,
    /// Its version.
    pub version: String,
    /// Its display name.
    pub package_name: String,
    /// Its bytes.
    pub size_bytes: i64,
    /// Its hash.
    pub sha256: String,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
    /// Who uploaded it.
    pub operator: String,
}

/// What booking did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The row.
    pub entry: Entry,
    /// The package that the row pointed at before.
    pub replaced: Option<Sha256Hex>,
}

/// Why the books refuse or fail.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The version is there and may not be overwritten.
    #[error("the version is there already")]
    AlreadyExists,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Cause),
}
