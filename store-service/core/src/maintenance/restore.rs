//! Puts a backup where a store can run on it.
//!
//! Promises: a store does not start on half of a restore; the backup itself is not changed; the rows that are written are read
//! again and held against it. Refuses a data directory that
//! is not empty, and a directory that is no backup. What is restored is not read: verify does that.

use std::fs::{self, File};
use std::path::Path;

use super::backup::{Copied, OnMissing, copy_blobs, copy_keys, refuse_used};
use super::{MaintenanceError, at};
use crate::data_dir::{DataDir, LOCK, catalog_path, restore_mark, sync_dir};
use crate::ingest::ports::{BlobStore, CatalogReader};

/// Restores a backup into a data directory that is not there, or empty but for what a file system puts into its root. `open` opens the blobs and the catalog of the
/// backup, once it is known to be one.
///
/// # Errors
/// [`MaintenanceError`] says why it could not be done. If it was begun, the data directory must be emptied first.
pub async fn restore<B: BlobStore, R: CatalogReader>(
    data_dir: &Path,
    from: &Path,
    open: impl AsyncFnOnce(&Path) -> Result<(B, R), MaintenanceError>,
    on_missing: OnMissing<'_>,
) -> Result<Copied, MaintenanceError> {
    refuse_no_backup(from)?;
    refuse_used(data_dir, &[LOCK])?;
    let (blobs, catalog) = open(from).await?;
    let locked = DataDir::lock(data_dir)?;
    // Again, now that nobody else can begin. The file that is locked may be there: a store, or a restore that was refused,
    // made it.
    refuse_used(data_dir, &[LOCK])?;
    let mark = restore_mark(data_dir);
    File::create(&mark).map_err(at(&mark))?;
    sync_dir(data_dir).map_err(at(data_dir))?;
    let restored = catalog.snapshot(&catalog_path(data_dir)).await?;
    let copied = copy_blobs(&blobs, &restored, data_dir, on_missing).await;
    let (read, written) = (catalog.sum_up().await, restored.sum_up().await);
    restored.close().await;
    catalog.close().await;
    let (read, written) = (read?, written?);
    if read != written {
        return Err(MaintenanceError::RowsDiffer);
    }
    let copied = Copied { rows: written, ..copied? };
    copy_keys(from, data_dir)?;
    // All of it is durable before the mark goes.
    sync_dir(data_dir).map_err(at(data_dir))?;
    fs::remove_file(&mark).map_err(at(&mark))?;
    sync_dir(data_dir).map_err(at(data_dir))?;
    drop(locked);
    Ok(copied)
}

/// Refuses a directory that is no backup.
///
/// # Errors
/// [`MaintenanceError`] says what it is.
pub fn refuse_no_backup(from: &Path) -> Result<(), MaintenanceError> {
    if !catalog_path(from).is_file() || !from.join("blobs").is_dir() {
        return Err(MaintenanceError::NoBackup(from.to_owned()));
    }
    if from.join(LOCK).exists() {
        return Err(MaintenanceError::DataDirectory(from.to_owned()));
    }
    Ok(())
}
