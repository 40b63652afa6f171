//! What every adapter of the ports must do: one suite of tests, generic over them. An adapter is named to it with
//! [`conformance_tests!`].
//!
//! No test here waits for a time to pass on a clock: leases that must hold are long, and whoever waits for one to run out
//! waits as long as that takes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use linkgate_archive::{Format, Package};
use linkgate_contract::{
    AppCode, CallerApp, CredentialName, JobId, ModuleName, ModuleRef, Operator, PackageId, PackageVersion, PinName,
    Sha256, SignedNonce, TenantId,
};

use crate::budget::{Bounds, Exhausted, Owner};
use crate::conditions::{Conditions, NotMet, Tag, Tags};
use crate::ingest::ports::{
    Actor, BeatReply, BlobError, BlobReader as _, BlobStore, BlobWriter as _, BytesFrom, Catalog, CatalogError,
    CatalogReader, Change, Changes, Claim, Count, Enqueued, EventQuery, Failure, Fetched, FileState, FinishedBlob as _,
    Heartbeat, HolderId, JobEnd, JobKey, JobQueue, JobRecord, JobRequest, JobState, JobView, Listed, Liveness,
    Maintenance, NewJob, NewPackage, NewPin, NonceError, Origin, PackageFilter, PackageKey, PackageOrder, PackageQuery,
    PackageReader, PackageSums, Provenance, QueueError, QuotaClaim, Sums, TimeSpan, UploadKey, UsedNonces,
};
use crate::ingest::{Allowance, now_ms};
use crate::sealing::Sealed;
use crate::settings::{QueueLimits, Quota, QuotaLimits};
use crate::testing::{example_target, queued_view};

/// Adapters over storage of their own, empty at first.
#[allow(async_fn_in_trait, reason = "tests await them where they call them")]
pub trait Adapters: Sized {
    /// The blobs.
    type Blobs: BlobStore;
    /// Packages and jobs.
    type Catalog: Changes + JobQueue + UsedNonces;

    /// What is not here that they need, if something is not.
    fn missing() -> Option<&'static str> {
        None
    }
    /// Makes them.
    async fn create(limits: QueueLimits) -> Self;
    /// As another process would find them after this one has died.
    async fn reopen(self, limits: QueueLimits) -> Self;
    /// The blobs.
    fn blobs(&self) -> Self::Blobs;
    /// Packages and jobs.
    fn catalog(&self) -> Self::Catalog;
}

/// Few of everything, and leases that hold.
pub const LIMITS: QueueLimits = QueueLimits {
    running: 3,
    per_host: 2,
    per_app: 2,
    queued: 2,
    queued_per_app: 2,
    resumed: 9,
    ended: Bounds { per_owner: 100, in_sum: 1_000 },
    nonces: Bounds { per_owner: 100, in_sum: 1_000 },
    queue_timeout: Duration::from_secs(10),
    lease: Duration::from_secs(3_600),
};

/// A job like no other one, unless its key says so. All are for one application, whoever calls.
#[must_use]
pub fn job(number: u8, host: &str, caller: &str) -> NewJob {
    let id = JobId::from_uuid(uuid::Uuid::now_v7());
    let view = queued_view(id, example_target());
    let request = JobRequest {
        body: format!("{{\"number\":{number}}}"),
        allowance: Allowance { credentials: vec![CredentialName::new("nexus").unwrap()], ..Allowance::default() },
        source_url: format!("https://{host}/{number}"),
        caller_app: Some(CallerApp::new(caller).unwrap()),
        operator: Operator::new("admin").unwrap(),
        tenant: Some(TenantId::new("system").unwrap()),
        request_id: String::new(),
        client_address: "192.0.2.7".to_owned(),
        sealed: Some(Sealed::from_bytes(vec![number, 0, 255])),
    };
    NewJob {
        record: JobRecord { view, request, keys: Vec::new(), lives: 0, upload_key: None, is_queued: true },
        key: UploadKey(Sha256::from_bytes([number; 32])),
        host: host.to_owned(),
        is_resumed: false,
    }
}

fn id(job: &NewJob) -> JobId {
    job.record.view.id
}

/// A job has failed.
#[must_use]
pub fn failed() -> JobEnd {
    JobEnd::Failed(Failure::from_problem(&linkgate_contract::Problem::new(linkgate_contract::ErrorCode::Internal)))
}

async fn enqueue(queue: &impl JobQueue, job: &NewJob) {
    assert_eq!(queue.enqueue(job.clone()).await.unwrap(), Enqueued::Queued);
}

/// A claim of a job that may run now.
async fn claim(queue: &impl JobQueue, holder: HolderId) -> Claim {
    queue.claim(holder).await.unwrap()
}

/// Whether nothing can be claimed now: whoever asks still waits when everything else that can happen has happened.
async fn nothing_to_claim(queue: &impl JobQueue) -> bool {
    let waiting = queue.clone();
    let task = tokio::spawn(async move { waiting.claim(HolderId::random()).await.unwrap() });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let waits = !task.is_finished();
    task.abort();
    let _aborted_or_claimed = task.await;
    waits
}

/// Each limit holds, and a job that ends frees its permit.
pub async fn limits_hold<A: Adapters>() {
    for (running, per_host, per_app) in [(1, 9, 9), (9, 1, 9), (9, 9, 1)] {
        let adapters = A::create(QueueLimits { running, per_host, per_app, ..LIMITS }).await;
        let (queue, holder) = (adapters.catalog(), HolderId::random());
        let [first, second] = [job(1, "h", "a"), job(2, "h", "a")];
        enqueue(&queue, &first).await;
        enqueue(&queue, &second).await;
        let claimed = claim(&queue, holder).await;
        assert_eq!(claimed.record.view.id, id(&first));
        assert!(nothing_to_claim(&queue).await, "{running} {per_host} {per_app}");
        queue.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
        assert_eq!(claim(&queue, holder).await.record.view.id, id(&second));
    }
}

/// Who waits is claimed in turn, and a busy host holds nobody else up; what does not fit is refused.
pub async fn turns_are_kept<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (queue, holder) = (adapters.catalog(), HolderId::random());
    let jobs = [job(1, "h", "a"), job(2, "h", "b"), job(3, "h", "c"), job(4, "i", "c"), job(5, "i", "d")];
    for job in &jobs {
        enqueue(&queue, job).await;
    }
    let mut full = job(6, "i", "e");
    assert!(matches!(queue.enqueue(full.clone()).await, Err(QueueError::Full(Exhausted::Sum { bound: 2 }))));
    full.is_resumed = true;
    enqueue(&queue, &full).await;
    let mut claims = Vec::new();
    for _ in 0..3 {
        claims.push(claim(&queue, holder).await);
    }
    let order: Vec<_> = claims.iter().map(|claim| claim.record.view.id).collect();
    assert_eq!(order, [id(&jobs[0]), id(&jobs[1]), id(&jobs[3])], "the third waits for its host and holds nobody up");
    let ended = claims.pop().unwrap();
    queue.finish(ended.record, failed(), Some(ended.fence)).await.unwrap();
    assert_eq!(claim(&queue, holder).await.record.view.id, id(&jobs[4]));
    let ended = claims.swap_remove(0);
    queue.release(ended.record.view.id, Some(ended.fence));
    assert_eq!(claim(&queue, holder).await.record.view.id, id(&jobs[2]));
}

/// A caller at its share leaves the rest of the queue to others, and goes behind those who have fewer jobs at work.
pub async fn callers_have_shares<A: Adapters>() {
    let limits = QueueLimits { running: 2, per_app: 2, queued: 4, queued_per_app: 2, ..LIMITS };
    let adapters = A::create(limits).await;
    let (queue, holder) = (adapters.catalog(), HolderId::random());
    let greedy = [1, 2, 3, 4].map(|number| job(number, &number.to_string(), "a"));
    for job in &greedy {
        enqueue(&queue, job).await;
    }
    let over = queue.enqueue(job(5, "5", "a")).await;
    assert!(matches!(over, Err(QueueError::Full(Exhausted::Owner { bound: 2 }))), "{over:?}");
    let modest = job(6, "6", "b");
    enqueue(&queue, &modest).await;
    let first = claim(&queue, holder).await;
    claim(&queue, holder).await;
    queue.finish(first.record, failed(), Some(first.fence)).await.unwrap();
    assert_eq!(claim(&queue, holder).await.record.view.id, id(&modest), "it came last and has none at work");
    assert!(queue.withdraw(id(&greedy[2])).await.unwrap());
    enqueue(&queue, &job(5, "5", "a")).await;
}

/// A job that was accepted counts for its caller until it ends, whoever works on it after a restart.
pub async fn accepted_jobs_count_for_their_caller<A: Adapters>() {
    let limits = QueueLimits { running: 1, queued: 4, queued_per_app: 1, ..LIMITS };
    let adapters = A::create(limits).await;
    let queue = adapters.catalog();
    for accepted in [job(1, "h", "a"), job(2, "h", "a")] {
        enqueue(&queue, &accepted).await;
        queue.accept(accepted.record).await.unwrap();
    }
    let over = queue.enqueue(job(3, "h", "a")).await;
    assert!(matches!(over, Err(QueueError::Full(Exhausted::Owner { bound: 1 }))), "{over:?}");
    drop(queue);
    let adapters = adapters.reopen(limits).await;
    let queue = adapters.catalog();
    for (number, record) in [1, 2].into_iter().zip(queue.unfinished().await.unwrap()) {
        enqueue(&queue, &NewJob { record, is_resumed: true, ..job(number, "h", "nobody") }).await;
    }
    let over = queue.enqueue(job(3, "h", "a")).await;
    assert!(matches!(over, Err(QueueError::Full(Exhausted::Owner { bound: 1 }))), "{over:?}");
    enqueue(&queue, &job(4, "h", "b")).await;
    let claimed = claim(&queue, HolderId::random()).await;
    queue.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
    claim(&queue, HolderId::random()).await;
}

/// Jobs that are taken up again begin a few at a time, those that were begun least often first, and more as they end; others
/// are not held up by them.
pub async fn resumed_jobs_begin_a_few_at_a_time<A: Adapters>() {
    let limits =
        QueueLimits { running: 9, per_app: 9, per_host: 9, queued: 9, queued_per_app: 9, resumed: 1, ..LIMITS };
    let adapters = A::create(limits).await;
    let (queue, holder) = (adapters.catalog(), HolderId::random());
    let [once, twice, never] = [1, 2, 3].map(|number| job(number, "h", "a"));
    for accepted in [&once, &twice, &never] {
        enqueue(&queue, accepted).await;
        queue.accept(accepted.record.clone()).await.unwrap();
    }
    for begun in [&once, &twice, &twice, &never] {
        queue.begin_life(id(begun)).await.unwrap();
    }
    queue.give_life_back(id(&never)).await.unwrap();
    drop(queue);
    let adapters = adapters.reopen(limits).await;
    let queue = adapters.catalog();
    let left = queue.unfinished().await.unwrap();
    let told: Vec<_> = left.iter().map(|record| (record.view.id, record.lives)).collect();
    assert_eq!(told, [(id(&never), 0), (id(&once), 1), (id(&twice), 2)]);
    for (number, record) in [3, 1, 2].into_iter().zip(left) {
        enqueue(&queue, &NewJob { record, is_resumed: true, ..job(number, "h", "a") }).await;
    }
    let first = claim(&queue, holder).await;
    assert_eq!(first.record.view.id, id(&never));
    assert!(nothing_to_claim(&queue).await, "one at a time");
    let other = job(4, "h", "a");
    enqueue(&queue, &other).await;
    assert_eq!(claim(&queue, holder).await.record.view.id, id(&other), "it was not taken up again");
    queue.finish(first.record, failed(), Some(first.fence)).await.unwrap();
    let next = [claim(&queue, holder).await, claim(&queue, holder).await];
    assert_eq!(next.map(|claim| claim.record.view.id), [id(&once), id(&twice)], "one has ended well, so two may run");
}

/// Of jobs that have ended, the latest are remembered, of each caller and in sum, with their keys.
pub async fn so_many_ended_jobs_are_remembered<A: Adapters>() {
    let ended = Bounds { per_owner: 2, in_sum: 3 };
    let adapters = A::create(QueueLimits { ended, ..LIMITS }).await;
    let queue = adapters.catalog();
    let end = async |number: u8, caller: &str| {
        let new = job(number, "h", caller);
        enqueue(&queue, &new).await;
        let claimed = claim(&queue, HolderId::random()).await;
        queue.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
        id(&new)
    };
    let of_greedy = [end(1, "a").await, end(2, "a").await, end(3, "a").await];
    assert_eq!(queue.find_job(of_greedy[0]).await.unwrap(), None, "the caller's oldest");
    for job in &of_greedy[1..] {
        assert!(queue.find_job(*job).await.unwrap().is_some());
    }
    let of_others = [end(4, "b").await, end(5, "c").await];
    let mut left = Vec::new();
    for job in of_greedy.iter().chain(&of_others) {
        left.extend(queue.find_job(*job).await.unwrap().map(|view| view.id));
    }
    assert_eq!(left, [of_greedy[2], of_others[0], of_others[1]], "the oldest of all");
    let runs = job(6, "h", "a");
    enqueue(&queue, &runs).await;
    queue.accept(runs.record.clone()).await.unwrap();
    claim(&queue, HolderId::random()).await;
    for number in [7, 8, 9] {
        end(number, "a").await;
    }
    assert!(queue.find_job(id(&runs)).await.unwrap().is_some(), "it has not ended");
}

/// Who gave up waiting takes no place, neither in the queue nor beyond it.
pub async fn withdrawn_jobs_are_gone<A: Adapters>() {
    let adapters = A::create(QueueLimits { running: 1, queued: 1, ..LIMITS }).await;
    let queue = adapters.catalog();
    let [runs, waits, next] = [job(1, "h", "a"), job(2, "h", "a"), job(3, "h", "a")];
    enqueue(&queue, &runs).await;
    enqueue(&queue, &waits).await;
    assert!(matches!(queue.enqueue(next.clone()).await, Err(QueueError::Full(Exhausted::Sum { bound: 1 }))));
    assert!(queue.withdraw(id(&waits)).await.unwrap() && !queue.withdraw(id(&waits)).await.unwrap());
    enqueue(&queue, &next).await;
    let claimed = claim(&queue, HolderId::random()).await;
    assert!(!queue.withdraw(id(&runs)).await.unwrap(), "it is claimed");
    queue.release(id(&runs), Some(claimed.fence));
    assert_eq!(claim(&queue, HolderId::random()).await.record.view.id, id(&next));
}

/// Equal uploads are one job until it has ended, and a key stands for one request.
pub async fn equal_uploads_are_one_job<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let queue = adapters.catalog();
    let key = JobKey { key: Sha256::from_bytes([7; 32]), fingerprint: Sha256::from_bytes([1; 32]) };
    let mut first = job(1, "h", "a");
    first.record.keys.push(key);
    enqueue(&queue, &first).await;
    assert_eq!(queue.enqueue(job(1, "h", "a")).await.unwrap(), Enqueued::Joined(id(&first)));
    let mut same_key = job(2, "h", "a");
    same_key.record.keys.push(key);
    assert_eq!(queue.enqueue(same_key.clone()).await.unwrap(), Enqueued::Joined(id(&first)));
    same_key.record.keys[0].fingerprint = Sha256::from_bytes([2; 32]);
    assert!(matches!(queue.enqueue(same_key.clone()).await, Err(QueueError::KeyReused)));
    let claimed = claim(&queue, HolderId::random()).await;
    assert_eq!(queue.enqueue(job(1, "h", "a")).await.unwrap(), Enqueued::Joined(id(&first)), "it runs");
    queue.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
    enqueue(&queue, &job(1, "h", "a")).await;
    enqueue(&queue, &same_key).await;
    assert_eq!(queue.find_job_by_key(key.key, 0).await.unwrap(), None, "the keys of what failed are free");
}

/// A claim without heartbeats runs out: the job is claimed again, and the old claim can neither end nor record anything.
pub async fn old_claims_are_fenced<A: Adapters>() {
    let adapters = A::create(QueueLimits { lease: Duration::from_millis(1), ..LIMITS }).await;
    let (catalog, first) = (adapters.catalog(), job(1, "h", "a"));
    enqueue(&catalog, &first).await;
    let old = claim(&catalog, HolderId::random()).await;
    let new = claim(&catalog, HolderId::random()).await;
    assert_eq!((old.record.view.id, new.record.view.id), (id(&first), id(&first)));
    assert_ne!(old.fence, new.fence);
    let beat = |claim: &Claim| Heartbeat { fence: claim.fence, view: claim.record.view.clone() };
    assert_eq!(catalog.heartbeat(vec![beat(&old)]).await.unwrap(), [BeatReply::Lost]);
    let ended = catalog.finish(old.record.clone(), failed(), Some(old.fence)).await;
    assert!(matches!(ended, Err(QueueError::Fenced)), "{ended:?}");
    let recorded = catalog.record(package(b"late", "1"), old.record.clone(), Some(old.fence)).await;
    assert!(matches!(recorded, Err(CatalogError::Fenced)), "{recorded:?}");
    assert!(!catalog.has_live(&example_target(), &PackageVersion::new("1").unwrap()).await.unwrap());
    assert_eq!(catalog.find_job(id(&first)).await.unwrap(), None, "nothing was recorded");
    catalog.release(id(&first), Some(old.fence));
    // It may have run out meanwhile, too: whoever has claimed it last may end it.
    let last = match catalog.heartbeat(vec![beat(&new)]).await.unwrap()[0] {
        BeatReply::Lost => claim(&catalog, HolderId::random()).await,
        _ => new,
    };
    end_by_last_claim(&catalog, last).await;
    assert!(catalog.has_live(&example_target(), &PackageVersion::new("1").unwrap()).await.unwrap());
}

/// With leases as short as these, somebody must claim again what has run out until the end is recorded.
async fn end_by_last_claim(catalog: &(impl Catalog + JobQueue), mut last: Claim) {
    loop {
        match catalog.record(package(b"in time", "1"), last.record.clone(), Some(last.fence)).await {
            Ok(_) => return,
            Err(CatalogError::Fenced) => last = claim(catalog, HolderId::random()).await,
            Err(e) => panic!("{e}"),
        }
    }
}

/// Heartbeats extend a claim, show how far the job is, and bring the request to cancel it.
pub async fn heartbeats_tell_progress_and_cancellation<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let queue = adapters.catalog();
    let (first, second) = (job(1, "h", "a"), job(2, "i", "b"));
    assert!(queue.watch(id(&first)).await.unwrap().is_none() && !queue.cancel(id(&first)).await.unwrap());
    enqueue(&queue, &first).await;
    let mut watched = queue.watch(id(&first)).await.unwrap().unwrap();
    assert_eq!(watched.borrow_and_update().state, JobState::Queued);
    let claimed = claim(&queue, HolderId::random()).await;
    let view = JobView { state: JobState::Fetching, received_bytes: 7, ..claimed.record.view.clone() };
    let beat = || vec![Heartbeat { fence: claimed.fence, view: view.clone() }];
    assert_eq!(queue.heartbeat(beat()).await.unwrap(), [BeatReply::Extended]);
    watched.changed().await.unwrap();
    assert_eq!(*watched.borrow_and_update(), view);
    assert!(queue.cancel(id(&first)).await.unwrap());
    assert_eq!(queue.heartbeat(beat()).await.unwrap(), [BeatReply::CancelRequested]);
    let JobEnd::Failed(failure) = failed() else { unreachable!() };
    queue.finish(claimed.record.clone(), JobEnd::Cancelled(failure), Some(claimed.fence)).await.unwrap();
    let ended = watched.wait_for(|view| view.end.is_some()).await.unwrap().clone();
    assert_eq!(ended.state, JobState::Cancelled);
    assert_eq!(queue.find_job(id(&first)).await.unwrap().unwrap().state, JobState::Cancelled);
    assert!(!queue.cancel(id(&first)).await.unwrap(), "it has ended");
    assert_eq!(queue.heartbeat(beat()).await.unwrap(), [BeatReply::Lost]);
    enqueue(&queue, &second).await;
    assert!(queue.cancel(id(&second)).await.unwrap());
    assert!(claim(&queue, HolderId::random()).await.is_cancelled, "it was cancelled while it waited");
}

/// A job that was accepted and is given up is claimed again, with all that it takes; every other one is gone. Where there are several
/// processes, others have it first.
pub async fn accepted_jobs_are_claimed_again<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (queue, holder) = (adapters.catalog(), HolderId::random());
    let (accepted, other) = (job(1, "h", "a"), job(2, "h", "a"));
    enqueue(&queue, &accepted).await;
    queue.accept(accepted.record.clone()).await.unwrap();
    let first = claim(&queue, holder).await;
    for counted in [1, 1, 2] {
        queue.begin_life(id(&accepted)).await.unwrap();
        if counted == 1 {
            queue.give_life_back(id(&accepted)).await.unwrap();
        }
    }
    enqueue(&queue, &other).await;
    let unwanted = claim(&queue, holder).await;
    queue.release(id(&other), Some(unwanted.fence));
    queue.release(id(&accepted), Some(first.fence));
    let again = claim(&queue, holder).await;
    assert_eq!((again.record.view.id, &again.record.request), (id(&accepted), &accepted.record.request));
    assert_eq!(again.record.lives, 1, "two were given back");
    assert!(again.fence != first.fence);
    queue.release(id(&accepted), Some(first.fence));
    let beat = Heartbeat { fence: again.fence, view: again.record.view.clone() };
    assert_eq!(queue.heartbeat(vec![beat]).await.unwrap(), [BeatReply::Extended], "an old claim gives nothing up");
    queue.finish(again.record, failed(), Some(again.fence)).await.unwrap();
    queue.release(id(&accepted), Some(again.fence));
    assert!(nothing_to_claim(&queue).await, "one has ended, and of the other nobody was told");
}

/// The same of one that was given up before it was claimed.
pub async fn accepted_jobs_that_were_withdrawn_are_queued_again<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (queue, holder) = (adapters.catalog(), HolderId::random());
    let running = [job(1, "h", "a"), job(2, "h", "a")];
    for job in &running {
        enqueue(&queue, job).await;
    }
    let first = claim(&queue, holder).await;
    claim(&queue, holder).await;
    let waits = job(3, "h", "a");
    enqueue(&queue, &waits).await;
    queue.accept(waits.record.clone()).await.unwrap();
    assert!(queue.withdraw(id(&waits)).await.unwrap());
    queue.release(first.record.view.id, Some(first.fence));
    assert!(nothing_to_claim(&queue).await, "it is its own task's");
    queue.release(id(&waits), None);
    assert_eq!(claim(&queue, holder).await.record.view.id, id(&waits));
}

/// A job that was accepted outlives the process that worked on it; every other one does not.
pub async fn accepted_jobs_outlive_their_process<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let queue = adapters.catalog();
    let (mut accepted, other) = (job(1, "h", "a"), job(2, "h", "a"));
    accepted.record.keys.push(JobKey { key: Sha256::from_bytes([7; 32]), fingerprint: Sha256::from_bytes([1; 32]) });
    enqueue(&queue, &accepted).await;
    enqueue(&queue, &other).await;
    queue.accept(accepted.record.clone()).await.unwrap();
    claim(&queue, HolderId::random()).await;
    assert!(queue.unfinished().await.unwrap().is_empty(), "it is worked on");
    drop(queue);
    let adapters = adapters.reopen(LIMITS).await;
    let queue = adapters.catalog();
    let left = queue.unfinished().await.unwrap();
    assert_eq!(left.iter().map(|record| record.view.id).collect::<Vec<_>>(), [id(&accepted)]);
    assert_eq!(left[0].request, accepted.record.request);
    assert_eq!(
        queue.find_job_by_key(Sha256::from_bytes([7; 32]), 0).await.unwrap(),
        Some((id(&accepted), Sha256::from_bytes([1; 32])))
    );
    assert_eq!(queue.find_job(id(&other)).await.unwrap(), None);
    let again = NewJob { record: left[0].clone(), is_resumed: true, ..accepted.clone() };
    enqueue(&queue, &again).await;
    let claimed = claim(&queue, HolderId::random()).await;
    queue.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
    assert!(queue.unfinished().await.unwrap().is_empty());
    assert_eq!(queue.expire_jobs(i64::MAX).await.unwrap(), 1);
    assert_eq!(queue.find_job(id(&accepted)).await.unwrap(), None);
}

fn digest(bytes: &[u8]) -> Sha256 {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    Sha256::from_bytes(digest)
}

fn fetched() -> Fetched {
    Fetched {
        final_url: "https://mirror.example/a.tgz".to_owned(),
        etag: Some("\"v1\"".to_owned()),
        last_modified: None,
        has_marked_end: true,
    }
}

/// A package with these bytes.
#[must_use]
pub fn package(bytes: &[u8], version: &str) -> NewPackage {
    NewPackage {
        target: example_target(),
        registers_module: true,
        version: PackageVersion::new(version).unwrap(),
        package_name: format!("package:{version}"),
        size_bytes: bytes.len() as u64,
        sha256: digest(bytes),
        package: Package {
            format: Format::Opaque,
            relative_path: "./".to_owned(),
            meta_info: None,
            version: None,
            entries: 0,
            members: Vec::new(),
            unpacked_bytes: 0,
            proves_whole: true,
            version_fault: None,
        },
        provenance: Provenance { bytes: BytesFrom::Source(fetched()), ended_ms: now_ms(), statement: "{}".to_owned() },
        operator: Operator::new("admin").unwrap(),
        allow_overwrite: false,
        conditions: Conditions::default(),
        quota: Quota::default(),
    }
}

async fn write(blobs: &impl BlobStore, bytes: &'static [u8]) -> Sha256 {
    let mut writer = blobs.open_writer(None).await.unwrap();
    writer.write(Bytes::from_static(bytes)).await.unwrap();
    let finished = writer.finish().await.unwrap();
    let (sha256, size_bytes) = (finished.sha256(), finished.size_bytes());
    assert_eq!((&sha256, size_bytes), (&digest(bytes), bytes.len() as u64));
    blobs.commit(finished).await.unwrap();
    sha256
}

async fn read(blobs: &impl BlobStore, sha256: &Sha256, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let (mut reader, mut all) = (blobs.open(*sha256, range).await.unwrap(), Vec::new());
    while let Some(chunk) = reader.read_chunk(3).await.unwrap() {
        assert!((1..=3).contains(&chunk.len()));
        all.extend_from_slice(&chunk);
    }
    all
}

async fn list(blobs: &impl BlobStore, first_part: u8) -> HashSet<Sha256> {
    let (mut listed, mut all) = (blobs.list(first_part), HashSet::new());
    while let Some(one) = listed.recv().await {
        if let Listed::Blob(blob) = one.unwrap() {
            assert!(all.insert(blob.sha256), "listed twice");
        }
    }
    all
}

/// A blob is there once it is committed, whole and under its digest, and not before; it goes when it is deleted.
pub async fn blobs_are_committed_by_digest<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    check_commits(&adapters.blobs()).await;
}

/// For a blob store whose catalog is elsewhere: [`blobs_are_committed_by_digest`] with this one, which is empty.
pub async fn check_commits(blobs: &impl BlobStore) {
    let mut writer = blobs.open_writer(Some(8)).await.unwrap();
    writer.write(Bytes::from_static(b"one ")).await.unwrap();
    writer.write(Bytes::from_static(b"blob")).await.unwrap();
    let finished = writer.finish().await.unwrap();
    let sha256 = digest(b"one blob");
    assert!(blobs.stat(sha256).await.unwrap().is_none());
    assert!(matches!(blobs.open(sha256, None).await, Err(BlobError::NotFound)));
    assert!(blobs.commit(finished).await.unwrap(), "it is new");
    assert_eq!(blobs.stat(sha256).await.unwrap().unwrap().size_bytes, 8);
    assert_eq!(read(blobs, &sha256, None).await, b"one blob");
    assert_eq!(read(blobs, &sha256, Some(2..6)).await, b"e bl");
    assert_eq!(read(blobs, &sha256, Some(6..99)).await, b"ob");
    let mut again = blobs.open_writer(None).await.unwrap();
    again.write(Bytes::from_static(b"one blob")).await.unwrap();
    assert!(!blobs.commit(again.finish().await.unwrap()).await.unwrap(), "it is there already");
    let other = write(blobs, b"another").await;
    for first_part in [0, 200] {
        assert_eq!(list(blobs, first_part).await, HashSet::from([sha256, other]));
    }
    let hold = blobs.hold().await.unwrap();
    assert!(!blobs.delete(sha256).await.unwrap(), "somebody holds them all");
    drop(hold);
    assert!(blobs.delete(sha256).await.unwrap() && blobs.delete(sha256).await.unwrap());
    assert!(blobs.stat(sha256).await.unwrap().is_none());
    blobs.quarantine(other).await.unwrap();
    assert!(blobs.stat(other).await.unwrap().is_none() && list(blobs, 0).await.is_empty());
    blobs.check().await.unwrap();
}

/// What writers left that are gone is swept, and what a writer works on is not.
pub async fn abandoned_writers_leave_nothing<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    check_abandoned_writers(&adapters.blobs()).await;
}

/// For a blob store whose catalog is elsewhere: [`abandoned_writers_leave_nothing`] with this one, which is empty.
pub async fn check_abandoned_writers(blobs: &impl BlobStore) {
    let later = SystemTime::now() + Duration::from_secs(3_600);
    let mut writer = blobs.open_writer(None).await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    assert_eq!(blobs.sweep_abandoned(later, false).await.unwrap().files, 0, "it has an owner");
    writer.discard().await;
    let mut dropped = blobs.open_writer(None).await.unwrap();
    dropped.write(Bytes::from_static(b"whole")).await.unwrap();
    drop(dropped.finish().await.unwrap());
    assert_eq!(blobs.sweep_abandoned(later, false).await.unwrap().files, 0);
    assert!(list(blobs, 0).await.is_empty());
}

/// What a request wants to be true of a version is judged by the row that it would replace, and refused before anything else is.
pub async fn conditions_are_judged_where_a_package_is_recorded<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let record = |package: NewPackage| catalog.record(package, job(1, "h", "a").record, None);
    let version = PackageVersion::new("1").unwrap();
    assert_eq!(catalog.find_live(&example_target(), &version).await.unwrap(), None);
    let tags = |text: &str| Some(Tags::Of(vec![Tag { is_weak: false, text: text.to_owned() }]));
    let with = |bytes: &[u8], if_match: Option<Tags>, if_none_match: Option<Tags>| NewPackage {
        allow_overwrite: true,
        conditions: Conditions { if_match, if_none_match },
        ..package(bytes, "1")
    };
    let refused = async |package: NewPackage| {
        assert!(matches!(record(package).await, Err(CatalogError::Condition(NotMet))));
    };
    refused(with(b"first", Some(Tags::Any), None)).await;
    let first = record(with(b"first", None, Some(Tags::Any))).await.unwrap().row;
    let live = catalog.find_live(&example_target(), &version).await.unwrap().unwrap();
    assert_eq!((&live.row, live.revision), (&first, 1));
    refused(with(b"second", None, Some(Tags::Any))).await;
    refused(with(b"second", tags(&digest(b"other").to_string()), None)).await;
    refused(NewPackage { allow_overwrite: false, ..with(b"second", None, Some(Tags::Any)) }).await;
    assert_eq!(catalog.find_live(&example_target(), &version).await.unwrap(), Some(live.clone()));
    record(with(b"second", tags(&live.existing().tag()), None)).await.unwrap();
    refused(with(b"third", tags(&live.existing().tag()), None)).await;
    record(with(b"third", tags(&digest(b"second").to_string()), None)).await.unwrap();
    let live = catalog.find_live(&example_target(), &version).await.unwrap().unwrap();
    assert_eq!((live.row.id, live.revision, live.row.sha256), (first.id, 3, digest(b"third")));
}

/// What an upload has announced is counted no longer once it is recorded, although its upload has not ended yet.
pub async fn what_is_recorded_counts_once<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let quota = Quota { module: QuotaLimits { max_packages: Some(2), max_bytes: None }, ..Quota::default() };
    let jobs = [1, 2, 3].map(|number| (job(number, "h", "a").record, number.to_string()));
    let announce = async |(job, version): &(JobRecord, String)| {
        let (target, version) = (example_target(), PackageVersion::new(version).unwrap());
        catalog.reserve(QuotaClaim { job: job.view.id, target, version, bytes: 1, quota }).await
    };
    let record = async |(job, version): &(JobRecord, String)| {
        catalog.record(NewPackage { quota, ..package(version.as_bytes(), version) }, job.clone(), None).await
    };
    let [first, second, third] = &jobs;
    let _held = [announce(first).await.unwrap(), announce(second).await.unwrap()];
    assert!(matches!(announce(third).await, Err(CatalogError::QuotaExceeded(_))));
    record(first).await.unwrap();
    assert!(matches!(announce(third).await, Err(CatalogError::QuotaExceeded(_))));
    record(second).await.unwrap();
    assert!(matches!(record(third).await, Err(CatalogError::QuotaExceeded(_))));
}

/// Of a version there is one live row; overwriting tells what it replaced; a snapshot is one moment's.
pub async fn packages_are_recorded<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    catalog.check().await.unwrap();
    let record = |package: NewPackage| catalog.record(package, job(1, "h", "a").record, None);
    let first = record(package(b"first", "1")).await.unwrap();
    assert_eq!((first.row.version.as_str(), &first.replaced), ("1", &None));
    assert!(matches!(record(package(b"second", "1")).await, Err(CatalogError::AlreadyExists)));
    let overwriting = NewPackage { allow_overwrite: true, ..package(b"second", "1") };
    let second = record(overwriting).await.unwrap();
    assert_eq!((second.row.id, second.replaced), (first.row.id, Some(digest(b"first"))));
    assert!(!catalog.is_referenced(&digest(b"first")).await.unwrap());
    assert_eq!(catalog.reference(&digest(b"second")).await.unwrap().unwrap().rows, 1);
    assert_eq!(
        catalog.module_origin(&example_target()).await.unwrap().map(|origin| origin.takes_packages()),
        Some(true)
    );
    assert_eq!(catalog.find_damage().await.unwrap(), None);
    catalog.settle().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let snapshot = catalog.snapshot(&dir.path().join("snapshot")).await.unwrap();
    record(package(b"third", "2")).await.unwrap();
    let named: Vec<_> = snapshot.references_after("").await.unwrap().into_iter().map(|r| r.digest_text).collect();
    assert_eq!(named, [digest(b"second").to_string()]);
    assert_eq!(catalog.references_after("").await.unwrap().len(), 2);
}

/// Where no queue keeps uploads apart, a key goes to the first that is recorded, whichever applications they are for.
pub async fn a_key_goes_to_the_first_that_is_recorded<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let key = |number| JobKey { key: Sha256::from_bytes([number; 32]), fingerprint: Sha256::from_bytes([1; 32]) };
    let record = async |app: &str, keys: &[u8]| {
        let target = ModuleRef { app: AppCode::new(app).unwrap(), module: example_target().module };
        let mut job = job(1, "h", "a").record;
        job.view.target = target.clone();
        job.keys = keys.iter().map(|number| key(*number)).collect();
        job.is_queued = false;
        let recorded = catalog.record(NewPackage { target, ..package(b"bytes", "1") }, job.clone(), None).await;
        recorded.map(|_| job.view.id)
    };
    let (first, second) = tokio::join!(record("one", &[7]), record("other", &[7]));
    let done = match (first, second) {
        (Ok(done), Err(CatalogError::KeyTaken)) | (Err(CatalogError::KeyTaken), Ok(done)) => done,
        both => panic!("one of them has the key: {both:?}"),
    };
    assert_eq!(catalog.find_job_by_key(key(7).key, 0).await.unwrap(), Some((done, key(7).fingerprint)));
    let late = record("late", &[8, 7]).await;
    assert!(matches!(late, Err(CatalogError::KeyTaken)), "{late:?}");
    assert_eq!(catalog.find_job_by_key(key(8).key, 0).await.unwrap(), None, "nothing of it is recorded");
    assert_eq!(catalog.reference(&digest(b"bytes")).await.unwrap().unwrap().rows, 1);
    record("late", &[8]).await.unwrap();
}

/// Bytes are found again in the module that has them, with the upload that downloaded them, however often they are reused.
pub async fn stored_bytes_have_their_origin<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, downloaded, reused) = (adapters.catalog(), job(1, "h", "a"), job(2, "i", "b"));
    let (target, sha256) = (example_target(), digest(b"bytes"));
    assert_eq!(catalog.find_stored(&target, &sha256).await.unwrap(), None);
    catalog.record(package(b"bytes", "1"), downloaded.record.clone(), None).await.unwrap();
    let origin = Origin {
        job_id: id(&downloaded),
        url: "https://h/1".to_owned(),
        final_url: fetched().final_url,
        etag: fetched().etag,
        last_modified: None,
    };
    let stored = catalog.find_stored(&target, &sha256).await.unwrap().unwrap();
    assert_eq!((stored.size_bytes, &stored.origin), (5, &origin));
    let mut again = NewPackage { allow_overwrite: true, ..package(b"bytes", "1") };
    again.provenance.bytes = BytesFrom::Stored(stored.origin);
    catalog.record(again, reused.record.clone(), None).await.unwrap();
    assert_eq!(
        catalog.find_stored(&target, &sha256).await.unwrap().unwrap().origin,
        origin,
        "not the one that reused them"
    );
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target };
    assert_eq!(catalog.find_stored(&other, &sha256).await.unwrap(), None, "another module's");
}

/// Records these versions, each with other bytes.
async fn record_versions(catalog: &impl Catalog, versions: &[&str]) {
    for (number, version) in (0..).zip(versions) {
        let new = NewPackage { size_bytes: 100 - number, ..package(version.as_bytes(), version) };
        catalog.record(new, job(1, "h", "a").record, None).await.unwrap();
    }
}

/// The versions of a page, and how many there are in all.
async fn versions(catalog: &impl PackageReader, query: PackageQuery) -> (Vec<String>, Count) {
    let page = catalog.list_packages(&example_target(), &query).await.unwrap();
    (page.rows.into_iter().map(|row| row.version.as_str().to_owned()).collect(), page.count)
}

fn ordered(key: PackageKey, is_descending: bool) -> PackageQuery {
    PackageQuery { order: vec![PackageOrder { key, is_descending }], limit: 100, ..PackageQuery::default() }
}

fn filtered(filter: PackageFilter) -> PackageQuery {
    PackageQuery { filter, limit: 100, ..ordered(PackageKey::Id, false) }
}

/// Every order is total: what is equal is in the order of ids, and a walk shows each package once.
pub async fn packages_are_listed_in_order<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    record_versions(&catalog, &["1.10", "v1.9", "1.10-rc1", "1.2"]).await;
    let by_size = NewPackage { size_bytes: 99, ..package(b"x", "zz") };
    catalog.record(by_size, job(1, "h", "a").record, None).await.unwrap();
    for (key, expected) in [
        (PackageKey::Id, ["1.10", "v1.9", "1.10-rc1", "1.2", "zz"]),
        (PackageKey::Created, ["1.10", "v1.9", "1.10-rc1", "1.2", "zz"]),
        (PackageKey::Updated, ["1.10", "v1.9", "1.10-rc1", "1.2", "zz"]),
        (PackageKey::Version, ["1.10", "1.10-rc1", "1.2", "v1.9", "zz"]),
        (PackageKey::PackageName, ["1.10", "1.10-rc1", "1.2", "v1.9", "zz"]),
        (PackageKey::NaturalVersion, ["zz", "1.2", "v1.9", "1.10-rc1", "1.10"]),
        (PackageKey::PackageSize, ["1.2", "1.10-rc1", "v1.9", "zz", "1.10"]),
    ] {
        assert_eq!(versions(&catalog, ordered(key, false)).await.0, expected, "{key:?}");
        let mut reversed = expected;
        reversed.reverse();
        assert_eq!(versions(&catalog, ordered(key, true)).await.0, reversed, "{key:?}, the other way");
        let mut walked = Vec::new();
        for offset in 0.. {
            let one = PackageQuery { limit: 1, offset, ..ordered(key, false) };
            let page = catalog.list_packages(&example_target(), &one).await.unwrap();
            assert_eq!((page.count, page.has_more), (Count::Exactly(5), offset < 4));
            walked.extend(page.rows.into_iter().map(|row| row.version.as_str().to_owned()));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(walked, expected, "{key:?}, one by one");
    }
    let newest = PackageQuery { limit: 2, ..PackageQuery::default() };
    assert_eq!(versions(&catalog, newest).await, (vec!["zz".to_owned(), "1.2".to_owned()], Count::Exactly(5)));
}

/// A walk by ids goes on where it was, whatever came in meanwhile.
pub async fn walks_by_id_stay_where_they_are<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    record_versions(&catalog, &["1", "2", "3"]).await;
    let first = PackageQuery { limit: 2, ..ordered(PackageKey::Id, true) };
    let page = catalog.list_packages(&example_target(), &first).await.unwrap();
    let last = page.rows.last().unwrap().id;
    record_versions(&catalog, &["4", "5"]).await;
    let next = PackageQuery { before: Some(last), ..first };
    assert_eq!(versions(&catalog, next).await, (vec!["1".to_owned()], Count::Exactly(5)), "all are counted");
}

/// Each term must be found, as text and without regard to case; other filters take the very value.
pub async fn packages_are_found_by_what_they_are<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    record_versions(&catalog, &["1.0-RELEASE", "1.0%", "10_0", "100", "版本ÄÖÜ"]).await;
    let find = async |terms: &[&str]| {
        let terms = terms.iter().map(|term| (*term).to_owned()).collect();
        versions(&catalog, filtered(PackageFilter { terms, ..PackageFilter::default() })).await.0
    };
    for (terms, expected) in [
        (&["release"][..], &["1.0-RELEASE"][..]),
        (&["elea", "1.0"], &["1.0-RELEASE"]),
        (&["%"], &["1.0%"]),
        (&["0%"], &["1.0%"]),
        (&["_"], &["10_0"]),
        (&["1.0%"], &["1.0%"]),
        (&["package:10"], &["10_0", "100"]),
        (&["版本äöü"], &["版本ÄÖÜ"]),
        (&["äö"], &["版本ÄÖÜ"]),
        (&["版"], &["版本ÄÖÜ"]),
        (&["\""], &[]),
        (&["\\"], &[]),
        (&["1.0 OR 100"], &[]),
        (&["release", "%"], &[]),
        // The size of the first.
        (&["package:1.0", "100"], &["1.0-RELEASE"]),
        (&["RELEASEpackage"], &[]),
    ] {
        assert_eq!(find(terms).await, expected, "{terms:?}");
    }
    let find = |filter: PackageFilter| versions(&catalog, filtered(filter));
    let all = PackageFilter::default;
    let version = Some(PackageVersion::new("100").unwrap());
    for (filter, found) in [
        (PackageFilter { version: version.clone(), ..all() }, 1),
        (PackageFilter { package_name: Some("package:100".into()), ..all() }, 1),
        (PackageFilter { package_name: Some("package:10".into()), ..all() }, 0),
        (PackageFilter { sha256: Some(digest(b"100")), ..all() }, 1),
        (PackageFilter { sha256: Some(digest(b"100")), version: version.clone(), deletion: Liveness::All, ..all() }, 1),
        (PackageFilter { operator: Some(Operator::new("admin").unwrap()), ..all() }, 5),
        (PackageFilter { operator: Some(Operator::new("adm").unwrap()), ..all() }, 0),
        (PackageFilter { deletion: Liveness::All, ..all() }, 5),
        (PackageFilter { deletion: Liveness::Deleted, ..all() }, 0),
        (PackageFilter { is_pinned: Some(true), ..all() }, 0),
        (PackageFilter { is_pinned: Some(false), ..all() }, 5),
        (PackageFilter { created: TimeSpan { from_ms: Some(0), until_ms: Some(i64::MAX) }, ..all() }, 5),
        (PackageFilter { updated: TimeSpan { from_ms: None, until_ms: Some(1) }, ..all() }, 0),
    ] {
        let (rows, count) = find(filter.clone()).await;
        assert_eq!((rows.len(), count), (found, Count::Exactly(found as u64)), "{filter:?}");
    }
}

/// What is known of a package is told to its own module alone, and sums follow what is recorded.
pub async fn details_and_sums_are_of_the_module<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, target) = (adapters.catalog(), example_target());
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target.clone() };
    assert_eq!(catalog.package_sums(&target).await.unwrap(), PackageSums::default());
    let recorded = catalog.record(package(b"bytes", "1"), job(1, "h", "a").record, None).await.unwrap().row;
    let elsewhere = NewPackage { target: other.clone(), ..package(b"other bytes", "1") };
    catalog.record(elsewhere, job(2, "h", "a").record, None).await.unwrap();
    let detail = catalog.find_package(&target, recorded.id).await.unwrap().unwrap();
    assert_eq!((&detail.row, detail.revision, detail.format.as_deref()), (&recorded, 1, Some(Format::Opaque.name())));
    assert_eq!((detail.source.as_deref(), detail.entries, detail.pins.len()), (Some("https://h/1"), Some(0), 0));
    assert_eq!(catalog.find_package(&other, recorded.id).await.unwrap(), None, "it is of another module");
    let overwriting = NewPackage { allow_overwrite: true, ..package(b"more bytes", "1") };
    catalog.record(overwriting, job(3, "h", "a").record, None).await.unwrap();
    let changed = catalog.find_package(&target, recorded.id).await.unwrap().unwrap();
    assert_eq!((changed.revision, changed.row.size_bytes), (2, 10));
    let sums = |packages, bytes| Sums { packages, bytes, ..Sums::default() };
    assert_eq!(
        catalog.package_sums(&target).await.unwrap(),
        PackageSums { module: sums(1, 10), application: sums(2, 21) }
    );
    let events = catalog.list_events(&target, &EventQuery { limit: 10, ..EventQuery::default() }).await.unwrap();
    assert!(!events.has_more);
}

/// Modules are listed by name, each with its own sums, behind whichever was seen last.
pub async fn modules_are_listed_by_name<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, first) = (adapters.catalog(), example_target());
    assert_eq!(catalog.list_modules(None, 10).await.unwrap(), []);
    let module = |name: &str| ModuleRef { module: ModuleName::new(name).unwrap(), ..first.clone() };
    for (target, version) in [(module("web"), "1"), (module("web"), "2"), (module("api"), "1")] {
        let new = NewPackage { target, ..package(b"bytes", version) };
        catalog.record(new, job(1, "h", "a").record, None).await.unwrap();
    }
    let all = catalog.list_modules(None, 10).await.unwrap();
    let shown: Vec<_> = all.iter().map(|row| (row.target.clone(), row.sums.packages, row.sums.bytes)).collect();
    assert_eq!(shown, [(module("api"), 1, 5), (module("web"), 2, 10)]);
    assert_eq!(catalog.list_modules(None, 1).await.unwrap(), all[..1]);
    assert_eq!(catalog.list_modules(Some(&module("api")), 10).await.unwrap(), all[1..]);
    assert_eq!(catalog.list_modules(Some(&module("web")), 10).await.unwrap(), []);
}

/// Of packages on a page those are told that have a pin now, in their own module.
pub async fn pinned_packages_are_told<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, target) = (adapters.catalog(), example_target());
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target.clone() };
    record_versions(&catalog, &["1", "2", "3"]).await;
    let page = catalog.list_packages(&target, &ordered(PackageKey::Id, false)).await.unwrap();
    let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
    let actor = Actor { app: None, operator: None, request_id: String::new(), client_address: String::new() };
    for (id, until_ms) in [(ids[0], None), (ids[1], Some(1))] {
        let change = Change { target: target.clone(), id, conditions: Conditions::default(), actor: actor.clone() };
        let pin = NewPin {
            name: PinName::new("release").unwrap(),
            until_ms,
            protect_bytes: false,
            by: Operator::new("admin").unwrap(),
        };
        catalog.pin(&change, pin).await.unwrap();
    }
    assert_eq!(catalog.pinned_among(&target, &ids).await.unwrap(), [ids[0]], "the time of the other pin is over");
    assert_eq!(catalog.pinned_among(&target, &ids[1..]).await.unwrap(), []);
    assert_eq!(catalog.pinned_among(&target, &[]).await.unwrap(), []);
    assert_eq!(catalog.pinned_among(&other, &ids).await.unwrap(), [], "they are of another module");
}

/// Uploads of a module are listed, the latest first, if anybody was told of them or they have ended.
pub async fn jobs_are_listed_by_module<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (queue, target) = (adapters.catalog(), example_target());
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target.clone() };
    let [ended, accepted, untold] = [job(1, "h", "a"), job(2, "i", "b"), job(3, "j", "c")];
    queue.finish(ended.record.clone(), failed(), None).await.unwrap();
    enqueue(&queue, &accepted).await;
    queue.accept(accepted.record.clone()).await.unwrap();
    enqueue(&queue, &untold).await;
    let listed = async |target: &ModuleRef, limit| {
        let views = queue.list_jobs(target, limit).await.unwrap();
        views.into_iter().map(|view| (view.id, view.end.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(listed(&target, 10).await, [(id(&accepted), false), (id(&ended), true)]);
    assert_eq!(listed(&target, 1).await, [(id(&accepted), false)]);
    assert_eq!(listed(&other, 10).await, []);
}

/// A package is read by its number, in its own module alone, as it was recorded last.
pub async fn a_package_is_read_in_its_own_module_alone<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, target) = (adapters.catalog(), example_target());
    let first = catalog.record(package(b"first", "1"), job(1, "h", "a").record, None).await.unwrap().row;
    let again = NewPackage { allow_overwrite: true, ..package(b"again", "1") };
    let statement = again.provenance.statement.clone();
    catalog.record(again, job(2, "h", "a").record, None).await.unwrap();
    let file = catalog.find_file(&target, first.id).await.unwrap().unwrap();
    assert_eq!((file.sha256, file.size_bytes, file.state), (digest(b"again"), 5, FileState::Live));
    assert_eq!((file.version.as_str(), file.created_ms), ("1", first.created_ms));
    assert_eq!(catalog.find_statement(&target, first.id).await.unwrap(), Some(statement));
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target.clone() };
    for (target, id) in [(&other, first.id), (&target, PackageId::from_row(first.id.row() + 1))] {
        assert_eq!(catalog.find_file(target, id).await.unwrap(), None);
        assert_eq!(catalog.find_statement(target, id).await.unwrap(), None);
    }
}

fn nonce_until(number: u8, until: i64) -> SignedNonce {
    SignedNonce { digest: Sha256::from_bytes([number; 32]), until }
}

/// One that a gate takes for some more minutes.
fn nonce(number: u8) -> SignedNonce {
    nonce_until(number, now_ms() / 1_000 + 300)
}

fn app(code: &str) -> Owner {
    Owner::App(CallerApp::new(code).unwrap())
}

/// Of all who use up a nonce at once one is the first, and it stays so after the process has ended.
pub async fn a_nonce_serves_once<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let tries = (0..16).map(|n| {
        let catalog = catalog.clone();
        // What one caller uses up is used up for all: the nonce stands for its caller already.
        tokio::spawn(async move { catalog.use_nonce(&app(["a", "b"][n % 2]), nonce(1)).await })
    });
    let mut first = 0;
    for tried in tries.collect::<Vec<_>>() {
        match tried.await.unwrap() {
            Ok(()) => first += 1,
            Err(refused) => assert!(matches!(refused, NonceError::Used), "{refused}"),
        }
    }
    assert_eq!(first, 1);
    catalog.use_nonce(&app("a"), nonce(2)).await.unwrap();
    let catalog = adapters.reopen(LIMITS).await;
    let catalog = catalog.catalog();
    assert_eq!(catalog.expire_nonces().await.unwrap(), 0, "their time is not over");
    for number in [1, 2] {
        let again = catalog.use_nonce(&app("a"), nonce(number)).await;
        assert!(matches!(again, Err(NonceError::Used)), "{again:?}");
    }
    catalog.use_nonce(&app("a"), nonce(3)).await.unwrap();
}

/// One that comes later than any is remembered is refused, so what is forgotten never serves again.
pub async fn a_late_nonce_is_refused<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let over = now_ms() / 1_000 - SignedNonce::ON_ITS_WAY_S;
    for until in [over - 1, over - 3_600, 0] {
        let late = catalog.use_nonce(&app("a"), nonce_until(1, until)).await;
        assert!(matches!(late, Err(NonceError::Expired)), "{until}: {late:?}");
    }
    // Whose signature is too old by now was judged in time.
    catalog.use_nonce(&app("a"), nonce_until(1, over + 200)).await.unwrap();
}

/// So many are remembered of one caller, and of all; who used one up before is told so all the same.
pub async fn nonces_are_bounded<A: Adapters>() {
    let bounded = |per_owner, in_sum| QueueLimits { nonces: Bounds { per_owner, in_sum }, ..LIMITS };
    let adapters = A::create(bounded(3, 1_000)).await;
    let catalog = adapters.catalog();
    for number in 1..=3 {
        catalog.use_nonce(&app("a"), nonce(number)).await.unwrap();
    }
    let over = catalog.use_nonce(&app("a"), nonce(4)).await;
    assert!(matches!(over, Err(NonceError::Full(Exhausted::Owner { bound: 3 }))), "{over:?}");
    let again = catalog.use_nonce(&app("a"), nonce(3)).await;
    assert!(matches!(again, Err(NonceError::Used)), "{again:?}");
    catalog.use_nonce(&app("b"), nonce(4)).await.unwrap();
    // As many as there are: nobody's share helps.
    let adapters = adapters.reopen(bounded(3, 4)).await;
    let catalog = adapters.catalog();
    let over = catalog.use_nonce(&app("c"), nonce(5)).await;
    assert!(matches!(over, Err(NonceError::Full(Exhausted::Sum { bound: 4 }))), "{over:?}");
    let again = catalog.use_nonce(&app("b"), nonce(4)).await;
    assert!(matches!(again, Err(NonceError::Used | NonceError::Full(Exhausted::Sum { .. }))), "{again:?}");
}

/// Uploads of the very bytes that are being collected: no row is ever without its blob.
pub async fn publishing_and_collecting_lose_nothing<A: Adapters>() {
    const CONTENTS: [&[u8]; 3] = [b"a", b"b", b"c"];
    let adapters = A::create(LIMITS).await;
    let stop = Arc::new(AtomicBool::new(false));
    let gc = crate::maintenance::Gc::new(adapters.blobs(), adapters.catalog(), Duration::ZERO);
    let collecting = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut deleted = 0;
            while !stop.load(Ordering::Relaxed) {
                deleted += gc.run().await.unwrap().blobs;
                tokio::task::yield_now().await;
            }
            deleted
        })
    };
    for round in 0..60_usize {
        let (blobs, catalog, bytes) = (adapters.blobs(), adapters.catalog(), CONTENTS[round % 3]);
        let mut writer = blobs.open_writer(None).await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        let finished = writer.finish().await.unwrap();
        let lock = catalog.lock_blob(&digest(bytes)).await;
        blobs.commit(finished).await.unwrap();
        let overwriting = NewPackage { allow_overwrite: true, ..package(bytes, "1") };
        catalog.record(overwriting, job(1, "h", "a").record, None).await.unwrap();
        for reference in catalog.references_after("").await.unwrap() {
            let sha256 = reference.digest_text.parse::<Sha256>().unwrap();
            assert!(blobs.stat(sha256).await.unwrap().is_some(), "a row without its blob");
        }
        drop(lock);
    }
    stop.store(true, Ordering::Relaxed);
    collecting.await.unwrap();
    let left = list(&adapters.blobs(), 0).await;
    assert!(left.contains(&digest(CONTENTS[2])) && left.len() <= CONTENTS.len());
}

/// Names adapters to the suite: one test for each of its functions. With `of one process`, whose locks keep all others
/// apart, also what holds of blobs that get a name again, and of jobs that nobody else can claim; adapters of several processes need
/// blobs that never do.
#[macro_export]
macro_rules! conformance_tests {
    ($adapters:ty, of one process) => {
        $crate::conformance_tests! { $adapters }
        $crate::conformance_tests! { $adapters:
            publishing_and_collecting_lose_nothing, accepted_jobs_are_claimed_again,
            accepted_jobs_that_were_withdrawn_are_queued_again
        }
    };
    ($adapters:ty) => {
        $crate::conformance_tests! { $adapters:
            limits_hold, turns_are_kept, callers_have_shares, accepted_jobs_count_for_their_caller,
            resumed_jobs_begin_a_few_at_a_time, so_many_ended_jobs_are_remembered, withdrawn_jobs_are_gone, equal_uploads_are_one_job, old_claims_are_fenced,
            heartbeats_tell_progress_and_cancellation, accepted_jobs_outlive_their_process,
            blobs_are_committed_by_digest, abandoned_writers_leave_nothing, packages_are_recorded, a_key_goes_to_the_first_that_is_recorded, what_is_recorded_counts_once,
            conditions_are_judged_where_a_package_is_recorded,
            stored_bytes_have_their_origin, a_package_is_read_in_its_own_module_alone, packages_are_listed_in_order, walks_by_id_stay_where_they_are,
            packages_are_found_by_what_they_are, details_and_sums_are_of_the_module, a_nonce_serves_once, a_late_nonce_is_refused,
            nonces_are_bounded
        }
    };
    ($adapters:ty: $($test:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                match <$adapters as $crate::testing::conformance::Adapters>::missing() {
                    Some(missing) => println!("{missing}: nothing was tried"),
                    None => $crate::testing::conformance::$test::<$adapters>().await,
                }
            }
        )*
    };
}
