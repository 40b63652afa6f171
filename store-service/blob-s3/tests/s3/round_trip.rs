//! What is written is read, whole and in ranges.

use std::io::{Read as _, Seek as _, SeekFrom};

use bytes::Bytes;
use linkgate_blob_s3::S3BlobStore;
use linkgate_store_core::ingest::ports::{BlobError, BlobStore as _, BlobWriter as _, FinishedBlob as _, Listed};
use linkgate_store_core::testing::conformance;

use crate::support::proxy::Proxy;
use crate::support::{PART, Stage, bytes, finish, put, read, settings, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_a_blob_store_like_any_other() {
    let Some(stage) = Stage::set().await else { return };
    conformance::check_abandoned_writers(&stage.store).await;
    stage.wait_until_left(&[]).await;
    conformance::check_commits(&stage.store).await;
}

/// Lengths at which something changes: none, one, just a part, a little more, several.
const LENGTHS: [usize; 6] = [0, 1, 1 << 20, PART, PART + 1, 3 * PART + 12_345];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_every_length_are_read_as_they_were_written() {
    let Some(stage) = Stage::set().await else { return };
    let mut written = Vec::new();
    for len in LENGTHS {
        let sent = bytes(len);
        for size in [Some(len as u64), None, Some(7)] {
            let finished = finish(&stage.store, &sent, size).await;
            let sha256 = finished.sha256();
            let is_new = stage.store.commit(finished).await.unwrap();
            assert_eq!(is_new, size == Some(len as u64), "{len}: the same bytes are one blob");
            assert!(read(&stage.store, sha256, None).await == sent, "{len}");
            assert_eq!(stage.store.stat(sha256).await.unwrap().unwrap().size_bytes, len as u64);
            written.push(stage.key(sha256));
        }
    }
    written.sort();
    written.dedup();
    assert_eq!(written.len(), LENGTHS.len());
    let written: Vec<&str> = written.iter().map(String::as_str).collect();
    stage.wait_until_left(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_prove_their_bytes_over_a_plain_network_and_not_on_this_machine() {
    let Some(stage) = Stage::set().await else { return };
    let proxy = Proxy::before(stage.weed.port()).await;
    let seen = || [&["partNumber"][..], &["partNumber", "UNSIGNED-PAYLOAD"]].map(|words| proxy.seen(words).len());
    // The store takes the second one for another machine.
    for (endpoint, unsigned) in [(proxy.endpoint(), 2), (proxy.endpoint().replace("127.0.0.1", "0.0.0.0"), 0)] {
        let store = S3BlobStore::open(&settings(&endpoint, &stage.temp), stage.keys.clone()).await.unwrap();
        let (sent, before) = (bytes(PART + 1 + unsigned), seen());
        let sha256 = put(&store, &sent).await;
        assert!(read(&store, sha256, None).await == sent);
        assert_eq!(seen(), [before[0] + 2, before[1] + unsigned], "{endpoint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_read_and_what_is_beyond_the_end_is_not_there() {
    let Some(stage) = Stage::set().await else { return };
    let sent = bytes(PART + 1_000);
    let sha256 = put(&stage.store, &sent).await;
    let len = sent.len();
    for (start, end) in [(0, 1), (5, 5), (PART - 3, PART + 3), (len - 1, len), (100, 300_100)] {
        let range = start as u64..end as u64;
        assert!(read(&stage.store, sha256, Some(range)).await == sent[start..end], "{start}..{end}");
    }
    assert!(read(&stage.store, sha256, Some(len as u64 - 2..u64::MAX)).await == sent[len - 2..]);
    assert!(read(&stage.store, sha256, Some(u64::MAX - 1..u64::MAX)).await.is_empty());
    let empty = put(&stage.store, b"").await;
    assert!(read(&stage.store, empty, Some(0..9)).await.is_empty());
    stage.weed.damage(&stage.key(sha256), None).await;
    for range in [None, Some(0..1), Some(3..3)] {
        assert!(matches!(stage.store.open(sha256, range).await, Err(BlobError::NotFound)), "its object is lost");
    }
    assert_eq!(stage.store.stat(sha256).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_blob_is_read_in_any_order_before_it_has_a_name() {
    let Some(stage) = Stage::set().await else { return };
    for len in [0, 10, PART + 3_000_000] {
        let sent = bytes(len);
        let finished = finish(&stage.store, &sent, None).await;
        let mut file = finished.open_seekable().unwrap();
        let sent = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            file.read_to_end(&mut all).unwrap();
            assert!(all == sent);
            for (from_end, want) in [(len, 10), (len / 2, 700_000), (len.min(1 << 20), 100), (len.min(3), 99), (0, 1)] {
                let start = len - from_end;
                assert_eq!(file.seek(SeekFrom::End(-i64::try_from(from_end).unwrap())).unwrap(), start as u64);
                let mut part = Vec::new();
                (&mut file).take(want).read_to_end(&mut part).unwrap();
                let end = sent.len().min(start + usize::try_from(want).unwrap());
                assert!(part == sent[start..end], "{start}");
            }
            assert!(file.seek(SeekFrom::Current(i64::MIN)).is_err() && file.seek(SeekFrom::End(i64::MIN)).is_err());
            assert_eq!(file.seek(SeekFrom::Start(u64::MAX)).unwrap(), u64::MAX);
            assert_eq!(file.read(&mut [0; 9]).unwrap(), 0, "it is behind the end");
            sent
        })
        .await
        .unwrap();
        let sha256 = finished.sha256();
        assert!(matches!(stage.store.open(sha256, None).await, Err(BlobError::NotFound)), "it has no name yet");
        stage.store.commit(finished).await.unwrap();
        assert!(read(&stage.store, sha256, None).await == sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_that_write_the_same_bytes_at_once_have_one_object() {
    let Some(stage) = Stage::set().await else { return };
    let (other, sent) = (stage.another_store().await, bytes(PART + 77));
    let commit = async |store: &crate::support::Store| {
        let finished = finish(store, &sent, None).await;
        (store.commit(finished).await.unwrap(), store.clone())
    };
    let ((first, _), (second, _)) = futures_util::future::join(commit(&stage.store), commit(&other)).await;
    assert!(first != second, "for one of them it is new");
    let sha256 = listed(&stage).await[0];
    for store in [&stage.store, &other] {
        assert!(read(store, sha256, None).await == sent);
    }
    stage.wait_until_left(&[&stage.key(sha256)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_whose_object_was_lost_is_healed_by_the_next_upload() {
    let Some(stage) = Stage::set().await else { return };
    let sha256 = put(&stage.store, b"precious").await;
    let lost = stage.key(sha256);
    for bytes in [None, Some("short")] {
        stage.weed.damage(&stage.key(sha256), bytes).await;
        assert_eq!(stage.store.stat(sha256).await.unwrap(), None);
        let again = finish(&stage.store, b"precious", None).await;
        assert!(stage.store.commit(again).await.unwrap(), "it was not there");
        assert_eq!(read(&stage.store, sha256, None).await, b"precious");
    }
    assert_ne!(stage.key(sha256), lost);
    let unharmed = finish(&stage.store, b"precious", None).await;
    assert!(!stage.store.commit(unharmed).await.unwrap());
    stage.store.sweep_abandoned(std::time::SystemTime::now(), false).await.unwrap();
    stage.wait_until_left(&[&stage.key(sha256)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_blobs_are_listed_from_any_part_on() {
    let Some(stage) = Stage::set().await else { return };
    let mut put_in = Vec::new();
    for n in 0..9_u8 {
        put_in.push(put(&stage.store, &[n]).await);
    }
    let mut unfinished = stage.store.open_writer(None).await.unwrap();
    unfinished.write(Bytes::from_static(b"unfinished")).await.unwrap();
    put_in.sort();
    assert_eq!(listed(&stage).await, put_in);
    let mut first = stage.store.list(
        put_in[4].to_string()[..2].chars().fold(0, |n, c| n * 16 + u8::try_from(c.to_digit(16).unwrap()).unwrap()),
    );
    let Some(Ok(Listed::Blob(blob))) = first.recv().await else { panic!("there is one") };
    assert_eq!((blob.sha256, blob.size_bytes), (put_in[4], 1));
    write(&mut unfinished, b"and given up").await;
    unfinished.discard().await;
}

async fn listed(stage: &Stage) -> Vec<linkgate_contract::Sha256> {
    let (mut list, mut all) = (stage.store.list(0), Vec::new());
    while let Some(found) = list.recv().await {
        let Listed::Blob(blob) = found.unwrap() else { panic!("there is nothing else") };
        all.push(blob.sha256);
    }
    all
}
