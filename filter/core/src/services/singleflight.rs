//! Singleflight: a request that asks what another one asked already waits for the same answer. And the refreshes, questions
//! that are asked for nobody in particular, so that nobody has to wait.
//!
//! Promises: one call for a question at a time, a bounded number in all, and a request that went away is forgotten at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::cache::CacheKey;
use super::question::Question;

/// Calls that may be in flight in one worker; a service that is flooded helps nobody.
const MAX_CALLS: usize = 512;

/// Questions that may wait to be refreshed.
const MAX_REFRESHES: usize = 256;

/// What a request is to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nobody asked it yet: it makes the call.
    Leader,
    /// A call is in flight: it waits for that.
    Follower,
    /// Too many calls are in flight.
    Rejected,
}

/// The calls in flight, and the ids of those who wait for each.
#[derive(Default)]
pub(crate) struct Singleflight(RefCell<BTreeMap<CacheKey, Vec<u32>>>);

impl Singleflight {
    /// Adds a waiter to a question.
    pub(crate) fn add_waiter(&self, key: CacheKey, waiter_id: u32) -> Role {
        let Ok(mut calls) = self.0.try_borrow_mut() else { return Role::Rejected };
        if let Some(waiters) = calls.get_mut(&key) {
            waiters.push(waiter_id);
            return Role::Follower;
        }
        if calls.len() >= MAX_CALLS {
            return Role::Rejected;
        }
        calls.insert(key, vec![waiter_id]);
        Role::Leader
    }

    /// Starts a call for which nobody waits; not while many others are in flight.
    pub(crate) fn start_refresh(&self, key: CacheKey) -> bool {
        let Ok(mut calls) = self.0.try_borrow_mut() else { return false };
        if calls.contains_key(&key) || calls.len() >= MAX_CALLS / 4 {
            return false;
        }
        calls.insert(key, Vec::new());
        true
    }

    /// Forgets a waiter; the call goes on, for its answer is cached.
    pub(crate) fn remove_waiter(&self, key: &CacheKey, waiter_id: u32) {
        if let Ok(mut calls) = self.0.try_borrow_mut()
            && let Some(waiters) = calls.get_mut(key)
        {
            waiters.retain(|id| *id != waiter_id);
        }
    }

    /// Ends a call and returns the ids of all who waited.
    pub(crate) fn complete(&self, key: &CacheKey) -> Vec<u32> {
        self.0.try_borrow_mut().ok().and_then(|mut calls| calls.remove(key)).unwrap_or_default()
    }
}

/// Questions whose cached answers are in use and about to end.
#[derive(Default)]
pub(crate) struct RefreshQueue(RefCell<BTreeMap<CacheKey, Question>>);

impl RefreshQueue {
    pub(crate) fn push(&self, key: CacheKey, question: Question) {
        if let Ok(mut queue) = self.0.try_borrow_mut()
            && queue.len() < MAX_REFRESHES
        {
            queue.insert(key, question);
        }
    }

    /// Takes up to so many.
    pub(crate) fn take_due(&self, at_most: usize) -> Vec<(CacheKey, Question)> {
        let Ok(mut queue) = self.0.try_borrow_mut() else { return Vec::new() };
        (0..at_most).map_while(|_| queue.pop_first()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> CacheKey {
        CacheKey::of_parts(&[], &[&n.to_string()])
    }

    #[test]
    fn the_first_asks_and_the_others_wait() {
        let singleflight = Singleflight::default();
        assert_eq!(singleflight.add_waiter(key(1), 10), Role::Leader);
        assert_eq!(singleflight.add_waiter(key(1), 11), Role::Follower);
        assert_eq!(singleflight.add_waiter(key(2), 12), Role::Leader);
        singleflight.remove_waiter(&key(1), 10);
        singleflight.remove_waiter(&key(3), 10);
        assert_eq!(singleflight.complete(&key(1)), [11]);
        assert!(singleflight.complete(&key(1)).is_empty());
        assert_eq!(singleflight.add_waiter(key(1), 13), Role::Leader);
    }

    #[test]
    fn the_questions_under_way_are_bounded() {
        let singleflight = Singleflight::default();
        for n in 0..MAX_CALLS {
            assert_eq!(singleflight.add_waiter(key(n), 0), Role::Leader);
        }
        assert_eq!(singleflight.add_waiter(key(MAX_CALLS), 0), Role::Rejected);
        assert_eq!(singleflight.add_waiter(key(0), 1), Role::Follower);
        singleflight.complete(&key(0));
        assert_eq!(singleflight.add_waiter(key(MAX_CALLS), 0), Role::Leader);
    }

    #[test]
    fn a_question_for_nobody_is_asked_once_and_gives_way() {
        let (singleflight, refreshes) = (Singleflight::default(), RefreshQueue::default());
        for n in 0..MAX_REFRESHES + 10 {
            refreshes.push(key(n), Question::AppKeys { app_code: n.to_string() });
            refreshes.push(key(n), Question::AppKeys { app_code: n.to_string() });
        }
        assert_eq!(
            (refreshes.take_due(16).len(), refreshes.take_due(MAX_REFRESHES).len(), refreshes.take_due(1).len()),
            (16, MAX_REFRESHES - 16, 0)
        );
        assert!(singleflight.start_refresh(key(0)) && !singleflight.start_refresh(key(0)));
        assert_eq!(singleflight.add_waiter(key(0), 1), Role::Follower);
        assert_eq!(singleflight.complete(&key(0)), [1]);
        for n in 0..MAX_CALLS {
            singleflight.add_waiter(key(n), 0);
        }
        assert!(!singleflight.start_refresh(key(MAX_CALLS)));
    }
}
