//! Garbage collection as fast as it can, between uploads of the very bytes that it deletes; and more packages than fit on a
//! page.

use linkgate_blob::DirectoryBlobStore;
use linkgate_catalog::SqliteCatalog;
use linkgate_contract::Sha256;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use linkgate_store_core::attest::Signer;
use linkgate_store_core::ingest::ports::{
    BlobStore as _, BlobWriter as _, CatalogReader as _, Chunk, FetchRequest, Fetched, FinishedBlob as _, Listed,
    Services, Source, SourceError, SourceStream,
};
use linkgate_store_core::ingest::{Ingest, Known};
use linkgate_store_core::maintenance::digest::{BlobDigester, Content, ReadRate};
use linkgate_store_core::maintenance::{Collected, Gc};
use linkgate_store_core::metrics::Metrics;
use linkgate_store_core::settings::QueueLimits;
use linkgate_store_core::testing::conformance::Adapters as _;
use linkgate_store_core::testing::{example_upload, lenient_rules};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::conformance_tests::DataDirectory;

/// Serves the path of the link as its body: what is under test begins where the bytes have come.
struct PathSource;

struct OnePart(Option<Bytes>);

impl Source for PathSource {
    type Stream = OnePart;

    async fn open(&self, wanted: FetchRequest<'_>) -> Result<OnePart, SourceError> {
        Ok(OnePart(Some(Bytes::from(wanted.url.to_string()))))
    }
}

impl SourceStream for OnePart {
    async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        Ok(self.0.take().map(Chunk::Data))
    }

    fn fetched(&self) -> Fetched {
        Fetched { final_url: String::new(), etag: None, last_modified: None, has_marked_end: true }
    }
}

struct Paths;

impl Services for Paths {
    type Source = PathSource;
    type Blobs = DirectoryBlobStore;
    type Catalog = SqliteCatalog;
}

impl DataDirectory {
    async fn new() -> Self {
        Self::create(QueueLimits::default()).await
    }

    async fn store(&self, bytes: &'static [u8]) -> Sha256 {
        let mut writer = self.blobs.open_writer(None).await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        let finished = writer.finish().await.unwrap();
        let sha256 = finished.sha256();
        assert!(self.blobs.commit(finished).await.unwrap());
        sha256
    }

    async fn has(&self, sha256: &Sha256) -> bool {
        self.blobs.stat(*sha256).await.unwrap().is_some()
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        let file = SqliteConnectOptions::new().filename(self.dir.path().join("catalog.sqlite3"));
        sqlx::query(statement).execute(&mut file.connect().await.unwrap()).await.unwrap();
    }

    fn gc(&self, grace: Duration) -> Gc<DirectoryBlobStore, SqliteCatalog> {
        Gc::new(self.blobs(), self.catalog(), grace)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn collecting_beside_uploads_loses_nothing() {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 60;
    let data = DataDirectory::new().await;
    let signer = Signer::open(data.dir.path(), None).unwrap();
    let metrics = Metrics::new(data.dir.path());
    let ingest: Arc<Ingest<Paths>> =
        Ingest::start(PathSource, data.blobs(), data.catalog(), signer, lenient_rules(), metrics);
    let (stop, removed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let gc = data.gc(Duration::ZERO);
    let collecting = {
        let (stop, removed) = (Arc::clone(&stop), Arc::clone(&removed));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                removed.fetch_add(gc.run().await.unwrap().blobs, Ordering::Relaxed);
            }
        })
    };
    let write = |writer: u64| {
        let (ingest, blobs, catalog) = (Arc::clone(&ingest), data.blobs(), data.catalog());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                // Three contents for four writers: each is wanted again while it is being removed.
                let link = format!("https://example.com/{}", round % 3);
                let wanted = example_upload(&link, &writer.to_string());
                let Ok(Known::Live(live)) = ingest.begin(wanted, None).await else { panic!("it has no key") };
                live.outcome().await.as_ref().as_ref().unwrap();
                for reference in catalog.references_after("").await.unwrap() {
                    let sha256 = reference.digest_text.parse::<Sha256>().unwrap();
                    let _stays = catalog.lock_blob(&sha256).await;
                    let is_there = blobs.stat(sha256).await.unwrap().is_some();
                    assert!(is_there || !catalog.is_referenced(&sha256).await.unwrap(), "a row without its blob");
                }
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(write).collect();
    // Rows go behind the store's back, which removes no blob: that is left to the collection.
    while writers.iter().any(|writer| !writer.is_finished()) {
        data.execute("delete from source_package where id = (select min(id) from source_package)").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.store(true, Ordering::Relaxed);
    collecting.await.unwrap();
    for writer in writers {
        assert!(writer.await.is_ok());
    }
    assert!(removed.load(Ordering::Relaxed) > 0, "the two met");
}

#[tokio::test]
async fn a_catalog_that_is_not_settled_is_settled_before_anything_goes() {
    let data = DataDirectory::new().await;
    let journal = || std::fs::metadata(data.dir.path().join("catalog.sqlite3-wal")).unwrap().len();
    let before = journal();
    data.gc(Duration::ZERO).run().await.unwrap();
    assert_eq!(journal(), before, "nothing to remove, nothing to settle");
    let orphan = data.store(b"never recorded").await;
    assert_eq!(data.gc(Duration::ZERO).run().await.unwrap().blobs, 1);
    assert!(!data.has(&orphan).await);
    assert!(journal() > before, "a commit took the place of what may have failed");
}

#[tokio::test]
async fn a_store_that_cannot_settle_its_catalog_deletes_nothing() {
    let data = DataDirectory::new().await;
    let orphan = data.store(b"never recorded").await;
    let gc = data.gc(Duration::ZERO);
    let other = SqliteConnectOptions::new().filename(data.dir.path().join("catalog.sqlite3"));
    let mut other = other.connect().await.unwrap();
    sqlx::query("begin immediate").execute(&mut other).await.unwrap();
    assert!(gc.run().await.is_err());
    assert!(data.has(&orphan).await);
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    assert_eq!(gc.run().await.unwrap().blobs, 1);
}

#[tokio::test]
async fn what_is_younger_than_the_grace_stays() {
    let data = DataDirectory::new().await;
    let orphan = data.store(b"about to be recorded").await;
    assert_eq!(data.gc(Duration::from_secs(60)).run().await.unwrap(), Collected::default());
    assert!(data.has(&orphan).await);
}

#[tokio::test]
async fn a_temporary_file_with_an_owner_stays_however_old() {
    let data = DataDirectory::new().await;
    let writer = data.blobs.open_writer(None).await.unwrap();
    std::fs::write(data.dir.path().join("tmp/left-over"), "half").unwrap();
    let swept = data.blobs.sweep_abandoned(SystemTime::now() + Duration::from_secs(60), false).await.unwrap();
    assert_eq!((swept.files, swept.bytes), (1, 4));
    let finished = writer.finish().await.unwrap();
    let swept = data.blobs.sweep_abandoned(SystemTime::now() + Duration::from_secs(60), false).await.unwrap();
    assert_eq!(swept.files, 0, "also while it waits to be committed");
    assert!(data.blobs.commit(finished).await.unwrap());
}

#[tokio::test]
async fn a_walk_names_every_blob_once_and_strays_as_such() {
    let data = DataDirectory::new().await;
    let mut blobs = vec![data.store(b"a").await, data.store(b"b").await, data.store(b"c").await];
    let dir = data.dir.path().join("blobs");
    let name = blobs[0].to_string();
    let folder = &name[..2];
    let wrong_folder = if folder == "00" { "01" } else { "00" };
    std::fs::create_dir_all(dir.join(wrong_folder)).unwrap();
    std::fs::create_dir(dir.join("AB")).unwrap();
    std::fs::write(dir.join(wrong_folder).join(blobs[0].to_string()), "elsewhere").unwrap();
    std::fs::write(dir.join(folder).join("short"), "").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.join(folder).join(format!("{folder}{}", "0".repeat(62)))).unwrap();
    for first_folder in [0, 200] {
        let (mut walk, mut found, mut strays) = (data.blobs.list(first_folder), Vec::new(), 0);
        while let Some(one) = walk.recv().await {
            match one.unwrap() {
                Listed::Blob(blob) => found.push(blob.sha256),
                Listed::Stray(_) => strays += 1,
            }
        }
        found.sort_by_key(|sha256| sha256.to_string().to_owned());
        blobs.sort_by_key(|sha256| sha256.to_string().to_owned());
        assert_eq!((&found, strays), (&blobs, 4));
    }
}

#[tokio::test]
async fn the_catalog_is_read_page_by_page() {
    let data = DataDirectory::new().await;
    data.execute(
        "with recursive n(i) as (values (1) union all select i + 1 from n where i < 1200)
         insert into source_package
             (app_code, module, version, package_name, size_bytes, sha256, operator, is_deleted, purged_ms, created_ms,
              updated_ms)
         select 'app', 'default', i, 'x', i, printf('%064x', i / 2), 'admin', i > 1000, iif(i > 1100, 7, null), 0, 0 from n",
    )
    .await;
    let catalog = data.catalog();
    let (mut after, mut sizes, mut seen) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = catalog.references_after(&after).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.digest_text);
        sizes.push(page.len());
        seen.extend(page);
    }
    assert_eq!(sizes, [500, 51], "purged rows do not count");
    let two = seen.iter().find(|reference| reference.digest_text == format!("{:064x}", 7)).unwrap();
    assert_eq!((two.rows, two.least_bytes, two.most_bytes), (2, 14, 15));
    let rows = catalog.referencing_rows(&two.digest_text).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.version.as_str()).collect::<Vec<_>>(), ["14", "15"]);
    let purged = format!("{:064x}", 600).parse::<Sha256>().unwrap();
    assert_eq!(catalog.reference(&purged).await.unwrap(), None);
    assert!(!catalog.is_referenced(&purged).await.unwrap());
}

#[tokio::test]
async fn a_blob_is_read_to_its_end_and_a_rate_is_kept() {
    let data = DataDirectory::new().await;
    let body: &'static [u8] = vec![7_u8; 2_500_000].leak();
    let sha256 = data.store(body).await;
    let begun = std::time::Instant::now();
    let mut slowly = BlobDigester::new(data.blobs.clone(), ReadRate::BytesPerSecond(10_000_000));
    assert!(matches!(slowly.examine(&sha256).await, Content::Sound { size_bytes: 2_500_000 }));
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    let gone = Sha256::from_bytes([0; 32]);
    let mut digester = BlobDigester::new(data.blobs.clone(), ReadRate::Full);
    assert!(matches!(digester.examine(&gone).await, Content::Gone));
    let path = data.dir.path().join("blobs").join(&sha256.to_string()[..2]).join(sha256.to_string());
    std::fs::write(&path, &body[1..]).unwrap();
    assert!(matches!(digester.examine(&sha256).await, Content::Corrupt { size_bytes: 2_499_999 }));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(digester.examine(&sha256).await, Content::Unreadable(_)));
}
