//! The least rate at which a body must come.
//!
//! Promises: a source that drips does not hold a place for long: under the rate over one window it is given up, at the
//! latest one window and one idle timeout after it became slow. Only the time that we wait for the source counts, so a
//! slow disk of ours is never the source's fault.

use std::time::Duration;

use crate::source::SourceError;

#[cfg(feature = "client")]
impl crate::config::FetchConfig {
    /// Begins to hold a body to its least rate.
    pub(crate) fn begin_min_rate(&self) -> MinRate {
        MinRate::new(self.min_rate, self.min_rate_window)
    }
}

/// Bytes and time of the running window.
#[derive(Debug)]
pub struct MinRate {
    min_rate: u64,
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl MinRate {
    /// So many bytes in each second, counted over a window; 0 for any rate.
    #[must_use]
    pub fn new(min_rate: u64, window: Duration) -> Self {
        Self { min_rate, window, waited: Duration::ZERO, bytes: 0 }
    }

    /// Counts bytes for which we waited so long.
    ///
    /// # Errors
    /// [`SourceError::TooSlow`].
    pub fn record_bytes(&mut self, bytes: usize, waited: Duration) -> Result<(), SourceError> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < self.window {
            return Ok(());
        }
        if u128::from(self.bytes) * 1_000 < u128::from(self.min_rate) * self.waited.as_millis() {
            return Err(SourceError::TooSlow { min_rate: self.min_rate, over: self.window });
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(min_rate: u64) -> MinRate {
        MinRate { min_rate, window: Duration::from_secs(30), waited: Duration::ZERO, bytes: 0 }
    }

    /// So many seconds with so many bytes in each.
    fn drip(check: &mut MinRate, seconds: usize, bytes: usize) -> Result<(), SourceError> {
        (0..seconds).try_for_each(|_| check.record_bytes(bytes, Duration::from_secs(1)))
    }

    #[test]
    fn the_rate_is_exact_and_judged_at_the_end_of_a_window() {
        assert!(drip(&mut check(1_024), 300, 1_024).is_ok());
        let mut slow = check(1_024);
        assert!(drip(&mut slow, 29, 1_023).is_ok());
        assert!(matches!(drip(&mut slow, 1, 1_023), Err(SourceError::TooSlow { min_rate: 1_024, .. })));
    }

    #[test]
    fn what_was_fast_before_does_not_pay_for_what_is_slow_now() {
        let mut check = check(1_024);
        assert!(drip(&mut check, 30, 1 << 30).is_ok());
        assert!(drip(&mut check, 30, 1).is_err());
    }

    #[test]
    fn time_in_which_nobody_waited_for_the_source_does_not_count() {
        let mut check = check(1_024);
        assert!((0..10_000).try_for_each(|_| check.record_bytes(1, Duration::ZERO)).is_ok());
    }

    #[test]
    fn a_rate_of_nothing_takes_any_drip() {
        assert!(drip(&mut check(0), 10_000, 0).is_ok());
    }
}
