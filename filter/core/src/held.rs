//! How much of requests a worker holds while they wait, for their body or for a service.
//!
//! Promises: every byte has an owner, which is the client's address until the caller is known and the calling app from then on; what
//! one owner and what all of them together may hold is bounded, and what strangers hold leaves space for callers who are
//! known. What a request holds is released when it goes on, is answered, or goes away.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use crate::denied::Denied;
use crate::reply::GatewayError;

/// So many requests, and so many bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    requests: usize,
    bytes: usize,
}

const MIB: usize = 1 << 20;
/// Of one address, before it is known who calls; of an IPv6 network of 64 bits. Two workers let it wait for fewer answers of an
/// identity service than Envoy lets all wait for.
const PER_ADDRESS: Amount = Amount { requests: 128, bytes: 8 * MIB };
/// Of all addresses together.
const STRANGERS: Amount = Amount { requests: 1024, bytes: 32 * MIB };
/// Of one calling app.
const PER_APP: Amount = Amount { requests: 512, bytes: 16 * MIB };
/// Of everybody together.
const TOTAL: Amount = Amount { requests: 2048, bytes: 64 * MIB };
/// How long a caller is told to wait before it tries again.
const RETRY_AFTER_S: u64 = 1;

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// Of a client about whom nothing else is known; `None` where the proxy does not know the address.
    Address(Option<IpAddr>),
    /// Of an app, under the name by which its requests are counted.
    App(Rc<str>),
}

impl Owner {
    /// The owner of what comes from an address. Whoever has one address of an IPv6 network has all of them.
    pub(crate) fn of_address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64))),
            v4 @ IpAddr::V4(_) => v4,
        }))
    }

    fn is_stranger(&self) -> bool {
        matches!(self, Self::Address(_))
    }

    fn limit(&self) -> Amount {
        if self.is_stranger() { PER_ADDRESS } else { PER_APP }
    }
}

impl Amount {
    fn plus(self, more: Self) -> Self {
        Self { requests: self.requests + more.requests, bytes: self.bytes.saturating_add(more.bytes) }
    }

    fn minus(self, less: Self) -> Self {
        let Self { requests, bytes } = self;
        Self { requests: requests.saturating_sub(less.requests), bytes: bytes.saturating_sub(less.bytes) }
    }

    fn fits(self, limit: Self) -> bool {
        self.requests <= limit.requests && self.bytes <= limit.bytes
    }
}

/// Everything that a worker holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldRequests(Rc<RefCell<Totals>>);

#[derive(Debug, Default)]
struct Totals {
    owners: BTreeMap<Owner, Amount>,
    strangers: Amount,
    total: Amount,
}

/// What one request holds.
#[derive(Debug)]
pub(crate) struct Hold {
    of: HeldRequests,
    owner: Owner,
    bytes: usize,
}

impl Hold {
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Ok(mut totals) = self.of.0.try_borrow_mut() {
            totals.remove(&self.owner, Amount { requests: 1, bytes: self.bytes });
        }
    }
}

impl HeldRequests {
    /// Holds so many bytes for a request of this owner, in place of what it held before, or says what has no space.
    pub(crate) fn hold(&self, before: Option<Hold>, owner: Owner, bytes: usize) -> Result<Hold, Denied> {
        drop(before);
        let Ok(mut totals) = self.0.try_borrow_mut() else { return Err(deny_total()) };
        totals.add(&owner, Amount { requests: 1, bytes })?;
        Ok(Hold { of: self.clone(), owner, bytes })
    }
}

impl Totals {
    fn add(&mut self, owner: &Owner, more: Amount) -> Result<(), Denied> {
        let of_owner = self.owners.get(owner).copied().unwrap_or_default().plus(more);
        if !of_owner.fits(owner.limit()) {
            return Err(deny_owner(owner));
        }
        let (total, strangers) = (self.total.plus(more), self.strangers.plus(more));
        if !total.fits(TOTAL) || (owner.is_stranger() && !strangers.fits(STRANGERS)) {
            return Err(deny_total());
        }
        self.owners.insert(owner.clone(), of_owner);
        self.total = total;
        if owner.is_stranger() {
            self.strangers = strangers;
        }
        Ok(())
    }

    fn remove(&mut self, owner: &Owner, less: Amount) {
        self.total = self.total.minus(less);
        if owner.is_stranger() {
            self.strangers = self.strangers.minus(less);
        }
        let left = self.owners.get(owner).copied().unwrap_or_default().minus(less);
        if left.requests == 0 {
            self.owners.remove(owner);
        } else if let Some(amount) = self.owners.get_mut(owner) {
            *amount = left;
        }
    }
}

fn deny_owner(owner: &Owner) -> Denied {
    let rule = if owner.is_stranger() { "held_requests.address" } else { "held_requests.app" };
    Denied::enforced(rule, GatewayError::ConcurrencyLimited { retry_after_s: RETRY_AFTER_S })
}

fn deny_total() -> Denied {
    Denied::enforced("held_requests.total", GatewayError::Unavailable { retry_after_s: RETRY_AFTER_S })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Owner {
        Owner::of_address(Some(text.parse().unwrap()))
    }

    fn app(name: &str) -> Owner {
        Owner::App(name.into())
    }

    /// Holds requests of so many bytes until one is denied; gives them and the rule that denied it.
    fn fill(held: &HeldRequests, bytes: usize, owner: impl Fn(usize) -> Owner) -> (Vec<Hold>, String) {
        let mut holds = Vec::new();
        loop {
            match held.hold(None, owner(holds.len()), bytes) {
                Ok(hold) => holds.push(hold),
                Err(denied) => return (holds, denied.rule),
            }
        }
    }

    fn is_empty(held: &HeldRequests) -> bool {
        let totals = held.0.borrow();
        totals.owners.is_empty() && totals.total == Amount::default() && totals.strangers == Amount::default()
    }

    #[test]
    fn one_address_at_its_bound_leaves_space_for_others() {
        let held = HeldRequests::default();
        for (bytes, most) in [(0, PER_ADDRESS.requests), (MIB, 8)] {
            let (holds, rule) = fill(&held, bytes, |_| address("192.0.2.1"));
            assert_eq!((holds.len(), rule.as_str()), (most, "held_requests.address"));
            assert!(held.hold(None, address("192.0.2.2"), MIB).is_ok() && held.hold(None, app("ci"), MIB).is_ok());
            drop(holds);
            assert!(held.hold(None, address("192.0.2.1"), MIB).is_ok(), "given back");
            assert!(is_empty(&held));
        }
    }

    #[test]
    fn all_strangers_at_their_bound_leave_space_for_who_is_known() {
        let held = HeldRequests::default();
        let (holds, rule) = fill(&held, MIB, |n| address(&format!("10.0.{}.1", n % 200)));
        assert_eq!((holds.len(), rule.as_str()), (32, "held_requests.total"));
        let (known, rule) = fill(&held, MIB, |_| app("ci"));
        assert_eq!((known.len(), rule.as_str()), (16, "held_requests.app"));
        let (others, rule) = fill(&held, MIB, |n| app(&n.to_string()));
        assert_eq!((others.len(), rule.as_str()), (16, "held_requests.total"));
        drop((holds, known, others));
        assert!(is_empty(&held));
    }

    #[test]
    fn a_request_that_grows_or_becomes_known_holds_no_more_than_it_has() {
        let held = HeldRequests::default();
        let mut hold = held.hold(None, address("192.0.2.1"), 10).unwrap();
        for bytes in [20, 30] {
            hold = held.hold(Some(hold), address("192.0.2.1"), bytes).unwrap();
        }
        assert_eq!(held.0.borrow().strangers, Amount { requests: 1, bytes: 30 });
        hold = held.hold(Some(hold), app("ci"), 30).unwrap();
        assert_eq!(held.0.borrow().strangers, Amount::default());
        assert_eq!(held.0.borrow().total, Amount { requests: 1, bytes: 30 });
        assert!(held.hold(Some(hold), app("ci"), usize::MAX).is_err());
        assert!(is_empty(&held), "a request that was denied holds nothing");
    }

    #[test]
    fn an_ipv6_network_is_one_owner_and_a_mapped_address_its_ipv4_one() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("::ffff:192.0.2.1"), address("::ffff:192.0.2.2"));
    }
}
