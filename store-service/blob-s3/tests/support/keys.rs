//! A database of object keys in memory, which several stores of one test share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{
    BlobKeys, BlobObject, HoldId, KeyError, KeyHolder, ObjectKey, OpenUpload, Published, PublishedObject,
    RetiredObject, Retirement,
};
use linkgate_store_core::testing::blob_keys::KeyDatabase;

/// Few, so that there are several pages.
const PAGE: usize = 2;
/// As the port says.
const TAKEN: usize = 100;

/// What becomes of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// It is not done, and the writer does not know.
    Before,
    /// It is done, and the writer does not know.
    After,
}

/// All handles see the same.
#[derive(Clone, Default)]
pub struct MemoryKeys {
    state: Arc<Mutex<State>>,
    /// Whether signs of life get lost, for all handles of one process.
    is_silent: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    alive_until: HashMap<KeyHolder, SystemTime>,
    being_written: BTreeMap<String, Writing>,
    blobs: BTreeMap<Sha256, PublishedObject>,
    retired: BTreeMap<String, (u64, SystemTime)>,
    quarantined: HashSet<String>,
    holds: HashMap<HoldId, KeyHolder>,
    referenced: HashSet<Sha256>,
    fault: Fault,
    /// How often nothing can be given up.
    outages: u32,
}

struct Writing {
    holder: KeyHolder,
    begun: SystemTime,
    upload_id: Option<String>,
    is_given_up: bool,
    /// By its holder, who took it over and will not publish it.
    is_swept: bool,
}

impl MemoryKeys {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// As another process has it.
    pub fn of_another_process(&self) -> Self {
        Self { state: Arc::clone(&self.state), is_silent: Arc::default() }
    }

    /// From now on this process shows no sign of life.
    pub fn silence(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// The object of a blob.
    pub fn object(&self, sha256: Sha256) -> Option<BlobObject> {
        self.state().blobs.get(&sha256).map(|found| found.object.clone())
    }

    /// Keys that are being written, or were and are not forgotten.
    pub fn being_written(&self) -> Vec<String> {
        self.state().being_written.keys().cloned().collect()
    }

    /// What becomes of the next publication.
    pub fn fail_next(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// The next times nothing can be given up.
    pub fn be_away(&self, times: u32) {
        self.state().outages = times;
    }

    pub fn reference_blob(&self, sha256: Sha256) {
        self.state().referenced.insert(sha256);
    }

    /// Makes everything older; whoever lives says so later.
    pub fn make_older(&self, time: Duration) {
        let mut state = self.state();
        state.alive_until.values_mut().for_each(|until| *until -= time);
        state.being_written.values_mut().for_each(|writing| writing.begun -= time);
        state.blobs.values_mut().for_each(|found| found.published -= time);
        state.retired.values_mut().for_each(|(_, at)| *at -= time);
    }
}

impl State {
    fn lives(&self, holder: KeyHolder) -> bool {
        self.alive_until.get(&holder).is_some_and(|until| *until > SystemTime::now())
    }

    fn is_held(&self) -> bool {
        self.holds.values().any(|holder| self.lives(*holder))
    }

    fn abandoned(&self, begun_before: SystemTime) -> Vec<String> {
        let is_abandoned =
            |writing: &Writing| writing.begun < begun_before && (writing.is_given_up || !self.lives(writing.holder));
        self.being_written.iter().filter(|(_, writing)| is_abandoned(writing)).map(|(key, _)| key.clone()).collect()
    }

    fn publish(
        &mut self,
        holder: KeyHolder,
        object: &BlobObject,
        lost: Option<&ObjectKey>,
    ) -> Result<Published, KeyError> {
        let writing = self.being_written.get(object.key.as_str()).ok_or(KeyError::Lost)?;
        if writing.holder != holder || writing.is_given_up || writing.is_swept {
            return Err(KeyError::Lost);
        }
        let published = SystemTime::now();
        let mut outcome = Published::New;
        if let Some(found) = self.blobs.get_mut(&object.sha256) {
            if lost != Some(&found.object.key) {
                found.published = published;
                return Ok(Published::Existing(found.object.clone()));
            }
            self.retired.insert(found.object.key.to_string(), (found.object.size_bytes, published));
            outcome = Published::Replaced;
        }
        self.being_written.remove(object.key.as_str());
        self.blobs.insert(object.sha256, PublishedObject { object: object.clone(), published });
        Ok(outcome)
    }

    fn retire(&mut self, sha256: Sha256, untouched_for: Duration) -> Retirement {
        let now = SystemTime::now();
        let Some(found) = self.blobs.get(&sha256) else { return Retirement::NotThere };
        if self.is_held() {
            return Retirement::Held;
        }
        if self.referenced.contains(&sha256) {
            return Retirement::Referenced;
        }
        if found.published + untouched_for > now {
            return Retirement::JustPublished;
        }
        let retired = (found.object.size_bytes, now);
        self.retired.insert(found.object.key.to_string(), retired);
        self.blobs.remove(&sha256);
        Retirement::Retired
    }
}

impl BlobKeys for MemoryKeys {
    async fn beat(&self, holder: KeyHolder) -> Result<(), KeyError> {
        if !self.is_silent.load(Ordering::SeqCst) {
            self.state().alive_until.insert(holder, SystemTime::now() + KeyHolder::LEASE);
        }
        Ok(())
    }

    async fn begin(&self, holder: KeyHolder, key: &ObjectKey) -> Result<(), KeyError> {
        let begun = SystemTime::now();
        let writing = Writing { holder, begun, upload_id: None, is_given_up: false, is_swept: false };
        assert!(self.state().being_written.insert(key.to_string(), writing).is_none(), "a key is never used twice");
        Ok(())
    }

    async fn note_upload(&self, key: &ObjectKey, upload_id: &str) -> Result<(), KeyError> {
        if let Some(writing) = self.state().being_written.get_mut(key.as_str()) {
            writing.upload_id = Some(upload_id.to_owned());
        }
        Ok(())
    }

    async fn publish(
        &self,
        holder: KeyHolder,
        object: &BlobObject,
        lost: Option<&ObjectKey>,
    ) -> Result<Published, KeyError> {
        let mut state = self.state();
        let fault = std::mem::take(&mut state.fault);
        if fault == Fault::Before {
            return Err(KeyError::Database("before".into()));
        }
        let published = state.publish(holder, object, lost);
        if fault == Fault::After { Err(KeyError::Database("after".into())) } else { published }
    }

    async fn find(&self, sha256: Sha256) -> Result<Option<PublishedObject>, KeyError> {
        Ok(self.state().blobs.get(&sha256).cloned())
    }

    async fn list(&self, part: u8, after: Option<Sha256>) -> Result<Vec<PublishedObject>, KeyError> {
        let state = self.state();
        let in_part = |sha256: &Sha256| sha256.to_string().starts_with(&format!("{part:02x}"));
        let page =
            state.blobs.iter().filter(|(sha256, _)| in_part(sha256) && after.is_none_or(|after| **sha256 > after));
        Ok(page.take(PAGE).map(|(_, found)| found.clone()).collect())
    }

    async fn retire(&self, sha256: Sha256, untouched_for: Duration) -> Result<Retirement, KeyError> {
        Ok(self.state().retire(sha256, untouched_for))
    }

    async fn quarantine(&self, sha256: Sha256) -> Result<Option<ObjectKey>, KeyError> {
        let mut state = self.state();
        let key = state.blobs.remove(&sha256).map(|found| found.object.key);
        state.quarantined.extend(key.iter().map(ToString::to_string));
        Ok(key)
    }

    async fn disown(&self, holder: KeyHolder, key: &ObjectKey) -> Result<bool, KeyError> {
        let mut state = self.state();
        if let Some(outages) = state.outages.checked_sub(1) {
            state.outages = outages;
            return Err(KeyError::Unavailable("away".into()));
        }
        let ours = state.being_written.get_mut(key.as_str()).filter(|writing| writing.holder == holder);
        Ok(ours.map(|writing| writing.is_given_up = true).is_some())
    }

    async fn forget(&self, key: &ObjectKey) -> Result<(), KeyError> {
        self.state().being_written.remove(key.as_str());
        Ok(())
    }

    async fn take_abandoned(&self, holder: KeyHolder, begun_before: SystemTime) -> Result<Vec<OpenUpload>, KeyError> {
        let mut state = self.state();
        let mut taken = Vec::new();
        for key in state.abandoned(begun_before).into_iter().take(TAKEN) {
            let writing = state.being_written.get_mut(&key).unwrap();
            (writing.holder, writing.is_given_up, writing.is_swept) = (holder, false, true);
            taken.push(OpenUpload { key: ObjectKey::from_text(key), upload_id: writing.upload_id.clone() });
        }
        Ok(taken)
    }

    async fn count_abandoned(&self, begun_before: SystemTime) -> Result<u64, KeyError> {
        Ok(self.state().abandoned(begun_before).len() as u64)
    }

    async fn unknown(&self, keys: Vec<ObjectKey>) -> Result<Vec<ObjectKey>, KeyError> {
        let state = self.state();
        let is_blob = |key: &ObjectKey| state.blobs.values().any(|found| found.object.key == *key);
        let is_noted = |key: &str| {
            state.being_written.contains_key(key) || state.retired.contains_key(key) || state.quarantined.contains(key)
        };
        Ok(keys.into_iter().filter(|key| !is_blob(key) && !is_noted(key.as_str())).collect())
    }

    async fn expired(&self, retired_for: Duration, after: Option<&ObjectKey>) -> Result<Vec<RetiredObject>, KeyError> {
        let state = self.state();
        if state.is_held() {
            return Ok(Vec::new());
        }
        let is_due = |key: &str, at: SystemTime| {
            at + retired_for <= SystemTime::now() && after.is_none_or(|after| key > after.as_str())
        };
        let due = state.retired.iter().filter(|(key, (_, at))| is_due(key, *at)).take(PAGE);
        let due = due.map(|(key, (size_bytes, _))| (ObjectKey::from_text(key.clone()), *size_bytes));
        Ok(due.map(|(key, size_bytes)| RetiredObject { key, size_bytes }).collect())
    }

    async fn forget_retired(&self, key: &ObjectKey) -> Result<(), KeyError> {
        self.state().retired.remove(key.as_str());
        Ok(())
    }

    async fn hold(&self, holder: KeyHolder) -> Result<HoldId, KeyError> {
        let id = HoldId::random();
        self.state().holds.insert(id, holder);
        Ok(id)
    }

    async fn release(&self, hold: HoldId) -> Result<(), KeyError> {
        self.state().holds.remove(&hold);
        Ok(())
    }
}

impl KeyDatabase for MemoryKeys {
    type Keys = Self;

    async fn create() -> Self {
        Self::default()
    }

    fn keys(&self) -> Self {
        self.clone()
    }

    async fn reference(&self, object: &BlobObject) {
        self.reference_blob(object.sha256);
    }

    async fn unreference(&self, sha256: Sha256) {
        self.state().referenced.remove(&sha256);
    }

    async fn let_pass(&self, time: Duration) {
        self.make_older(time);
    }
}
