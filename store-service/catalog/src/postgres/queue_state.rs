//! What a process has in memory of the queue in PostgreSQL: what it takes to run its own jobs, and who watches which job.
//!
//! Promises: holds no more than jobs of this process that have not ended, and jobs that somebody watches. What it has is a copy:
//! the database decides.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use linkgate_contract::JobId;
use linkgate_store_core::ingest::ports::{JobRecord, JobView};
use linkgate_store_core::settings::QueueLimits;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// It.
pub(super) struct QueueState {
    /// This process, from its start to its end.
    pub(super) process: Uuid,
    pub(super) limits: QueueLimits,
    /// Something may have become claimable.
    pub(super) changed: Notify,
    /// Something may have become of a watched job.
    pub(super) moved: Notify,
    own: Mutex<HashMap<JobId, Own>>,
    watched: Mutex<HashMap<JobId, watch::Sender<JobView>>>,
    cancels: Mutex<HashMap<JobId, watch::Sender<bool>>>,
}

/// A job of this process.
struct Own {
    record: JobRecord,
    /// Whether it has a place on the queue: one that is about to get it may yet join another one.
    is_queued: bool,
}

impl QueueState {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            process: Uuid::new_v4(),
            limits,
            changed: Notify::new(),
            moved: Notify::new(),
            own: Mutex::default(),
            watched: Mutex::default(),
            cancels: Mutex::default(),
        }
    }

    /// Both may have happened.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
        self.moved.notify_one();
    }

    /// What it takes to run a job that was queued here.
    pub(super) fn own(&self, id: JobId) -> Option<JobRecord> {
        lock(&self.own).get(&id).map(|own| own.record.clone())
    }

    /// A job is about to be queued here.
    pub(super) fn keep(&self, record: &JobRecord) {
        lock(&self.own).insert(record.view.id, Own { record: record.clone(), is_queued: false });
    }

    /// A job of this process has its place on the queue.
    pub(super) fn count_as_queued(&self, id: JobId) {
        if let Some(own) = lock(&self.own).get_mut(&id) {
            own.is_queued = true;
        }
    }

    /// Whether a job of this process has, or had, its place on the queue.
    pub(super) fn is_queued(&self, id: JobId) -> bool {
        lock(&self.own).get(&id).is_some_and(|own| own.is_queued)
    }

    /// A job is no business of this process any more.
    pub(super) fn forget(&self, id: JobId) {
        lock(&self.own).remove(&id);
    }

    /// Becomes true when the end of a job is asked for.
    pub(super) fn listen_for_cancel(&self, id: JobId) -> watch::Receiver<bool> {
        lock(&self.cancels).entry(id).or_insert_with(|| watch::Sender::new(false)).subscribe()
    }

    /// Jobs of which somebody listens still.
    pub(super) fn listening_for_cancel(&self) -> Vec<Uuid> {
        let mut cancels = lock(&self.cancels);
        cancels.retain(|_, sender| sender.receiver_count() > 0);
        cancels.keys().map(|id| id.as_uuid()).collect()
    }

    /// The end of a job is asked for.
    pub(super) fn ask_for_cancel(&self, id: JobId) {
        if let Some(sender) = lock(&self.cancels).get(&id) {
            sender.send_replace(true);
        }
    }

    /// Whoever watches a job, if somebody does.
    pub(super) fn subscribe(&self, id: JobId) -> Option<watch::Receiver<JobView>> {
        lock(&self.watched).get(&id).map(watch::Sender::subscribe)
    }

    /// Somebody watches a job, of which this is known.
    pub(super) fn watch(&self, view: JobView) -> watch::Receiver<JobView> {
        let mut watched = lock(&self.watched);
        watched.entry(view.id).or_insert_with(|| watch::Sender::new(view)).subscribe()
    }

    /// Jobs that somebody watches still.
    pub(super) fn watched(&self) -> Vec<JobId> {
        let mut watched = lock(&self.watched);
        watched.retain(|_, sender| sender.receiver_count() > 0);
        watched.keys().copied().collect()
    }

    /// This is known of a job now. Its end is the last thing.
    pub(super) fn show(&self, view: JobView) {
        let mut watched = lock(&self.watched);
        let has_ended = view.end.is_some();
        let id = view.id;
        if let Some(sender) = watched.get(&id) {
            sender.send_if_modified(|known| {
                let is_new = *known != view;
                if is_new {
                    *known = view;
                }
                is_new
            });
        }
        if has_ended {
            watched.remove(&id);
        }
    }

    /// A job is gone, and nothing came of it.
    pub(super) fn close(&self, id: JobId) {
        lock(&self.watched).remove(&id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
