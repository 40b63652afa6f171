//! Lines of the log that anybody can cause.
//!
//! Promises: at most one in each interval is written, and the next says how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When the last one was written, and how many were left out since.
pub(super) struct Throttle {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// Whether a line may be written now: with how many were left out before it.
    pub(super) fn admit(&self) -> Option<u64> {
        // Nothing in here panics half-way.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < self.every) {
            *left_out = left_out.saturating_add(1);
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_in_each_interval_says_how_many_were_left_out() {
        let throttle = Throttle::new(Duration::from_secs(1));
        assert_eq!([throttle.admit(), throttle.admit(), throttle.admit()], [Some(0), None, None]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!([throttle.admit(), throttle.admit()], [Some(2), None]);
    }
}
