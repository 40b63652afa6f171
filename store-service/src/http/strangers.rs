//! Connections of which nobody knows yet whose they are: no request with a good token has come on them.
//!
//! Promises: there are only so many, of one address and in sum, however many are opened. For one too many the oldest is closed,
//! of its own address or of the one that has most. The gateway shows a token within a moment, and whoever holds connections to
//! hold them is older than that; so it is those that go, also if both have the same address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linkgate_store_core::budget::{Bounds, Exhausted, Tally};
use tokio_util::sync::CancellationToken;

/// How many there may be.
pub(super) const BOUNDS: Bounds = Bounds { per_owner: 64, in_sum: 128 };

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
        if let Err(exhausted) = state.by_address.check(&address, 1, BOUNDS) {
            state.close_oldest(address, exhausted);
        }
        state.last += 1;
        let number = state.last;
        state.by_address.add(&address, 1);
        state.open.insert(number, Open { address, close: close.clone() });
        Visitor(Arc::new(Inner { strangers: self.clone(), number, close }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_oldest(&mut self, newcomer: IpAddr, exhausted: Exhausted) {
        let of = match exhausted {
            Exhausted::Owner { .. } => newcomer,
            Exhausted::Sum { .. } => self.busiest().unwrap_or(newcomer),
        };
        let oldest = self.open.iter().find(|(_, open)| open.address == of).map(|(number, _)| *number);
        if let Some(open) = oldest.and_then(|number| self.remove(number)) {
            open.close.cancel();
        }
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
    /// It has shown a good token: from here on its caller's shares count.
    pub(super) fn is_known(&self) {
        self.0.leave();
    }

    /// Resolves when it has to make room.
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

    #[test]
    fn of_too_many_of_one_address_the_oldest_stranger_goes() {
        let strangers = Strangers::default();
        let known = strangers.enter(address(1));
        known.is_known();
        let other = strangers.enter(address(2));
        let open: Vec<_> = (0..=BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect();
        let closed: Vec<_> = open.iter().map(is_closed).collect();
        assert!(closed[0] && !closed[1..].contains(&true), "{closed:?}");
        assert!(!is_closed(&known) && !is_closed(&other));
    }

    #[test]
    fn of_too_many_in_sum_the_oldest_of_the_busiest_address_goes() {
        let strangers = Strangers::default();
        let first = strangers.enter(address(9));
        let greedy: Vec<_> = (0..BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect();
        let rest = BOUNDS.in_sum - BOUNDS.per_owner - 1;
        let others: Vec<_> = (0..rest).map(|_| strangers.enter(address(2))).collect();
        let late = strangers.enter(address(3));
        assert!(is_closed(&greedy[0]) && !is_closed(&first) && !is_closed(&late));
        assert!(!greedy[1..].iter().chain(&others).any(is_closed));
    }

    #[test]
    fn whoever_leaves_makes_room() {
        let strangers = Strangers::default();
        drop((0..BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect::<Vec<_>>());
        let open: Vec<_> = (0..BOUNDS.per_owner).map(|_| strangers.enter(address(1))).collect();
        assert!(!open.iter().any(is_closed));
    }
}
