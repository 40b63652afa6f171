//! What every table and every handle of the database shares: how it is opened and locked, and how its failures and numbers
//! are read.

use std::path::Path;
use std::time::Duration;

use linkgate_store_core::ingest::ports::CatalogError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

use crate::again::is_away;

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

/// Where SQLite puts files that it needs for a moment, as an SQL text: what it must be able to take back of a statement, and
/// what it sorts. They belong on the disk of the catalog, for the program may run where nothing else can be written, and what
/// stands for a disk may be memory. `None`: wherever SQLite finds a place.
pub(super) fn temp_directory(path: &Path) -> Option<String> {
    let beside = path.parent()?;
    let directory = [beside.join("tmp"), beside.to_owned()].into_iter().find(|directory| directory.is_dir())?;
    Some(format!("'{}'", directory.to_str()?.replace('\'', "''")))
}

/// Why the catalog refuses or fails.
pub(super) fn failed(error: sqlx::Error) -> CatalogError {
    // Postgres names the broken constraint, SQLite does not; so there is one unique rule per table.
    match &error {
        sqlx::Error::Database(e) if e.is_unique_violation() => CatalogError::AlreadyExists,
        _ if is_away(&error) => CatalogError::Unavailable(error.into()),
        _ => CatalogError::Database(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_for_a_moment_are_beside_the_catalog() {
        let data = tempfile::tempdir().unwrap();
        let named = |directory: &Path| Some(format!("'{}'", directory.display()));
        let catalog = data.path().join("catalog.sqlite3");
        assert_eq!(temp_directory(&catalog), named(data.path()));
        std::fs::create_dir(data.path().join("tmp")).unwrap();
        assert_eq!(temp_directory(&catalog), named(&data.path().join("tmp")));
        let quoted = data.path().join("it's");
        std::fs::create_dir(&quoted).unwrap();
        let text = temp_directory(&quoted.join("catalog.sqlite3")).unwrap();
        assert!(text.ends_with("it''s'"), "{text}");
        assert_eq!(temp_directory(&data.path().join("none/catalog.sqlite3")), None);
    }
}
