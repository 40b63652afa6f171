//! What ties a bucket to this database.
//!
//! Promises: of stores that begin at once with a bucket each, one marks its own, and the others learn of it.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::PostgresCatalog;

/// What an object in the bucket of this database says.
pub struct BucketMark {
    /// It says this.
    pub id: Uuid,
    /// Whether a bucket has it, so that one which does not is another one.
    pub is_written: bool,
    /// Holds others back as long as none has.
    tx: Option<Transaction<'static, Postgres>>,
}

const READ: &str = "select id, is_written from bucket_mark";
const LOCK: &str = "select id, is_written from bucket_mark for update";

impl BucketMark {
    fn read(row: &PgRow, tx: Option<Transaction<'static, Postgres>>) -> Result<Self, sqlx::Error> {
        Ok(Self { id: row.try_get("id")?, is_written: row.try_get("is_written")?, tx })
    }

    /// The bucket has it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_written(self) -> Result<(), sqlx::Error> {
        let Some(mut tx) = self.tx else { return Ok(()) };
        sqlx::query("update bucket_mark set is_written = true").execute(&mut *tx).await?;
        tx.commit().await
    }
}

impl PostgresCatalog {
    /// The mark. If no bucket has it yet, nobody else writes it meanwhile.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn bucket_mark(&self) -> Result<BucketMark, sqlx::Error> {
        let known = BucketMark::read(&sqlx::query(READ).fetch_one(&self.pool).await?, None)?;
        if known.is_written {
            return Ok(known);
        }
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query(LOCK).fetch_one(&mut *tx).await?;
        BucketMark::read(&row, Some(tx))
    }
}
