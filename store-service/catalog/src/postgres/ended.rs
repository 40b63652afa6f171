//! How many jobs that have ended are remembered.
//!
//! Promises: never more of one caller than the bound says, once the transaction is through that ends another; and in sum none
//! beyond the bound as long as no more processes end jobs than [`PROCESSES`]. What that costs does not grow with the sum: each
//! process looks how many there are once in a while, and a part of them is made free before the bound is met.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linkgate_store_core::budget::Bounds;
use linkgate_store_core::ingest::ports::JobRequest;
use sqlx::PgConnection;

use super::jobs;

/// The part of the sum that is kept free.
const PART: usize = 64;
/// Processes that share what is kept free.
const PROCESSES: usize = 8;

/// The bounds, and how many jobs this process has ended since it looked. A copy is another handle on the same.
#[derive(Clone)]
pub(super) struct EndedJobs {
    bounds: Bounds,
    since_look: Arc<AtomicUsize>,
}

impl EndedJobs {
    /// The first one looks.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, since_look: Arc::new(AtomicUsize::new(bounds.in_sum)) }
    }

    /// One more has ended, in this transaction.
    pub(super) async fn add(&self, tx: &mut PgConnection, request: &JobRequest) -> Result<(), sqlx::Error> {
        jobs::forget_oldest_of(tx, request, self.bounds.per_owner).await?;
        let kept_free = self.bounds.in_sum / PART;
        if self.since_look.fetch_add(1, Ordering::Relaxed) >= kept_free / PROCESSES {
            self.since_look.store(0, Ordering::Relaxed);
            let most = self.bounds.in_sum.saturating_sub(kept_free);
            if jobs::count_ended(tx).await? > u64::try_from(most).unwrap_or(u64::MAX) {
                jobs::forget_oldest(tx, most).await?;
            }
        }
        Ok(())
    }
}
