//! What is done once more when it fails, and for how long.
//!
//! Promises: only what was surely not done, and not without end.

use std::time::{Duration, Instant};

use linkgate_store_core::ingest::ports::{CatalogError, Cause, ChangeError, QueueError};
use tokio::time::sleep;

/// What the server says where whoever looks after it has something to do: about connections, who may have one, resources, and
/// its system.
const CLASSES_OF_OUTAGE: [&str; 4] = ["08", "28", "53", "58"];

/// How often something is done in all.
const TRIES: u32 = 6;
/// Before the second time; then twice as long each time, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How long the server may be away before an upload, or the end of a job, is given up.
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
            // The server gave it up for others: two that cannot both be first, two that wait for each other, one that stood still,
            // or seemed to a server that did. Or it stops or starts.
            Self::Database(said) => match said.code().as_deref() {
                Some("40001" | "40P01" | "25P03" | "57P01" | "57P02" | "57P03") => Again::Soon,
                // Somebody else has the lock for too long, it takes too long, or the server only reads, as after a failover.
                Some("55P03" | "57014" | "25006") => Again::WhenItIsBack,
                // A server that is cut off, full, or has a bad disk, and one whose passwords are being changed.
                Some(code) if CLASSES_OF_OUTAGE.iter().any(|class| code.starts_with(class)) => Again::WhenItIsBack,
                _ => Again::Never,
            },
            // Whatever the connection was doing is rolled back.
            Self::Io(_) => Again::Soon,
            // What stands before a server that is away closes a connection before the server has said a word.
            Self::PoolTimedOut | Self::Protocol(_) | Self::Tls(_) => Again::WhenItIsBack,
            _ => Again::Never,
        }
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
