//! How long a command waits for a running Envoy.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A time that is waited at most.
pub struct Deadline {
    begun: Instant,
    wait: Duration,
}

impl Deadline {
    /// From now on.
    pub fn start(wait: Duration) -> Self {
        Self { begun: Instant::now(), wait }
    }

    /// Whether nothing is left of it.
    pub fn has_passed(&self) -> bool {
        self.begun.elapsed() >= self.wait
    }

    /// Sleeps until the next look, but no longer than it lasts.
    pub fn pause(&self) {
        sleep(PAUSE.min(self.wait.saturating_sub(self.begun.elapsed())));
    }
}
