//! How much may go on at once.

use std::time::Duration;

use crate::budget::Bounds;

/// How many jobs there may be in each state, and for how long; and what else of requests is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Jobs that are claimed, in all.
    pub running: usize,
    /// Of these, from one host.
    pub per_host: usize,
    /// Of these, of one calling application.
    pub per_app: usize,
    /// Jobs that wait.
    pub queued: usize,
    /// Of these, of one calling application.
    pub queued_per_app: usize,
    /// Jobs that have ended and are remembered: of one caller, and in sum.
    pub ended: Bounds,
    /// Nonces of signed requests that are remembered: of one caller, and in sum.
    pub nonces: Bounds,
    /// Jobs that are claimed of those that were taken up again, at first.
    pub resumed: usize,
    /// How long a job waits that was not accepted.
    pub queue_timeout: Duration,
    /// How long a claim is good without a heartbeat.
    pub lease: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            running: 64,
            per_host: 32,
            per_app: 16,
            queued: 256,
            queued_per_app: 64,
            ended: Bounds { per_owner: 5_000, in_sum: 50_000 },
            nonces: Bounds { per_owner: 20_000, in_sum: 100_000 },
            resumed: 4,
            queue_timeout: Duration::from_secs(20),
            lease: Duration::from_secs(30),
        }
    }
}

impl QueueLimits {
    /// Of jobs that are claimed.
    #[must_use]
    pub fn running_bounds(&self) -> Bounds {
        Bounds { per_owner: self.per_app, in_sum: self.running }
    }

    /// Of jobs that wait.
    #[must_use]
    pub fn queue_bounds(&self) -> Bounds {
        Bounds { per_owner: self.queued_per_app, in_sum: self.queued }
    }
}
