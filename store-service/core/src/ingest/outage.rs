//! A storage or a database that was away when an upload needed it.
//!
//! Promises: this process claims nothing until both can be written again, and then not at once after the failure: what fails
//! though all seems well is not downloaded again and again. What was accepted and failed for this is claimed again then.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::ports::{BlobError, QueueError, Services};
use super::{Ingest, IngestError};

/// After the first outage; then twice as long each time, up to the last. No longer than callers wait for their turn.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// After so long without one, an outage is the first again.
const CALM: Duration = Duration::from_secs(60);
/// How often it is asked whether what was away is back.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What was away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Away {
    Blobs,
    Catalog,
}

/// Whether something is away. A copy is another handle on the same.
#[derive(Clone, Default)]
pub(super) struct Outage(Arc<watch::Sender<State>>);

#[derive(Clone, Copy, Default)]
struct State {
    away: Option<Away>,
    /// How many uploads have failed for it.
    failures: u64,
}

impl Away {
    /// Why an upload does not begin.
    pub(super) fn into_error(self) -> IngestError {
        const WHY: &str = "it was away when an upload needed it, and is not back";
        match self {
            Self::Blobs => IngestError::Blob(BlobError::Unavailable(WHY.into())),
            Self::Catalog => IngestError::Queue(QueueError::Unavailable(WHY.into())),
        }
    }
}

impl Outage {
    /// An upload failed for it.
    pub(super) fn note(&self, away: Away) {
        self.0.send_modify(|state| *state = State { away: Some(away), failures: state.failures.wrapping_add(1) });
    }

    /// What is away.
    pub(super) fn away(&self) -> Option<Away> {
        self.0.borrow().away
    }

    /// Waits until something is away, and says how many uploads have failed.
    pub(super) async fn begun(&self) -> u64 {
        self.wait_for(|state| state.away.is_some()).await.failures
    }

    /// Waits until nothing is.
    pub(super) async fn over(&self) {
        self.wait_for(|state| state.away.is_none()).await;
    }

    /// All is well, unless more uploads have failed.
    fn end(&self, failures: u64) {
        self.0.send_if_modified(|state| {
            let is_over = state.failures == failures;
            if is_over {
                state.away = None;
            }
            is_over
        });
    }

    async fn wait_for(&self, mut is_so: impl FnMut(&State) -> bool) -> State {
        let mut states = self.0.subscribe();
        // The sender is this handle's own.
        states.wait_for(|state| is_so(state)).await.map(|state| *state).unwrap_or_default()
    }
}

/// Waits out one outage after the other.
pub(super) async fn wait_out<V: Services>(ingest: Weak<Ingest<V>>, outage: Outage) {
    let (mut pause, mut last) = (FIRST_PAUSE, None::<Instant>);
    loop {
        let failures = outage.begun().await;
        if last.is_none_or(|last| last.elapsed() > CALM) {
            pause = FIRST_PAUSE;
        }
        warn!(
            "No upload is begun until the storage and the database can be written: one of them was away when an upload needed it"
        );
        sleep(pause).await;
        while !is_ready(&ingest).await {
            sleep(LOOK_EVERY).await;
        }
        outage.end(failures);
        info!("The storage and the database can be written; uploads are begun again");
        (pause, last) = ((pause * 2).min(LAST_PAUSE), Some(Instant::now()));
    }
}

/// Whether a package could be taken, or nobody would take one any more.
async fn is_ready<V: Services>(ingest: &Weak<Ingest<V>>) -> bool {
    match ingest.upgrade() {
        Some(ingest) => ingest.ready().await.is_ok(),
        None => true,
    }
}
