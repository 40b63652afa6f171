//! The catalog in SQLite for those who only read in it: page by page, by digest, without changing anything.
//!
//! Promises: needs memory for one page, however many packages are recorded, and reads what any release has left. [`SqliteReader::open`] neither makes a database
//! nor brings one up to date, so it may read beside a running store.

use std::path::{Path, PathBuf};

use linkgate_contract::{ModuleRef, Sha256};
use linkgate_store_core::data_dir::open_file;
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    Candidate, CandidateCursor, CatalogError, CatalogReader, CatalogSum, Reference, RowName,
};
use linkgate_store_core::settings::RetentionOrder;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqlitePool};

use super::database::{ACQUIRE_TIMEOUT, failed, options};
use super::{cleanup, rows_of};
use crate::rows::{read_name, read_reference};

/// Digests on a page: small beside a read of the disk for each of them.
const PAGE: i64 = 500;
/// Rows that are named for one digest. Enough to know who is concerned.
const NAMED_ROWS: i64 = 100;
/// The catalog, to be read. A copy is another handle on the same.
#[derive(Clone)]
pub struct SqliteReader {
    pub(super) pool: SqlitePool,
    path: PathBuf,
    /// What is true of a row that needs its bytes.
    needs_bytes: &'static str,
}

/// A row that is deleted needs its bytes as long as it may be restored.
const UNLESS_PURGED: &str = "purged_ms is null";
/// Before there was a purge, a deleted row had given its bytes up.
const UNLESS_DELETED: &str = "is_deleted = 0";

impl SqliteReader {
    pub(super) fn new(pool: SqlitePool, path: PathBuf) -> Self {
        Self { pool, path, needs_bytes: UNLESS_PURGED }
    }

    /// Opens a database that is there.
    ///
    /// # Errors
    /// If it is not there, or is none.
    pub async fn open(path: &Path) -> Result<Self, CatalogError> {
        let options = options(path).pragma("query_only", "on");
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options);
        let reader = Self::new(pool.await.map_err(failed)?, path.to_owned());
        let needs_bytes = if reader.knows_purges().await? { UNLESS_PURGED } else { UNLESS_DELETED };
        Ok(Self { needs_bytes, ..reader })
    }

    /// Whether the database is of a release that purges packages; a backup may be older.
    async fn knows_purges(&self) -> Result<bool, CatalogError> {
        let text = "select exists(select 1 from pragma_table_info('source_package') where name = 'purged_ms')";
        sqlx::query_scalar(text).fetch_one(&self.pool).await.map_err(failed)
    }

    /// A statement of ours, with what makes a row need its bytes in the place of `NEEDS_BYTES`.
    fn statement(&self, text: &'static str) -> AssertSqlSafe<String> {
        AssertSqlSafe(text.replace("NEEDS_BYTES", self.needs_bytes))
    }
}

impl CatalogReader for SqliteReader {
    type BlobLock = ();
    type Snapshot = Self;

    async fn lock_blob(&self, _: &Sha256) {}

    async fn references_after(&self, sha256: &str) -> Result<Vec<Reference>, CatalogError> {
        let rows = sqlx::query(self.statement(
            "select sha256, count(*) as rows, min(size_bytes) as least, max(size_bytes) as most
             from source_package where NEEDS_BYTES and sha256 > ?
             group by sha256 order by sha256 limit ?",
        ))
        .bind(sha256)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_reference).collect::<Result<_, _>>().map_err(failed)
    }

    async fn reference(&self, sha256: &Sha256) -> Result<Option<Reference>, CatalogError> {
        let row = sqlx::query(self.statement(
            "select sha256, count(*) as rows, min(size_bytes) as least, max(size_bytes) as most
             from source_package where NEEDS_BYTES and sha256 = ? group by sha256",
        ))
        .bind(sha256.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        row.as_ref().map(read_reference).transpose().map_err(failed)
    }

    async fn is_referenced(&self, sha256: &Sha256) -> Result<bool, CatalogError> {
        let text = "select exists(select 1 from source_package where sha256 = ? and NEEDS_BYTES)";
        sqlx::query_scalar(self.statement(text)).bind(sha256.to_string()).fetch_one(&self.pool).await.map_err(failed)
    }

    async fn referencing_rows(&self, sha256: &str) -> Result<Vec<RowName>, CatalogError> {
        let rows = sqlx::query(self.statement(
            "select id, app_code, module, version, size_bytes from source_package
             where sha256 = ? and NEEDS_BYTES order by id limit ?",
        ))
        .bind(sha256)
        .bind(NAMED_ROWS)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_name).collect::<Result<_, _>>().map_err(failed)
    }

    async fn candidates_after(
        &self,
        target: &ModuleRef,
        order: RetentionOrder,
        after: Option<CandidateCursor>,
    ) -> Result<Vec<Candidate>, CatalogError> {
        cleanup::candidates_after(&self.pool, target, order, after, now_ms()).await
    }

    async fn modules_after(&self, after: Option<&ModuleRef>) -> Result<Vec<ModuleRef>, CatalogError> {
        cleanup::modules_after(&self.pool, after).await
    }

    /// On a connection of its own: one that has checked the index of the search before remembers how that was put together
    /// then, and takes it for damaged once another connection has written in it.
    async fn find_damage(&self) -> Result<Option<String>, CatalogError> {
        let mut connection = options(&self.path).pragma("query_only", "on").connect().await.map_err(failed)?;
        let said = sqlx::query_scalar("pragma integrity_check(1)").fetch_one(&mut connection).await;
        connection.close().await.map_err(failed)?;
        let said: String = said.map_err(failed)?;
        Ok((said != "ok").then_some(said))
    }

    async fn snapshot(&self, into: &Path) -> Result<Self, CatalogError> {
        let Some(name) = into.to_str() else { return Err(CatalogError::Database("the path is not UTF-8".into())) };
        // Made here, so that it gets our mode and not SQLite's.
        open_file(into).map_err(|e| CatalogError::Database(e.into()))?;
        let mut connection = options(&self.path).connect().await.map_err(failed)?;
        sqlx::query("vacuum into ?").bind(name).execute(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)?;
        let synced = tokio::fs::File::open(into).await;
        synced
            .map_err(|e| CatalogError::Database(e.into()))?
            .sync_all()
            .await
            .map_err(|e| CatalogError::Database(e.into()))?;
        Self::open(into).await
    }

    async fn sum_up(&self) -> Result<Option<CatalogSum>, CatalogError> {
        rows_of::sum_up(self).await
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
