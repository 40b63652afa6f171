//! The jobs that this process works on, so that a second call for the same joins the first instead of asking the queue.
//!
//! Promises: whoever asks for exactly the same while it is under way here gets the same answer; a job that ended, in
//! whatever way, is joined by nobody any more.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use linkgate_contract::{JobId, Sha256};

use super::job::Job;
use super::ports::{JobKey, UploadKey};
use super::{IngestError, Outcome};

/// An upload that is under way, and what all who asked for it wait for.
#[derive(Clone)]
pub struct Live {
    /// What is known of it.
    pub job: Arc<Job>,
    outcome: Shared<BoxFuture<'static, Outcome>>,
}

impl Live {
    /// Waits for its end.
    pub async fn outcome(&self) -> Outcome {
        self.outcome.clone().await
    }
}

/// Never more of them than uploads.
#[derive(Clone, Default)]
pub(super) struct Jobs(Arc<Mutex<List>>);

#[derive(Default)]
struct List {
    by_upload: HashMap<UploadKey, Live>,
    by_id: HashMap<JobId, Live>,
    by_key: HashMap<Sha256, (JobKey, Live)>,
}

/// Takes an upload off the list when it is dropped.
pub(super) struct Listed {
    jobs: Jobs,
    job: Arc<Job>,
}

impl Jobs {
    /// The upload that does this already, or the new one, which `begin` then begins. `true` if it was begun.
    ///
    /// # Errors
    /// If the key stands for another request, or as many keys of the caller or in sum as may stand for the job already.
    pub(super) fn join(
        &self,
        new: Job,
        key: Option<JobKey>,
        begin: impl FnOnce(Arc<Job>, Listed) -> BoxFuture<'static, Outcome>,
    ) -> Result<(Live, bool), IngestError> {
        let (upload, owner) = (new.upload_key(), new.upload.owner());
        let mut list = self.list();
        if let Some(key) = key
            && let Some(live) = list.find_by_key(key)?
        {
            return Ok((live, false));
        }
        let (live, is_first) = match list.by_upload.get(&upload) {
            Some(live) => (live.clone(), false),
            None => (list.begin(self, new, begin), true),
        };
        if let Some(key) = key {
            live.job.add_key(key, &owner)?;
            list.by_key.insert(key.key, (key, live.clone()));
        }
        Ok((live, is_first))
    }

    /// Lists a job that is this one and no other, whatever else does the same: the queue has given it to this process. The one
    /// that is listed, if it is already.
    pub(super) fn list_own(
        &self,
        new: Job,
        begin: impl FnOnce(Arc<Job>, Listed) -> BoxFuture<'static, Outcome>,
    ) -> Option<Live> {
        let mut list = self.list();
        let listed = list.by_id.get(&new.id()).cloned();
        if listed.is_none() {
            list.begin(self, new, begin);
        }
        listed
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        self.list().by_id.values().map(|live| Arc::clone(&live.job)).collect()
    }

    pub(super) fn by_id(&self, id: JobId) -> Option<Live> {
        self.list().by_id.get(&id).cloned()
    }

    /// The upload that a key stands for.
    ///
    /// # Errors
    /// If it stands for another request.
    pub(super) fn find_by_key(&self, key: JobKey) -> Result<Option<Live>, IngestError> {
        self.list().find_by_key(key)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// One that does the same stays the one that is joined.
    fn begin(
        &mut self,
        jobs: &Jobs,
        new: Job,
        begin: impl FnOnce(Arc<Job>, Listed) -> BoxFuture<'static, Outcome>,
    ) -> Live {
        let job = Arc::new(new);
        let listed = Listed { jobs: jobs.clone(), job: Arc::clone(&job) };
        let outcome = begin(Arc::clone(&job), listed).shared();
        let live = Live { job, outcome };
        self.by_upload.entry(live.job.upload_key()).or_insert_with(|| live.clone());
        self.by_id.insert(live.job.id(), live.clone());
        live
    }

    fn find_by_key(&self, key: JobKey) -> Result<Option<Live>, IngestError> {
        match self.by_key.get(&key.key) {
            Some((used, _)) if used.fingerprint != key.fingerprint => Err(IngestError::KeyReused),
            known => Ok(known.map(|(_, live)| live.clone())),
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let keys = self.job.keys().clone();
        let mut list = self.jobs.list();
        let by_upload = match list.by_upload.entry(self.job.upload_key()) {
            Entry::Occupied(entry) if entry.get().job.id() == self.job.id() => Some(entry.remove()),
            Entry::Occupied(_) | Entry::Vacant(_) => None,
        };
        let by_id = list.by_id.remove(&self.job.id());
        let by_key: Vec<_> = keys.iter().filter_map(|key| list.by_key.remove(&key.key)).collect();
        drop(list);
        // Dropped outside the lock: they may be the last that hold what was waited for.
        drop((by_upload, by_id, by_key));
    }
}
