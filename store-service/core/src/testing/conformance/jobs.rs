//! Jobs: who may work on which, and what outlives whom.

use std::time::Duration;

use linkgate_contract::{ModuleName, ModuleRef, PackageVersion, Sha256};
use serde_json::json;

use super::{Adapters, LIMITS, claim, enqueue, failed, id, job, nothing_to_claim, package};
use crate::budget::{Bounds, Exhausted};
use crate::ingest::ports::{
    BeatReply, Catalog, CatalogError, Claim, Enqueued, Heartbeat, HolderId, JobEnd, JobKey, JobQueue, JobRecord,
    JobRequest, JobState, JobView, Maintenance as _, NewJob, QueueError,
};
use crate::settings::QueueLimits;
use crate::testing::example_target;

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

/// The same of one that has no place on the queue yet, since its process has only just begun.
pub async fn accepted_jobs_in_hand_are_queued_when_they_are_given_up<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (queue, in_hand) = (adapters.catalog(), job(1, "h", "a"));
    let record = JobRecord { upload_key: Some(in_hand.key), ..in_hand.record.clone() };
    queue.accept(record.clone()).await.unwrap();
    drop(queue);
    let adapters = adapters.reopen(LIMITS).await;
    let queue = adapters.catalog();
    queue.adopt(record);
    assert!(queue.unfinished().await.unwrap().is_empty(), "this process has it");
    assert!(nothing_to_claim(&queue).await);
    queue.release(id(&in_hand), None);
    let claimed = claim(&queue, HolderId::random()).await;
    assert_eq!(claimed.record.view.id, id(&in_hand));
    assert_eq!(queue.enqueue(in_hand.clone()).await.unwrap(), Enqueued::Joined(id(&in_hand)));
}

/// What a job is known by, it is known by until it ends, whatever is said of it in between; and not afterwards.
pub async fn accepted_jobs_are_known_by_what_they_were_queued_with<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (queue, holder) = (adapters.catalog(), HolderId::random());
    let key = JobKey { key: Sha256::from_bytes([7; 32]), fingerprint: Sha256::from_bytes([1; 32]) };
    let mut first = job(1, "h", "a");
    first.record.keys.push(key);
    first.record.request.body = json!({"version": "1.0"}).to_string();
    enqueue(&queue, &first).await;
    let sealed = JobRequest { body: "sealed".to_owned(), ..first.record.request.clone() };
    queue.accept(JobRecord { keys: Vec::new(), request: sealed, ..first.record.clone() }).await.unwrap();
    let versions = queue.uploading(&example_target()).await.unwrap();
    assert_eq!(versions, [PackageVersion::new("1.0").unwrap()]);
    let mut second = job(2, "h", "a");
    second.record.keys.push(key);
    assert_eq!(queue.enqueue(second.clone()).await.unwrap(), Enqueued::Joined(id(&first)));
    let claimed = claim(&queue, holder).await;
    queue.release(id(&first), Some(claimed.fence));
    assert_eq!(queue.enqueue(second.clone()).await.unwrap(), Enqueued::Joined(id(&first)));
    let again = claim(&queue, holder).await;
    queue.accept(JobRecord { keys: Vec::new(), ..again.record.clone() }).await.unwrap();
    queue.finish(again.record, failed(), Some(again.fence)).await.unwrap();
    enqueue(&queue, &second).await;
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
