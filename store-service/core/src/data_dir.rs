//! The data directory: one store at a time.
//!
//! Promises: holds an exclusive lock as long as it lives; the kernel releases it when the process dies, however it dies.
//! Refuses a directory in which a restore was not finished: its catalog or packages are not all there.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use linkgate_contract::Sha256;

/// The mode of files: packages and catalog are for the service's user and its group.
pub const FILE_MODE: u32 = 0o640;
/// The mode of directories, likewise.
pub const DIR_MODE: u32 = 0o750;

/// The catalog's database in a data directory, and what it was called before the first release.
const CATALOG: &str = "catalog.sqlite3";
const OLD_CATALOG: &str = "ledger.sqlite3";

/// The file that is locked.
pub const LOCK: &str = "lock";

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
    /// A restore into it was not finished.
    #[error("{0} holds half of a restore: empty it and restore again")]
    HalfRestored(PathBuf),
    /// Its catalog has the name of before the first release. A store that went on would begin with an empty one.
    #[error(
        "{0} holds `{OLD_CATALOG}`, which is now called `{CATALOG}`: rename it, and `{OLD_CATALOG}-wal` and `{OLD_CATALOG}-shm` beside it likewise if they are there"
    )]
    OldCatalogName(PathBuf),
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
        Self::lock_existing(path)
    }

    /// Locks a directory that is there; unlike a store, who looks after one does not make it.
    ///
    /// # Errors
    /// [`DataDirError`] says why it cannot be used.
    pub fn lock_existing(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |cause| DataDirError::Unusable { path: path.to_owned(), cause };
        let lock = open_file(&path.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {
                refuse_half_restored(path)?;
                refuse_old_catalog_name(path)?;
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => Err(unusable(cause)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the catalog, which must be there.
    ///
    /// # Errors
    /// [`DataDirError`] if it is not.
    pub fn existing_catalog(&self) -> Result<PathBuf, DataDirError> {
        let path = catalog_path(&self.path);
        match std::fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(cause) => Err(DataDirError::Unusable { path, cause }),
        }
    }

    /// The file of the catalog, made here so that it and its companions get our mode and not SQLite's.
    ///
    /// # Errors
    /// [`DataDirError`] says why it cannot be made.
    pub fn catalog_file(&self) -> Result<PathBuf, DataDirError> {
        let path = catalog_path(&self.path);
        open_file(&path).map_err(|cause| DataDirError::Unusable { path: path.clone(), cause })?;
        Ok(path)
    }
}

/// The file of the catalog in a data directory, or in a backup of one.
pub fn catalog_path(data_dir: &Path) -> PathBuf {
    data_dir.join(CATALOG)
}

/// The folder of a blob and its file, below a `blobs/`.
#[must_use]
pub fn blob_path(blobs: &Path, sha256: &Sha256) -> (PathBuf, PathBuf) {
    let name = sha256.to_string();
    let dir = blobs.join(name.get(..2).unwrap_or_default());
    let file = dir.join(name);
    (dir, file)
}

/// The folder of all statements, below a data directory or a backup of one.
#[must_use]
pub fn attestations(root: &Path) -> PathBuf {
    root.join("attestations")
}

/// The file of the statements about a blob.
#[must_use]
pub fn statements_path(root: &Path, sha256: &Sha256) -> PathBuf {
    let (dir, _) = blob_path(&attestations(root), sha256);
    dir.join(format!("{sha256}.intoto.jsonl"))
}

/// # Errors
/// If the directory holds a catalog under its old name and none under the new one.
fn refuse_old_catalog_name(data_dir: &Path) -> Result<(), DataDirError> {
    let is_old = data_dir.join(OLD_CATALOG).exists() && !catalog_path(data_dir).exists();
    if is_old { Err(DataDirError::OldCatalogName(data_dir.to_owned())) } else { Ok(()) }
}

/// Stands in a data directory as long as a restore into it is not finished.
pub fn restore_mark(data_dir: &Path) -> PathBuf {
    data_dir.join("restoring")
}

/// Refuses a directory that nobody should read yet.
///
/// # Errors
/// If a restore into the directory was not finished.
pub fn refuse_half_restored(data_dir: &Path) -> Result<(), DataDirError> {
    if restore_mark(data_dir).exists() { Err(DataDirError::HalfRestored(data_dir.to_owned())) } else { Ok(()) }
}

/// The lock by which removals and backups of different processes keep out of each other's way: who needs every blob to
/// stay holds it shared, who removes one holds it alone for that moment. The kernel releases it with the file.
///
/// # Errors
/// If its file cannot be opened or made.
pub fn open_removal_lock(data_dir: &Path) -> io::Result<File> {
    open_file(&data_dir.join("removal.lock"))
}

/// Makes what was done in a directory durable.
///
/// # Errors
/// What the disk said.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Opens a file to be read and written, and makes it with our mode if it is missing.
///
/// # Errors
/// What the disk said.
pub fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

/// Makes a directory below an existing one; `true` if it was not there.
///
/// # Errors
/// What the disk said.
pub fn make_dir(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_under_its_old_name_is_refused_with_the_new_one_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(OLD_CATALOG), "rows").unwrap();
        let error = DataDir::lock(dir.path()).err().unwrap().to_string();
        assert!(error.contains("holds `ledger.sqlite3`, which is now called `catalog.sqlite3`: rename it"), "{error}");
        assert!(!catalog_path(dir.path()).exists());
        std::fs::rename(dir.path().join(OLD_CATALOG), catalog_path(dir.path())).unwrap();
        DataDir::lock(dir.path()).map(drop).unwrap();
        assert_eq!(std::fs::read(catalog_path(dir.path())).unwrap(), b"rows");
    }
}
