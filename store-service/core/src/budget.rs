//! How much each owner may hold of what somebody outside can make this process hold: positions in the queue, requests that
//! wait, event streams, bytes of bodies.
//!
//! Promises: nobody holds more than the bound of one owner, and all together never more than the bound in sum, so whoever
//! takes all of their share leaves the rest to others. What was taken comes back when its [`Permit`] is dropped, however that
//! happens. Memory is held for owners that hold something, not for all that ever did. Refuses at once and never waits: how
//! long a request may wait is for whoever asked to decide. docs/LIMITS.md lists every budget.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linkgate_contract::{CallerApp, Operator};

/// On whose account something is held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The calling application.
    App(CallerApp),
    /// The user, where the gate lets one call through an application that is not verified.
    User(Operator),
    /// Who is not known yet.
    Address(IpAddr),
}

impl Owner {
    /// Of a request whose caller is known.
    #[must_use]
    pub fn of(app: Option<&CallerApp>, operator: &Operator) -> Self {
        app.map_or_else(|| Self::User(operator.clone()), |app| Self::App(app.clone()))
    }
}

/// How much may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// By one owner.
    pub per_owner: usize,
    /// By all of them.
    pub in_sum: usize,
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// This owner holds as much as one may.
    #[error("this owner holds as much as one may, which is {bound}")]
    Owner {
        /// How much that is.
        bound: usize,
    },
    /// All owners together do.
    #[error("all together hold as much as they may, which is {bound}")]
    Sum {
        /// How much that is.
        bound: usize,
    },
}

/// Who holds how much. For whoever has a lock already; [`Budget`] brings its own.
#[derive(Clone, Debug)]
pub struct Tally<K> {
    held: HashMap<K, usize>,
    sum: usize,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { held: HashMap::new(), sum: 0 }
    }
}

impl<K: Eq + Hash + Clone> Tally<K> {
    /// How much all owners hold.
    #[must_use]
    pub fn sum(&self) -> usize {
        self.sum
    }

    /// Whether nobody holds anything, and no owner is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sum == 0 && self.held.is_empty()
    }

    /// How much this one holds.
    #[must_use]
    pub fn held_by(&self, owner: &K) -> usize {
        self.held.get(owner).copied().unwrap_or_default()
    }

    /// Whether so much more fits. The owner's own bound is judged first: it is what the owner can do something about.
    ///
    /// # Errors
    /// Which bound does not let it.
    pub fn check(&self, owner: &K, amount: usize, bounds: Bounds) -> Result<(), Exhausted> {
        let Bounds { per_owner, in_sum } = bounds;
        if self.held_by(owner).saturating_add(amount) > per_owner {
            return Err(Exhausted::Owner { bound: per_owner });
        }
        if self.sum.saturating_add(amount) > in_sum {
            return Err(Exhausted::Sum { bound: in_sum });
        }
        Ok(())
    }

    /// Counts it, whether it fits or not.
    pub fn add(&mut self, owner: &K, amount: usize) {
        self.sum = self.sum.saturating_add(amount);
        let held = self.held.entry(owner.clone()).or_default();
        *held = held.saturating_add(amount);
    }

    /// Counts it no more.
    pub fn remove(&mut self, owner: &K, amount: usize) {
        self.sum = self.sum.saturating_sub(amount);
        if let Some(held) = self.held.get_mut(owner) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.held.remove(owner);
            }
        }
    }
}

/// What owners hold, within its bounds. A copy is another handle on the same.
#[derive(Clone, Debug)]
pub struct Budget<K: Eq + Hash + Clone = Owner> {
    bounds: Bounds,
    tally: Arc<Mutex<Tally<K>>>,
}

impl<K: Eq + Hash + Clone> Budget<K> {
    /// Nobody holds anything.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, tally: Arc::default() }
    }

    /// Takes so much for this owner, until the permit is dropped.
    ///
    /// # Errors
    /// Which bound does not let it; nothing is taken then.
    pub fn take(&self, owner: K, amount: usize) -> Result<Permit<K>, Exhausted> {
        let mut tally = self.tally();
        tally.check(&owner, amount, self.bounds)?;
        tally.add(&owner, amount);
        Ok(Permit { budget: self.clone(), owner, amount })
    }

    fn tally(&self) -> MutexGuard<'_, Tally<K>> {
        // Nothing in here panics half-way.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one owner took. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "what was taken is given back when this is dropped"]
pub struct Permit<K: Eq + Hash + Clone = Owner> {
    budget: Budget<K>,
    owner: K,
    amount: usize,
}

impl<K: Eq + Hash + Clone> Permit<K> {
    /// Takes so much more.
    ///
    /// # Errors
    /// Which bound does not let it; the permit stays what it was.
    pub fn grow(&mut self, amount: usize) -> Result<(), Exhausted> {
        let mut tally = self.budget.tally();
        tally.check(&self.owner, amount, self.budget.bounds)?;
        tally.add(&self.owner, amount);
        self.amount = self.amount.saturating_add(amount);
        Ok(())
    }
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        self.budget.tally().remove(&self.owner, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { per_owner: 2, in_sum: 3 };

    fn app(code: &str) -> Owner {
        Owner::App(CallerApp::new(code).unwrap())
    }

    fn is_empty(budget: &Budget) -> bool {
        budget.tally().is_empty()
    }

    #[test]
    fn one_owner_at_its_bound_leaves_the_rest_to_others() {
        let budget = Budget::new(BOUNDS);
        let held = [budget.take(app("a"), 1).unwrap(), budget.take(app("a"), 1).unwrap()];
        assert_eq!(budget.take(app("a"), 1).unwrap_err(), Exhausted::Owner { bound: 2 });
        let other = budget.take(app("b"), 1).unwrap();
        assert_eq!(budget.take(app("b"), 1).unwrap_err(), Exhausted::Sum { bound: 3 });
        assert_eq!(budget.take(app("c"), 1).unwrap_err(), Exhausted::Sum { bound: 3 });
        drop(held);
        let _again = budget.take(app("b"), 1).unwrap();
        drop(other);
    }

    #[test]
    fn what_is_given_back_is_whole_and_leaves_no_owner_behind() {
        let budget = Budget::new(BOUNDS);
        drop(budget.take(app("a"), 2).unwrap());
        assert!(is_empty(&budget));
        assert_eq!(budget.take(app("a"), 3).unwrap_err(), Exhausted::Owner { bound: 2 }, "nothing of it was taken");
        assert!(is_empty(&budget));
    }

    #[test]
    fn a_permit_grows_to_the_bound_and_gives_all_of_it_back() {
        let budget = Budget::new(BOUNDS);
        let mut permit = budget.take(app("a"), 0).unwrap();
        permit.grow(2).unwrap();
        assert_eq!(permit.grow(1).unwrap_err(), Exhausted::Owner { bound: 2 });
        assert_eq!(budget.tally().sum(), 2);
        drop(permit);
        assert_eq!(budget.tally().sum(), 0);
    }

    #[test]
    fn a_user_without_an_application_is_no_application_of_that_name() {
        let operator = Operator::new("ci").unwrap();
        assert_ne!(Owner::of(None, &operator), Owner::of(Some(&CallerApp::new("ci").unwrap()), &operator));
    }

    #[test]
    fn an_amount_that_overflows_does_not_fit() {
        let bounds = Bounds { per_owner: usize::MAX, in_sum: usize::MAX - 1 };
        let budget = Budget::new(bounds);
        let _held = budget.take(app("a"), usize::MAX - 1).unwrap();
        assert!(budget.take(app("b"), usize::MAX).is_err());
    }
}
