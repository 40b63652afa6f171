//! How much work a worker spends on signatures of strangers: of tokens that it has not seen before, and of signed URLs.
//!
//! A stranger can make up tokens as fast as they travel, and an RSA signature takes milliseconds in which no request of the
//! worker moves. Promises: at most a fifth of a worker's time in the long run for each of the two, whoever sends what, so that
//! neither takes the other's. Tokens that were verified are cached and cost nothing.

use std::cell::Cell;

use crate::time::Time;

/// What the bucket takes of a worker's time for each nanosecond of work.
const SHARE: u64 = 5;
/// What it holds, in nanoseconds: 400 signatures of RSA with 2048 bits, or 2,000 of Ed25519, may come at once.
const FULL: u64 = 2_000_000_000;

/// A leaky bucket, stored as the moment at which it is empty again.
#[derive(Debug, Default)]
pub(crate) struct SignatureBudget {
    empty_at: Cell<u64>,
}

impl SignatureBudget {
    /// Spends so many microseconds of work. `false`: there is not that much left.
    pub(crate) fn spend(&self, work_us: u32, now: Time) -> bool {
        if work_us == 0 {
            return true;
        }
        let now = now.nanos();
        // A clock that was set back counts as a full bucket, not as a wait for as long.
        let empty_at = self.empty_at.get().min(now.saturating_add(FULL)).max(now);
        let next = empty_at.saturating_add(SHARE * 1_000 * u64::from(work_us));
        let fits = next <= now.saturating_add(FULL);
        self.empty_at.set(if fits { next } else { empty_at });
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &SignatureBudget, milliseconds: u32, now: u64) -> usize {
        (0..).take_while(|_| budget.spend(1_000 * milliseconds, Time::from_seconds(now))).count()
    }

    #[test]
    fn what_is_spent_comes_back_at_its_rate() {
        let budget = SignatureBudget::default();
        assert_eq!(spent(&budget, 1, 1_000), 400);
        assert_eq!(spent(&budget, 1, 1_001), 200);
        assert_eq!(spent(&budget, 4, 1_002), 50, "larger keys take more of it");
        assert!(budget.spend(0, Time::from_seconds(1_002)), "what costs nothing is always there");
        assert_eq!(spent(&budget, 1, 9_000), 400, "no more than a burst is saved up");
        assert_eq!(spent(&budget, 1, 10), 0);
        assert_eq!(spent(&budget, 1, 12), 400, "the clock was set back");
    }
}
