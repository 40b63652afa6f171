//! Blobs: what is written, found and collected.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use linkgate_contract::Sha256;

use super::{Adapters, LIMITS, digest, job, package};
use crate::ingest::ports::{
    BlobError, BlobReader as _, BlobStore, BlobWriter as _, Catalog as _, CatalogReader as _, FinishedBlob as _,
    Listed, NewPackage,
};

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
