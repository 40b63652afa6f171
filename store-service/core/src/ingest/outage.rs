//! A storage or a database that was away when an upload needed it.
//!
//! Promises: this process claims nothing until both can be written again, and then not at once after the failure: what fails
//! though all seems well is not downloaded again and again. What was accepted and failed for this is claimed again then.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Ingest;
use super::job::Job;
use super::ports::Services;

/// After an outage; then twice as long each time that another one comes before a package was stored, up to the last. No longer than
/// callers wait for their turn.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How often it is asked whether what was away is back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// The storage.
    Blobs,
    /// The database.
    Catalog,
}

/// Whether something is away. A copy is another handle on the same.
#[derive(Clone, Default)]
pub(super) struct Outage(Arc<watch::Sender<State>>);

#[derive(Clone, Copy, Default)]
pub(super) struct State {
    away: Option<Away>,
    /// How many uploads have failed for it.
    failures: u64,
    /// Whether it was away still when it was looked for.
    is_seen: bool,
    /// Whether a package was stored since the last outage.
    has_stored: bool,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blobs => "the storage",
            Self::Catalog => "the database",
        })
    }
}

impl Outage {
    /// An upload failed for it.
    pub(super) fn note(&self, away: Away) {
        self.0.send_modify(|state| {
            (state.away, state.failures) = (Some(away), state.failures.wrapping_add(1));
        });
    }

    /// What is away, and was when it was looked for.
    pub(super) fn seen(&self) -> Option<Away> {
        let state = *self.0.borrow();
        state.away.filter(|_| state.is_seen)
    }

    /// Waits until something is.
    pub(super) async fn begun(&self) -> State {
        self.wait_for(|state| state.away.is_some()).await
    }

    /// Waits until something is that is not back at once, and says what.
    pub(super) async fn lasts(&self) -> Away {
        self.wait_for(|state| state.is_seen).await.away.unwrap_or(Away::Catalog)
    }

    /// Waits until that has been so for a while.
    pub(super) async fn lasts_for(&self, time: Duration) -> Away {
        loop {
            self.lasts().await;
            sleep(time).await;
            if let Some(away) = self.seen() {
                return away;
            }
        }
    }

    /// A package was stored.
    pub(super) fn has_stored(&self) {
        self.0.send_if_modified(|state| !std::mem::replace(&mut state.has_stored, true));
    }

    fn has_looked(&self, is_seen: bool) {
        self.0.send_modify(|state| state.is_seen = is_seen);
    }

    /// Waits until nothing is.
    pub(super) async fn over(&self) {
        self.wait_for(|state| state.away.is_none()).await;
    }

    /// All is well, unless more than so many uploads have failed. Says whether it is.
    fn end(&self, failures: u64) -> bool {
        self.0.send_if_modified(|state| {
            let is_over = state.failures == failures;
            if is_over {
                (state.away, state.has_stored) = (None, false);
            }
            is_over
        })
    }

    async fn wait_for(&self, mut is_so: impl FnMut(&State) -> bool) -> State {
        let mut states = self.0.subscribe();
        // The sender is this handle's own.
        states.wait_for(|state| is_so(state)).await.map(|state| *state).unwrap_or_default()
    }
}

/// Waits out one outage after the other.
pub(super) async fn wait_out<V: Services>(ingest: Weak<Ingest<V>>, outage: Outage) {
    let mut pause = FIRST_PAUSE;
    loop {
        if outage.begun().await.has_stored {
            pause = FIRST_PAUSE;
        }
        warn!(
            "No upload is begun until the storage and the database can be written: one of them was away when an upload needed it"
        );
        // What fails meanwhile is of the same outage.
        while !wait_out_one(&ingest, &outage, pause).await {}
        info!("The storage and the database can be written; uploads are begun again");
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Whether it is over, once a check passes and the pause after it: not if uploads have failed meanwhile.
async fn wait_out_one<V: Services>(ingest: &Weak<Ingest<V>>, outage: &Outage, pause: Duration) -> bool {
    let failures = outage.0.borrow().failures;
    while !is_ready(ingest).await {
        outage.has_looked(true);
        sleep(LOOK_EVERY).await;
    }
    outage.has_looked(false);
    sleep(pause).await;
    outage.end(failures)
}

/// Whether a package could be taken, or nobody would take one any more.
async fn is_ready<V: Services>(ingest: &Weak<Ingest<V>>) -> bool {
    match ingest.upgrade() {
        Some(ingest) => ingest.ready().await.is_ok(),
        None => true,
    }
}

impl<V: Services> Ingest<V> {
    /// Resolves when a caller has waited for as long as for a turn, and something is away that is not back at once.
    pub(super) async fn gives_up_waiting(&self, job: &Job) -> Away {
        job.queue_timed_out(self.rules.queue.queue_timeout).await;
        self.outage.lasts().await
    }
}
