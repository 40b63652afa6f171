//! A storage that is away, and replies that get lost.

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use linkgate_blob_s3::{Memory, S3BlobStore, S3Settings};
use linkgate_store_core::ingest::ports::{
    AWAY, BlobError, BlobReader as _, BlobStore as _, BlobWriter as _, FinishedBlob as _,
};
use tokio::task::spawn_blocking;

use crate::support::proxy::{Cut, Proxy};
use crate::support::{PART, Stage, Store, bytes, finish, put, read, settings, wait_until, write};

/// A store that soon gives up.
async fn impatient(stage: &Stage, endpoint: &str) -> Store {
    let settings = S3Settings { retry_timeout: Duration::from_millis(300), ..settings(endpoint, &stage.temp) };
    S3BlobStore::open(&settings, stage.keys.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_storage_is_away_everything_says_so_and_nothing_is_left_afterwards() {
    let Some(mut stage) = Stage::set().await else { return };
    let store = impatient(&stage, &stage.weed.endpoint()).await;
    let kept = put(&store, b"kept").await;
    let mut half = store.open_writer(None).await.unwrap();
    write(&mut half, &bytes(2 * PART)).await;
    let finished = finish(&store, b"finished", None).await;
    let long = finish(&store, &bytes(PART), None).await;
    wait_until(async || match stage.weed.open_uploads().await.len() {
        1 => Ok(()),
        open => Err(format!("{open} uploads are open")),
    })
    .await;
    stage.weed.kill();
    let half = half.finish().await.map(drop);
    assert!(matches!(half, Err(BlobError::Unavailable(_))), "{half:?}");
    let small = store.open_writer(Some(1)).await.unwrap().finish().await.map(drop);
    let (opened, looked) = (store.open(kept, None).await.map(drop), store.stat(kept).await);
    assert!(matches!(small, Err(BlobError::Unavailable(_))), "{small:?}");
    assert!(matches!(opened, Err(BlobError::Unavailable(_))), "{opened:?}");
    assert!(matches!(looked, Err(BlobError::Unavailable(_))), "{looked:?}");
    assert!(matches!(store.check().await, Err(BlobError::Unavailable(_))));
    let unread = spawn_blocking(move || long.open_seekable().unwrap().read(&mut [0])).await.unwrap();
    assert_eq!(unread.unwrap_err().kind(), AWAY);
    drop(finished);
    wait_until(async || match store.sweep_abandoned(SystemTime::now(), true).await.unwrap().files {
        4 => Ok(()),
        files => Err(format!("{files} are given up")),
    })
    .await;
    let swept = store.sweep_abandoned(SystemTime::now(), false).await;
    assert!(matches!(swept, Err(BlobError::Unavailable(_))), "{swept:?}");
    stage.weed.resume().await;
    // It may answer later than this store waits.
    wait_until(async || store.check().await.map_err(|error| error.to_string())).await;
    wait_until(async || store.sweep_abandoned(SystemTime::now(), false).await.map_err(|error| error.to_string())).await;
    stage.wait_until_left(&[&stage.key(kept)]).await;
    assert_eq!(read(&store, kept, None).await, b"kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_outlast_a_storage_that_comes_back() {
    let Some(mut stage) = Stage::set().await else { return };
    let (store, sent) = (stage.store.clone(), bytes(3 * PART));
    let mut writer = store.open_writer(None).await.unwrap();
    write(&mut writer, &sent[..PART]).await;
    stage.weed.kill();
    let rest = sent[PART..].to_vec();
    let writing = tokio::spawn(async move {
        write(&mut writer, &rest).await;
        writer.finish().await.unwrap()
    });
    stage.weed.resume().await;
    let finished = writing.await.unwrap();
    let sha256 = finished.sha256();
    assert!(store.commit(finished).await.unwrap());
    assert!(read(&store, sha256, None).await == sent);
    stage.wait_until_left(&[&stage.key(sha256)]).await;
}

/// What is cut, and whether the storage got it.
const LOST: [(&[&str], usize); 4] = [
    (&["PUT", "p/"], 10),
    (&["POST", "uploads"], 2 * PART),
    (&["PUT", "partNumber"], 2 * PART),
    (&["POST", "uploadId"], 2 * PART),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_request_or_reply_harms_no_upload() {
    let Some(stage) = Stage::set().await else { return };
    let proxy = Proxy::before(stage.weed.port()).await;
    let store = S3BlobStore::open(&settings(&proxy.endpoint(), &stage.temp), stage.keys.clone()).await.unwrap();
    for (matching, len) in LOST {
        for passes_on in [true, false] {
            proxy.cut(Cut { matching: matching.to_vec(), passes_on, times: Some(1) });
            let before = proxy.seen(matching).len();
            let sha256 = put(&store, &bytes(len + usize::from(passes_on))).await;
            assert!(proxy.seen(matching).len() > before + 1, "{matching:?} was tried again");
            assert!(read(&store, sha256, None).await.len() == len + usize::from(passes_on), "{matching:?}");
            stage.wait_until_left(&[&stage.key(sha256)]).await;
            assert!(store.delete(sha256).await.unwrap());
            store.sweep_abandoned(SystemTime::now(), false).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_deletion_or_reply_leaves_nothing() {
    let Some(stage) = Stage::set().await else { return };
    let proxy = Proxy::before(stage.weed.port()).await;
    let store = S3BlobStore::open(&settings(&proxy.endpoint(), &stage.temp), stage.keys.clone()).await.unwrap();
    for passes_on in [true, false] {
        let sha256 = put(&store, b"soon gone").await;
        assert!(store.delete(sha256).await.unwrap());
        proxy.cut(Cut { matching: vec!["DELETE", "p/"], passes_on, times: Some(1) });
        assert_eq!(store.sweep_abandoned(SystemTime::now(), false).await.unwrap().files, 1);
        stage.wait_until_left(&[]).await;
        let mut given_up = store.open_writer(None).await.unwrap();
        write(&mut given_up, &bytes(2 * PART)).await;
        let before = proxy.seen(&["DELETE", "uploadId"]).len();
        proxy.cut(Cut { matching: vec!["DELETE", "uploadId"], passes_on, times: Some(1) });
        given_up.discard().await;
        assert!(proxy.seen(&["DELETE", "uploadId"]).len() > before + 1, "it was tried again");
        stage.wait_until_left(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_there_settles_what_no_reply_told() {
    let Some(stage) = Stage::set().await else { return };
    let proxy = Proxy::before(stage.weed.port()).await;
    let store = impatient(&stage, &proxy.endpoint()).await;
    for (matching, len) in [LOST[0], LOST[3]] {
        let sent = bytes(len);
        proxy.cut(Cut { matching: matching.to_vec(), passes_on: true, times: None });
        let sha256 = put(&store, &sent).await;
        assert!(read(&store, sha256, None).await == sent, "{matching:?}");
        // The same, if the storage never gets it.
        proxy.cut(Cut { matching: matching.to_vec(), passes_on: false, times: None });
        let mut writer = store.open_writer(None).await.unwrap();
        write(&mut writer, &bytes(len + 1)).await;
        let refused = writer.finish().await.map(drop);
        assert!(matches!(refused, Err(BlobError::Unavailable(_))), "{matching:?}: {refused:?}");
        proxy.cut(Cut::default());
        stage.wait_until_left(&[&stage.key(sha256)]).await;
        assert!(store.delete(sha256).await.unwrap());
        store.sweep_abandoned(SystemTime::now(), false).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_where_its_connection_broke() {
    let Some(mut stage) = Stage::set().await else { return };
    let sent = bytes(12 * PART);
    let sha256 = put(&stage.store, &sent).await;
    let mut reader = stage.store.open(sha256, None).await.unwrap();
    let mut all = reader.read_chunk(1_000).await.unwrap().unwrap().to_vec();
    stage.weed.kill();
    stage.weed.resume().await;
    while let Some(chunk) = reader.read_chunk(1 << 20).await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    assert!(all == sent);
    let store = impatient(&stage, &stage.weed.endpoint()).await;
    let mut reader = store.open(sha256, None).await.unwrap();
    stage.weed.kill();
    let failed = async {
        while reader.read_chunk(1 << 20).await?.is_some() {}
        Ok::<_, BlobError>(())
    };
    assert!(failed.await.is_err(), "half of it is not all of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_the_stores_own_that_cannot_be_written_is_an_outage_and_no_fault_of_a_blob() {
    let Some(stage) = Stage::set().await else { return };
    let own = tempfile::tempdir().unwrap();
    let memory = Memory { temp_dir: own.path().join("parts"), ..stage.settings().memory };
    std::fs::create_dir(&memory.temp_dir).unwrap();
    let settings = S3Settings { memory: memory.clone(), ..stage.settings() };
    let store = S3BlobStore::open(&settings, stage.keys.clone()).await.unwrap();
    std::fs::remove_dir(&memory.temp_dir).unwrap();
    assert!(matches!(store.check().await, Err(BlobError::Unavailable(_))));
    std::fs::create_dir(&memory.temp_dir).unwrap();
    store.check().await.unwrap();
}
