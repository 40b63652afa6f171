//! Connections for those who read pages.
//!
//! Promises: fewer than there are, so whoever lists packages holds nobody else up; what is asked on one of them is of one
//! moment, and ends when its time is over.

use std::sync::Arc;

use linkgate_store_core::ingest::ports::CatalogError;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::database::{failed, place_of};

/// Pages that are read at once.
const READERS: usize = 2;
/// Begins to read. Each statement of one page may take so long.
const BEGIN: &str = "begin isolation level repeatable read read only; set local statement_timeout = '3s'";
/// What PostgreSQL calls the end of a statement whose time is over.
const CANCELLED: &str = "57014";

/// Reads pages. A copy is another handle on the same.
#[derive(Clone)]
pub(super) struct Pages {
    pool: PgPool,
    readers: Arc<Semaphore>,
}

/// A page that is being read.
pub(super) struct Reading<'p> {
    /// What reads it.
    pub(super) tx: Transaction<'p, Postgres>,
    _reader: OwnedSemaphorePermit,
}

impl Pages {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// Begins one, once there are few enough others.
    pub(super) async fn begin(&self) -> Result<Reading<'_>, CatalogError> {
        let busy = |error| match error {
            sqlx::Error::PoolTimedOut => CatalogError::Busy,
            other => failed(other),
        };
        let reader = place_of(&self.readers).await.map_err(busy)?;
        let tx = self.pool.begin_with(BEGIN).await.map_err(busy)?;
        Ok(Reading { tx, _reader: reader })
    }
}

/// Why there is no page.
pub(super) fn page_failed(error: sqlx::Error) -> CatalogError {
    match &error {
        sqlx::Error::Database(said) if said.code().is_some_and(|code| code == CANCELLED) => CatalogError::TooCostly,
        _ => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use linkgate_store_core::settings::QueueLimits;

    use super::*;
    use crate::PostgresCatalog;
    use crate::testing::PostgresServer;

    #[tokio::test]
    async fn what_takes_too_long_is_refused_and_the_next_one_is_not() {
        if let Some(missing) = PostgresServer::missing() {
            return println!("{missing}: nothing was tried");
        }
        let server = PostgresServer::start();
        let catalog = PostgresCatalog::connect(&server.address(), QueueLimits::default()).await.unwrap();
        let mut reading = catalog.pages.begin().await.unwrap();
        sqlx::query("set local statement_timeout = '50ms'").execute(&mut *reading.tx).await.unwrap();
        let endless =
            sqlx::query("select count(*) from generate_series(1, 100000000000)").execute(&mut *reading.tx).await;
        assert!(matches!(page_failed(endless.unwrap_err()), CatalogError::TooCostly));
        drop(reading);
        let mut next = catalog.pages.begin().await.unwrap();
        let written = sqlx::query("delete from event").execute(&mut *next.tx).await;
        assert!(written.is_err(), "a reader must not write");
    }
}
