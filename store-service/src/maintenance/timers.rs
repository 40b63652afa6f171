//! The running store's own maintenance: clearing up and forgetting by the clock, and reading what is kept again, slowly.
//!
//! Promises: none of it holds up an upload for longer than it takes to ask the books and remove one file; a failure is
//! logged and tried again at the next turn; [`Timers::stop`] returns once nothing runs any more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use linkgate_blob::DirectoryBlobStore;
use linkgate_catalog::SqliteCatalog;
use linkgate_store_core::ingest::{Publishing, chain, now_ms};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::digest::ReadRate;
use super::verify::{Finding, FindingKind, Verify};
use super::{Cleared, Gc};
use crate::config::MaintenanceConfig;

/// All is read once in this time at most, however little there is.
const SCRUB_EVERY: Duration = Duration::from_secs(86_400);

/// How often ended uploads are looked through for those that are to be forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// Maintenance that is under way.
pub(crate) struct Timers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Timers {
    /// Starts what the operator wants.
    pub(crate) fn start(
        config: &MaintenanceConfig,
        blobs: &DirectoryBlobStore,
        catalog: &SqliteCatalog,
        publishing: &Publishing,
    ) -> Self {
        let timers = Self { tasks: TaskTracker::new(), stop: CancellationToken::new() };
        if let Some(interval) = config.gc_interval {
            let mut gc = Gc::new(blobs.clone(), catalog.clone(), publishing.clone(), config.gc_grace);
            gc.stop = timers.stop.clone();
            timers.tasks.spawn(clear_by_the_clock(gc, interval));
        }
        if config.scrub_bytes_per_s > 0 {
            let scrub = scrub(Verify {
                blobs: blobs.clone(),
                books: catalog.books(),
                publishing: publishing.clone(),
                pace: ReadRate::BytesPerSecond(config.scrub_bytes_per_s),
                grace: config.gc_grace,
                repairs: false,
            });
            let stop = timers.stop.clone();
            // It only reads, so it can be given up anywhere.
            timers.tasks.spawn(async move { stop.run_until_cancelled_owned(scrub).await });
        }
        let forget = forget_by_the_clock(catalog.clone(), config.job_retention);
        let stop = timers.stop.clone();
        // One statement, which is done or not.
        timers.tasks.spawn(async move { stop.run_until_cancelled_owned(forget).await });
        timers
    }

    /// Ends it, wherever it is.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn clear_by_the_clock(gc: Gc, interval: Duration) {
    loop {
        let begun = Instant::now();
        match gc.run().await {
            Ok(cleared) if cleared == Cleared::default() => {}
            Ok(Cleared { blobs, blob_bytes, temp_files, temp_bytes, held }) => info!(
                gc.blobs = blobs,
                gc.blob_bytes = blob_bytes,
                gc.temp_files = temp_files,
                gc.temp_bytes = temp_bytes,
                gc.held = held,
                "Removed {blobs} blobs in no row and {temp_files} temporary files"
            ),
            Err(e) => warn!(error = chain(&e), "Clearing up failed, it is tried again"),
        }
        if gc.stop.run_until_cancelled(sleep_until(begun + interval)).await.is_none() {
            return;
        }
    }
}

async fn forget_by_the_clock(catalog: SqliteCatalog, kept: Duration) {
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    loop {
        match catalog.forget_jobs(now_ms().saturating_sub(kept_ms)).await {
            Ok(0) => {}
            Ok(jobs) => info!(jobs.forgotten = jobs, "Forgot {jobs} uploads that ended long ago"),
            Err(e) => warn!(error = chain(&e), "Old uploads could not be forgotten, it is tried again"),
        }
        sleep(FORGET_EVERY).await;
    }
}

async fn scrub(verify: Verify) {
    loop {
        let begun = Instant::now();
        match verify.run(some_folder(), &mut log).await {
            Ok(summary) => info!(
                scrub.rows = summary.rows,
                scrub.blobs = summary.blobs,
                scrub.bytes = summary.bytes,
                "Read all {} packages again",
                summary.blobs
            ),
            Err(e) => warn!(error = chain(&e), "Reading the packages again failed, it is tried again"),
        }
        sleep_until(begun + SCRUB_EVERY).await;
    }
}

/// Another one at each start, so that a store which never runs long enough still reads everything some day.
fn some_folder() -> u8 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    nanos.to_le_bytes()[1]
}

/// What no row points at is none of its business: it is cleared up.
fn log(finding: &Finding) {
    if !matches!(finding.fault, FindingKind::BlobOrphaned { .. }) {
        error!("Listed damage: {finding}");
    }
}
