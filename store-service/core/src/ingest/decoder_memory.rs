//! The memory that the decoders of all inspections may have together.
//!
//! Promises: never more than the budget is held at once, and of that at most half by one calling application, so that one
//! application does not shut out the others. Who finds too little waits, in the order of asking; a large request is not
//! overtaken by small ones, except by those of other applications while its own has its share. A wait ends at its deadline,
//! or when nobody wants the result any more. Who waits holds nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::budget::Tally;
use crate::metrics::Metrics;

/// What all decoders share.
pub(super) struct DecoderMemory {
    total: u64,
    /// What one calling application may have of it.
    share: u64,
    state: Mutex<State>,
    changed: Condvar,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    held: Tally<String>,
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
}

struct Waiting {
    ticket: u64,
    owner: String,
    bytes: u64,
}

/// Tells a wait that its result is not wanted any more.
pub(super) struct StopOnDrop {
    memory: Arc<DecoderMemory>,
    stopped: Arc<AtomicBool>,
}

impl StopOnDrop {
    pub(super) fn new(memory: &Arc<DecoderMemory>) -> Self {
        Self { memory: Arc::clone(memory), stopped: Arc::default() }
    }

    /// Set once it was dropped.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // Under the lock, so that nobody is between looking at the flag and waiting.
        let _state = self.memory.lock();
        self.stopped.store(true, Ordering::Relaxed);
        self.memory.changed.notify_all();
    }
}

/// The memory of one inspection's decoder. Given back when it is dropped.
pub(super) struct Loan {
    memory: Arc<DecoderMemory>,
    owner: String,
    held: u64,
}

impl DecoderMemory {
    pub(super) fn new(total: u64, metrics: Metrics) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { total, share: total / 2, state, changed, metrics })
    }

    /// A loan of nothing, for the calling application `owner`.
    pub(super) fn loan(self: &Arc<Self>, owner: String) -> Loan {
        Loan { memory: Arc::clone(self), owner, held: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the bytes as soon as it is this one's turn; `false` if the wait ended before.
    fn take(&self, owner: &str, bytes: u64, deadline: Instant, stopped: &AtomicBool) -> bool {
        let mut state = self.lock();
        let ticket = state.enqueue(owner, bytes);
        let mut waits = None;
        loop {
            if self.is_turn(&state, ticket) {
                state.leave(ticket);
                state.held.add(&owner.to_owned(), size(bytes));
                self.metrics.set_decoder_memory(state.held.sum() as u64);
                // The next one may fit as well.
                self.changed.notify_all();
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if stopped.load(Ordering::Relaxed) || left.is_zero() {
                state.leave(ticket);
                self.changed.notify_all();
                return false;
            }
            waits.get_or_insert_with(|| self.metrics.decoder_waits());
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// Whether it is the first that its application's share lets through, and fits. Alone, everything fits.
    fn is_turn(&self, state: &State, ticket: u64) -> bool {
        let may_have = |waiting: &&Waiting| {
            let held = state.held.held_by(&waiting.owner) as u64;
            held == 0 || held + waiting.bytes <= self.share
        };
        let first = state.waiting.iter().find(may_have);
        let held = state.held.sum() as u64;
        first.is_some_and(|first| first.ticket == ticket && (held == 0 || held + first.bytes <= self.total))
    }

    fn give_back(&self, owner: &str, bytes: u64) {
        let mut state = self.lock();
        state.held.remove(&owner.to_owned(), size(bytes));
        self.metrics.set_decoder_memory(state.held.sum() as u64);
        self.changed.notify_all();
    }
}

/// Bytes as a tally counts them. What no machine can hold fits no budget either.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl State {
    fn enqueue(&mut self, owner: &str, bytes: u64) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(Waiting { ticket, owner: owner.to_owned(), bytes });
        ticket
    }

    fn leave(&mut self, ticket: u64) {
        self.waiting.retain(|waiting| waiting.ticket != ticket);
    }
}

impl Loan {
    /// Gives back what it holds, and takes so much instead; `false` if the wait ended before.
    pub(super) fn replace(&mut self, bytes: u64, deadline: Instant, stopped: &AtomicBool) -> bool {
        self.give_back();
        let taken = self.memory.take(&self.owner, bytes, deadline, stopped);
        self.held = if taken { bytes } else { 0 };
        taken
    }

    fn give_back(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            self.memory.give_back(&self.owner, held);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn memory(total: u64) -> Arc<DecoderMemory> {
        DecoderMemory::new(total, Metrics::new(Path::new("/")))
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    fn held(memory: &Arc<DecoderMemory>, owner: &str, bytes: u64) -> Loan {
        let mut loan = memory.loan(owner.into());
        assert!(loan.replace(bytes, far(), &AtomicBool::new(false)));
        loan
    }

    /// Asks in a thread of its own, and waits until it stands in the queue or has what it wants.
    fn ask(memory: &Arc<DecoderMemory>, owner: &'static str, bytes: u64, got: &mpsc::Sender<(u64, Loan)>) {
        let (before, copy, got) = (memory.lock().next_ticket, Arc::clone(memory), got.clone());
        thread::spawn(move || got.send((bytes, held(&copy, owner, bytes))));
        while memory.lock().next_ticket == before {
            thread::yield_now();
        }
    }

    #[test]
    fn the_budget_is_never_exceeded_and_all_get_their_turn_in_the_order_of_asking() {
        let (memory, (sender, got)) = (memory(100), mpsc::channel());
        let first = held(&memory, "a", 40);
        let second = held(&memory, "b", 40);
        for (owner, bytes) in [("c", 41), ("d", 5), ("e", 6)] {
            ask(&memory, owner, bytes, &sender);
        }
        // The large one is not overtaken, although the small ones would fit.
        assert!(got.try_recv().is_err() && memory.lock().held.sum() == 80);
        drop(first);
        let mut all = vec![got.recv().unwrap(), got.recv().unwrap(), got.recv().unwrap()];
        assert_eq!(memory.lock().held.sum(), 92);
        all.sort_by_key(|(bytes, _)| *bytes);
        assert_eq!(all.iter().map(|(bytes, _)| *bytes).collect::<Vec<_>>(), [5, 6, 41]);
        drop((second, all));
        assert!(memory.lock().held.is_empty() && memory.lock().waiting.is_empty());
    }

    #[test]
    fn an_application_that_has_its_share_does_not_shut_out_others() {
        let (memory, (sender, got)) = (memory(100), mpsc::channel());
        let own = held(&memory, "a", 50);
        ask(&memory, "a", 10, &sender);
        let _other = held(&memory, "b", 30);
        assert!(got.try_recv().is_err());
        drop(own);
        assert_eq!(got.recv().unwrap().0, 10);
        // What is larger than the share, even than all, is had alone.
        drop((held(&memory, "c", 60), got));
        assert_eq!(held(&super::tests::memory(10), "c", 20).held, 20);
    }

    #[test]
    fn a_wait_ends_when_nobody_wants_the_result_or_at_its_deadline_and_leaves_nothing() {
        let (memory, (sender, got)) = (memory(10), mpsc::channel());
        let first = held(&memory, "a", 10);
        let now = Instant::now();
        assert!(!memory.loan("b".into()).replace(1, now, &AtomicBool::new(false)));
        let stop = StopOnDrop::new(&memory);
        let (copy, stopped) = (Arc::clone(&memory), stop.flag());
        let waiting = thread::spawn(move || copy.loan("b".into()).replace(1, far(), &stopped));
        while memory.lock().waiting.is_empty() {
            thread::yield_now();
        }
        ask(&memory, "c", 10, &sender);
        drop(stop);
        assert!(!waiting.join().unwrap());
        drop(first);
        assert_eq!(got.recv().unwrap().0, 10);
        assert!(memory.lock().waiting.is_empty());
    }

    #[test]
    fn who_wants_more_gives_back_first_so_nobody_waits_for_ever() {
        let memory = memory(10);
        let both = ["a", "b"].map(|owner| {
            let copy = Arc::clone(&memory);
            thread::spawn(move || {
                for _ in 0..100 {
                    let mut loan = held(&copy, owner, 5);
                    assert!(loan.replace(8, far(), &AtomicBool::new(false)));
                }
            })
        });
        for thread in both {
            thread.join().unwrap();
        }
        assert!(memory.lock().held.is_empty());
    }
}
