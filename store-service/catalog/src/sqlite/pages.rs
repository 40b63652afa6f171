//! Connections for those who read pages.
//!
//! Promises: they are other ones than those of uploads, and few, so whoever lists packages holds nobody else up; what is asked
//! on one of them ends after a number of SQLite's steps, the same on every machine.

use linkgate_store_core::ingest::ports::CatalogError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use super::database::{ACQUIRE_TIMEOUT, failed};

/// Pages that are read at once.
const READERS: u32 = 4;
/// What one request may take: about a million packages looked at one by one, which is a second or two.
const STEPS: u32 = 10_000_000;
const STEPS_BETWEEN_LOOKS: u32 = 100_000;
/// What SQLite calls the end of a statement that was interrupted.
const INTERRUPTED: &str = "9";

/// Opens them.
pub(super) async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    connect_with_steps(options, STEPS).await
}

async fn connect_with_steps(options: SqliteConnectOptions, steps: u32) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| Box::pin(allow_steps(connection, steps)))
        .before_acquire(move |connection, _| {
            Box::pin(async move { allow_steps(connection, steps).await.map(|()| true) })
        })
        .connect_with(options.pragma("query_only", "on"))
        .await
}

/// A connection for one request.
pub(super) async fn acquire(pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, CatalogError> {
    pool.acquire().await.map_err(|error| match error {
        sqlx::Error::PoolTimedOut => CatalogError::Busy,
        other => failed(other),
    })
}

/// From here on it may take so much.
async fn allow_steps(connection: &mut SqliteConnection, steps: u32) -> Result<(), sqlx::Error> {
    let mut looks = steps / STEPS_BETWEEN_LOOKS;
    let goes_on = move || {
        looks = looks.saturating_sub(1);
        looks > 0
    };
    let between = i32::try_from(STEPS_BETWEEN_LOOKS).unwrap_or(i32::MAX);
    connection.lock_handle().await?.set_progress_handler(between, goes_on);
    Ok(())
}

/// Why there is no page.
pub(super) fn page_failed(error: sqlx::Error) -> CatalogError {
    match &error {
        sqlx::Error::Database(e) if e.code().is_some_and(|code| code == INTERRUPTED) => CatalogError::TooCostly,
        _ => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::options;
    use super::*;

    #[tokio::test]
    async fn what_takes_too_many_steps_is_refused_and_the_next_one_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let pages = connect_with_steps(options(file.path()), 10 * STEPS_BETWEEN_LOOKS).await.unwrap();
        let count = async |rows: i64| {
            let text =
                "with recursive n (i) as (select 1 union all select i + 1 from n where i < ?) select count(*) from n";
            let mut connection = acquire(&pages).await?;
            let counted: Result<i64, _> = sqlx::query_scalar(text).bind(rows).fetch_one(&mut *connection).await;
            counted.map_err(page_failed)
        };
        for _ in 0..2 * READERS {
            assert!(matches!(count(1_000_000).await, Err(CatalogError::TooCostly)));
            assert_eq!(count(1_000).await.unwrap(), 1_000);
        }
        let held = [acquire(&pages).await, acquire(&pages).await, acquire(&pages).await, acquire(&pages).await];
        assert!(held.iter().all(Result::is_ok));
        let written = sqlx::query("create table x (y)").execute(&mut *held.into_iter().next().unwrap().unwrap()).await;
        assert!(written.is_err(), "a reader must not write");
    }
}
