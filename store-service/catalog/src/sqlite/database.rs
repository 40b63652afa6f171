//! What every table and every handle of the database shares: how it is opened and locked, and how its failures and numbers
//! are read.

use std::path::Path;
use std::time::Duration;

use linkgate_store_core::ingest::ports::CatalogError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

/// How long to wait for a connection, or for another process (a backup, a shell) to release the database.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes the write lock at once: a transaction that reads first and writes later fails when another wrote in between,
/// and no waiting helps it.
pub(super) const BEGIN: &str = "begin immediate";

/// For every connection.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_TIMEOUT)
}

/// Why the catalog refuses or fails.
pub(super) fn failed(error: sqlx::Error) -> CatalogError {
    // Postgres names the broken constraint, SQLite does not; so there is one unique rule per table.
    match &error {
        sqlx::Error::Database(e) if e.is_unique_violation() => CatalogError::AlreadyExists,
        _ => CatalogError::Database(error.into()),
    }
}

pub(super) fn signed(number: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(number).map_err(|e| sqlx::Error::Encode(e.into()))
}

pub(super) fn unsigned(number: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(number).map_err(|e| sqlx::Error::Decode(e.into()))
}
