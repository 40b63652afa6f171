//! What commands work on, opened.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use linkgate_blob::DirectoryBlobStore;
use linkgate_catalog::{PostgresCatalog, SqliteCatalog, SqliteReader};
use linkgate_store_core::data_dir::{DIR_MODE, DataDir, catalog_path, refuse_half_restored};
use linkgate_store_core::ingest::ports::CatalogReader as _;
use linkgate_store_core::maintenance::{MaintenanceError, at};
use linkgate_store_core::settings::QueueLimits;
use secrecy::ExposeSecret as _;

use crate::bucket::{SharedBlobs, open_bucket};
use crate::config::{CommandConfig, SharedConfig};

/// Opens a data directory that no other process uses.
pub(super) async fn open_alone(
    data_dir: &Path,
) -> Result<(DataDir, DirectoryBlobStore, SqliteCatalog), MaintenanceError> {
    let locked = DataDir::lock_existing(data_dir)?;
    let blobs = DirectoryBlobStore::existing(data_dir).map_err(at(data_dir))?;
    let catalog = SqliteCatalog::open(&locked.existing_catalog()?, QueueLimits::default()).await;
    Ok((locked, blobs, catalog.map_err(|e| MaintenanceError::Open(e.into()))?))
}

/// Opens a data directory or a backup to be read, also beside a running store.
pub(super) async fn open_beside(dir: &Path) -> Result<(DirectoryBlobStore, SqliteReader), MaintenanceError> {
    let catalog = open_catalog_beside(dir).await?;
    Ok((DirectoryBlobStore::existing(dir).map_err(at(dir))?, catalog))
}

/// The same, but for its blobs.
pub(super) async fn open_catalog_beside(dir: &Path) -> Result<SqliteReader, MaintenanceError> {
    refuse_half_restored(dir)?;
    Ok(SqliteReader::open(&catalog_path(dir)).await?)
}

/// What stores share.
pub(super) struct Shared {
    pub(super) blobs: SharedBlobs,
    pub(super) catalog: PostgresCatalog,
}

impl Shared {
    /// Opens it beside stores that run.
    pub(super) async fn open(config: &CommandConfig, shared: &SharedConfig) -> Result<Self, MaintenanceError> {
        let catalog = attach(shared).await?;
        // Parts of uploads that find no place in memory go there, and nobody may have started a store here.
        let data_dir = &config.data_dir;
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(data_dir).map_err(at(data_dir))?;
        let blobs = open_bucket(&shared.bucket, &catalog).await;
        Ok(Self { blobs: blobs.map_err(|e| MaintenanceError::OpenBucket(e.into()))?, catalog })
    }

    /// Lets go of it at once, so that nobody waits until this process counts as dead.
    pub(super) async fn close(self) {
        self.blobs.close().await;
        self.catalog.close().await;
    }
}

/// Opens the catalog that stores share, beside those that run.
pub(super) async fn attach(shared: &SharedConfig) -> Result<PostgresCatalog, MaintenanceError> {
    let attached = PostgresCatalog::attach(shared.database_url.expose_secret()).await;
    attached.map_err(|e| MaintenanceError::Open(e.into()))
}
