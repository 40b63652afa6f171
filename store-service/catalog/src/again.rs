//! What is done once more when it fails, and for how long.
//!
//! Promises: only what was surely not done, and not without end.

use std::time::{Duration, Instant};

use linkgate_store_core::ingest::ports::{CatalogError, Cause, ChangeError, QueueError};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;
use tokio::time::sleep;

/// What the server says where whoever looks after it has something to do: about connections, who may have one, resources, and
/// its system.
const CLASSES_OF_OUTAGE: [&str; 4] = ["08", "28", "53", "58"];

/// What SQLite says where whoever looks after its disk has something to do, or something else uses the database at this moment: a
/// lock that somebody has, memory, a disk that only reads, fails or is full, and files that cannot be opened.
const SQLITE_OUTAGES: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];
/// The part of its codes that says which of them it is.
const SQLITE_KIND: u32 = 0xff;

/// How often something is done in all.
const TRIES: u32 = 6;
/// Before the second time; then twice as long each time, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How long the database may be away before an upload, or the end of a job, is given up.
const AWAY_AT_MOST: Duration = Duration::from_secs(30);

/// Does something that begins a transaction of its own, and does it again where that may help: a few times, or with `while it
/// is away` for as long as that may be.
macro_rules! retried {
    (while it is away, $attempt:expr) => {
        $crate::again::retried!($crate::again::Tries::while_it_is_away(), $attempt)
    };
    ($attempt:expr) => {
        $crate::again::retried!($crate::again::Tries::default(), $attempt)
    };
    ($tries:expr, $attempt:expr) => {{
        let mut tries = $tries;
        loop {
            match $attempt.await {
                Err(error) if tries.go_on(&error).await => {}
                done => break done,
            }
        }
    }};
}
pub(crate) use retried;

/// How often something was tried.
#[derive(Default)]
pub(crate) struct Tries {
    tried: u32,
    /// Until when to wait for a server that is away.
    until: Option<Instant>,
}

impl Tries {
    /// Of what would cost an upload if it failed: those that were accepted may not fail because a server was restarted.
    pub(crate) fn while_it_is_away() -> Self {
        Self { tried: 0, until: Some(Instant::now() + AWAY_AT_MOST) }
    }

    /// Whether to try again, once the wait before it is over.
    pub(crate) async fn go_on(&mut self, error: &impl Failure) -> bool {
        self.tried += 1;
        let goes_on = match (error.again(), self.until) {
            (Again::Never, _) | (Again::WhenItIsBack, None) => false,
            (Again::Soon, None) => self.tried < TRIES,
            (Again::Soon | Again::WhenItIsBack, Some(until)) => Instant::now() < until,
        };
        if goes_on {
            sleep((FIRST_WAIT * 2_u32.saturating_pow(self.tried - 1)).min(LAST_WAIT)).await;
        }
        goes_on
    }
}

/// Whether to do something again that was surely not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    Soon,
    /// The server is away, or as good as that.
    WhenItIsBack,
}

/// Why something was not done.
pub(crate) trait Failure {
    /// Whether it helps to do it again.
    fn again(&self) -> Again;
}

impl Failure for sqlx::Error {
    fn again(&self) -> Again {
        match self {
            Self::Database(said) => again(said.as_ref()),
            // Whatever the connection was doing is rolled back.
            Self::Io(_) => Again::Soon,
            // What stands before a server that is away closes a connection before the server has said a word.
            Self::PoolTimedOut | Self::Protocol(_) | Self::Tls(_) => Again::WhenItIsBack,
            _ => Again::Never,
        }
    }
}

fn again(said: &dyn DatabaseError) -> Again {
    let code = said.code();
    let code = code.as_deref().unwrap_or_default();
    if said.try_downcast_ref::<SqliteError>().is_some() { again_in_sqlite(code) } else { again_in_postgres(code) }
}

fn again_in_sqlite(code: &str) -> Again {
    let kind = code.parse::<u32>().map(|code| code & SQLITE_KIND);
    if kind.is_ok_and(|kind| SQLITE_OUTAGES.contains(&kind)) { Again::WhenItIsBack } else { Again::Never }
}

fn again_in_postgres(code: &str) -> Again {
    match code {
        // The server gave it up for others: two that cannot both be first, two that wait for each other, one that stood still,
        // or seemed to a server that did. Or it stops or starts.
        "40001" | "40P01" | "25P03" | "57P01" | "57P02" | "57P03" => Again::Soon,
        // Somebody else has the lock for too long, it takes too long, or the server only reads, as after a failover.
        "55P03" | "57014" | "25006" => Again::WhenItIsBack,
        // A server that is cut off, full, or has a bad disk, and one whose passwords are being changed.
        code if CLASSES_OF_OUTAGE.iter().any(|class| code.starts_with(class)) => Again::WhenItIsBack,
        _ => Again::Never,
    }
}

impl Failure for Cause {
    fn again(&self) -> Again {
        self.downcast_ref::<sqlx::Error>().map_or(Again::Never, sqlx::Error::again)
    }
}

impl Failure for CatalogError {
    fn again(&self) -> Again {
        match self {
            Self::Unavailable(cause) | Self::Database(cause) => cause.again(),
            _ => Again::Never,
        }
    }
}

impl Failure for ChangeError {
    fn again(&self) -> Again {
        match self {
            Self::Catalog(error) => error.again(),
            _ => Again::Never,
        }
    }
}

impl Failure for QueueError {
    fn again(&self) -> Again {
        match self {
            Self::Unavailable(cause) | Self::Database(cause) => cause.again(),
            _ => Again::Never,
        }
    }
}

/// Why the queue fails.
pub(crate) fn queue_failed(error: sqlx::Error) -> QueueError {
    if is_away(&error) { QueueError::Unavailable(error.into()) } else { QueueError::Database(error.into()) }
}

/// Whether the server is away, or cannot do it now.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    error.again() != Again::Never
}

/// What holds for tables with jobs in them, in the words of the queue.
pub(crate) fn from_catalog(error: CatalogError) -> QueueError {
    match error {
        CatalogError::Unavailable(cause) => QueueError::Unavailable(cause),
        CatalogError::Database(cause) => QueueError::Database(cause),
        other => QueueError::Database(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Executor as _};

    use super::*;

    #[tokio::test]
    async fn of_sqlite_a_lock_and_a_full_disk_are_for_now_and_a_wrong_statement_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = SqliteConnectOptions::new().filename(file.path()).busy_timeout(Duration::ZERO);
        let (mut one, mut other) = (options.connect().await.unwrap(), options.connect().await.unwrap());
        one.execute("create table t (x); begin immediate").await.unwrap();
        let locked = other.execute("insert into t values (1)").await.unwrap_err();
        assert_eq!(locked.again(), Again::WhenItIsBack, "{locked}");
        one.execute("commit; pragma max_page_count = 2").await.unwrap();
        let full = one.execute("insert into t values (zeroblob(100000))").await.unwrap_err();
        assert_eq!(full.again(), Again::WhenItIsBack, "{full}");
        let wrong = one.execute("insert into nothing values (1)").await.unwrap_err();
        assert_eq!(wrong.again(), Again::Never, "{wrong}");
        assert!(matches!(queue_failed(full), QueueError::Unavailable(_)));
    }
}
