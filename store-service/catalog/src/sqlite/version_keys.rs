//! Keys of the natural order, for rows that another release wrote.
//!
//! Promises: once this is through no row is without one. Holds the lock for one batch at a time and needs memory for one.

use linkgate_store_core::version_order::natural_key;
use sqlx::SqlitePool;

use super::database::BEGIN;

/// Rows at a time.
const BATCH: i64 = 1_000;

/// Makes the keys that are not there.
pub(super) async fn fill_in(writer: &SqlitePool) -> Result<(), sqlx::Error> {
    while fill_in_batch(writer).await? {}
    Ok(())
}

/// `false` if there was none.
async fn fill_in_batch(writer: &SqlitePool) -> Result<bool, sqlx::Error> {
    let mut tx = writer.begin_with(BEGIN).await?;
    let rows: Vec<(i64, String)> =
        sqlx::query_as("select id, version from source_package where version_key is null order by id limit ?")
            .bind(BATCH)
            .fetch_all(&mut *tx)
            .await?;
    for (id, version) in &rows {
        sqlx::query("update source_package set version_key = ? where id = ?")
            .bind(natural_key(version))
            .bind(id)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(!rows.is_empty())
}
