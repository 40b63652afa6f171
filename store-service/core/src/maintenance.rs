//! What is done to stored packages when nobody uploads: garbage collection, purging, verification and scrubbing, backup and
//! restore.
//!
//! Promises: a blob that a row needs, live or deleted and not purged, is never deleted, whatever else goes on; memory does not
//! grow with the number of packages. Refuses to delete or to move anything while another process has the data directory. Knows the catalog and
//! the blobs by their ports only.

mod backup;
pub mod digest;
mod gc;
mod purge;
mod restore;
mod timers;
mod verify;

use std::io;
use std::path::PathBuf;

pub use backup::{Copied, backup, copy_missing_keys};
pub use gc::{Collected, Gc};
pub use purge::{Purge, PurgeSummary};
pub use restore::{refuse_no_backup, restore};
pub use timers::{Schedule, Timers};
pub use verify::{Finding, FindingKind, Repair, Summary, repair, verify};

use crate::data_dir::DataDirError;
use crate::ingest::ports::{BlobError, CatalogError, Cause};

/// Why the work could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The blobs in it.
    #[error("cannot use the stored packages")]
    Blobs(#[from] BlobError),
    /// The catalog in it.
    #[error("cannot open the catalog")]
    Open(#[source] Cause),
    /// The bucket that stores share.
    #[error("cannot open the bucket of packages")]
    OpenBucket(#[source] Cause),
    /// A question to the catalog, or a write in it.
    #[error("cannot use the catalog")]
    Catalog(#[from] CatalogError),
    /// The database is damaged, so its word counts for nothing.
    #[error("the catalog is damaged, so nothing is removed; restore a backup: {0}")]
    Damaged(String),
    /// A directory that is to be filled is not empty.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// A backup that somebody else is writing, or left behind.
    #[error("{0} is there: another backup is being written, or one was killed; then remove it")]
    UnderWay(PathBuf),
    /// A backup cannot be put there.
    #[error("a backup cannot be put at {path}: {why}")]
    Target {
        /// Where.
        path: PathBuf,
        /// Why not, as the end of a sentence.
        why: &'static str,
    },
    /// Something went wrong on the way.
    #[error("the rows that were restored are not those of the backup")]
    RowsDiffer,
    /// The backup cannot be put where stores share what they store.
    #[error("the backup cannot be restored")]
    Restore(#[source] Cause),
    /// There is no backup.
    #[error("{0} holds no backup")]
    NoBackup(PathBuf),
    /// A store runs or ran on it, and the end of its catalog may be in another file.
    #[error("{0} is a data directory, not a backup: make a backup of it")]
    DataDirectory(PathBuf),
    /// A file or a directory.
    #[error("{path} cannot be used")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the disk said.
        #[source]
        cause: io::Error,
    },
}

/// Names the file that a failure of the disk is about.
pub fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> MaintenanceError {
    let path = path.into();
    move |cause| MaintenanceError::File { path, cause }
}

/// Runs what waits for the disk where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MaintenanceError> + Send + 'static,
) -> Result<T, MaintenanceError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(MaintenanceError::Blobs(BlobError::WriterGone)))
}
