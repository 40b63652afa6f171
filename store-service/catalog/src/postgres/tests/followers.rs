//! Uploads that follow an equal one, and have no place on the queue as long as they do.

use linkgate_store_core::ingest::ports::{HolderId, JobQueue as _};
use linkgate_store_core::settings::QueueLimits;
use linkgate_store_core::testing::conformance::{LIMITS, failed, job};
use tokio::task::yield_now;

use super::{ask, claim, enqueue, id, processes};

#[tokio::test(flavor = "multi_thread")]
async fn what_followed_and_was_given_up_waits_for_its_turn_at_its_host() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let mut running = Vec::new();
    for (number, caller) in [(1, "a"), (2, "b")] {
        enqueue(&other, &job(number, "h", caller)).await;
        running.push(claim(&other).await);
    }
    let follows = job(3, "h", "c");
    one.accept(follows.record.clone()).await.unwrap();
    one.release(id(&follows), None);
    one.chores.are_done().await;
    assert!(other.claim_now(HolderId::random()).await.unwrap().is_none(), "two at this host are enough");
    let ended = running.remove(0);
    other.finish(ended.record, failed(), Some(ended.fence)).await.unwrap();
    assert_eq!(claim(&other).await.record.view.id, id(&follows));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_withdrawn_and_given_up_keeps_its_turn() {
    let limits = QueueLimits { running: 1, queued: 9, queued_per_app: 9, per_host: 9, per_app: 9, ..LIMITS };
    let Some((_server, [one, other])) = processes(limits).await else { return };
    let [runs, waits, later] = [job(1, "h", "a"), job(2, "h", "b"), job(3, "h", "b")];
    enqueue(&other, &runs).await;
    let running = claim(&other).await;
    enqueue(&one, &waits).await;
    one.accept(waits.record.clone()).await.unwrap();
    enqueue(&other, &later).await;
    assert!(one.withdraw(id(&waits)).await.unwrap());
    one.release(id(&waits), None);
    one.chores.are_done().await;
    other.finish(running.record, failed(), Some(running.fence)).await.unwrap();
    assert_eq!(claim(&other).await.record.view.id, id(&waits));
}

/// In the name of the one that claimed it, it would be that one's for as long as it lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_anybodys_job_for_which_nobody_waits_is_for_others() {
    let Some((server, [one, other, third])) = processes(LIMITS).await else { return };
    let anybodys = job(1, "h", "a");
    enqueue(&one, &anybodys).await;
    one.accept(anybodys.record.clone()).await.unwrap();
    one.release(id(&anybodys), None);
    one.chores.are_done().await;
    let mut claiming = Box::pin(other.claim(HolderId::random()));
    // Begun, and dropped before its end.
    assert!(futures_util::poll!(&mut claiming).is_pending());
    drop(claiming);
    while ask::<i64>(&server, "select epoch from job").await == 0 {
        yield_now().await;
    }
    assert_eq!(claim(&third).await.record.view.id, id(&anybodys));
    assert!(other.state.own(id(&anybodys)).is_none(), "it knows nothing of it that may be old");
}
