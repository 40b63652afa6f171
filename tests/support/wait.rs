//! Waiting for what must come, however busy the machine is.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long anything may take before a test gives it up: a hundred times what it takes on a machine that is idle.
pub const WITHIN: Duration = Duration::from_secs(120);
/// The rest between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until there is what was looked for, and gives it; fails with what was seen instead.
pub async fn wait_until<T>(mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "{seen}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks again and again until something holds.
pub async fn wait_until_holds(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    wait_until(async || if holds().await { Ok(()) } else { Err(format!("{what} takes too long")) }).await;
}

/// Fails if what began then took too long. No code that works comes near the bound, however busy the machine is.
#[track_caller]
pub fn assert_prompt(begun: Instant, what: &str) {
    assert!(begun.elapsed() < WITHIN, "{what} took {:?}", begun.elapsed());
}

/// What has come to a stand-in so far, in the order of its arrival.
#[derive(Clone, Debug)]
pub struct Record<T>(watch::Sender<Vec<T>>);

impl<T> Default for Record<T> {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl<T: Clone> Record<T> {
    /// Adds one more.
    pub fn push(&self, seen: T) {
        self.0.send_modify(|all| all.push(seen));
    }

    /// All so far.
    #[must_use]
    pub fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    /// How many there are of which this holds.
    pub fn count(&self, is_one: impl Fn(&T) -> bool) -> usize {
        self.0.borrow().iter().filter(|seen| is_one(seen)).count()
    }

    /// Begins anew.
    pub fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    /// Waits until this holds of all that has come; fails with `what` if it takes too long.
    pub async fn wait_for(&self, what: &str, holds: impl Fn(&[T]) -> bool) {
        let mut seen = self.0.subscribe();
        let waited = tokio::time::timeout(WITHIN, seen.wait_for(|all| holds(all))).await;
        drop(waited.unwrap_or_else(|_| panic!("{what} do not come in time")).unwrap());
    }
}
