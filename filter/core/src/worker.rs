//! What one worker keeps from request to request and from policy to policy: answers, tokens, counts.

use std::cell::Cell;

use crate::identity::answer::Answers;
use crate::identity::flights::Ageing;
use crate::metrics::{Counts, Metrics};
use crate::shared::SharedData;
use crate::token::Tokens;

/// The memory of one worker; policies come and go, this stays.
pub struct Worker {
    pub(crate) answers: Answers,
    pub(crate) ageing: Ageing,
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Metrics,
    pub(crate) shared: Box<dyn SharedData>,
    sequence: Cell<u64>,
}

impl Worker {
    /// An empty memory; `shared` is what all workers see, `seed` tells this one from the others.
    #[must_use]
    pub fn new(shared: Box<dyn SharedData>, seed: u64) -> Self {
        Self {
            answers: Answers::default(),
            ageing: Ageing::default(),
            tokens: Tokens::default(),
            metrics: Metrics::default(),
            shared,
            sequence: Cell::new(seed),
        }
    }

    /// What was counted since the last time.
    #[must_use]
    pub fn take_counts(&self) -> Counts {
        self.metrics.take()
    }

    /// A number that no other lease of now has.
    pub(crate) fn next(&self) -> u64 {
        let next = self.sequence.get().wrapping_add(1);
        self.sequence.set(next);
        next
    }
}
