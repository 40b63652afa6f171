//! A store that is killed.

use std::time::Instant;

use linkgate_tests::{Reached, Replicas, wait_until};

use super::{accepted, assert_done, holding};

/// Where it dies: in the second part, with all bytes sent, with the object complete, with its key published, with the row
/// written, with the row committed.
const STEPS: [&str; 7] = [
    "block-written:70",
    "blob-written:1",
    "blob-synced:1",
    "rename-due:1",
    "blob-committed:1",
    "commit-due:1",
    "committed:1",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_store_is_killed_at_any_step_is_taken_over_and_nothing_is_left() {
    let Some(replicas) = Replicas::start().await else { return };
    for (number, step) in STEPS.into_iter().enumerate() {
        let source = holding(number).await;
        let mut dying = replicas.store(&source, &Reached::armed(step));
        let upload = accepted(&dying, dying.request(source.url()).version(&number.to_string())).await;
        let other = replicas.store(&source, &Reached::default());
        source.release();
        wait_until(async || dying.ended().map(drop).ok_or_else(|| format!("the store passes {step}"))).await;
        let died = Instant::now();
        assert_done(&other, &upload).await;
        println!("killed at {step}: done by another store {:.1} s later", died.elapsed().as_secs_f64());
        other.stop();
    }
    let source = holding(STEPS.len()).await;
    let left = replicas.collect(&source).await;
    let versions: Vec<&str> = left.rows.iter().map(|row| row.version.as_str()).collect();
    assert_eq!(versions, ["0", "1", "2", "3", "4", "5", "6"], "one package of each");
    assert_eq!(left.blobs.len(), STEPS.len());
    assert_eq!(replicas.ask::<i64>("select count(*) from event where action = 'upload'").await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_whose_store_is_killed_begins_again_at_another_one() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let mut dying = replicas.store(&source, &Reached::default());
    let upload = accepted(&dying, dying.request(source.url())).await;
    source.wait_for_requests(1).await;
    let other = replicas.store(&source, &Reached::default());
    dying.kill_9();
    let died = Instant::now();
    source.wait_for_requests(2).await;
    println!("killed in a download: another store downloads {:.1} s later", died.elapsed().as_secs_f64());
    source.release();
    assert_done(&other, &upload).await;
    other.stop();
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len(), left.blobs.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_stopped_in_good_order_hands_its_uploads_over_at_once() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let patient = Reached {
        settings: vec![
            ("LINKGATE_STORE_SHUTDOWN_GRACE_S", "0".to_owned()),
            ("LINKGATE_STORE_JOB_LEASE_S", "600".to_owned()),
        ],
        ..Reached::default()
    };
    let leaving = replicas.store(&source, &patient);
    let upload = accepted(&leaving, leaving.request(source.url())).await;
    source.wait_for_requests(1).await;
    let other = replicas.store(&source, &patient);
    leaving.stop();
    // Its lease would have been good for ten minutes.
    source.wait_for_requests(2).await;
    source.release();
    assert_done(&other, &upload).await;
    other.stop();
    assert_eq!(replicas.collect(&source).await.rows.len(), 1);
}
