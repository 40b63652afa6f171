//! The catalog in SQLite: its packages and modules, and who may write.
//!
//! Promises: a recorded package survives a power cut (WAL with `synchronous = FULL`); there is one writer at a time, which
//! takes its lock before it reads, so it never works on a stale view; readers are not held up. Refuses to start on an
//! SQLite older than 3.51.3, which can corrupt a database in WAL mode. Relies on the data directory's lock: that no other
//! process publishes or claims is what makes it right to do both in memory.

mod changes;
mod claims;
mod cleanup;
mod database;
mod details;
mod ended;
mod event_pages;
mod events;
mod jobs;
mod lists;
mod modules;
mod nonces;
mod packages;
mod pages;
mod pins;
mod provenance;
mod queue;
mod reader;
mod rows_of;
mod search;
mod usage;
mod version_keys;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use linkgate_contract::{ModuleRef, PackageId, PackageVersion, Sha256};
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    Candidate, CandidateCursor, Catalog, CatalogError, CatalogReader, CatalogSum, Chore, EventAction, EventPage,
    EventQuery, Fence, JobEnd, JobRecord, LivePackage, Maintenance, ModuleSums, NewPackage, PackageDetail, PackagePage,
    PackageQuery, PackageReader, PackageSums, Pin, QueueError, QuotaClaim, Recorded, Reference, RowName, StoredFile,
    StoredPackage, Turn,
};
use linkgate_store_core::keyed_locks::{KeyedLock, KeyedLocks};
use linkgate_store_core::settings::{Demand, QueueLimits, RetentionOrder, SourceOrigin, UsageOfTarget};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::Mutex;

use crate::again::retried;
use crate::shared::{NewEvent, uploader};
use claims::ClaimTable;
use database::{ACQUIRE_TIMEOUT, BEGIN, failed, options, temp_directory};
use ended::EndedJobs;
use nonces::NonceRows;
use packages::Live;
pub use reader::SqliteReader;
use usage::Announced;
pub use usage::SqliteReservation;

/// The first release without the WAL-reset corruption.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];
/// Readers at once; their queries take well under a millisecond.
const READERS: u32 = 4;

/// The catalog in SQLite. A copy is another handle on the same.
#[derive(Clone)]
pub struct SqliteCatalog {
    writer: SqlitePool,
    reader: SqliteReader,
    pages: SqlitePool,
    claims: ClaimTable,
    ended: EndedJobs,
    nonces: Arc<NonceRows>,
    announced: Announced,
    blobs: KeyedLocks<Sha256>,
    /// Packages are recorded one at a time, in turns: how long they wait for one another has no limit, unlike the wait for
    /// the writer.
    recording: Arc<Mutex<()>>,
    path: std::path::PathBuf,
}

/// Why the catalog cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogStartError {
    /// See [`SqliteCatalog`].
    #[error("SQLite {found} is too old, {}.{}.{} or later is needed", OLDEST_SQLITE[0], OLDEST_SQLITE[1], OLDEST_SQLITE[2])]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// The file is no database, or cannot be read or written.
    #[error("the database cannot be opened: {0}")]
    Open(#[from] sqlx::Error),
    /// A migration was edited or could not be done.
    #[error("the database cannot be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl SqliteCatalog {
    /// Opens an existing, possibly empty file and brings it up to date. So many of its jobs may run and wait.
    ///
    /// # Errors
    /// [`CatalogStartError`] says why it cannot be used.
    pub async fn open(path: &Path, limits: QueueLimits) -> Result<Self, CatalogStartError> {
        let options = options(path);
        let pool = |size| SqlitePoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_TIMEOUT);
        // The journal mode is set once, by the writer, before anybody reads: changing it needs the database alone.
        // What is overwritten may have been a signature: `secure_delete` leaves no trace of it in free pages.
        let writing = options.clone().journal_mode(SqliteJournalMode::Wal).pragma("secure_delete", "on");
        // It holds for all connections of the program.
        let writing = match temp_directory(path) {
            Some(directory) => writing.pragma("temp_store_directory", directory),
            None => writing,
        };
        let writer =
            pool(1).before_acquire(|used, _| Box::pin(async { Ok(is_usable(used)) })).connect_with(writing).await?;
        refuse_old_sqlite(&writer).await?;
        // The release after this one may have been here before it was taken back: what it added is made for this one to work
        // on (migrations/README.md).
        migrations().set_ignore_missing(true).run(&writer).await?;
        version_keys::fill_in(&writer).await?;
        let pages = pages::connect(options.clone()).await?;
        let reader = pool(READERS).connect_with(options.pragma("query_only", "on")).await?;
        let (reader, claims) = (SqliteReader::new(reader, path.to_owned()), ClaimTable::new(limits));
        let ended = EndedJobs::open(&mut *writer.acquire().await?, limits.ended).await?;
        let nonces = Arc::new(NonceRows::new(limits.nonces));
        let (announced, blobs, recording) = (Announced::default(), KeyedLocks::default(), Arc::default());
        let path = path.to_owned();
        Ok(Self { writer, reader, pages, claims, ended, nonces, announced, blobs, recording, path })
    }

    /// Begins to write in it what another catalog has.
    pub(crate) async fn begin_copy(&self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        self.writer.begin_with(BEGIN).await
    }

    /// Records a package in a transaction of its own, and says when.
    async fn try_record(&self, package: &NewPackage, job: &JobRecord) -> Result<(Recorded, i64), CatalogError> {
        let _turn = self.recording.lock().await;
        let (now, begun) = (now_ms(), Instant::now());
        let mut tx = self.writer.begin_with(BEGIN).await.map_err(failed)?;
        let waited = begun.elapsed();
        let live = packages::find_live(&mut tx, package).await.map_err(failed)?;
        let protecting = pins::protecting(&mut tx, &package.target, &package.version, now).await.map_err(failed)?;
        package.conditions.judge(live.as_ref().map(Live::existing).as_ref())?;
        let demand = Demand::of_package(package.size_bytes, live.as_ref().map(|live| live.size_bytes));
        if live.is_none() || package.allow_overwrite {
            let used = usage::of_target(&mut tx, &package.target).await.map_err(failed)?;
            let used = self.announced.beside(job.view.id, &package.target, &package.version, used);
            package.quota.judge(used, demand).map_err(CatalogError::QuotaExceeded)?;
        }
        let (row, replaced, action) = match live {
            Some(_) if !package.allow_overwrite => return Err(CatalogError::AlreadyExists),
            Some(_) if !protecting.is_empty() => return Err(CatalogError::InUse(protecting)),
            Some(Live { id, sha256, .. }) => {
                (packages::replace(&mut tx, id, package, now).await, sha256, EventAction::Overwrite)
            }
            None => (packages::insert(&mut tx, package, now).await, None, EventAction::Upload),
        };
        if package.registers_module {
            packages::register_module(&mut tx, package, now).await.map_err(failed)?;
        }
        let recorded = Recorded { row: row.map_err(failed)?, replaced, waited };
        let actor = uploader(job);
        let event = NewEvent::about(action, &package.target, &recorded.row, &actor);
        NewEvent { before: replaced, ..event }.record(&mut tx, now).await.map_err(failed)?;
        provenance::record(&mut tx, recorded.row.id.row(), job, &package.provenance).await.map_err(failed)?;
        let end = JobEnd::Done(recorded.row.clone());
        if !jobs::record_end(&mut tx, job, &end, now).await.map_err(failed)? {
            return Err(CatalogError::KeyTaken);
        }
        self.ended.add(&mut tx, &job.request).await.map_err(failed)?;
        reached(Step::CommitDue);
        tx.commit().await.map_err(failed)?;
        reached(Step::Committed);
        Ok((recorded, now))
    }
}

/// All that make a database fit for this release.
fn migrations() -> Migrator {
    sqlx::migrate!("migrations/sqlite")
}

/// When SQLite ends a transaction by itself, as on a full disk, the driver goes on counting it, and nothing can be begun on
/// that connection again: it is closed, and the next one is new.
fn is_usable(used: &SqliteConnection) -> bool {
    !used.is_in_transaction()
}

async fn refuse_old_sqlite(pool: &SqlitePool) -> Result<(), CatalogStartError> {
    let found: String = sqlx::query_scalar("select sqlite_version()").fetch_one(pool).await?;
    if is_new_enough(&found) { Ok(()) } else { Err(CatalogStartError::OldSqlite { found }) }
}

fn is_new_enough(version: &str) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    numbers.as_slice() >= OLDEST_SQLITE.as_slice()
}

impl Catalog for SqliteCatalog {
    type Reservation = SqliteReservation;

    async fn module_origin(&self, target: &ModuleRef) -> Result<Option<SourceOrigin>, CatalogError> {
        let number: Option<i64> =
            sqlx::query_scalar("select source_origin from module where app_code = ? and module = ?")
                .bind(target.app.as_str())
                .bind(target.module.as_str())
                .fetch_optional(&self.reader.pool)
                .await
                .map_err(failed)?;
        Ok(number.and_then(SourceOrigin::from_number))
    }

    async fn has_live(&self, target: &ModuleRef, version: &PackageVersion) -> Result<bool, CatalogError> {
        sqlx::query_scalar(
            "select exists(select 1 from source_package
                where app_code = ? and module = ? and version = ? and is_deleted = 0)",
        )
        .bind(target.app.as_str())
        .bind(target.module.as_str())
        .bind(version.as_str())
        .fetch_one(&self.reader.pool)
        .await
        .map_err(failed)
    }

    async fn find_live(
        &self,
        target: &ModuleRef,
        version: &PackageVersion,
    ) -> Result<Option<LivePackage>, CatalogError> {
        packages::find_live_package(&self.reader.pool, target, version).await
    }

    async fn usage(&self, target: &ModuleRef) -> Result<UsageOfTarget, CatalogError> {
        let mut connection = self.reader.pool.acquire().await.map_err(failed)?;
        usage::of_target(&mut connection, target).await.map_err(failed)
    }

    async fn reserve(&self, claim: QuotaClaim) -> Result<SqliteReservation, CatalogError> {
        SqliteReservation::make(claim, self.announced.clone(), self.reader.clone()).await
    }

    async fn protecting_pins(&self, target: &ModuleRef, version: &PackageVersion) -> Result<Vec<Pin>, CatalogError> {
        let mut connection = self.reader.pool.acquire().await.map_err(failed)?;
        pins::protecting(&mut connection, target, version, now_ms()).await.map_err(failed)
    }

    async fn record(
        &self,
        package: NewPackage,
        job: JobRecord,
        fence: Option<Fence>,
    ) -> Result<Recorded, CatalogError> {
        let ending = self.claims.begin_end(job.view.id, fence).map_err(fenced)?;
        let (recorded, now) = retried!(while it is away, self.try_record(&package, &job))?;
        self.announced.forget(job.view.id);
        ending.end(job.view, JobEnd::Done(recorded.row.clone()), now);
        Ok(recorded)
    }

    async fn find_stored(&self, target: &ModuleRef, sha256: &Sha256) -> Result<Option<StoredPackage>, CatalogError> {
        packages::find_stored(&self.reader.pool, target, sha256).await
    }

    async fn statements(&self, sha256: &Sha256) -> Result<Vec<String>, CatalogError> {
        provenance::statements(&self.reader.pool, sha256).await
    }

    async fn find_file(&self, target: &ModuleRef, id: PackageId) -> Result<Option<StoredFile>, CatalogError> {
        packages::find_file(&self.reader.pool, target, id).await
    }

    async fn find_statement(&self, target: &ModuleRef, id: PackageId) -> Result<Option<String>, CatalogError> {
        provenance::find_statement(&self.reader.pool, target, id).await
    }

    async fn check(&self) -> Result<(), CatalogError> {
        // An open database goes on working after its file was removed, and everything recorded then is lost. Its file must
        // not be opened to find out: closing it would drop SQLite's own locks.
        tokio::fs::metadata(&self.path).await.map_err(|e| CatalogError::Database(e.into()))?;
        self.settle().await
    }
}

impl CatalogReader for SqliteCatalog {
    type BlobLock = KeyedLock<Sha256>;
    type Snapshot = SqliteReader;

    async fn lock_blob(&self, sha256: &Sha256) -> KeyedLock<Sha256> {
        self.blobs.lock(*sha256).await
    }

    async fn references_after(&self, sha256: &str) -> Result<Vec<Reference>, CatalogError> {
        self.reader.references_after(sha256).await
    }

    async fn reference(&self, sha256: &Sha256) -> Result<Option<Reference>, CatalogError> {
        self.reader.reference(sha256).await
    }

    async fn is_referenced(&self, sha256: &Sha256) -> Result<bool, CatalogError> {
        self.reader.is_referenced(sha256).await
    }

    async fn referencing_rows(&self, sha256: &str) -> Result<Vec<RowName>, CatalogError> {
        self.reader.referencing_rows(sha256).await
    }

    async fn candidates_after(
        &self,
        target: &ModuleRef,
        order: RetentionOrder,
        after: Option<CandidateCursor>,
    ) -> Result<Vec<Candidate>, CatalogError> {
        self.reader.candidates_after(target, order, after).await
    }

    async fn modules_after(&self, after: Option<&ModuleRef>) -> Result<Vec<ModuleRef>, CatalogError> {
        self.reader.modules_after(after).await
    }

    async fn find_damage(&self) -> Result<Option<String>, CatalogError> {
        self.reader.find_damage().await
    }

    async fn snapshot(&self, into: &Path) -> Result<SqliteReader, CatalogError> {
        self.reader.snapshot(into).await
    }

    async fn sum_up(&self) -> Result<Option<CatalogSum>, CatalogError> {
        self.reader.sum_up().await
    }

    /// Its journal is folded into the file.
    async fn close(&self) {
        self.pages.close().await;
        self.reader.close().await;
        self.writer.close().await;
    }
}

impl PackageReader for SqliteCatalog {
    async fn list_packages(&self, target: &ModuleRef, query: &PackageQuery) -> Result<PackagePage, CatalogError> {
        lists::list(&self.pages, target, query).await
    }

    async fn find_package(&self, target: &ModuleRef, id: PackageId) -> Result<Option<PackageDetail>, CatalogError> {
        details::find(&self.pages, target, id).await
    }

    async fn list_modules(&self, after: Option<&ModuleRef>, limit: u32) -> Result<Vec<ModuleSums>, CatalogError> {
        modules::list(&self.pages, after, limit).await
    }

    async fn pinned_among(&self, target: &ModuleRef, packages: &[PackageId]) -> Result<Vec<PackageId>, CatalogError> {
        pins::pinned_among(&self.pages, target, packages).await
    }

    async fn package_sums(&self, target: &ModuleRef) -> Result<PackageSums, CatalogError> {
        details::package_sums(&self.pages, target).await
    }

    async fn list_events(&self, target: &ModuleRef, query: &EventQuery) -> Result<EventPage, CatalogError> {
        event_pages::list(&self.pages, target, query).await
    }
}

impl Maintenance for SqliteCatalog {
    type Lease = ();

    /// Nobody else has the data directory.
    async fn begin_chore(&self, _: Chore, _: Duration) -> Result<Turn<()>, CatalogError> {
        Ok(Turn::Now(()))
    }

    /// SQLite may report that a commit failed and show its rows after a crash, as long as no later commit has taken their
    /// place in the journal. So a commit is made that says nothing.
    async fn settle(&self) -> Result<(), CatalogError> {
        let mut tx = self.writer.begin_with(BEGIN).await.map_err(failed)?;
        // Not used by anything; setting it writes a page even if it has this value already.
        sqlx::query("pragma user_version = 0").execute(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }

    async fn expire_jobs(&self, ended_before_ms: i64) -> Result<u64, CatalogError> {
        jobs::expire(&self.writer, ended_before_ms).await
    }

    async fn expire_events(&self, before_ms: i64) -> Result<u64, CatalogError> {
        events::expire(&self.writer, before_ms).await
    }
}

fn fenced(error: QueueError) -> CatalogError {
    match error {
        QueueError::Unavailable(cause) => CatalogError::Unavailable(cause),
        QueueError::Database(cause) => CatalogError::Database(cause),
        QueueError::Fenced | QueueError::Full(_) | QueueError::KeyReused => CatalogError::Fenced,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for good in ["3.51.3", "3.51.10", "3.52", "3.100.0", "4.0.0"] {
            assert!(is_new_enough(good), "{good}");
        }
        for bad in ["3.51.2", "3.9.100", "2.99.99", "", "x"] {
            assert!(!is_new_enough(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_bundled_sqlite_is_new_enough_and_durable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        let version: String =
            sqlx::query_scalar("select sqlite_version()").fetch_one(&catalog.reader.pool).await.unwrap();
        assert!(is_new_enough(&version), "{version}");
        let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&catalog.writer).await.unwrap();
        let sync: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(&catalog.writer).await.unwrap();
        assert_eq!((mode.as_str(), sync), ("wal", 2));
        let refused = sqlx::query("delete from module").execute(&catalog.reader.pool).await;
        assert!(refused.is_err(), "a reader must not write");
    }

    #[tokio::test]
    async fn a_transaction_that_the_database_ended_by_itself_is_not_held_against_the_next() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        let mut tx = catalog.writer.begin_with(BEGIN).await.unwrap();
        // As a full disk does it: behind the driver's back.
        sqlx::query("rollback").execute(&mut *tx).await.unwrap();
        assert!(tx.commit().await.is_err(), "there was nothing left to commit");
        catalog.check().await.unwrap();
        catalog.settle().await.unwrap();
    }

    #[tokio::test]
    async fn a_page_of_a_module_is_not_sorted_and_a_stored_package_is_found_by_its_digest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        let page = "select * from source_package
            where app_code = ? and module = ? and is_deleted = 0 and id < ? order by id desc limit 20";
        let by_digest = "SEARCH source_package USING INDEX source_package_sha256 (sha256=?)";
        for (query, want) in [
            (
                page,
                &["SEARCH source_package USING INDEX source_package_page (app_code=? AND module=? AND rowid<?)"][..],
            ),
            (packages::FIND_STORED, &[by_digest, "SEARCH provenance USING INTEGER PRIMARY KEY (rowid=?)"]),
        ] {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("explain query plan {query}")));
            let plan = plan.fetch_all(&catalog.reader.pool).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
            assert_eq!(steps, want);
        }
    }
}
