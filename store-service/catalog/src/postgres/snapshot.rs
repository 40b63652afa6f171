//! Copies of the catalog in PostgreSQL, as backups have it: in SQLite, whichever database they are of.
//!
//! Promises: what is copied is of one moment, while others go on writing; it is held against what was read, and durable once
//! it is there. Needs memory for a few rows. Jobs that nobody was told of are left out, as they are in SQLite, and so is what
//! only means something to processes that run.

use std::path::Path;

use futures_util::TryStreamExt as _;
use linkgate_store_core::data_dir::open_file;
use linkgate_store_core::ingest::ports::{CatalogError, CatalogReader as _, CatalogSum};
use linkgate_store_core::settings::QueueLimits;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Sqlite, SqliteConnection};

use super::database::failed;
use crate::tables::{NUMBERED, Summing, TABLES, Table, Value};
use crate::{SqliteCatalog, SqliteReader};

/// Begins to read, however long that takes.
const BEGIN: &str = "begin isolation level repeatable read read only; set local statement_timeout = 0;
    set local idle_in_transaction_session_timeout = 0";

/// Writes the catalog as it is now into a new file, and opens that.
pub(super) async fn write(pool: &PgPool, into: &Path) -> Result<SqliteReader, CatalogError> {
    // Made here, so that it gets our mode and not SQLite's.
    open_file(into).map_err(|e| CatalogError::Database(e.into()))?;
    let copy = SqliteCatalog::open(into, QueueLimits::default()).await.map_err(|e| CatalogError::Database(e.into()))?;
    let copied = copy_all(pool, &copy).await;
    copy.close().await;
    let read = copied.map_err(failed)?;
    let file = tokio::fs::File::open(into).await.map_err(|e| CatalogError::Database(e.into()))?;
    file.sync_all().await.map_err(|e| CatalogError::Database(e.into()))?;
    let reader = SqliteReader::open(into).await?;
    if reader.sum_up().await? == Some(read) {
        Ok(reader)
    } else {
        Err(CatalogError::Database("the copy of the catalog does not hold what was read".into()))
    }
}

/// What all rows come to now.
pub(super) async fn sum_up(pool: &PgPool) -> Result<CatalogSum, sqlx::Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let sum = sum_of(&mut tx).await?;
    tx.commit().await?;
    Ok(sum)
}

/// What all rows come to, as a transaction sees them.
pub(super) async fn sum_of(tx: &mut PgConnection) -> Result<CatalogSum, sqlx::Error> {
    let mut sum = Summing::new();
    for table in &TABLES {
        sum.begin(table);
        let mut rows = sqlx::query(AssertSqlSafe(table.reading_postgres())).fetch(&mut *tx);
        while let Some(row) = rows.try_next().await? {
            sum.add(&table.read(&row)?);
        }
    }
    Ok(sum.sum())
}

/// Gives what was read.
async fn copy_all(pool: &PgPool, copy: &SqliteCatalog) -> Result<CatalogSum, sqlx::Error> {
    let mut from = pool.begin_with(BEGIN).await?;
    let mut to = copy.begin_copy().await?;
    let mut sum = Summing::new();
    for table in &TABLES {
        copy_table(table, &mut from, &mut to, &mut sum).await?;
    }
    for table in NUMBERED {
        copy_last_number(table, &mut from, &mut to).await?;
    }
    to.commit().await?;
    from.commit().await?;
    Ok(sum.sum())
}

async fn copy_table(
    table: &Table,
    from: &mut PgConnection,
    to: &mut SqliteConnection,
    sum: &mut Summing,
) -> Result<(), sqlx::Error> {
    sum.begin(table);
    let values = vec!["?"; table.columns.len()].join(", ");
    let writing = format!("insert into {} ({}) values ({values})", table.name, table.names().join(", "));
    let mut rows = sqlx::query(AssertSqlSafe(table.reading_postgres())).fetch(from);
    while let Some(row) = rows.try_next().await? {
        let values = table.read(&row)?;
        sum.add(&values);
        let query = sqlx::query(AssertSqlSafe(writing.clone()));
        values.into_iter().fold(query, bind).execute(&mut *to).await?;
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn bind(query: Query<'_>, value: Value) -> Query<'_> {
    match value {
        Value::Nothing => query.bind(None::<i64>),
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
        Value::Flag(flag) => query.bind(flag),
        Value::Bytes(bytes) => query.bind(bytes),
    }
}

/// Numbers that were given out stay given out, also where their rows are gone.
async fn copy_last_number(
    table: &'static str,
    from: &mut PgConnection,
    to: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    let text = format!("select case when is_called then last_value else 0 end from {table}_id_seq");
    let last: i64 = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(from).await?;
    for statement in [
        "insert into sqlite_sequence (name, seq) select ?1, 0 where not exists(select 1 from sqlite_sequence where name = ?1)",
        "update sqlite_sequence set seq = max(seq, ?2) where name = ?1",
    ] {
        sqlx::query(statement).bind(table).bind(last).execute(&mut *to).await?;
    }
    Ok(())
}
