//! Answers for those who are not known, which cost the same however many ask.
//!
//! Promises: one at a time is made, and it serves all who ask within a moment, so a flood of probes costs no more than one probe
//! in each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last answer, as long as it counts.
pub(super) struct Recent<T> {
    counts_for: Duration,
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Recent<T> {
    /// An answer counts for so long.
    pub(super) fn new(counts_for: Duration) -> Self {
        Self { counts_for, last: Mutex::default() }
    }

    /// The last answer, or a new one. Whoever comes while one is made waits for it.
    pub(super) async fn get(&self, make: impl Future<Output = T>) -> Arc<T> {
        let mut last = self.last.lock().await;
        if let Some((made, answer)) = &*last
            && made.elapsed() < self.counts_for
        {
            return Arc::clone(answer);
        }
        let answer = Arc::new(make.await);
        *last = Some((Instant::now(), Arc::clone(&answer)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_within_a_moment_get_one_answer() {
        let (recent, made) = (Recent::new(Duration::from_secs(1)), AtomicUsize::new(0));
        let ask = || {
            recent.get(async {
                sleep(Duration::from_millis(100)).await;
                made.fetch_add(1, Ordering::Relaxed) + 1
            })
        };
        let answers = join_all((0..100).map(|_| ask())).await;
        assert!(answers.iter().all(|answer| **answer == 1));
        sleep(Duration::from_millis(999)).await;
        assert_eq!(*ask().await, 1);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(*ask().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_while_it_is_made_leaves_it_to_the_next() {
        let recent = Recent::new(Duration::from_secs(1));
        let given_up = tokio::time::timeout(Duration::from_millis(10), recent.get(std::future::pending::<u8>())).await;
        assert!(given_up.is_err());
        assert_eq!(*recent.get(async { 7 }).await, 7);
    }
}
