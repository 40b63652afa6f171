//! What is left to do when something is dropped, which waits for nobody: claims are given back, and announcements are taken
//! back.
//!
//! Promises: one after the other, in their order, each as often as it takes until the database has done it. There are no more of
//! them than uploads of this process. What is left when the process ends, leases see to.

use std::sync::Arc;
use std::time::Duration;

use linkgate_contract::JobId;
use linkgate_store_core::ingest::ports::Fence;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use super::queue_state::QueueState;
use super::{hints, jobs, maintenance, queue, usage};

/// How long anybody waits for what was left to do before.
const AT_MOST: Duration = Duration::from_secs(5);
/// Between two tries of one of them.
const AGAIN: Duration = Duration::from_secs(1);

/// Something to do.
pub(super) enum Chore {
    /// Takes back that somebody worked on a job, which was stopped by no fault of its own.
    GiveLifeBack { id: JobId },
    /// Gives up a job.
    Release { id: JobId, fence: Option<Fence> },
    /// Lets a job be claimed again that somebody has claimed who did not wait for it.
    PutBack { id: JobId, fence: Fence },
    /// Takes back what an upload announced.
    TakeBack { job: JobId, token: Uuid },
    /// Lets other processes do a piece of maintenance.
    EndMaintenance { what: maintenance::Name },
    /// Lets other processes look, if jobs of theirs wait.
    Tell,
    /// All before it is done.
    Done(oneshot::Sender<()>),
}

/// What is left to do. A copy is another handle on the same.
#[derive(Clone)]
pub(super) struct Chores(mpsc::UnboundedSender<Chore>);

impl Chores {
    /// The handle, and what does it all.
    pub(super) fn new(pool: PgPool, state: Arc<QueueState>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), work(receiver, pool, state))
    }

    pub(super) fn add(&self, chore: Chore) {
        // Whoever does it ends only with the catalog.
        let _nobody_left = self.0.send(chore);
    }

    /// Waits until all is done that was left to do until now, but not for long.
    pub(super) async fn are_done(&self) {
        let (sender, receiver) = oneshot::channel();
        self.add(Chore::Done(sender));
        let _late_or_gone = timeout(AT_MOST, receiver).await;
    }
}

async fn work(mut chores: mpsc::UnboundedReceiver<Chore>, pool: PgPool, state: Arc<QueueState>) {
    while let Some(chore) = chores.recv().await {
        let mut is_first = true;
        while let Err(error) = attempt(&chore, &pool, &state).await {
            // The pool was closed: leases see to the rest.
            if matches!(error, sqlx::Error::PoolClosed) {
                return;
            }
            if is_first {
                warn!(error = %error, "Cannot give back what an upload held in the database; trying again every second");
                is_first = false;
            }
            sleep(AGAIN).await;
        }
        if let Chore::Done(sender) = chore {
            let _nobody_waits = sender.send(());
        }
    }
}

async fn attempt(chore: &Chore, pool: &PgPool, state: &QueueState) -> Result<(), sqlx::Error> {
    match chore {
        Chore::GiveLifeBack { id } => jobs::count_life(pool, *id, -1).await,
        Chore::Release { id, fence } => queue::release(pool, state, *id, *fence).await,
        Chore::PutBack { id, fence } => queue::put_back(pool, state, *id, *fence).await,
        Chore::TakeBack { job, token } => usage::take_back(pool, *job, *token).await,
        Chore::EndMaintenance { what } => maintenance::end(pool, state.process, what).await,
        Chore::Tell => hints::tell_others(pool, state).await,
        Chore::Done(_) => Ok(()),
    }
}
