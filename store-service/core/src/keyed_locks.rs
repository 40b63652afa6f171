//! A lock for each name, for as long as somebody holds it or waits for it.
//!
//! Promises: whoever locks a name waits until nobody else has it, in the order of asking; other names are not waited for. Memory
//! is held for names that are locked, so never for more of them than there are holders and waiters.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// A lock for each name. A copy is another handle on the same.
#[derive(Clone, Debug)]
pub struct KeyedLocks<K: Eq + Hash>(Arc<Mutex<HashMap<K, Lock>>>);

/// A name that is locked until this is dropped. The lock, which stands first, is given back before its place is looked at.
#[derive(Debug)]
pub struct KeyedLock<K: Eq + Hash> {
    _held: OwnedMutexGuard<()>,
    _place: Place<K>,
}

/// The place of a name among all, which the last one who needs it clears.
#[derive(Debug)]
struct Place<K: Eq + Hash> {
    all: KeyedLocks<K>,
    key: K,
}

impl<K: Eq + Hash> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> KeyedLocks<K> {
    /// Waits until nobody else has this name.
    pub async fn lock(&self, key: K) -> KeyedLock<K> {
        let lock = Arc::clone(self.all().entry(key.clone()).or_default());
        // Made before the wait, which its caller may give up.
        let place = Place { all: self.clone(), key };
        KeyedLock { _held: lock.lock_owned().await, _place: place }
    }
}

impl<K: Eq + Hash> KeyedLocks<K> {
    fn all(&self) -> MutexGuard<'_, HashMap<K, Lock>> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut all = self.all.all();
        // Whoever else holds it or waits for it has a handle as well, and gets one only in here.
        if all.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_has_a_name_at_a_time_and_other_names_are_free() {
        let locks = KeyedLocks::default();
        let first = locks.lock("a").now_or_never().unwrap();
        assert!(locks.lock("a").now_or_never().is_none());
        let other = locks.lock("b").now_or_never().unwrap();
        drop(first);
        let second = locks.lock("a").now_or_never().unwrap();
        drop((second, other));
        assert!(locks.all().is_empty());
    }

    #[test]
    fn whoever_gives_up_leaves_nothing_behind() {
        let locks = KeyedLocks::default();
        let held = locks.lock(1).now_or_never().unwrap();
        let mut waiting = Box::pin(locks.lock(1));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(held);
        assert_eq!(locks.all().len(), 1, "somebody waits for it");
        drop(waiting);
        assert!(locks.all().is_empty());
    }

    #[tokio::test]
    async fn turns_are_kept() {
        let locks = KeyedLocks::default();
        let held = locks.lock(()).await;
        let (mut first, mut second) = (Box::pin(locks.lock(())), Box::pin(locks.lock(())));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(held);
        assert!(second.as_mut().now_or_never().is_none(), "it asked later");
        drop(first.await);
        drop(second.await);
    }
}
