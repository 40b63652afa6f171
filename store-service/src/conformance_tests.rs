//! The adapters of one machine, under the suite that every adapter must pass.

use std::path::Path;
use std::thread::yield_now;

use linkgate_blob::DirectoryBlobStore;
use linkgate_catalog::SqliteCatalog;
use linkgate_store_core::conformance_tests;
use linkgate_store_core::data_dir::{DataDir, DataDirError};
use linkgate_store_core::settings::QueueLimits;
use linkgate_store_core::testing::conformance::Adapters;
use tempfile::TempDir;

/// A data directory of its own.
pub(crate) struct DataDirectory {
    pub(crate) dir: TempDir,
    pub(crate) blobs: DirectoryBlobStore,
    pub(crate) catalog: SqliteCatalog,
    _locked: DataDir,
}

impl DataDirectory {
    async fn open(dir: TempDir, limits: QueueLimits) -> Self {
        let locked = lock(dir.path());
        let blobs = DirectoryBlobStore::open(dir.path(), 0).unwrap();
        let catalog = SqliteCatalog::open(&locked.catalog_file().unwrap(), limits).await.unwrap();
        Self { dir, blobs, catalog, _locked: locked }
    }
}

/// Locks a data directory once nobody has it: a program that another test is just starting has a copy of every lock of this
/// process, from its fork to its beginning.
pub(crate) fn lock(dir: &Path) -> DataDir {
    loop {
        match DataDir::lock(dir) {
            Ok(locked) => return locked,
            Err(DataDirError::InUse(_)) => yield_now(),
            Err(e) => panic!("{e}"),
        }
    }
}

impl Adapters for DataDirectory {
    type Blobs = DirectoryBlobStore;
    type Catalog = SqliteCatalog;

    async fn create(limits: QueueLimits) -> Self {
        Self::open(tempfile::tempdir().unwrap(), limits).await
    }

    async fn reopen(self, limits: QueueLimits) -> Self {
        let Self { dir, _locked, .. } = self;
        drop(_locked);
        Self::open(dir, limits).await
    }

    fn blobs(&self) -> DirectoryBlobStore {
        self.blobs.clone()
    }

    fn catalog(&self) -> SqliteCatalog {
        self.catalog.clone()
    }
}

conformance_tests!(DataDirectory, of one process);
