//! How much memory uploads take, measured on a process that does nothing else.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[allow(dead_code, reason = "the other tests need it")]
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use linkgate_store_core::ingest::ports::{BlobStore as _, BlobWriter as _, FinishedBlob as _};
use support::{PART, Stage, bytes};

const UPLOADS: usize = 12;
/// Bytes of each; together ten times the bound.
const LEN: usize = 4 * PART;
const MIB: usize = 1 << 20;

/// What this process has held at most, and now.
fn peak_and_now() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    };
    (value("VmHWM:"), value("VmRSS:"))
}

/// Open files without a name in a directory.
fn unnamed_files(dir: &Path) -> usize {
    let files =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    files.filter(|file| file.starts_with(dir) && file.to_string_lossy().ends_with("(deleted)")).count()
}

/// Four parts are allowed in memory; without the bound each of the uploads would hold as many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_together_hold_no_more_memory_than_they_may() {
    let Some(stage) = Stage::set().await else { return };
    let (_, before) = peak_and_now();
    let files_were_used = AtomicBool::new(false);
    let upload = async |number: usize| {
        // Made anew, so that the source of the bytes takes nothing.
        let mut writer = stage.store.open_writer(None).await.unwrap();
        let mut piece = bytes(128 << 10);
        for n in 0..LEN / piece.len() {
            // As zip archives do, the ends of which are held beside the parts.
            piece[0] = b'P';
            piece[1..9].copy_from_slice(&n.to_le_bytes());
            piece[9] = u8::try_from(number).unwrap();
            writer.write(Bytes::copy_from_slice(&piece)).await.unwrap();
            if unnamed_files(stage.temp.path()) > 0 {
                files_were_used.store(true, Ordering::Relaxed);
            }
        }
        let finished = writer.finish().await.unwrap();
        assert_eq!(finished.size_bytes(), LEN as u64);
        stage.store.commit(finished).await.unwrap();
    };
    futures_util::future::join_all((0..UPLOADS).map(upload)).await;
    let (peak, _) = peak_and_now();
    // The parts, the ends, what is hashed, and what the connections hold.
    let allowed = 4 * PART + PART / 2 + UPLOADS * MIB / 2 + 32 * MIB;
    assert!(peak - before < allowed, "{} MiB more than before", (peak - before) / MIB);
    assert!(files_were_used.load(Ordering::Relaxed), "all found a place in memory");
    assert_eq!((unnamed_files(stage.temp.path()), std::fs::read_dir(stage.temp.path()).unwrap().count()), (0, 0));
    assert_eq!(stage.weed.objects().await.len(), UPLOADS);
}
