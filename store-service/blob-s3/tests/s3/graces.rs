//! Blobs are kept as long as somebody may need them, and go afterwards.

use std::time::{Duration, SystemTime};

use linkgate_blob_s3::{S3BlobStore, S3Settings};
use linkgate_store_core::ingest::ports::{BlobError, BlobStore as _, Swept};

use crate::support::{Stage, put, read};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_blob_is_gone_at_once_and_its_object_after_the_grace() {
    let Some(stage) = Stage::set().await else { return };
    let settings = S3Settings { publish_grace: HOUR, retired_grace: 2 * HOUR, ..stage.settings() };
    let store = S3BlobStore::open(&settings, stage.keys.clone()).await.unwrap();
    let sha256 = put(&store, b"blob").await;
    store.attach_statements(sha256, "{}\n".to_owned()).await.unwrap();
    let key = stage.key(sha256);
    let both = [key.as_str(), &format!("{key}.intoto.jsonl")];
    assert!(!store.delete(sha256).await.unwrap(), "its row may be on its way");
    assert_eq!(read(&store, sha256, None).await, b"blob");
    stage.keys.make_older(HOUR);
    store.check().await.unwrap();
    assert!(store.delete(sha256).await.unwrap() && store.delete(sha256).await.unwrap());
    assert!(matches!(store.open(sha256, None).await, Err(BlobError::NotFound)));
    let refused = store.attach_statements(sha256, String::new()).await;
    assert!(matches!(refused, Err(BlobError::NotFound)));
    assert_eq!(store.sweep_abandoned(SystemTime::now(), false).await.unwrap(), Swept::default());
    stage.wait_until_left(&both).await;
    stage.keys.make_older(2 * HOUR);
    store.check().await.unwrap();
    assert_eq!(store.sweep_abandoned(SystemTime::now(), true).await.unwrap(), Swept::default());
    assert_eq!(store.sweep_abandoned(SystemTime::now(), false).await.unwrap(), Swept { files: 1, bytes: 4 });
    stage.wait_until_left(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_comes_again_within_the_grace_has_another_object() {
    let Some(stage) = Stage::set().await else { return };
    let sha256 = put(&stage.store, b"blob").await;
    let first = stage.key(sha256);
    assert!(stage.store.delete(sha256).await.unwrap());
    assert_eq!(put(&stage.store, b"blob").await, sha256);
    assert_ne!(stage.key(sha256), first, "no key is used twice");
    stage.store.sweep_abandoned(SystemTime::now(), false).await.unwrap();
    stage.wait_until_left(&[&stage.key(sha256)]).await;
    assert_eq!(read(&stage.store, sha256, None).await, b"blob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_that_is_held_or_referenced() {
    let Some(stage) = Stage::set().await else { return };
    let other = stage.another_store().await;
    let [held, referenced] = [put(&stage.store, b"held").await, put(&stage.store, b"referenced").await];
    let hold = other.hold().await.unwrap();
    assert!(!stage.store.delete(held).await.unwrap(), "another store holds all");
    drop(hold);
    // Whoever has dropped it waits until it is released; others see that soon.
    assert!(other.delete(held).await.unwrap());
    stage.keys.reference_blob(referenced);
    assert!(!stage.store.delete(referenced).await.unwrap());
    stage.store.sweep_abandoned(SystemTime::now(), false).await.unwrap();
    stage.wait_until_left(&[&stage.key(referenced)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_in_quarantine_is_no_blob_and_stays() {
    let Some(stage) = Stage::set().await else { return };
    let sha256 = put(&stage.store, b"bad").await;
    let key = stage.key(sha256);
    stage.keys.reference_blob(sha256);
    let at = stage.store.quarantine(sha256).await.unwrap();
    assert_eq!(at.to_str(), Some(format!("s3://linkgate/{key}").as_str()));
    assert!(matches!(stage.store.quarantine(sha256).await, Err(BlobError::NotFound)));
    assert!(matches!(stage.store.open(sha256, None).await, Err(BlobError::NotFound)));
    assert!(stage.store.list(0).recv().await.is_none());
    assert!(stage.store.delete(sha256).await.unwrap(), "there is no blob to be deleted");
    stage.store.sweep_abandoned(SystemTime::now() + HOUR, false).await.unwrap();
    stage.wait_until_left(&[&key]).await;
}
