//! Why an upload failed, or cannot be taken at all.

use linkgate_archive::{ArchiveError, Format};
use linkgate_contract::{Language, NameTooLong, Sha256};

use super::outage::Away;
use super::ports::{AWAY, BlobError, CatalogError, Failure, FileError, Pin, QueueError, SourceError};
use crate::budget::Exhausted;
use crate::conditions::NotMet;
use crate::settings::{QuotaExceeded, SourceOrigin};

/// Why a package was not ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The module is not known, and the operator refuses unknown ones.
    #[error("the module is not known")]
    UnknownModule,
    /// The module is not deployed from packages.
    #[error("the module gets its source by {0:?}")]
    UnsupportedOrigin(SourceOrigin),
    /// Neither the caller nor the package gave a version.
    #[error("neither the request nor the package gives a version")]
    VersionMissing {
        /// What the package is; one that is no archive cannot give any.
        format: Format,
    },
    /// The link and the package's own version make too long a name.
    #[error(transparent)]
    Name(#[from] NameTooLong),
    /// The version is there and may not be overwritten.
    #[error("the version is there already")]
    AlreadyExists,
    /// The version is there, and pins say that it may not be overwritten.
    #[error("the version is in use and may not be overwritten")]
    InUse(Vec<Pin>),
    /// The module or its application keeps as much as it may.
    #[error("a quota is used up: {0}")]
    QuotaExceeded(QuotaExceeded),
    /// As many uploads are running as may, and none ended in time.
    #[error("too many uploads are running")]
    Busy,
    /// As many uploads wait as may.
    #[error("too many uploads wait: {0}")]
    QueueFull(Exhausted),
    /// As many files come at once as may.
    #[error("too many files come at once: {0}")]
    TooManyFiles(Exhausted),
    /// As many packages are looked into as may be.
    #[error("too many packages are looked into: {0}")]
    TooManyListings(Exhausted),
    /// The file that the caller sends did not come, or not as it should.
    #[error("the file did not come as it should")]
    File(#[from] FileError),
    /// What the request wants to be true of the version is not.
    #[error(transparent)]
    Condition(#[from] NotMet),
    /// As many keys stand for the upload as may.
    #[error("too many keys stand for the upload: {0}")]
    TooManyKeys(Exhausted),
    /// The source gave no package.
    #[error("the source gave no package")]
    Source(#[from] SourceError),
    /// The bytes are not those that the caller named.
    #[error("expected a package with the SHA-256 {expected}, got {found}")]
    ChecksumMismatch {
        /// What the caller named.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },
    /// The package may not be stored.
    #[error("the package is refused")]
    Archive(#[source] ArchiveError),
    /// The package could not be stored.
    #[error("the package could not be stored")]
    Blob(#[from] BlobError),
    /// The package could not be recorded.
    #[error("the package could not be recorded")]
    Catalog(#[source] CatalogError),
    /// The queue failed.
    #[error("the job could not be queued or recorded")]
    Queue(#[source] QueueError),
    /// The caller's own credential would have to be written down, and there is no key to seal it.
    #[error("there is no key to seal the caller's own credential")]
    NoSealingKey,
    /// What was written down of it cannot be read any more.
    #[error(
        "what was sealed for the upload cannot be opened; the sealing key is another one than when it was accepted"
    )]
    SealLost,
    /// Somebody cancelled it.
    #[error("the upload was cancelled")]
    Cancelled,
    /// The caller's key stands for another request.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    /// The job that does the same failed.
    #[error("the same upload failed: {}", .0.detail(Language::English))]
    JoinedFailed(Failure),
    /// Another process has claimed the job: this one had shown no sign of life for too long.
    #[error("another process works on the upload now")]
    ClaimLost,
    /// The store ended or failed so often while it worked on this that it does not try again.
    #[error("the store ended or failed {lives} times while it worked on the upload")]
    GivenUp {
        /// How often.
        lives: u32,
    },
    /// What it needs was away when another upload needed it, and is not back.
    #[error("{0} was away when another upload needed it, and is not back")]
    Away(Away),
    /// The store is stopping.
    #[error("the store is stopping")]
    Stopping,
}

impl IngestError {
    /// What this shows to be away, which it will not be for good.
    pub(super) fn away(&self) -> Option<Away> {
        match self {
            Self::Blob(BlobError::Unavailable(_)) => Some(Away::Blobs),
            Self::Catalog(CatalogError::Unavailable(_)) | Self::Queue(QueueError::Unavailable(_)) => {
                Some(Away::Catalog)
            }
            _ => None,
        }
    }

    /// Whether an upload that was accepted is done again, as often as its lives allow: what failed is over by then.
    pub(super) fn may_be_done_again(&self) -> bool {
        self.away().is_some() || matches!(self, Self::Away(_) | Self::Blob(BlobError::Swept))
    }

    /// What it is called in metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::UnknownModule => "unknown_module",
            Self::UnsupportedOrigin(_) => "unsupported_origin",
            Self::VersionMissing { .. } => "version_missing",
            Self::Name(_) => "name_too_long",
            Self::AlreadyExists => "already_exists",
            Self::InUse(_) => "in_use",
            Self::QuotaExceeded(_) => "quota_exceeded",
            Self::Busy
            | Self::QueueFull(_)
            | Self::TooManyFiles(_)
            | Self::TooManyKeys(_)
            | Self::TooManyListings(_) => "too_many_uploads",
            Self::Source(error) => error.kind(),
            Self::File(error) => file_kind(error),
            Self::Condition(_) => "condition_not_met",
            Self::ChecksumMismatch { .. } => "checksum_mismatch",
            Self::Blob(BlobError::NoSpace(_)) => "insufficient_storage",
            Self::Archive(ArchiveError::Io(_))
            | Self::Blob(_)
            | Self::Catalog(_)
            | Self::Queue(_)
            | Self::JoinedFailed(_)
            | Self::Away(_)
            | Self::GivenUp { .. } => "failed",
            Self::Archive(_) => "package_refused",
            Self::NoSealingKey | Self::SealLost => "source_credential",
            Self::KeyReused => "idempotency_key_reused",
            Self::Cancelled | Self::ClaimLost | Self::Stopping => "cancelled",
        }
    }
}

/// The same words as of a source, where they fit.
fn file_kind(error: &FileError) -> &'static str {
    match error {
        FileError::Broken => "file_broke_off",
        FileError::Silent(_) | FileError::TooSlow { .. } | FileError::TimedOut(_) => "file_timeout",
        FileError::TooLarge { .. } => "too_large",
        FileError::SizeMismatch { .. } => "size_mismatch",
        FileError::Refused(_) => "request_refused",
    }
}

impl From<ArchiveError> for IngestError {
    fn from(error: ArchiveError) -> Self {
        match error {
            // There was no memory for it in time: others have it all.
            ArchiveError::Interrupted => Self::Busy,
            ArchiveError::Io(AWAY) => Self::Blob(BlobError::Unavailable("the bytes cannot be read back".into())),
            refused => Self::Archive(refused),
        }
    }
}

impl From<CatalogError> for IngestError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::AlreadyExists => Self::AlreadyExists,
            CatalogError::Condition(not_met) => Self::Condition(not_met),
            CatalogError::InUse(pins) => Self::InUse(pins),
            CatalogError::QuotaExceeded(exceeded) => Self::QuotaExceeded(exceeded),
            CatalogError::KeyTaken => Self::KeyReused,
            CatalogError::Fenced => Self::ClaimLost,
            failed @ (CatalogError::Busy
            | CatalogError::TooCostly
            | CatalogError::Unavailable(_)
            | CatalogError::Database(_)) => Self::Catalog(failed),
        }
    }
}

impl From<QueueError> for IngestError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full(exhausted) => Self::QueueFull(exhausted),
            QueueError::KeyReused => Self::KeyReused,
            QueueError::Fenced => Self::ClaimLost,
            failed @ (QueueError::Unavailable(_) | QueueError::Database(_)) => Self::Queue(failed),
        }
    }
}

/// Which part of the store is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Packages cannot be written.
    #[error("packages cannot be written")]
    Blobs(#[source] BlobError),
    /// The catalog cannot be written.
    #[error("the catalog cannot be written")]
    Catalog(#[source] CatalogError),
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_package_that_cannot_be_read_back_for_now_is_an_outage() {
        let read = |error: BlobError| IngestError::from(ArchiveError::Io(error.into_read_error().kind()));
        assert!(read(BlobError::Unavailable("away".into())).away().is_some());
        let broken = read(BlobError::from_io("reading a blob", Error::from(ErrorKind::InvalidData)));
        assert!(matches!(broken, IngestError::Archive(ArchiveError::Io(ErrorKind::Other))), "{broken:?}");
    }
}
