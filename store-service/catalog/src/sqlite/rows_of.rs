//! All rows of the catalog in SQLite, table by table, as copies have them.

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use linkgate_store_core::ingest::ports::{CatalogError, CatalogSum};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqlitePool};

use super::database::failed;
use super::{SqliteCatalog, SqliteReader, migrations};
use crate::tables::{Summing, TABLES, Table, Value};

/// The rows of a table.
pub(crate) struct Rows<'r> {
    table: &'r Table,
    stream: BoxStream<'r, Result<SqliteRow, sqlx::Error>>,
}

impl Rows<'_> {
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Value>>, sqlx::Error> {
        self.stream.try_next().await?.map(|row| self.table.read(&row)).transpose()
    }
}

fn rows_of<'r>(pool: &'r SqlitePool, table: &'r Table) -> Rows<'r> {
    let reading = AssertSqlSafe(table.reading_sqlite());
    Rows { table, stream: sqlx::query(reading).fetch(pool) }
}

impl SqliteCatalog {
    pub(crate) fn rows_of<'r>(&'r self, table: &'r Table) -> Rows<'r> {
        rows_of(&self.reader.pool, table)
    }

    /// The last number that a table has given out.
    pub(crate) async fn last_number(&self, table: &'static str) -> Result<i64, CatalogError> {
        let last = sqlx::query_scalar("select seq from sqlite_sequence where name = ?").bind(table);
        Ok(last.fetch_optional(&self.reader.pool).await.map_err(failed)?.unwrap_or(0))
    }
}

/// What all rows come to; `None` if the database is not of this release.
pub(super) async fn sum_up(reader: &SqliteReader) -> Result<Option<CatalogSum>, CatalogError> {
    if !is_of_this_release(&reader.pool).await.map_err(failed)? {
        return Ok(None);
    }
    sum_of(&reader.pool).await.map(Some).map_err(failed)
}

async fn is_of_this_release(pool: &SqlitePool) -> Result<bool, sqlx::Error> {
    let done: Vec<i64> =
        sqlx::query_scalar("select version from _sqlx_migrations where success").fetch_all(pool).await?;
    Ok(migrations().iter().all(|migration| done.contains(&migration.version)))
}

async fn sum_of(pool: &SqlitePool) -> Result<CatalogSum, sqlx::Error> {
    let mut sum = Summing::new();
    for table in &TABLES {
        sum.begin(table);
        let mut rows = rows_of(pool, table);
        while let Some(values) = rows.next().await? {
            sum.add(&values);
        }
    }
    Ok(sum.sum())
}
