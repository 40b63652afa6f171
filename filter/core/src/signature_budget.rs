//! How much work a worker spends on the signatures of tokens that it has not seen before.
//!
//! A stranger can make up tokens as fast as they travel, and an RSA signature takes milliseconds in which no request of the
//! worker moves. Promises: at most a fifth of a worker's time in the long run, whoever sends what. Tokens that were verified are
//! cached and cost nothing.

use std::cell::Cell;

use crate::time::Time;

/// Between two signatures of one unit, in nanoseconds: 200 a second, of about 1 ms each.
const INTERVAL: u64 = 5_000_000;
/// Units that may be spent at once.
const BURST: u64 = 400;

/// A leaky bucket, stored as the moment at which it is empty again.
#[derive(Debug, Default)]
pub(crate) struct SignatureBudget {
    empty_at: Cell<u64>,
}

impl SignatureBudget {
    /// Spends so many units, of which a signature of RSA with 2048 bits takes one. `false`: there is not that much left.
    pub(crate) fn spend(&self, units: u32, now: Time) -> bool {
        if units == 0 {
            return true;
        }
        let (now, full) = (now.nanos(), INTERVAL * BURST);
        // A clock that was set back counts as a full bucket, not as a wait for as long.
        let empty_at = self.empty_at.get().min(now.saturating_add(full)).max(now);
        let next = empty_at.saturating_add(INTERVAL * u64::from(units));
        let fits = next <= now.saturating_add(full);
        self.empty_at.set(if fits { next } else { empty_at });
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &SignatureBudget, units: u32, now: u64) -> usize {
        (0..).take_while(|_| budget.spend(units, Time::from_seconds(now))).count()
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
