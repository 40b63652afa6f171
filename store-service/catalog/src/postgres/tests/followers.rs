//! Uploads that follow an equal one, and have no place on the queue as long as they do.

use linkgate_store_core::ingest::ports::{HolderId, JobQueue as _};
use linkgate_store_core::testing::conformance::{LIMITS, failed, job};

use super::{claim, enqueue, id, processes};

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
