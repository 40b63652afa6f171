//! How many jobs that have ended are remembered.
//!
//! Promises: never more than the bounds say, of one caller and in sum, once the transaction is through that ends another. What
//! that costs does not grow with the sum: all are gone through only when more may be there than the bound, and a part of it is
//! made free then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use linkgate_store_core::budget::Bounds;
use linkgate_store_core::ingest::ports::JobRequest;
use sqlx::SqliteConnection;

use super::jobs;

/// The part of the sum that is made free at a time.
const PART: usize = 64;

/// The bounds, and how many there are at most. A copy is another handle on the same.
#[derive(Clone)]
pub(super) struct EndedJobs {
    bounds: Bounds,
    /// What is rolled back or forgotten meanwhile is counted until the next look.
    at_most: Arc<AtomicU64>,
}

impl EndedJobs {
    /// Looks how many there are.
    pub(super) async fn open(connection: &mut SqliteConnection, bounds: Bounds) -> Result<Self, sqlx::Error> {
        let count = jobs::count_ended(connection).await?;
        Ok(Self { bounds, at_most: Arc::new(AtomicU64::new(count)) })
    }

    /// One more has ended, in this transaction.
    pub(super) async fn add(&self, tx: &mut SqliteConnection, request: &JobRequest) -> Result<(), sqlx::Error> {
        jobs::forget_oldest_of(tx, request, self.bounds.per_owner).await?;
        let in_sum = u64::try_from(self.bounds.in_sum).unwrap_or(u64::MAX);
        if self.at_most.fetch_add(1, Ordering::Relaxed) >= in_sum {
            jobs::forget_oldest(tx, self.bounds.in_sum.saturating_sub(self.bounds.in_sum / PART)).await?;
            self.at_most.store(jobs::count_ended(tx).await?, Ordering::Relaxed);
        }
        Ok(())
    }
}
