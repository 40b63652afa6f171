//! How a service has been while a request was under way.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a request may have met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sky {
    /// The service was up all the while.
    Up,
    /// It was down all the while.
    Down,
    /// It went from one to the other.
    Turning,
}

/// A moment to look back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u32);

/// Counts the turns: up, going down, down, coming up, up again.
#[derive(Default)]
pub(super) struct Weather(AtomicU32);

impl Weather {
    /// The next turn.
    pub(super) fn turn(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// This moment.
    pub(super) fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }

    /// How it was from that moment until now.
    pub(super) fn since(&self, then: Moment) -> Sky {
        match then.0 % 4 {
            _ if then != self.now() => Sky::Turning,
            0 => Sky::Up,
            2 => Sky::Down,
            _ => Sky::Turning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_saw_no_turn_knows_the_sky() {
        let weather = Weather::default();
        let begun = weather.now();
        for sky in [Sky::Up, Sky::Turning, Sky::Down, Sky::Turning, Sky::Up] {
            assert_eq!(weather.since(weather.now()), sky);
            weather.turn();
        }
        assert_eq!(weather.since(begun), Sky::Turning);
    }
}
