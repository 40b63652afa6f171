//! What happens to a blob when the catalog refuses or fails, once the bytes have come: the real catalog, meddled with by the
//! source.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use linkgate_blob::DirectoryBlobStore;
use linkgate_catalog::SqliteCatalog;
use linkgate_store_core::attest::Signer;
use linkgate_store_core::ingest::ports::{
    BlobStat, BlobStore as _, Chunk, FetchRequest, Fetched, Listed, Services, Source, SourceError, SourceStream,
};
use linkgate_store_core::ingest::{Ingest, IngestError, Known};
use linkgate_store_core::metrics::Metrics;
use linkgate_store_core::settings::QueueLimits;
use linkgate_store_core::testing::conformance::Adapters as _;
use linkgate_store_core::testing::{example_upload, lenient_rules};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::conformance_tests::DataDirectory;

/// Gives one byte, and then does something to the database.
struct MeddlingSource {
    database: PathBuf,
    statement: &'static str,
}

struct OneByte {
    database: PathBuf,
    statement: Option<&'static str>,
}

impl Source for MeddlingSource {
    type Stream = OneByte;

    async fn open(&self, _wanted: FetchRequest<'_>) -> Result<OneByte, SourceError> {
        Ok(OneByte { database: self.database.clone(), statement: Some(self.statement) })
    }
}

impl SourceStream for OneByte {
    async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        let Some(statement) = self.statement.take() else { return Ok(None) };
        let mut database = SqliteConnectOptions::new().filename(&self.database).connect().await.unwrap();
        sqlx::query(statement).execute(&mut database).await.unwrap();
        Ok(Some(Chunk::Data(Bytes::from_static(b"x"))))
    }

    fn fetched(&self) -> Fetched {
        Fetched { final_url: String::new(), etag: None, last_modified: None, has_marked_end: true }
    }
}

struct Meddled;

impl Services for Meddled {
    type Source = MeddlingSource;
    type Blobs = DirectoryBlobStore;
    type Catalog = SqliteCatalog;
}

/// What is left of an upload that does not overwrite, after its database was meddled with.
async fn left_after(statement: &'static str) -> (IngestError, Vec<BlobStat>) {
    let data = DataDirectory::create(QueueLimits::default()).await;
    let database = data.dir.path().join("catalog.sqlite3");
    let signer = Signer::open(data.dir.path(), None).unwrap();
    let source = MeddlingSource { database, statement };
    let metrics = Metrics::new(Path::new("/"));
    let ingest: Arc<Ingest<Meddled>> =
        Ingest::start(source, data.blobs(), data.catalog(), signer, lenient_rules(), metrics);
    let mut upload = example_upload("https://example.com/a.tgz", "1");
    upload.request.allow_overwrite = false;
    let Ok(Known::Live(live)) = ingest.begin(upload, None).await else { panic!("it has no key") };
    let outcome = live.outcome().await;
    drop((ingest, live));
    let (mut listed, mut left) = (data.blobs().list(0), Vec::new());
    while let Some(one) = listed.recv().await {
        let Listed::Blob(blob) = one.unwrap() else { panic!("a stray") };
        left.push(blob);
    }
    (Arc::into_inner(outcome).unwrap().unwrap_err(), left)
}

#[tokio::test]
async fn a_lost_race_takes_its_blob_along() {
    let other = "insert into source_package
        (app_code, module, version, package_name, size_bytes, sha256, operator, is_deleted, created_ms, updated_ms)
        values ('app', 'default', '1', 'other', 1, printf('%064x', 1), 'admin', 0, 0, 0)";
    let (error, left) = left_after(other).await;
    assert!(matches!(error, IngestError::AlreadyExists), "{error}");
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_leaves_its_blob() {
    // SQLite may report a failed sync and show the row again after a crash; any other failure of the database counts as one.
    let broken =
        "create trigger broken before insert on source_package begin select raise(abort, 'disk I/O error'); end";
    let (error, left) = left_after(broken).await;
    assert!(matches!(error, IngestError::Catalog(_)), "{error}");
    assert_eq!(left.iter().map(|blob| blob.size_bytes).collect::<Vec<_>>(), [1]);
}
