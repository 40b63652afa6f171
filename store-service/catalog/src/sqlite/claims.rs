//! The jobs that wait or run, in the memory of the one process that has the database.
//!
//! Promises what the port asks for: limits in all, by host and by caller, turns, leases, fences. Costs no commit: a job
//! that was accepted is in the database beside this, and every other one ends with the process that its caller talks to. One
//! that was accepted stays here until it has ended, whatever becomes of the work on it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linkgate_contract::{JobId, ModuleRef, PackageVersion, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use linkgate_store_core::budget::{Owner, Tally};
use linkgate_store_core::ingest::ports::{
    BeatReply, Claim, Enqueued, Fence, Heartbeat, HolderId, JobEnd, JobKey, JobRecord, JobView, NewJob, QueueError,
    UploadKey,
};
use linkgate_store_core::settings::QueueLimits;

use crate::shared::{named_version, source_host};

/// All jobs that have not ended, but for those that were not accepted and follow others. A copy is another handle on the same.
#[derive(Clone)]
pub(super) struct ClaimTable(Arc<Shared>);

struct Shared {
    limits: QueueLimits,
    state: Mutex<State>,
    /// Something may have become claimable.
    changed: Notify,
}

#[derive(Default)]
struct State {
    jobs: HashMap<JobId, Entry>,
    /// Those that wait, the first first.
    queue: VecDeque<JobId>,
    /// Those that may run and that nobody has claimed yet. They count as running.
    ready: VecDeque<JobId>,
    by_upload: HashMap<UploadKey, JobId>,
    by_key: HashMap<Sha256, (JobKey, JobId)>,
    waiting: Tally<Owner>,
    running: Tally<Owner>,
    hosts: Tally<String>,
    /// Of those that were taken up again: how many run, and how many have ended.
    resumed: Resumed,
}

#[derive(Default)]
struct Resumed {
    running: usize,
    ended: usize,
}

struct Entry {
    record: JobRecord,
    key: UploadKey,
    host: String,
    owner: Owner,
    is_resumed: bool,
    is_accepted: bool,
    is_cancelled: bool,
    place: Place,
    /// Claims so far.
    epoch: u64,
    lease: Option<Lease>,
    view: watch::Sender<JobView>,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere: it was accepted, and its own task has it, which waits for no turn. It may follow another one.
    Parked,
    /// It waits.
    Queue,
    /// It counts as running.
    Slot,
}

struct Lease {
    fence: Fence,
    until: Instant,
    /// Its end is being written: nobody else may claim it meanwhile.
    is_ending: bool,
}

/// A job whose end is being written. It keeps its claim until this is dropped, and ends only by [`Ending::end`].
pub(super) struct Ending {
    table: ClaimTable,
    id: JobId,
    fence: Option<Fence>,
}

impl ClaimTable {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self(Arc::new(Shared { limits, state: Mutex::default(), changed: Notify::new() }))
    }

    pub(super) fn enqueue(&self, job: NewJob) -> Result<Enqueued, QueueError> {
        let owner = job.record.request.owner();
        let mut state = self.state();
        if let Some(joined) = state.find_equal(job.key, &job.record)? {
            return Ok(Enqueued::Joined(joined));
        }
        let waits = !state.may_run(&job.host, &owner, &self.0.limits);
        if waits && !job.is_resumed {
            state.waiting.check(&owner, 1, self.0.limits.queue_bounds()).map_err(QueueError::Full)?;
        }
        let id = job.record.view.id;
        state.add(job);
        state.put_on_queue(id);
        state.let_in(&self.0.limits);
        drop(state);
        self.0.changed.notify_one();
        Ok(Enqueued::Queued)
    }

    pub(super) async fn claim(&self, holder: HolderId) -> Claim {
        loop {
            // Made before the look, so that no change between the two is missed.
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            let runs_out = {
                let mut state = self.state();
                state.take_back_lapsed(Instant::now());
                if let Some(claim) = state.claim_next(holder, self.0.limits.lease) {
                    // Another one may be claimable as well, by whoever else waits here.
                    self.0.changed.notify_one();
                    return claim;
                }
                state.first_lapse()
            };
            match runs_out {
                Some(until) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(until) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    pub(super) fn heartbeat(&self, beats: Vec<Heartbeat>) -> Vec<BeatReply> {
        let mut state = self.state();
        let until = Instant::now() + self.0.limits.lease;
        beats.into_iter().map(|beat| state.extend(beat, until)).collect()
    }

    pub(super) fn withdraw(&self, id: JobId) -> bool {
        self.give_up(id, |entry| entry.lease.is_none() && entry.place != Place::Parked, |_, _| {})
    }

    pub(super) fn release(&self, id: JobId, fence: Option<Fence>) {
        self.give_up(id, |entry| entry.lease.as_ref().map(|lease| lease.fence) == fence, State::queue_again);
    }

    /// It goes on without its caller from now on. Each request that waits for it may say so, with a key of its own.
    pub(super) fn accept(&self, record: JobRecord) {
        let mut state = self.state();
        let id = record.view.id;
        match state.jobs.get_mut(&id) {
            Some(entry) => {
                (entry.is_accepted, entry.record.lives) = (true, record.lives);
                for key in record.keys {
                    if !entry.record.keys.contains(&key) {
                        entry.record.keys.push(key);
                    }
                }
                if entry.place != Place::Parked {
                    state.announce(id);
                }
            }
            None => {
                if let (Some(key), Some(host)) = (record.upload_key, source_host(&record.request)) {
                    state.add(NewJob { record, key, host, is_resumed: true });
                }
            }
        }
    }

    /// Counts a life more of it, or one less.
    pub(super) fn count_life(&self, id: JobId, by: i32) {
        if let Some(entry) = self.state().jobs.get_mut(&id) {
            entry.record.lives = entry.record.lives.saturating_add_signed(by);
        }
    }

    /// How often a process began to work on it.
    pub(super) fn lives(&self, id: JobId) -> Option<u32> {
        self.state().jobs.get(&id).map(|entry| entry.record.lives)
    }

    pub(super) fn cancel(&self, id: JobId) -> bool {
        self.state().jobs.get_mut(&id).map(|entry| entry.is_cancelled = true).is_some()
    }

    pub(super) fn watch(&self, id: JobId) -> Option<watch::Receiver<JobView>> {
        let state = self.state();
        let entry = state.jobs.get(&id).filter(|entry| entry.place != Place::Parked);
        entry.map(|entry| entry.view.subscribe())
    }

    pub(super) fn has(&self, id: JobId) -> bool {
        self.state().jobs.contains_key(&id)
    }

    /// Versions of a module that jobs have named in their requests.
    pub(super) fn uploading(&self, target: &ModuleRef) -> Vec<PackageVersion> {
        let state = self.state();
        let of_module = state.jobs.values().map(|entry| &entry.record).filter(|record| record.view.target == *target);
        of_module.filter_map(|record| named_version(&record.request.body)).collect()
    }

    /// Begins to write a job's end. One without a claim must not be claimed by anybody.
    pub(super) fn begin_end(&self, id: JobId, fence: Option<Fence>) -> Result<Ending, QueueError> {
        let mut state = self.state();
        let lease = state.jobs.get_mut(&id).and_then(|entry| entry.lease.as_mut());
        match (lease, fence) {
            (Some(lease), Some(fence)) if lease.fence == fence => lease.is_ending = true,
            (None, None) => {}
            _ => return Err(QueueError::Fenced),
        }
        Ok(Ending { table: self.clone(), id, fence })
    }

    /// Gives a job up, if it is as it should be: one that was accepted is kept in this way, every other one is gone.
    fn give_up(&self, id: JobId, may_go: impl FnOnce(&Entry) -> bool, keep: impl FnOnce(&mut State, JobId)) -> bool {
        let mut state = self.state();
        let Some(entry) = state.jobs.get(&id).filter(|entry| may_go(entry)) else { return false };
        if entry.is_accepted {
            state.leave_place(id);
            keep(&mut state, id);
        } else {
            state.remove(id);
        }
        state.let_in(&self.0.limits);
        drop(state);
        self.0.changed.notify_one();
        true
    }

    /// Takes a job off the table, and lets in whoever waited for its slot.
    fn take_out(&self, id: JobId) -> Option<Entry> {
        let gone = {
            let mut state = self.state();
            let gone = state.remove(id);
            state.let_in(&self.0.limits);
            gone
        };
        self.0.changed.notify_one();
        gone
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ending {
    /// The end is written: the job leaves the table, and who watches it is told.
    pub(super) fn end(self, view: JobView, end: JobEnd, ended_ms: i64) {
        if let Some(entry) = self.table.take_out(self.id) {
            entry.view.send_replace(JobView { state: end.state(), ended_ms: Some(ended_ms), end: Some(end), ..view });
        }
    }
}

/// It was not written: the claim lapses like any other.
impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.table.state();
        let lease = state.jobs.get_mut(&self.id).and_then(|entry| entry.lease.as_mut());
        if let Some(lease) = lease.filter(|lease| Some(lease.fence) == self.fence) {
            lease.is_ending = false;
            self.table.0.changed.notify_one();
        }
    }
}

impl State {
    /// The job that does the same, or that a key stands for.
    fn find_equal(&self, key: UploadKey, record: &JobRecord) -> Result<Option<JobId>, QueueError> {
        for wanted in &record.keys {
            match self.by_key.get(&wanted.key) {
                Some((used, _)) if used.fingerprint != wanted.fingerprint => return Err(QueueError::KeyReused),
                Some((_, id)) => return Ok(Some(*id)),
                None => {}
            }
        }
        Ok(self.by_upload.get(&key).copied())
    }

    fn may_run(&self, host: &String, owner: &Owner, limits: &QueueLimits) -> bool {
        self.hosts.held_by(host) < limits.per_host && self.running.check(owner, 1, limits.running_bounds()).is_ok()
    }

    /// Lets in whoever may run now.
    fn let_in(&mut self, limits: &QueueLimits) {
        while let Some(at) = self.next_in_turn(limits) {
            let Some(id) = self.queue.remove(at) else { return };
            let Some(entry) = self.jobs.get_mut(&id) else { continue };
            entry.place = Place::Slot;
            self.resumed.running += usize::from(entry.is_resumed);
            self.waiting.remove(&entry.owner, 1);
            self.running.add(&entry.owner, 1);
            self.hosts.add(&entry.host, 1);
            self.ready.push_back(id);
        }
    }

    /// Where in the queue the next one stands that may run: of the caller with the fewest that do, the first.
    fn next_in_turn(&self, limits: &QueueLimits) -> Option<usize> {
        let waiting = self.queue.iter().enumerate().filter_map(|(at, id)| Some((at, self.jobs.get(id)?)));
        let resumed_may = self.resumed.running < limits.resumed.saturating_add(self.resumed.ended);
        let waiting = waiting.filter(|(_, job)| resumed_may || !job.is_resumed);
        let may_run = waiting.filter(|(_, job)| self.may_run(&job.host, &job.owner, limits));
        may_run.min_by_key(|(at, job)| (self.running.held_by(&job.owner), *at)).map(|(at, _)| at)
    }

    fn claim_next(&mut self, holder: HolderId, lease: Duration) -> Option<Claim> {
        let entry = self.jobs.get_mut(&self.ready.pop_front()?)?;
        entry.epoch += 1;
        let fence = Fence { holder, epoch: entry.epoch };
        entry.lease = Some(Lease { fence, until: Instant::now() + lease, is_ending: false });
        Some(Claim { record: entry.record.clone(), fence, is_cancelled: entry.is_cancelled })
    }

    fn extend(&mut self, beat: Heartbeat, until: Instant) -> BeatReply {
        let Some(entry) = self.jobs.get_mut(&beat.view.id) else { return BeatReply::Lost };
        match &mut entry.lease {
            Some(lease) if lease.fence == beat.fence => lease.until = until,
            _ => return BeatReply::Lost,
        }
        entry.view.send_replace(beat.view);
        if entry.is_cancelled { BeatReply::CancelRequested } else { BeatReply::Extended }
    }

    /// A job whose worker shows no sign of life can be claimed again, before all others.
    fn take_back_lapsed(&mut self, now: Instant) {
        for (id, entry) in &mut self.jobs {
            if entry.lease.take_if(|lease| lease.until <= now && !lease.is_ending).is_some() {
                self.ready.push_front(*id);
            }
        }
    }

    fn first_lapse(&self) -> Option<Instant> {
        let leases = self.jobs.values().filter_map(|entry| entry.lease.as_ref());
        leases.filter(|lease| !lease.is_ending).map(|lease| lease.until).min()
    }

    /// One that is nowhere yet. What is known of it already, it keeps.
    fn add(&mut self, job: NewJob) {
        let NewJob { record, key, host, is_resumed } = job;
        let (id, owner) = (record.view.id, record.request.owner());
        self.leave_place(id);
        let known = self.jobs.remove(&id);
        let (epoch, is_cancelled) = known.as_ref().map_or((0, false), |known| (known.epoch, known.is_cancelled));
        let is_accepted = is_resumed || known.is_some_and(|known| known.is_accepted);
        let view = watch::Sender::new(record.view.clone());
        let (place, lease) = (Place::Parked, None);
        let entry =
            Entry { record, key, host, owner, is_resumed, is_accepted, is_cancelled, place, epoch, lease, view };
        self.jobs.insert(id, entry);
    }

    fn put_on_queue(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        entry.place = Place::Queue;
        self.waiting.add(&entry.owner, 1);
        self.queue.push_back(id);
        self.by_upload.entry(entry.key).or_insert(id);
        self.announce(id);
    }

    /// Whoever has one of its keys is led to it.
    fn announce(&mut self, id: JobId) {
        let keys = self.jobs.get(&id).into_iter().flat_map(|entry| &entry.record.keys);
        for key in keys {
            self.by_key.entry(key.key).or_insert((*key, id));
        }
    }

    /// It waits for its turn once more, however many wait.
    fn queue_again(&mut self, id: JobId) {
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.is_resumed = true;
            entry.view.send_replace(entry.record.view.clone());
            self.put_on_queue(id);
        }
    }

    fn remove(&mut self, id: JobId) -> Option<Entry> {
        let entry = self.jobs.get(&id)?;
        let has_run = entry.is_resumed && entry.place == Place::Slot;
        self.resumed.ended = self.resumed.ended.saturating_add(usize::from(has_run));
        self.leave_place(id);
        self.jobs.remove(&id)
    }

    /// Nobody is led to it any more, and what it took up is free.
    fn leave_place(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        if self.by_upload.get(&entry.key) == Some(&id) {
            self.by_upload.remove(&entry.key);
        }
        for key in &entry.record.keys {
            if self.by_key.get(&key.key).is_some_and(|(_, found)| *found == id) {
                self.by_key.remove(&key.key);
            }
        }
        entry.lease = None;
        match std::mem::replace(&mut entry.place, Place::Parked) {
            Place::Parked => {}
            Place::Queue => {
                self.waiting.remove(&entry.owner, 1);
                self.queue.retain(|queued| *queued != id);
            }
            Place::Slot => {
                self.ready.retain(|ready| *ready != id);
                self.running.remove(&entry.owner, 1);
                self.hosts.remove(&entry.host, 1);
                self.resumed.running = self.resumed.running.saturating_sub(usize::from(entry.is_resumed));
            }
        }
    }
}
