//! What uploads take while a thousand packages are deleted, and while the store purges them, beside what they take in quiet:
//! one store on this machine.
//!
//! `cargo xtask bench deletes`; `--packages`, `--deleting` for how many callers delete at once, `--rounds`. Promises: every reply
//! is checked, and that each package that was deleted is purged and its bytes are gone; what is wrong ends the run with an error.
//! Asserts nothing about time: a target that was missed is said.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{median, number, share};
use linkgate_tests::{StoreProcess, bytes, unknown_formats_allowed};
use reqwest::Method;

/// Who upload at once.
const UPLOADING: usize = 4;
const QUIET: Duration = Duration::from_secs(5);
const PACKAGE_BYTES: usize = 4 << 10;
/// How much longer the slowest of a hundred uploads may take than in quiet.
const MOST: f64 = 2.0;

/// What happens while uploads go on.
const PHASES: [&str; 3] = ["quiet", "deletes", "purge"];

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let packages = usize::try_from(number("--packages", 1_000)).unwrap().max(1);
    let deleting = usize::try_from(number("--deleting", 1)).unwrap().max(1);
    let rounds = number("--rounds", 5).max(1);
    let mut p99s = [const { Vec::new() }; PHASES.len()];
    println!("{packages} packages are deleted by {deleting} at once, while {UPLOADING} upload");
    println!("{:<10}{:>10}{:>10}{:>12}{:>10}{:>10}", "", "s", "uploads", "median ms", "p99 ms", "× quiet");
    // One round first that does not count: caches.
    for round in 0..=rounds {
        let busy = Busy::new(packages).await;
        let measured = busy.measure(deleting).await;
        busy.check().await;
        if round > 0 {
            let quiet = p99(&measured[0]);
            for ((phase, measured), p99s) in PHASES.iter().zip(&measured).zip(&mut p99s) {
                print(phase, measured, p99(measured) / quiet);
                p99s.push(p99(measured) / quiet);
            }
        }
    }
    let chart = Chart::new("uploads", format!("What uploads take, p99, while {packages} packages go; quiet is 1"), "×");
    for (phase, p99s) in PHASES.iter().zip(&p99s) {
        chart.ours(phase, p99s.iter().copied());
    }
    for (phase, p99s) in PHASES.iter().zip(p99s).skip(1) {
        let ratio = median(p99s);
        println!("{phase}: p99 is {ratio:.2} × quiet, at most {MOST} (the median of {rounds} rounds)");
        if ratio > MOST {
            println!("TARGET MISSED: {phase}");
        }
    }
}

/// Uploads of a phase.
struct Measured {
    took: Duration,
    uploads: Vec<Duration>,
}

fn p99(measured: &Measured) -> f64 {
    share(measured.uploads.iter().copied(), 990).as_secs_f64() * 1e3
}

fn print(phase: &str, measured: &Measured, ratio: f64) {
    println!(
        "{phase:<10}{:>10.1}{:>10}{:>12.1}{:>10.1}{ratio:>10.2}",
        measured.took.as_secs_f64(),
        measured.uploads.len(),
        median(measured.uploads.iter().copied()).as_secs_f64() * 1e3,
        p99(measured),
    );
}

/// A store with packages that will be deleted.
struct Busy {
    store: StoreProcess,
    doomed: Vec<i64>,
    uploads: AtomicU64,
    _dir: tempfile::TempDir,
}

impl Busy {
    async fn new(packages: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = [
            ("LINKGATE_STORE_PURGE_INTERVAL_S", "1"),
            unknown_formats_allowed("what is measured is the catalog and the disk, without the inspection"),
        ];
        let store = StoreProcess::start(dir.path(), &settings);
        let mut busy = Self { store, doomed: Vec::new(), uploads: AtomicU64::new(0), _dir: dir };
        for _ in 0..packages {
            let id = busy.upload().await;
            busy.doomed.push(id);
        }
        busy
    }

    async fn measure(&self, deleting: usize) -> [Measured; PHASES.len()] {
        let quiet = self.upload_during(tokio::time::sleep(QUIET)).await;
        let deletes = self.upload_during(self.delete_all(deleting)).await;
        let purge = self.upload_during(self.purge_all()).await;
        [quiet, deletes, purge]
    }

    /// All callers upload one after the other until this has happened.
    async fn upload_during(&self, happening: impl Future<Output = ()>) -> Measured {
        let begun = Instant::now();
        let (ended, ends) = tokio::sync::watch::channel(false);
        let happening = async {
            happening.await;
            ended.send_replace(true);
            begun.elapsed()
        };
        let callers = (0..UPLOADING).map(|_| async {
            let mut uploads = Vec::new();
            while !*ends.borrow() {
                let begun = Instant::now();
                self.upload().await;
                uploads.push(begun.elapsed());
            }
            uploads
        });
        let (took, uploads) = join(happening, join_all(callers)).await;
        Measured { took, uploads: uploads.concat() }
    }

    /// A package that is like no other.
    async fn upload(&self) -> i64 {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let mut content = bytes(PACKAGE_BYTES);
        content.extend_from_slice(&number.to_be_bytes());
        let request = self.store.request("").put_file("package.bin", &format!("version=1.0.{number}"), content);
        let reply = request.send(self.store.base()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["id"].as_i64().unwrap()
    }

    async fn delete_all(&self, at_once: usize) {
        let callers = (0..at_once).map(|first| async move {
            for id in self.doomed.iter().skip(first).step_by(at_once) {
                let request = self.store.below(Method::DELETE, &format!("{id}/"));
                assert_eq!(request.send(self.store.base()).await.status, 200, "{id}");
            }
        });
        join_all(callers).await;
    }

    /// Lets the time to restore them be over, and waits for the store.
    async fn purge_all(&self) {
        let due = "update source_package set purge_after_ms = 1 where is_deleted = 1";
        self.store.directory().execute(due).await;
        self.store.log_with(&format!("Purged {} deleted packages", self.doomed.len())).await;
    }

    /// Each package that was deleted is purged, and its bytes are gone.
    async fn check(&self) {
        let directory = self.store.directory();
        let (purged, live): (Vec<_>, Vec<_>) = directory.rows().await.into_iter().partition(|row| row.is_purged);
        assert_eq!(purged.iter().map(|row| row.id).collect::<Vec<_>>(), self.doomed);
        assert_eq!(directory.stored_files().len(), live.len());
    }
}
