//! The data directory: one store at a time.
//!
//! Promises: holds an exclusive lock as long as it lives; the kernel releases it when the process dies, however it dies.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Packages and books are for the service's user and its group.
pub(crate) const FILE_MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

/// A locked data directory.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another store has it.
    #[error("{0} is used by another store")]
    InUse(PathBuf),
    /// It cannot be made or written.
    #[error("{path} cannot be used: {cause}")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl DataDir {
    /// Makes the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// [`DataDirError`] says why it cannot be used.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |cause| DataDirError::Unusable { path: path.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(path).map_err(unusable)?;
        let lock = open_file(&path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => Err(unusable(cause)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the books, made here so that it and its companions get our mode and not SQLite's.
    ///
    /// # Errors
    /// [`DataDirError`] says why it cannot be made.
    pub fn ledger_file(&self) -> Result<PathBuf, DataDirError> {
        let path = self.path.join("ledger.sqlite3");
        open_file(&path).map_err(|cause| DataDirError::Unusable { path: path.clone(), cause })?;
        Ok(path)
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

/// Makes a directory below an existing one; `true` if it was not there.
pub(crate) fn make_dir(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(e) => Err(e),
    }
}
