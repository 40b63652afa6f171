//! What happens to a blob when the books refuse or fail: the one thing that no real disk does on demand.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use linkgate_archive::Opaque;
use linkgate_contract::{AppCode, ErrorCode, ModuleName, PackageUrl, PackageVersion, Sha256};

use super::ports::{
    BlobError, BlobWriter, CatalogError, Chunk, Fetched, FinishedBlob, Held, JobRecord, NewEntry, Recorded,
    SourceError, SourceStream, Wanted,
};
use super::*;

struct OneByte(bool);

struct AnySource;

const ONE: Limits = Limits { uploads: 1, per_host: 1, per_app: 1, queued: 0, patience: Duration::ZERO };

impl Source for AnySource {
    type Stream = OneByte;

    async fn open(&self, _wanted: Wanted<'_>) -> Result<OneByte, SourceError> {
        Ok(OneByte(false))
    }
}

impl SourceStream for OneByte {
    async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        let first = !std::mem::replace(&mut self.0, true);
        Ok(first.then(|| Chunk::Data(Bytes::from_static(b"x"))))
    }

    fn fetched(&self) -> Fetched {
        Fetched { final_url: String::new(), etag: None, last_modified: None, has_marked_end: true }
    }
}

/// Keeps nothing and remembers what it was told to remove.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Sha256>>>);

struct Written;

fn name() -> Sha256 {
    Sha256::from_bytes([7; 32])
}

impl BlobStore for Shelf {
    type Writer = Written;
    type Finished = Written;

    async fn check_space(&self, _bytes: u64) -> Result<(), BlobError> {
        Ok(())
    }

    async fn open_writer(&self, _size: Option<u64>) -> Result<Written, BlobError> {
        Ok(Written)
    }

    async fn commit(&self, _sealed: Written) -> Result<bool, BlobError> {
        Ok(true)
    }

    async fn has(&self, _sha256: Sha256) -> Result<bool, BlobError> {
        Ok(false)
    }

    async fn attach(&self, _sha256: Sha256, _statements: String) -> Result<(), BlobError> {
        Ok(())
    }

    async fn remove(&self, sha256: Sha256) -> Result<(), BlobError> {
        self.0.lock().unwrap().push(sha256);
        Ok(())
    }

    async fn check(&self) -> Result<(), BlobError> {
        Ok(())
    }
}

impl BlobWriter for Written {
    type Finished = Self;

    async fn write(&mut self, _bytes: Bytes) -> Result<(), BlobError> {
        Ok(())
    }

    async fn finish(self) -> Result<Self, BlobError> {
        Ok(self)
    }

    async fn discard(self) {}
}

impl FinishedBlob for Written {
    type Reader = io::Empty;

    fn open(&self) -> Result<io::Empty, BlobError> {
        Ok(io::empty())
    }

    fn sha256(&self) -> Sha256 {
        name()
    }

    fn size_bytes(&self) -> u64 {
        1
    }
}

/// Books nothing, each time for this reason.
struct Books(fn() -> CatalogError);

impl Catalog for Books {
    async fn module_origin(&self, _target: &ModuleRef) -> Result<Option<SourceOrigin>, CatalogError> {
        Ok(None)
    }

    async fn has_live(&self, _target: &ModuleRef, _version: &PackageVersion) -> Result<bool, CatalogError> {
        Ok(false)
    }

    async fn record(&self, _entry: NewEntry, _job: JobRecord) -> Result<Recorded, CatalogError> {
        Err((self.0)())
    }

    async fn held(&self, _app_code: &AppCode, _sha256: &Sha256) -> Result<Option<Held>, CatalogError> {
        Ok(None)
    }

    async fn accept(&self, _job: JobRecord) -> Result<(), CatalogError> {
        Ok(())
    }

    async fn give_up(&self, _job: JobRecord, _end: JobEnd) -> Result<(), CatalogError> {
        Ok(())
    }

    async fn job(&self, _id: JobId) -> Result<Option<JobView>, CatalogError> {
        Ok(None)
    }

    async fn job_of_key(&self, _key: [u8; 32], _since_ms: i64) -> Result<Option<(JobId, [u8; 32])>, CatalogError> {
        Ok(None)
    }

    async fn unfinished(&self) -> Result<Vec<JobRecord>, CatalogError> {
        Ok(Vec::new())
    }

    async fn statements(&self, _sha256: &Sha256) -> Result<Vec<String>, CatalogError> {
        Ok(Vec::new())
    }

    async fn points_at(&self, _sha256: &Sha256) -> Result<bool, CatalogError> {
        Ok(false)
    }

    async fn check(&self) -> Result<(), CatalogError> {
        Ok(())
    }
}

impl Upload {
    /// One that may overwrite.
    fn example(link: &str, version: &str) -> Self {
        Self {
            target: ModuleRef { app: AppCode::new("app").unwrap(), module: ModuleName::new("default").unwrap() },
            request: LinkRequest {
                package_url: PackageUrl::new(link).unwrap(),
                version: Some(PackageVersion::new(version).unwrap()),
                allow_overwrite: true,
                sha256: None,
                size: None,
            },
            caller_app: "ci".into(),
            operator: "admin".into(),
            allowance: Allowance::default(),
            request_id: String::new(),
        }
    }
}

async fn removed_after(reason: fn() -> CatalogError) -> Vec<Sha256> {
    let (shelf, dir) = (Shelf::default(), tempfile::tempdir().unwrap());
    let ingest = Arc::new(Ingest::new(
        AnySource,
        shelf.clone(),
        Books(reason),
        Signer::open(dir.path()).unwrap(),
        Rules {
            modules: ModuleRules::default(),
            packages: PackageLimits { opaque: Opaque::Allow, ..PackageLimits::default() },
            uploads: ONE,
            allowed_hosts: AllowList::default(),
            explain: |_| Problem::new(ErrorCode::Internal),
        },
        Metrics::new(Path::new("/")),
    ));
    let upload = Upload::example("https://example.com/a.tgz", "1");
    let Ok(Known::Live(live)) = ingest.begin(upload, None).await else { panic!("it has no key") };
    assert!(live.outcome().await.is_err());
    let removed = shelf.0.lock().unwrap();
    removed.clone()
}

#[tokio::test]
async fn a_lost_race_takes_its_blob_along() {
    assert_eq!(removed_after(|| CatalogError::AlreadyExists).await, [name()]);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_leaves_its_blob() {
    // SQLite may report a failed sync and show the row again after a crash.
    assert_eq!(removed_after(|| CatalogError::Database("disk I/O error".into())).await, []);
}
