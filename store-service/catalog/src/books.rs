//! The books for those who look after what is kept: page by page, by hash, without changing anything.
//!
//! Promises: needs memory for one page, however many packages are booked. Only live rows count: a deleted one has given
//! its bytes up. [`Books::open`] neither makes a database nor brings one up to date, so it may read beside a running store.

use linkgate_contract::Sha256;
use std::path::Path;
use std::time::Duration;

use linkgate_store_core::ingest::ports::CatalogError;
use sqlx::sqlite::{SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlitePool};

use super::sqlite::{failed, options};

/// Hashes on a page: small beside a read of the disk for each of them.
const PAGE: i64 = 500;
/// Rows that are named for one hash. Enough to know who is concerned.
const NAMED_ROWS: i64 = 100;
/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The books, to be read.
#[derive(Clone)]
pub struct Books {
    pool: SqlitePool,
}

/// What live rows say of one hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// The hash as it is booked; somebody may have written something else into the table.
    pub digest_text: String,
    /// How many rows point at it.
    pub rows: i64,
    /// The smallest size that one of them says.
    pub least_bytes: i64,
    /// And the largest; the two are equal unless the books are wrong.
    pub most_bytes: i64,
}

/// A row, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RowName {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub app_code: String,
    /// And of which module.
    pub module: String,
    /// Its version.
    pub version: String,
    /// The bytes that it says the package has.
    pub size_bytes: i64,
}

impl Books {
    pub(super) fn over(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Opens a database that is there.
    ///
    /// # Errors
    /// If it is not there, or is none.
    pub async fn open(path: &Path) -> Result<Self, CatalogError> {
        let options = options(path).pragma("query_only", "on");
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options);
        Ok(Self { pool: pool.await.map_err(failed)? })
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The hashes that live rows point at, in order, those after the given one; empty after the last.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn page_after(&self, sha256: &str) -> Result<Vec<Booked>, CatalogError> {
        let rows = sqlx::query(
            "select sha256, count(*) as rows, min(size_bytes) as least, max(size_bytes) as most
             from source_package where is_deleted = 0 and sha256 > ?
             group by sha256 order by sha256 limit ?",
        )
        .bind(sha256)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_booked).collect::<Result<_, _>>().map_err(failed)
    }

    /// What live rows say of one hash; `None` if none points at it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn booked(&self, sha256: &Sha256) -> Result<Option<Booked>, CatalogError> {
        let row = sqlx::query(
            "select sha256, count(*) as rows, min(size_bytes) as least, max(size_bytes) as most
             from source_package where is_deleted = 0 and sha256 = ? group by sha256",
        )
        .bind(sha256.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        row.as_ref().map(read_booked).transpose().map_err(failed)
    }

    /// Whether a live row points at a hash.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn points_at(&self, sha256: &Sha256) -> Result<bool, CatalogError> {
        sqlx::query_scalar("select exists(select 1 from source_package where sha256 = ? and is_deleted = 0)")
            .bind(sha256.to_string())
            .fetch_one(&self.pool)
            .await
            .map_err(failed)
    }

    /// The live rows that point at a hash, the first hundred of them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rows_of(&self, sha256: &str) -> Result<Vec<RowName>, CatalogError> {
        let rows = sqlx::query(
            "select id, app_code, module, version, size_bytes from source_package
             where sha256 = ? and is_deleted = 0 order by id limit ?",
        )
        .bind(sha256)
        .bind(NAMED_ROWS)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_name).collect::<Result<_, _>>().map_err(failed)
    }

    /// What is wrong with the database itself, if anything: also an index that does not tell what its table holds.
    ///
    /// # Errors
    /// If it cannot even be asked.
    pub async fn damage(&self) -> Result<Option<String>, CatalogError> {
        let said: String =
            sqlx::query_scalar("pragma integrity_check(1)").fetch_one(&self.pool).await.map_err(failed)?;
        Ok((said != "ok").then_some(said))
    }

    /// Writes the books as they are at one moment into an empty file, while others go on writing in them.
    ///
    /// # Errors
    /// If either database fails.
    pub async fn snapshot(from: &Path, into: &Path) -> Result<(), CatalogError> {
        let Some(name) = into.to_str() else { return Err(CatalogError::Database("the path is not UTF-8".into())) };
        let mut connection = options(from).connect().await.map_err(failed)?;
        sqlx::query("vacuum into ?").bind(name).execute(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)
    }
}

fn read_booked(row: &SqliteRow) -> Result<Booked, sqlx::Error> {
    Ok(Booked {
        digest_text: row.try_get("sha256")?,
        rows: row.try_get("rows")?,
        least_bytes: row.try_get("least")?,
        most_bytes: row.try_get("most")?,
    })
}

fn read_name(row: &SqliteRow) -> Result<RowName, sqlx::Error> {
    Ok(RowName {
        id: row.try_get("id")?,
        app_code: row.try_get("app_code")?,
        module: row.try_get("module")?,
        version: row.try_get("version")?,
        size_bytes: row.try_get("size_bytes")?,
    })
}
