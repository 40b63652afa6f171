//! Connections of which nobody knows yet whose they are: no request with a good token has come on them.
//!
//! Promises: there are only so many that are older than a moment, of one address and in sum, however many are opened, and only so
//! many at all. For one too many the oldest is closed, of its own address or of the one that has most. The gateway shows a token
//! within a moment, also if it opens hundreds at once, and whoever holds connections to hold them is older than that; so it is
//! those that go, also if both have the same address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linkgate_store_core::budget::{Bounds, Exhausted, Tally};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many there may be.
pub(super) const BOUNDS: Bounds = Bounds { per_owner: 64, in_sum: 128 };
/// Younger ones are spared: what they have to say may be on its way.
const MOMENT: Duration = Duration::from_secs(1);
/// How many there may be in any case. A gateway that begins with a burst has them all for a moment.
const MOST: usize = 768;

/// All of them. A copy is another handle on the same.
#[derive(Clone, Default)]
pub(super) struct Strangers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By the order in which they came.
    open: BTreeMap<u64, Open>,
    by_address: Tally<IpAddr>,
    last: u64,
}

struct Open {
    address: IpAddr,
    since: Instant,
    close: CancellationToken,
}

/// One connection, from its beginning to its end.
#[derive(Clone)]
pub(super) struct Visitor(Arc<Inner>);

struct Inner {
    strangers: Strangers,
    number: u64,
    close: CancellationToken,
}

impl Strangers {
    /// A connection has come.
    pub(super) fn enter(&self, address: IpAddr) -> Visitor {
        let close = CancellationToken::new();
        let mut state = self.state();
        while let Err(exhausted) = state.by_address.check(&address, 1, BOUNDS) {
            let age = if state.open.len() < MOST { MOMENT } else { Duration::ZERO };
            if !state.close_oldest(address, exhausted, age) {
                break;
            }
        }
        state.last += 1;
        let number = state.last;
        state.by_address.add(&address, 1);
        state.open.insert(number, Open { address, since: Instant::now(), close: close.clone() });
        Visitor(Arc::new(Inner { strangers: self.clone(), number, close }))
    }

    /// A connection waits, and there is no slot for it: the oldest stranger goes, however young, if they are too many.
    pub(super) fn evict_one(&self) {
        let mut state = self.state();
        if let Some(busiest) = state.busiest()
            && let Err(exhausted) = state.by_address.check(&busiest, 0, BOUNDS)
        {
            state.close_oldest(busiest, exhausted, Duration::ZERO);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `false` if it is younger than that.
    fn close_oldest(&mut self, newcomer: IpAddr, exhausted: Exhausted, age: Duration) -> bool {
        let of = match exhausted {
            Exhausted::Owner { .. } => newcomer,
            Exhausted::Sum { .. } => self.busiest().unwrap_or(newcomer),
        };
        let oldest = self.open.iter().find(|(_, open)| open.address == of);
        let may_go = oldest.filter(|(_, open)| open.since.elapsed() >= age);
        let gone = may_go.map(|(number, _)| *number).and_then(|number| self.remove(number));
        gone.inspect(|open| open.close.cancel()).is_some()
    }

    fn busiest(&self) -> Option<IpAddr> {
        let addresses = self.open.values().map(|open| open.address);
        addresses.max_by_key(|address| self.by_address.held_by(address))
    }

    fn remove(&mut self, number: u64) -> Option<Open> {
        let open = self.open.remove(&number)?;
        self.by_address.remove(&open.address, 1);
        Some(open)
    }
}

impl Visitor {
    /// It has presented a good token: from here on its caller's shares count.
    pub(super) fn is_known(&self) {
        self.0.leave();
    }

    /// Resolves when it has to go.
    pub(super) async fn closed(&self) {
        self.0.close.cancelled().await;
    }
}

impl Inner {
    fn leave(&self) {
        self.strangers.state().remove(self.number);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn is_closed(visitor: &Visitor) -> bool {
        visitor.0.close.is_cancelled()
    }

    async fn a_moment() {
        tokio::time::sleep(MOMENT).await;
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_of_one_address_the_oldest_stranger_goes() {
        let strangers = Strangers::default();
        let known = strangers.enter(address(1));
        known.is_known();
        let other = strangers.enter(address(2));
        let mut open: Vec<_> = (0..BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect();
        a_moment().await;
        open.push(strangers.enter(address(1)));
        let closed: Vec<_> = open.iter().map(is_closed).collect();
        assert!(closed[0] && !closed[1..].contains(&true), "{closed:?}");
        assert!(!is_closed(&known) && !is_closed(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_in_sum_the_oldest_of_the_busiest_address_goes() {
        let strangers = Strangers::default();
        let first = strangers.enter(address(9));
        let greedy: Vec<_> = (0..BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect();
        let rest = BOUNDS.in_sum - BOUNDS.per_owner - 1;
        let others: Vec<_> = (0..rest).map(|_| strangers.enter(address(2))).collect();
        a_moment().await;
        let late = strangers.enter(address(3));
        assert!(is_closed(&greedy[0]) && !is_closed(&first) && !is_closed(&late));
        assert!(!greedy[1..].iter().chain(&others).any(is_closed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_spared_for_a_moment_and_bounded_all_the_same() {
        let strangers = Strangers::default();
        let mut burst: Vec<_> = (0..MOST).map(|_| strangers.enter(address(1))).collect();
        assert!(!burst.iter().any(is_closed));
        burst.push(strangers.enter(address(1)));
        assert!(strangers.state().open.len() <= MOST && is_closed(&burst[0]) && !is_closed(&burst[MOST]));
        a_moment().await;
        burst.push(strangers.enter(address(1)));
        assert_eq!(strangers.state().open.len(), BOUNDS.per_owner, "those of the burst that said nothing");
    }

    #[test]
    fn where_no_slot_is_left_the_oldest_goes_if_strangers_are_too_many() {
        let strangers = Strangers::default();
        let open: Vec<_> = (0..=BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect();
        strangers.evict_one();
        strangers.evict_one();
        let closed: Vec<_> = open.iter().map(is_closed).collect();
        assert!(closed[0] && !closed[1..].contains(&true), "{closed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_frees_a_slot() {
        let strangers = Strangers::default();
        drop((0..BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect::<Vec<_>>());
        let open: Vec<_> = (0..BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect();
        assert!(!open.iter().any(is_closed));
    }
}
