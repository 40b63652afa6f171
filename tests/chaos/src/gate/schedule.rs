//! How a service has been while a request was under way.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a request may have met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The service was up all the while.
    Up,
    /// It was down all the while.
    Down,
    /// It went from one to the other.
    Changing,
}

/// A moment to look back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u32);

/// Counts the turns: up, going down, down, coming up, up again.
#[derive(Default)]
pub(super) struct FaultSchedule(AtomicU32);

impl FaultSchedule {
    /// The next turn.
    pub(super) fn turn(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// This moment.
    pub(super) fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }

    /// How it was from that moment until now.
    pub(super) fn since(&self, then: Moment) -> Condition {
        match then.0 % 4 {
            _ if then != self.now() => Condition::Changing,
            0 => Condition::Up,
            2 => Condition::Down,
            _ => Condition::Changing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_saw_no_turn_knows_the_condition() {
        let schedule = FaultSchedule::default();
        let begun = schedule.now();
        for condition in [Condition::Up, Condition::Changing, Condition::Down, Condition::Changing, Condition::Up] {
            assert_eq!(schedule.since(schedule.now()), condition);
            schedule.turn();
        }
        assert_eq!(schedule.since(begun), Condition::Changing);
    }
}
