//! The catalog in PostgreSQL, under the suite that every adapter must pass.

use std::path::Path;

use linkgate_blob::DirectoryBlobStore;
use linkgate_catalog::PostgresCatalog;
use linkgate_catalog::testing::PostgresServer;
use linkgate_fetch::HttpSource;
use linkgate_store_core::conformance_tests;
use linkgate_store_core::data_dir::DataDir;
use linkgate_store_core::ingest::ports::{CatalogReader as _, Services};
use linkgate_store_core::settings::QueueLimits;
use linkgate_store_core::testing::conformance::Adapters;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::conformance_tests::lock;
use crate::model_tests::Machine;

/// A server and a folder of its own.
pub(crate) struct PostgresMachine {
    dir: TempDir,
    blobs: DirectoryBlobStore,
    catalog: PostgresCatalog,
    server: PostgresServer,
    _locked: DataDir,
}

impl PostgresMachine {
    async fn open(dir: TempDir, server: PostgresServer, limits: QueueLimits) -> Self {
        let locked = lock(dir.path());
        let blobs = DirectoryBlobStore::open(dir.path(), 0).unwrap();
        let catalog = PostgresCatalog::connect(&server.address(), limits).await.unwrap();
        Self { dir, blobs, catalog, server, _locked: locked }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.server.address()).await.unwrap()
    }
}

/// What one of several processes needs.
pub(crate) struct Replicated;

impl Services for Replicated {
    type Source = HttpSource;
    type Blobs = DirectoryBlobStore;
    type Catalog = PostgresCatalog;
}

impl Adapters for PostgresMachine {
    type Blobs = DirectoryBlobStore;
    type Catalog = PostgresCatalog;

    fn missing() -> Option<&'static str> {
        PostgresServer::missing()
    }

    async fn create(limits: QueueLimits) -> Self {
        Self::open(tempfile::tempdir().unwrap(), PostgresServer::start(), limits).await
    }

    /// The process has ended in good order: the leases of one that died run out in tests of their own.
    async fn reopen(self, limits: QueueLimits) -> Self {
        let Self { dir, catalog, server, _locked, .. } = self;
        catalog.close().await;
        drop(_locked);
        Self::open(dir, server, limits).await
    }

    fn blobs(&self) -> DirectoryBlobStore {
        self.blobs.clone()
    }

    fn catalog(&self) -> PostgresCatalog {
        self.catalog.clone()
    }
}

impl Machine for PostgresMachine {
    type Services = Replicated;

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn make_due(&self) {
        let query = sqlx::query("update source_package set purge_after_ms = 1 where is_deleted");
        query.execute(&mut self.connect().await).await.unwrap();
    }

    async fn events(&self) -> Vec<String> {
        let query = sqlx::query_scalar("select action from event order by id");
        query.fetch_all(&mut self.connect().await).await.unwrap()
    }
}

conformance_tests!(PostgresMachine);
