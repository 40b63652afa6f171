//! Settings that are read again while the store runs.

use std::sync::{Arc, PoisonError, RwLock};

/// A list that can be exchanged as a whole; copies share it.
#[derive(Debug)]
pub struct SharedList<T>(Arc<RwLock<Arc<[T]>>>);

impl<T> SharedList<T> {
    /// The entries of now.
    #[must_use]
    pub fn now(&self) -> Arc<[T]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// These entries count from now on, and no others.
    pub fn replace(&self, with: &Self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = with.now();
    }
}

impl<T> From<Vec<T>> for SharedList<T> {
    fn from(list: Vec<T>) -> Self {
        Self(Arc::new(RwLock::new(list.into())))
    }
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T> Clone for SharedList<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
