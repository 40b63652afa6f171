//! Puts a backup where a store can run on it.
//!
//! Promises: a store does not start on half of a restore; the backup itself is not changed. Refuses a data directory that
//! is not empty, and a directory that is no backup. What is restored is not read: verify does that.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use linkgate_catalog::Books;
use linkgate_store_core::data_dir::{DataDir, LOCK, catalog_path, restore_mark, sync_dir};

use super::backup::{Copied, copy_blobs, copy_file};
use super::{MaintenanceError, at, blocking};

/// Restores a backup into a data directory that is not there, or empty.
///
/// # Errors
/// [`MaintenanceError`] says why it could not be done. If it was begun, the data directory must be emptied first.
pub async fn restore(
    data_dir: &Path,
    from: &Path,
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<Copied, MaintenanceError> {
    if !catalog_path(from).is_file() || !from.join("blobs").is_dir() {
        return Err(MaintenanceError::NoBackup(from.to_owned()));
    }
    if from.join(LOCK).exists() {
        return Err(MaintenanceError::DataDirectory(from.to_owned()));
    }
    refuse_used(data_dir)?;
    let locked = DataDir::lock(data_dir)?;
    // Again, now that nobody else can begin.
    refuse_used(data_dir)?;
    let (mark, catalog) = (restore_mark(data_dir), catalog_path(data_dir));
    File::create(&mark).map_err(at(&mark))?;
    sync_dir(data_dir).map_err(at(data_dir))?;
    let (from_catalog, to_catalog) = (catalog_path(from), catalog.clone());
    blocking(move || copy_file(&from_catalog, &to_catalog).map_err(at(to_catalog))).await?;
    let books = Books::open(&catalog).await?;
    let copied = copy_blobs(&books, from, data_dir, told).await;
    books.close().await;
    let copied = copied?;
    // All of it is durable before the mark goes.
    sync_dir(data_dir).map_err(at(data_dir))?;
    fs::remove_file(&mark).map_err(at(&mark))?;
    sync_dir(data_dir).map_err(at(data_dir))?;
    drop(locked);
    Ok(copied)
}

/// The file that is locked may be there: a store, or a restore that was refused, made it.
fn refuse_used(data_dir: &Path) -> Result<(), MaintenanceError> {
    let entries = match fs::read_dir(data_dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at(data_dir))?,
    };
    for entry in entries {
        if entry.map_err(at(data_dir))?.file_name() != LOCK {
            return Err(MaintenanceError::NotEmpty(data_dir.to_owned()));
        }
    }
    Ok(())
}
