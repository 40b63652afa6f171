//! What every table and every handle of the database shares: how it is reached, how long anybody waits,
//! and how its failures are read.
//!
//! Promises: nobody waits without end, neither for a connection nor for a statement. What changes packages of one application
//! is done one after the other, by whatever process, so what a change judges is what it changes. A transaction that the
//! server gave up for others' sake is begun again, a few times. A commit whose reply was lost is asked after: its event is
//! there or it is not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use linkgate_store_core::ingest::ports::CatalogError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::silence::end_if_silent;
use crate::again::is_away;
use crate::shared::NewEvent;

/// Connections of one process, but for the one that listens.
pub(super) const CONNECTIONS: u32 = 5;
/// How many of them may wait for what others have locked, in whatever process: whoever stands still while it has something locked
/// must not have all connections of the others wait for it.
const MAY_WAIT: usize = 2;
/// How long to wait for one of them.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// What holds for every connection, unless a transaction says otherwise, and whatever the server's own settings are. The server
/// gives up what lasts longer: a process that was stopped in a transaction must not hold a lock for good, nor for as long as others
/// wait for it. Whoever has waited for a lock must see what was committed meanwhile.
const SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "20s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("default_transaction_isolation", "read committed"),
];

/// The first half of the lock of an application's packages.
const APPLICATION_LOCK: i32 = 7302;
/// The whole of the lock of those who give up bytes, whose packages are of many applications.
const PURGE_LOCK: i64 = 7303;

/// How often a commit is asked after, and how long after each time that nobody answers.
pub(super) const ASKED_AFTER: u32 = 20;
pub(super) const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// How to reach it.
pub(super) fn options(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("linkgate-store").options(SETTINGS)
}

/// As many connections as that.
pub(super) fn pool(size: u32, options: &PgConnectOptions) -> PgPoolOptions {
    let port = options.get_port();
    PgPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_TIMEOUT).after_connect(move |_, _| {
        let_end_if_silent(port);
        Box::pin(async { Ok(()) })
    })
}

/// One that is no pool's.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let connecting = timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options));
    let silent =
        |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer came in {} s", ACQUIRE_TIMEOUT.as_secs()));
    let connection = connecting.await.map_err(silent)??;
    let_end_if_silent(options.get_port());
    Ok(connection)
}

fn let_end_if_silent(port: u16) {
    // It is a connection all the same.
    if let Err(e) = end_if_silent(port) {
        debug!("A connection to the database will not end by itself if the machine of the database vanishes: {e}");
    }
}

/// Those of a process who wait for what others have locked. A copy has the same places.
#[derive(Clone)]
pub(super) struct Waiting {
    pool: PgPool,
    places: Arc<Semaphore>,
}

impl Waiting {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, places: Arc::new(Semaphore::new(MAY_WAIT)) }
    }

    /// Begins a transaction that changes packages of this application, once nobody else does.
    pub(super) async fn begin_for(&self, app_code: &str) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        let _place = self.place().await?;
        begin_for(&self.pool, app_code).await
    }

    /// Whoever holds this may wait on one of the connections.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        place_of(&self.places).await
    }
}

/// One of these places, which is waited for as long as for a connection.
pub(super) async fn place_of(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, sqlx::Error> {
    match timeout(ACQUIRE_TIMEOUT, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        // Nobody closes it, so it is its time that is over.
        Ok(Err(_)) | Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

async fn begin_for<'p>(pool: &'p PgPool, app_code: &str) -> Result<Transaction<'p, Postgres>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    lock_application(&mut tx, app_code).await?;
    Ok(tx)
}

async fn lock_application(tx: &mut PgConnection, app_code: &str) -> Result<(), sqlx::Error> {
    let query = sqlx::query("select pg_advisory_xact_lock($1, hashtext($2))").bind(APPLICATION_LOCK).bind(app_code);
    query.execute(tx).await.map(|_| ())
}

/// Begins a transaction that gives up bytes, once nobody else does.
pub(super) async fn begin_purge(pool: &PgPool) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(PURGE_LOCK).execute(&mut *tx).await?;
    Ok(tx)
}

/// An event of a transaction by which it is told whether that was committed.
pub(super) struct Proof {
    app_code: String,
    event: i64,
}

impl Proof {
    /// Of this event, which has this number.
    pub(super) fn new(event: &NewEvent<'_>, number: i64) -> Self {
        Self { app_code: event.app_code.to_owned(), event: number }
    }
}

/// Commits. If nobody can say whether it is done, that is [`UnknownOutcome`], and it must not be done again.
pub(super) async fn commit(pool: &PgPool, tx: Transaction<'_, Postgres>, proof: &Proof) -> Result<(), CatalogError> {
    let Err(error) = tx.commit().await else { return Ok(()) };
    if is_refusal(&error) {
        return Err(failed(error));
    }
    for _ in 0..ASKED_AFTER {
        match is_committed(pool, proof).await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(failed(error)),
            Err(_) => sleep(ASKED_AGAIN).await,
        }
    }
    Err(CatalogError::Unavailable(UnknownOutcome(error).into()))
}

/// Whether a commit that failed was surely not done: the server had something against it.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(said) = error else { return false };
    said.code().is_some_and(|code| matches!(code.get(..2), Some("23" | "25" | "40")))
}

/// The lock is the application's, so whoever committed has ended: no reply that was lost can come true later.
async fn is_committed(pool: &PgPool, proof: &Proof) -> Result<bool, sqlx::Error> {
    let mut tx = begin_for(pool, &proof.app_code).await?;
    let query = sqlx::query_scalar("select exists(select from event where id = $1)").bind(proof.event);
    let is_there = query.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(is_there)
}

/// Nobody knows whether it was done.
#[derive(Debug, thiserror::Error)]
#[error("it is not known whether the database has recorded it")]
pub(super) struct UnknownOutcome(#[source] pub(super) sqlx::Error);

/// Why the catalog refuses or fails.
pub(super) fn failed(error: sqlx::Error) -> CatalogError {
    match &error {
        sqlx::Error::Database(said) if said.constraint() == Some("source_package_live") => CatalogError::AlreadyExists,
        _ if is_away(&error) => CatalogError::Unavailable(error.into()),
        _ => CatalogError::Database(error.into()),
    }
}

/// A number of the table that is a small one in this program.
pub(super) fn small(number: i64) -> Result<u32, sqlx::Error> {
    u32::try_from(number).map_err(|e| sqlx::Error::Decode(e.into()))
}

/// A limit as the server counts.
pub(super) fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text that the server can hold: it has no place for the character of number 0.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_closes_before_the_server_has_said_a_word_is_away() {
        let closed = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".into());
        assert!(matches!(failed(closed), CatalogError::Unavailable(_)));
        assert!(matches!(failed(sqlx::Error::RowNotFound), CatalogError::Database(_)));
    }
}
