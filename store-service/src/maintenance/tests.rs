//! Clearing up as fast as it can, between uploads of the very bytes that it removes; and more packages than fit on a page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use linkgate_blob::{DirectoryBlobStore, Listed};
use linkgate_catalog::SqliteCatalog;
use linkgate_contract::{
    AllowList, AppCode, ErrorCode, LinkRequest, ModuleName, ModuleRef, PackageUrl, PackageVersion, Problem, Sha256,
};
use linkgate_store_core::data_dir::DataDir;
use linkgate_store_core::ingest::ports::{
    BlobStore as _, BlobWriter as _, Catalog as _, Chunk, Fetched, FinishedBlob as _, Source, SourceError,
    SourceStream, Wanted,
};
use linkgate_store_core::ingest::{Allowance, Ingest, Known, Limits, ModuleRules, Rules, Upload};
use linkgate_store_core::metrics::Metrics;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::digest::{BlobDigester, Content, ReadRate};
use super::gc::Gc;

/// Serves the path of the link as its body: what is under test begins where the bytes have come.
struct PathSource;

struct OnePart(Option<Bytes>);

impl Source for PathSource {
    type Stream = OnePart;

    async fn open(&self, wanted: Wanted<'_>) -> Result<OnePart, SourceError> {
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

struct Kept {
    dir: tempfile::TempDir,
    blobs: DirectoryBlobStore,
    catalog: SqliteCatalog,
    _locked: DataDir,
}

impl Kept {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let locked = DataDir::lock(dir.path()).unwrap();
        let blobs = DirectoryBlobStore::open(dir.path(), 0).unwrap();
        let catalog = SqliteCatalog::open(&locked.catalog_file().unwrap()).await.unwrap();
        Self { dir, blobs, catalog, _locked: locked }
    }

    async fn keep(&self, bytes: &'static [u8]) -> Sha256 {
        let mut writer = self.blobs.open_writer(None).await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        let finished = writer.finish().await.unwrap();
        let sha256 = finished.sha256();
        assert!(self.blobs.commit(finished).await.unwrap());
        sha256
    }

    async fn execute(&self, statement: &'static str) {
        let file = SqliteConnectOptions::new().filename(self.dir.path().join("catalog.sqlite3"));
        sqlx::query(statement).execute(&mut file.connect().await.unwrap()).await.unwrap();
    }

    fn gc(&self, grace: Duration) -> Gc {
        Gc::new(self.blobs.clone(), self.catalog.clone(), linkgate_store_core::ingest::Publishing::default(), grace)
    }
}

/// One that may overwrite.
fn example(link: &str, version: &str) -> Upload {
    Upload {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clearing_up_beside_uploads_loses_nothing() {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 60;
    let kept = Kept::new().await;
    let limits = Limits { uploads: 8, per_host: 8, per_app: 8, queued: 8, patience: Duration::from_secs(60) };
    let packages = linkgate_archive::Limits { opaque: linkgate_archive::Opaque::Allow, ..Default::default() };
    let rules = Rules {
        modules: ModuleRules::default(),
        packages,
        uploads: limits,
        allowed_hosts: AllowList::default(),
        explain: |_| Problem::new(ErrorCode::Internal),
    };
    let (blobs, books, metrics) = (kept.blobs.clone(), kept.catalog.clone(), Metrics::new(kept.dir.path()));
    let signer = linkgate_store_core::attest::Signer::open(kept.dir.path()).unwrap();
    let ingest = Arc::new(Ingest::new(PathSource, blobs, books, signer, rules, metrics));
    let (stop, removed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let gc = Gc::new(kept.blobs.clone(), kept.catalog.clone(), ingest.publishing(), Duration::ZERO);
    let clearing = {
        let (stop, removed) = (Arc::clone(&stop), Arc::clone(&removed));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                removed.fetch_add(gc.run().await.unwrap().blobs, Ordering::Relaxed);
            }
        })
    };
    let write = |writer: u64| {
        let (ingest, blobs, books) = (Arc::clone(&ingest), kept.blobs.clone(), kept.catalog.books());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                // Three contents for four writers: each is wanted again while it is being removed.
                let link = format!("https://example.com/{}", round % 3);
                let wanted = example(&link, &writer.to_string());
                let Ok(Known::Live(live)) = ingest.begin(wanted, None).await else { panic!("it has no key") };
                live.outcome().await.as_ref().as_ref().unwrap();
                let publishing = ingest.publishing();
                let _nothing_changes = publishing.hold().await;
                for booked in books.page_after("").await.unwrap() {
                    let sha256 = booked.digest_text.parse().unwrap();
                    assert!(blobs.has(sha256).await.unwrap(), "a row without its blob");
                }
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(write).collect();
    // Rows go behind the store's back, which removes no blob: that is left to the clearing.
    while writers.iter().any(|writer| !writer.is_finished()) {
        kept.execute("delete from source_package where id = (select min(id) from source_package)").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.store(true, Ordering::Relaxed);
    clearing.await.unwrap();
    for writer in writers {
        assert!(writer.await.is_ok());
    }
    assert!(removed.load(Ordering::Relaxed) > 0, "the two met");
}

#[tokio::test]
async fn books_that_are_not_settled_are_settled_before_anything_goes() {
    let kept = Kept::new().await;
    let journal = || std::fs::metadata(kept.dir.path().join("catalog.sqlite3-wal")).unwrap().len();
    let before = journal();
    kept.gc(Duration::ZERO).run().await.unwrap();
    assert_eq!(journal(), before, "nothing to remove, nothing to settle");
    let orphan = kept.keep(b"never booked").await;
    assert_eq!(kept.gc(Duration::ZERO).run().await.unwrap().blobs, 1);
    assert!(!kept.blobs.has(orphan).await.unwrap());
    assert!(journal() > before, "a commit took the place of what may have failed");
}

#[tokio::test]
async fn a_store_that_cannot_settle_its_books_removes_nothing() {
    let kept = Kept::new().await;
    let orphan = kept.keep(b"never booked").await;
    let gc = kept.gc(Duration::ZERO);
    let other = SqliteConnectOptions::new().filename(kept.dir.path().join("catalog.sqlite3"));
    let mut other = other.connect().await.unwrap();
    sqlx::query("begin immediate").execute(&mut other).await.unwrap();
    assert!(gc.run().await.is_err());
    assert!(kept.blobs.has(orphan.clone()).await.unwrap());
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    assert_eq!(gc.run().await.unwrap().blobs, 1);
}

#[tokio::test]
async fn what_is_younger_than_the_grace_stays() {
    let kept = Kept::new().await;
    let orphan = kept.keep(b"about to be booked").await;
    assert_eq!(kept.gc(Duration::from_secs(60)).run().await.unwrap(), super::Cleared::default());
    assert!(kept.blobs.has(orphan).await.unwrap());
}

#[tokio::test]
async fn a_temporary_file_with_an_owner_stays_however_old() {
    let kept = Kept::new().await;
    let writer = kept.blobs.open_writer(None).await.unwrap();
    std::fs::write(kept.dir.path().join("tmp/left-over"), "half").unwrap();
    let swept = kept.blobs.sweep_temp(SystemTime::now() + Duration::from_secs(60), false).await.unwrap();
    assert_eq!((swept.files, swept.bytes), (1, 4));
    let finished = writer.finish().await.unwrap();
    let swept = kept.blobs.sweep_temp(SystemTime::now() + Duration::from_secs(60), false).await.unwrap();
    assert_eq!(swept.files, 0, "also while it waits to be kept");
    assert!(kept.blobs.commit(finished).await.unwrap());
}

#[tokio::test]
async fn a_walk_names_every_blob_once_and_strays_as_such() {
    let kept = Kept::new().await;
    let mut blobs = vec![kept.keep(b"a").await, kept.keep(b"b").await, kept.keep(b"c").await];
    let dir = kept.dir.path().join("blobs");
    let folder = &blobs[0].to_string()[..2];
    let wrong_folder = if folder == "00" { "01" } else { "00" };
    std::fs::create_dir_all(dir.join(wrong_folder)).unwrap();
    std::fs::create_dir(dir.join("AB")).unwrap();
    std::fs::write(dir.join(wrong_folder).join(blobs[0].to_string()), "elsewhere").unwrap();
    std::fs::write(dir.join(folder).join("short"), "").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.join(folder).join(format!("{folder}{}", "0".repeat(62)))).unwrap();
    for first_folder in [0, 200] {
        let (mut walk, mut found, mut strays) = (kept.blobs.walk(first_folder), Vec::new(), 0);
        while let Some(one) = walk.recv().await {
            match one.unwrap() {
                Listed::Blob(blob) => found.push(blob.sha256),
                Listed::Stray(_) => strays += 1,
            }
        }
        found.sort();
        blobs.sort();
        assert_eq!((&found, strays), (&blobs, 4));
    }
}

#[tokio::test]
async fn the_books_are_turned_page_by_page() {
    let kept = Kept::new().await;
    kept.execute(
        "with recursive n(i) as (values (1) union all select i + 1 from n where i < 1200)
         insert into source_package
             (app_code, module, version, package_name, size_bytes, sha256, operator, is_deleted, created_ms, updated_ms)
         select 'app', 'default', i, 'x', i, printf('%064x', i / 2), 'admin', i > 1100, 0, 0 from n",
    )
    .await;
    let books = kept.catalog.books();
    let (mut after, mut sizes, mut seen) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = books.page_after(&after).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.digest_text);
        sizes.push(page.len());
        seen.extend(page);
    }
    assert_eq!(sizes, [500, 51], "deleted rows do not count");
    let two = seen.iter().find(|booked| booked.digest_text == format!("{:064x}", 7)).unwrap();
    assert_eq!((two.rows, two.least_bytes, two.most_bytes), (2, 14, 15));
    let rows = books.rows_of(&two.digest_text).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.version.as_str()).collect::<Vec<_>>(), ["14", "15"]);
    let deleted = format!("{:064x}", 600).parse().unwrap();
    assert_eq!(books.booked(&deleted).await.unwrap(), None);
    assert!(!kept.catalog.points_at(&deleted).await.unwrap());
}

#[tokio::test]
async fn a_blob_is_read_to_its_end_and_a_rate_is_kept() {
    let kept = Kept::new().await;
    let body: &'static [u8] = vec![7_u8; 2_500_000].leak();
    let sha256 = kept.keep(body).await;
    let begun = std::time::Instant::now();
    let mut slowly = BlobDigester::new(kept.blobs.clone(), ReadRate::BytesPerSecond(10_000_000));
    assert!(matches!(slowly.read(&sha256).await, Content::Sound { size_bytes: 2_500_000 }));
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    let gone = Sha256::from_bytes([0; 32]);
    let mut reading = BlobDigester::new(kept.blobs.clone(), ReadRate::Full);
    assert!(matches!(reading.read(&gone).await, Content::Gone));
    let path = kept.dir.path().join("blobs").join(&sha256.to_string()[..2]).join(sha256.to_string());
    std::fs::write(&path, &body[1..]).unwrap();
    assert!(matches!(reading.read(&sha256).await, Content::Wrong { size_bytes: 2_499_999 }));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(reading.read(&sha256).await, Content::Unreadable(_)));
}
