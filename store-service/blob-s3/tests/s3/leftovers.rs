//! Whatever ends a writer, nothing is left.

use std::time::{Duration, SystemTime};

use linkgate_store_core::ingest::ports::{
    BlobError, BlobStore as _, BlobWriter as _, FinishedBlob as _, KeyHolder, Swept,
};

use crate::support::keys::Fault;
use crate::support::{PART, Stage, bytes, finish, put, read, wait_until, write};

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3_600)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_dropped_or_discarded_in_midway_leaves_nothing() {
    let Some(stage) = Stage::set().await else { return };
    let sent = bytes(3 * PART);
    for (len, is_dropped) in [(10, true), (10, false), (3 * PART, true), (3 * PART, false)] {
        let mut writer = stage.store.open_writer(None).await.unwrap();
        write(&mut writer, &sent[..len]).await;
        let swept = stage.store.sweep_abandoned(later(), false).await.unwrap();
        assert_eq!(swept, Swept::default(), "it has a living writer");
        if is_dropped {
            drop(writer);
        } else {
            writer.discard().await;
            assert_eq!((stage.weed.objects().await, stage.weed.open_uploads().await), (vec![], vec![]), "at once");
        }
        stage.wait_until_left(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_blob_that_is_not_committed_leaves_nothing() {
    let Some(stage) = Stage::set().await else { return };
    for len in [10, PART + 10] {
        let finished = finish(&stage.store, &bytes(len), None).await;
        let sha256 = finished.sha256();
        assert_eq!(stage.weed.objects().await.len(), 1, "it is durable");
        drop(finished);
        stage.wait_until_left(&[]).await;
        assert!(matches!(stage.store.open(sha256, None).await, Err(BlobError::NotFound)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_left_that_died_is_swept_by_another_one_and_not_while_it_lives() {
    let Some(stage) = Stage::set().await else { return };
    let (other, committed) = (stage.another_store().await, put(&stage.store, b"committed").await);
    let mut half = stage.store.open_writer(None).await.unwrap();
    write(&mut half, &bytes(2 * PART)).await;
    let whole = finish(&stage.store, b"whole", None).await;
    wait_until(async || match stage.weed.open_uploads().await.len() {
        1 => Ok(()),
        open => Err(format!("{open} uploads are open")),
    })
    .await;
    assert_eq!(other.sweep_abandoned(later(), false).await.unwrap(), Swept::default(), "their writer lives");
    stage.keys.silence();
    stage.keys.make_older(KeyHolder::LEASE);
    other.check().await.unwrap();
    let (counted, swept) =
        (other.sweep_abandoned(later(), true).await.unwrap(), other.sweep_abandoned(later(), false).await.unwrap());
    assert_eq!((counted.files, swept), (2, Swept { files: 2, bytes: 5 }));
    stage.wait_until_left(&[&stage.key(committed)]).await;
    let (whole, half) = (stage.store.commit(whole).await, half.finish().await.map(drop));
    assert!(matches!((&whole, &half), (Err(BlobError::Swept), Err(BlobError::Swept))), "{whole:?} {half:?}");
    stage.wait_until_left(&[&stage.key(committed)]).await;
    assert_eq!(read(&stage.store, committed, None).await, b"committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_given_up_while_the_database_is_away_is_deleted_when_it_is_back() {
    let Some(stage) = Stage::set().await else { return };
    let finished = finish(&stage.store, b"undone", None).await;
    stage.keys.fail_next(Fault::Before);
    stage.keys.be_away(2);
    stage.store.commit(finished).await.unwrap_err();
    assert_eq!(stage.keys.being_written().len(), 1, "nobody knows whether it is a blob's");
    stage.wait_until_left(&[]).await;
    assert_eq!(stage.keys.being_written(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_unknown_outcome_leaves_a_blob_or_nothing() {
    let Some(stage) = Stage::set().await else { return };
    let [done, undone] = [&b"done"[..], b"undone"].map(|sent| finish(&stage.store, sent, None));
    let (done, undone) = (done.await, undone.await);
    let (done_as, undone_as) = (done.sha256(), undone.sha256());
    stage.keys.fail_next(Fault::After);
    stage.store.commit(done).await.unwrap_err();
    stage.keys.fail_next(Fault::Before);
    stage.store.commit(undone).await.unwrap_err();
    stage.wait_until_left(&[&stage.key(done_as)]).await;
    assert_eq!(read(&stage.store, done_as, None).await, b"done");
    assert_eq!(stage.store.stat(undone_as).await.unwrap(), None);
}
