//! Who may download now, who waits, and who is sent away.
//!
//! Promises: never more downloads than the limits allow, in all, from one host and for one application; whoever waits is
//! let in in turn, except that somebody whose host or application is busy holds nobody else up; a place is given back by
//! being dropped, whatever happened to who held or awaited it. Refuses at once when the queue is full.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How much may go on at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Downloads in all.
    pub uploads: usize,
    /// Of these, from one host.
    pub per_host: usize,
    /// Of these, for one application.
    pub per_app: usize,
    /// Uploads that wait.
    pub queued: usize,
    /// How long one waits.
    pub patience: Duration,
}

/// Gives out places.
#[derive(Clone)]
pub(super) struct Admission(Arc<Shared>);

struct Shared {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    /// Only those that have some; so there are never more than places.
    hosts: HashMap<String, usize>,
    apps: HashMap<String, usize>,
    queue: VecDeque<Waiting>,
}

/// What a place is for.
#[derive(Clone, Debug)]
struct Purpose {
    host: String,
    app: String,
}

struct Waiting {
    purpose: Purpose,
    /// The place itself goes through, so that it is given back even when nobody takes it out any more.
    door: oneshot::Sender<Place>,
}

/// A place, or one in the queue.
pub(super) enum Turn {
    Now(Place),
    Later(oneshot::Receiver<Place>),
}

impl Turn {
    /// Waits for the place; `None` if it was given up before.
    pub(super) async fn wait(self, given_up: impl Future<Output = ()>) -> Option<Place> {
        match self {
            Self::Now(place) => Some(place),
            Self::Later(turn) => tokio::select! {
                place = turn => place.ok(),
                () = given_up => None,
            },
        }
    }
}

/// The right to download; given back when it is dropped.
pub(super) struct Place {
    purpose: Purpose,
    admission: Admission,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared { limits, state: Mutex::default() }))
    }

    /// Gets into the queue; `None` if there is no room in it. Whoever had a place there before has one for sure.
    pub(super) fn queue(&self, host: &str, app: &str, had_a_place: bool) -> Option<Turn> {
        let purpose = Purpose { host: host.to_owned(), app: app.to_owned() };
        let mut state = self.state();
        if state.has_room(&purpose, &self.0.limits) {
            return Some(Turn::Now(self.begin(&mut state, purpose)));
        }
        // Who gave up waiting takes no room.
        state.queue.retain(|waiting| !waiting.door.is_closed());
        if state.queue.len() >= self.0.limits.queued && !had_a_place {
            return None;
        }
        let (door, turn) = oneshot::channel();
        state.queue.push_back(Waiting { purpose, door });
        Some(Turn::Later(turn))
    }

    /// How long one waits.
    pub(super) fn patience(&self) -> Duration {
        self.0.limits.patience
    }

    fn begin(&self, state: &mut State, purpose: Purpose) -> Place {
        state.running += 1;
        *state.hosts.entry(purpose.host.clone()).or_default() += 1;
        *state.apps.entry(purpose.app.clone()).or_default() += 1;
        Place { purpose, admission: self.clone() }
    }

    /// Ends one and lets in whoever now has room, the first in the queue first.
    fn end(&self, purpose: &Purpose) {
        let mut let_in = Vec::new();
        {
            let mut state = self.state();
            state.running = state.running.saturating_sub(1);
            leave(&mut state.hosts, &purpose.host);
            leave(&mut state.apps, &purpose.app);
            while let Some(Waiting { purpose, door }) = state.next(&self.0.limits) {
                let_in.push((door, self.begin(&mut state, purpose)));
            }
        }
        // Not under the lock: the place of somebody who is gone comes straight back here.
        for (door, place) in let_in {
            let _gone = door.send(place);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leave(counts: &mut HashMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(name);
        }
    }
}

impl State {
    fn has_room(&self, purpose: &Purpose, limits: &Limits) -> bool {
        let of = |counts: &HashMap<String, usize>, name: &str| counts.get(name).copied().unwrap_or_default();
        self.running < limits.uploads
            && of(&self.hosts, &purpose.host) < limits.per_host
            && of(&self.apps, &purpose.app) < limits.per_app
    }

    fn next(&mut self, limits: &Limits) -> Option<Waiting> {
        if self.running >= limits.uploads {
            return None;
        }
        let at = self.queue.iter().position(|waiting| self.has_room(&waiting.purpose, limits))?;
        self.queue.remove(at)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.end(&self.purpose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Admission {
        async fn enter(&self, host: &str, app: &str) -> Option<Place> {
            self.queue(host, app, false)?.wait(tokio::time::sleep(self.patience())).await
        }
    }

    const LIMITS: Limits = Limits { uploads: 3, per_host: 2, per_app: 2, queued: 2, patience: Duration::from_secs(10) };

    /// Begins to wait, and lets it get into the queue.
    async fn queue(
        admission: &Admission,
        host: &'static str,
        app: &'static str,
    ) -> tokio::task::JoinHandle<Option<Place>> {
        let admission = admission.clone();
        let task = tokio::spawn(async move { admission.enter(host, app).await });
        tokio::task::yield_now().await;
        task
    }

    #[tokio::test]
    async fn each_limit_holds_and_a_place_that_is_given_back_is_free() {
        for (uploads, per_host, per_app) in [(1, 9, 9), (9, 1, 9), (9, 9, 1)] {
            let admission = Admission::new(Limits { uploads, per_host, per_app, queued: 0, ..LIMITS });
            let first = admission.enter("h", "a").await;
            assert!(first.is_some() && admission.enter("h", "a").await.is_none());
            drop(first);
            assert!(admission.enter("h", "a").await.is_some());
        }
        let admission = Admission::new(Limits { per_host: 1, per_app: 1, queued: 0, ..LIMITS });
        let _first = admission.enter("h", "a").await.unwrap();
        assert!(admission.enter("h", "b").await.is_none() && admission.enter("i", "a").await.is_none());
        assert!(admission.enter("i", "b").await.is_some());
    }

    #[tokio::test]
    async fn who_waits_is_let_in_in_turn_and_a_busy_host_holds_nobody_else_up() {
        let admission = Admission::new(LIMITS);
        let (one, two) = (admission.enter("h", "a").await, admission.enter("h", "b").await);
        let busy = queue(&admission, "h", "c").await;
        let other = admission.enter("i", "c").await;
        assert!(other.is_some(), "there is room for another host, whoever waits");
        let last = queue(&admission, "i", "d").await;
        assert!(admission.enter("i", "e").await.is_none(), "the queue is full");
        drop(other);
        assert!(last.await.unwrap().is_some() && !busy.is_finished());
        drop(one);
        assert!(busy.await.unwrap().is_some());
        drop(two);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let admission = Admission::new(Limits { uploads: 1, ..LIMITS });
        let place = admission.enter("h", "a").await;
        let begun = tokio::time::Instant::now();
        assert!(admission.enter("h", "a").await.is_none());
        assert_eq!(begun.elapsed(), LIMITS.patience);
        drop(place);
        assert!(admission.enter("h", "a").await.is_some());
    }

    #[tokio::test]
    async fn who_had_a_place_in_the_queue_gets_one_however_full_it_is() {
        let admission = Admission::new(Limits { uploads: 1, queued: 0, ..LIMITS });
        let place = admission.enter("h", "a").await;
        assert!(admission.queue("h", "a", false).is_none());
        let turn = admission.queue("h", "a", true).unwrap();
        drop(place);
        assert!(turn.wait(std::future::pending()).await.is_some());
    }

    #[tokio::test]
    async fn nobody_who_is_gone_keeps_a_place_or_room_in_the_queue() {
        let admission = Admission::new(Limits { uploads: 1, queued: 1, ..LIMITS });
        let place = admission.enter("h", "a").await;
        let gone = queue(&admission, "h", "a").await;
        gone.abort();
        assert!(gone.await.is_err());
        let waits = queue(&admission, "h", "a").await;
        drop(place);
        let place = waits.await.unwrap();
        assert!(place.is_some());
        // Let in, but gone before it looked.
        let late = queue(&admission, "h", "a").await;
        drop(place);
        late.abort();
        drop(late.await);
        assert!(admission.enter("h", "a").await.is_some());
        let state = admission.state();
        assert!(state.running == 0 && state.hosts.is_empty() && state.apps.is_empty() && state.queue.is_empty());
    }
}
