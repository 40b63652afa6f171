//! What ties a bucket to this database.
//!
//! Promises: of stores that begin at once with a bucket each, one marks its own, and the others learn of it.

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
    tx: Transaction<'static, Postgres>,
}

impl BucketMark {
    /// The bucket has it now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_written(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("update bucket_mark set is_written = true").execute(&mut *self.tx).await?;
        self.tx.commit().await
    }
}

impl PostgresCatalog {
    /// The mark, which nobody else writes meanwhile.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn bucket_mark(&self) -> Result<BucketMark, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query("select id, is_written from bucket_mark for update").fetch_one(&mut *tx).await?;
        Ok(BucketMark { id: row.try_get("id")?, is_written: row.try_get("is_written")?, tx })
    }

    /// Gives up the bucket of a database that has no packages.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn give_bucket_up(&self) -> Result<(), sqlx::Error> {
        sqlx::query("update bucket_mark set is_written = false").execute(&self.pool).await.map(drop)
    }
}
