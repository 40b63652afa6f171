//! One upload that is under way, and what is known of it.
//!
//! Promises: an upload is either acknowledged or ended first, never both at once, so whoever was told that it goes on is
//! never told of one that the catalog does not have.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use linkgate_contract::{JobId, Sha256, UploadByLinkRequest};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::ports::{Fence, JobKey, JobRecord, JobRequest, JobState, JobView, Progress, UploadKey};
use super::{IngestError, PackageRequest, Upload};
use crate::budget::{Bounds, Owner, Tally};
use crate::sealing::{Sealed, Sealer};
use crate::trace::{self, Place};

/// Keys of one upload. Each request may bring one.
const MAX_KEYS: Bounds = Bounds { per_owner: 64, in_sum: 1_000 };

/// How far an upload is, as its own task sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It may yet be refused without having cost anything.
    Checking,
    /// It waits for its claim, or has it.
    Queued,
    Fetching,
    Storing,
    Ended,
}

/// What the catalog knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordState {
    /// Nothing.
    New,
    /// That it was accepted.
    Accepted,
    /// How it ended, unless it ended before it had begun in earnest.
    Ended,
}

/// Whether this process may work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClaimState {
    /// Not yet.
    Waiting,
    /// Since it claimed it.
    Held(Fence),
    /// Not any more: its work has ended.
    Left,
}

/// An upload that is under way.
pub struct Job<R = UploadByLinkRequest> {
    id: JobId,
    pub(super) upload: Upload<R>,
    /// The caller's own credential, as it may be written down.
    sealed: Option<Sealed>,
    created_ms: i64,
    /// 0 until then.
    started_ms: AtomicI64,
    pub(super) progress: Arc<Progress>,
    stage: watch::Sender<Stage>,
    claim: watch::Sender<ClaimState>,
    key: UploadKey,
    pub(super) cancel: CancellationToken,
    /// Another process has claimed it.
    pub(super) lost: CancellationToken,
    /// Somebody was told that it goes on, so it waits for its turn however long that takes.
    has_no_queue_timeout: AtomicBool,
    keys: Mutex<Vec<JobKey>>,
    keys_by_owner: Mutex<Tally<Owner>>,
    /// How often a process began to work on it.
    lives: AtomicU32,
    pub(super) record_state: tokio::sync::Mutex<RecordState>,
    /// Of its bytes, once all are here.
    sha256: OnceLock<Sha256>,
    /// Its span, for those of other requests to point at.
    place: OnceLock<Place>,
}

impl<R: PackageRequest> Job<R> {
    pub(super) fn new(id: JobId, upload: Upload<R>, created_ms: i64, record_state: RecordState) -> Self {
        Self {
            id,
            key: upload.key(),
            claim: watch::Sender::new(ClaimState::Waiting),
            upload,
            sealed: None,
            created_ms,
            started_ms: AtomicI64::new(0),
            progress: Arc::default(),
            stage: watch::Sender::new(Stage::Checking),
            cancel: CancellationToken::new(),
            lost: CancellationToken::new(),
            has_no_queue_timeout: AtomicBool::new(record_state == RecordState::Accepted),
            keys: Mutex::default(),
            keys_by_owner: Mutex::default(),
            lives: AtomicU32::new(0),
            record_state: tokio::sync::Mutex::new(record_state),
            sha256: OnceLock::new(),
            place: OnceLock::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Its bytes are here, and have this digest.
    pub(super) fn has_arrived(&self, sha256: Sha256) {
        // A package is published once.
        let _first = self.sha256.set(sha256);
    }

    /// Whether these may be its bytes: they are, or its own are not here.
    pub(super) fn may_be(&self, sha256: Sha256) -> bool {
        self.sha256.get().is_none_or(|own| *own == sha256)
    }

    /// When it was asked for.
    pub(super) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// What makes it the same as another one.
    pub(super) fn upload_key(&self) -> UploadKey {
        self.key
    }

    /// This process has claimed it. `false` if its work has ended meanwhile.
    pub(super) fn hand_claim(&self, fence: Fence) -> bool {
        self.claim.send_if_modified(|claim| {
            let waits = *claim != ClaimState::Left;
            if waits {
                *claim = ClaimState::Held(fence);
            }
            waits
        })
    }

    /// Waits until this process has claimed it.
    pub(super) async fn claimed(&self) {
        let mut claims = self.claim.subscribe();
        // The sender is this job's own.
        let _never_closed = claims.wait_for(|claim| matches!(claim, ClaimState::Held(_))).await;
    }

    /// What proves the claim, if there is one.
    pub(super) fn fence(&self) -> Option<Fence> {
        match *self.claim.borrow() {
            ClaimState::Held(fence) => Some(fence),
            ClaimState::Waiting | ClaimState::Left => None,
        }
    }

    /// Another process has claimed it, unless this one has a newer claim: whatever is still done for it here ends.
    pub(super) fn lose_claim_of(&self, fence: Fence) {
        if self.fence() == Some(fence) {
            self.lost.cancel();
        }
    }

    /// Its work has ended. The claim, if there was one, is to be given back.
    pub(super) fn leave(&self) -> Option<Fence> {
        match self.claim.send_replace(ClaimState::Left) {
            ClaimState::Held(fence) => Some(fence),
            ClaimState::Waiting | ClaimState::Left => None,
        }
    }

    /// The caller's own credential is sealed for it, if there is a key.
    pub(super) fn sealed_by(mut self, sealer: &Sealer) -> Self {
        self.sealed = self.upload.callers_own.as_ref().and_then(|own| sealer.seal(self.id, own));
        self
    }

    /// It has had so many lives before.
    pub(super) fn with_lives(self, lives: u32) -> Self {
        Self { lives: AtomicU32::new(lives), ..self }
    }

    /// This process begins to work on it.
    pub(super) fn begin_life(&self) {
        self.lives.fetch_add(1, Ordering::Relaxed);
    }

    /// The span of its work, which begins with this call.
    pub(super) fn span(&self) -> Span {
        let Upload { target, request, request_id, .. } = &self.upload;
        let (app, name) = (target.app.as_str(), target.module.as_str());
        let span = trace::upload(&self.id, request_id, app, name, &request.source());
        self.place.get_or_init(|| trace::place(&span));
        span
    }

    /// Says in the span of a request that it waits for this upload, which another one began.
    pub(super) fn link_span(&self) {
        if let Some(place) = self.place.get() {
            trace::link(place);
        }
    }

    /// Another key under which it is asked for.
    ///
    /// # Errors
    /// If there are too many of them, of this owner or in sum.
    pub(super) fn add_key(&self, key: JobKey, owner: &Owner) -> Result<(), IngestError> {
        // Nothing in here panics half-way.
        let mut by_owner = self.keys_by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        by_owner.check(owner, 1, MAX_KEYS).map_err(IngestError::TooManyKeys)?;
        by_owner.add(owner, 1);
        self.keys().push(key);
        Ok(())
    }

    pub(super) fn keys(&self) -> MutexGuard<'_, Vec<JobKey>> {
        // Nothing in here panics half-way.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reach(&self, stage: Stage) {
        if stage == Stage::Fetching {
            self.started_ms.store(now_ms(), Ordering::Relaxed);
        }
        self.stage.send_replace(stage);
    }

    pub(super) fn has_reached(&self, stage: Stage) -> bool {
        *self.stage.borrow() >= stage
    }

    /// Waits until it is past that stage.
    pub(super) async fn is_past(&self, stage: Stage) {
        let mut stages = self.stage.subscribe();
        // The sender is this job's own.
        let _never_closed = stages.wait_for(|now| *now > stage).await;
    }

    /// Resolves when its stage changes. The last stage never does.
    pub async fn changed(&self) {
        let now = *self.stage.borrow();
        self.is_past(now).await;
    }

    /// Whoever was told that it goes on waits for its turn however long that takes.
    pub(super) fn lift_queue_timeout(&self) {
        self.has_no_queue_timeout.store(true, Ordering::Relaxed);
    }

    /// Nobody could be told so.
    pub(super) fn restore_queue_timeout(&self) {
        self.has_no_queue_timeout.store(false, Ordering::Relaxed);
    }

    /// Whether somebody was told that it goes on.
    pub(super) fn goes_on(&self) -> bool {
        self.has_no_queue_timeout.load(Ordering::Relaxed)
    }

    /// Resolves when it has waited long enough.
    pub(super) async fn queue_timed_out(&self, timeout: Duration) {
        loop {
            tokio::time::sleep(timeout).await;
            if !self.goes_on() {
                return;
            }
        }
    }

    /// What is known of it while it has not ended.
    #[must_use]
    pub fn view(&self) -> JobView {
        let state = match *self.stage.borrow() {
            Stage::Checking | Stage::Queued => JobState::Queued,
            Stage::Fetching => JobState::Fetching,
            Stage::Storing | Stage::Ended => JobState::Storing,
        };
        let started_ms = self.started_ms.load(Ordering::Relaxed);
        JobView {
            id: self.id,
            target: self.upload.target.clone(),
            state,
            received_bytes: self.progress.received(),
            total_bytes: self.progress.total(),
            attempts: self.progress.attempts(),
            created_ms: self.created_ms,
            started_ms: (started_ms > 0).then_some(started_ms),
            ended_ms: None,
            end: None,
        }
    }

    pub(super) fn record(&self) -> JobRecord {
        let Upload { request, caller_app, operator, tenant, allowance, request_id, client_address, .. } = &self.upload;
        let request = JobRequest {
            body: request.to_json(),
            allowance: allowance.clone(),
            source_url: request.source(),
            caller_app: caller_app.clone(),
            operator: operator.clone(),
            tenant: tenant.clone(),
            request_id: request_id.clone(),
            client_address: client_address.clone(),
            sealed: self.sealed.clone(),
        };
        let (lives, upload_key) = (self.lives.load(Ordering::Relaxed), Some(self.key));
        let (keys, is_queued) = (self.keys().clone(), R::IS_QUEUED);
        JobRecord { view: self.view(), request, keys, lives, upload_key, is_queued }
    }
}

/// Milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
