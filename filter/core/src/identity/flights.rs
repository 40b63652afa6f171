//! Questions under way: who asks what another one asked already, waits for the same answer. And those that are asked for
//! nobody in particular, so that nobody has to wait.
//!
//! Promises: one question of a kind at a time, a bounded number in all, and a request that went away is forgotten at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::answer::Key;
use super::service::Question;

/// Questions that may be under way in one worker; a service that is flooded helps nobody.
const MAX_FLIGHTS: usize = 512;

/// Questions that may wait to be asked for nobody.
const MAX_AGEING: usize = 256;

/// What is to be done about a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Nobody asked it yet: send it.
    First,
    /// It is under way.
    Waiting,
    /// Too many are under way.
    Full,
}

/// Who waits for which answer.
#[derive(Default)]
pub(crate) struct Flights(RefCell<BTreeMap<Key, Vec<u32>>>);

impl Flights {
    pub(crate) fn join(&self, key: Key, waiter: u32) -> Joined {
        let Ok(mut flights) = self.0.try_borrow_mut() else { return Joined::Full };
        if let Some(waiters) = flights.get_mut(&key) {
            waiters.push(waiter);
            return Joined::Waiting;
        }
        if flights.len() >= MAX_FLIGHTS {
            return Joined::Full;
        }
        flights.insert(key, vec![waiter]);
        Joined::First
    }

    /// Begins a question for which nobody waits; not while much else is under way.
    pub(crate) fn begin(&self, key: Key) -> bool {
        let Ok(mut flights) = self.0.try_borrow_mut() else { return false };
        if flights.contains_key(&key) || flights.len() >= MAX_FLIGHTS / 4 {
            return false;
        }
        flights.insert(key, Vec::new());
        true
    }

    /// Forgets one who waits; the question goes on for what it will teach.
    pub(crate) fn leave(&self, key: &Key, waiter: u32) {
        if let Ok(mut flights) = self.0.try_borrow_mut()
            && let Some(waiters) = flights.get_mut(key)
        {
            waiters.retain(|id| *id != waiter);
        }
    }

    /// Ends a question and gives all who waited.
    pub(crate) fn land(&self, key: &Key) -> Vec<u32> {
        self.0.try_borrow_mut().ok().and_then(|mut flights| flights.remove(key)).unwrap_or_default()
    }
}

/// Questions whose answers are in use and about to end.
#[derive(Default)]
pub(crate) struct Ageing(RefCell<BTreeMap<Key, Question>>);

impl Ageing {
    pub(crate) fn add(&self, key: Key, question: Question) {
        if let Ok(mut ageing) = self.0.try_borrow_mut()
            && ageing.len() < MAX_AGEING
        {
            ageing.insert(key, question);
        }
    }

    /// Takes up to so many.
    pub(crate) fn take(&self, at_most: usize) -> Vec<(Key, Question)> {
        let Ok(mut ageing) = self.0.try_borrow_mut() else { return Vec::new() };
        (0..at_most).map_while(|_| ageing.pop_first()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::of(&[], &[&n.to_string()])
    }

    #[test]
    fn the_first_asks_and_the_others_wait() {
        let flights = Flights::default();
        assert_eq!(flights.join(key(1), 10), Joined::First);
        assert_eq!(flights.join(key(1), 11), Joined::Waiting);
        assert_eq!(flights.join(key(2), 12), Joined::First);
        flights.leave(&key(1), 10);
        flights.leave(&key(3), 10);
        assert_eq!(flights.land(&key(1)), [11]);
        assert!(flights.land(&key(1)).is_empty());
        assert_eq!(flights.join(key(1), 13), Joined::First);
    }

    #[test]
    fn the_questions_under_way_are_bounded() {
        let flights = Flights::default();
        for n in 0..MAX_FLIGHTS {
            assert_eq!(flights.join(key(n), 0), Joined::First);
        }
        assert_eq!(flights.join(key(MAX_FLIGHTS), 0), Joined::Full);
        assert_eq!(flights.join(key(0), 1), Joined::Waiting);
        flights.land(&key(0));
        assert_eq!(flights.join(key(MAX_FLIGHTS), 0), Joined::First);
    }

    #[test]
    fn a_question_for_nobody_is_asked_once_and_gives_way() {
        let (flights, ageing) = (Flights::default(), Ageing::default());
        for n in 0..MAX_AGEING + 10 {
            ageing.add(key(n), Question::AppKeys { app_code: n.to_string() });
            ageing.add(key(n), Question::AppKeys { app_code: n.to_string() });
        }
        assert_eq!(
            (ageing.take(16).len(), ageing.take(MAX_AGEING).len(), ageing.take(1).len()),
            (16, MAX_AGEING - 16, 0)
        );
        assert!(flights.begin(key(0)) && !flights.begin(key(0)));
        assert_eq!(flights.join(key(0), 1), Joined::Waiting);
        assert_eq!(flights.land(&key(0)), [1]);
        for n in 0..MAX_FLIGHTS {
            flights.join(key(n), 0);
        }
        assert!(!flights.begin(key(MAX_FLIGHTS)));
    }
}
