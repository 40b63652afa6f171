//! The running store's own maintenance: garbage collection, purging and expiry by the clock, and reading what is stored again, slowly.
//!
//! Promises: none of it holds up an upload for longer than it takes to ask the catalog and delete one file; a failure is
//! logged and tried again at the next turn; [`Timers::stop`] returns once nothing runs any more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::digest::ReadRate;
use super::verify::{Finding, FindingKind, Verify};
use super::{Collected, Gc, Purge, PurgeSummary};
use crate::ingest::ports::{BlobStore, CatalogReader, Changes, JobQueue, Maintenance};
use crate::ingest::{chain, now_ms};
use crate::metrics::Metrics;
use crate::retention::{Cleanup, CleanupSummary};

/// All is read once in this time at most, however little there is.
const SCRUB_EVERY: Duration = Duration::from_secs(86_400);

/// How often ended uploads are looked through for those that are to be forgotten.
const EXPIRE_EVERY: Duration = Duration::from_secs(3_600);

/// What is done by the clock.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Between two garbage collections; the first one is at the start. `None`: never.
    pub gc_interval: Option<Duration>,
    /// What is younger stays.
    pub gc_grace: Duration,
    /// How fast blobs are read again, once a day at most. 0: never.
    pub scrub_bytes_per_s: u64,
    /// Between two purges; the first one is at the start. `None`: never.
    pub purge_interval: Option<Duration>,
    /// Between two clean-ups by rules; the first one is at the start. `None`: never.
    pub cleanup_interval: Option<Duration>,
    /// For how long what happened to packages is known.
    pub event_retention: Duration,
    /// For how long jobs that have ended can be asked for.
    pub job_retention: Duration,
}

/// Maintenance that is under way.
pub struct Timers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Timers {
    /// Starts what the operator wants.
    #[must_use]
    pub fn start<B: BlobStore, C: Changes + JobQueue>(
        schedule: &Schedule,
        blobs: &B,
        catalog: &C,
        cleanup: &Cleanup<C>,
        metrics: &Metrics,
    ) -> Self {
        let timers = Self { tasks: TaskTracker::new(), stop: CancellationToken::new() };
        if let Some(interval) = schedule.gc_interval {
            let mut gc = Gc::new(blobs.clone(), catalog.clone(), schedule.gc_grace);
            gc.stop = timers.stop.clone();
            timers.tasks.spawn(collect_by_the_clock(gc, interval));
        }
        if let Some(interval) = schedule.purge_interval {
            let mut purge = Purge::new(blobs.clone(), catalog.clone());
            purge.stop = timers.stop.clone();
            timers.tasks.spawn(purge_by_the_clock(purge, interval, metrics.clone()));
        }
        if schedule.scrub_bytes_per_s > 0 {
            let rate = ReadRate::BytesPerSecond(schedule.scrub_bytes_per_s);
            let (blobs, catalog) = (blobs.clone(), catalog.clone());
            let scrub = scrub(Verify { blobs, catalog, rate, grace: schedule.gc_grace, repairs: false });
            let stop = timers.stop.clone();
            // It only reads, so it can be given up anywhere.
            timers.tasks.spawn(async move { stop.run_until_cancelled_owned(scrub).await });
        }
        if let Some(interval) = schedule.cleanup_interval {
            let (cleanup, stop) = (clean_up_by_the_clock(cleanup.clone(), interval), timers.stop.clone());
            // Each deletion is one transaction, which is done or not.
            timers.tasks.spawn(async move { stop.run_until_cancelled_owned(cleanup).await });
        }
        let expire = expire_by_the_clock(catalog.clone(), schedule.job_retention, schedule.event_retention);
        let stop = timers.stop.clone();
        // One statement, which is done or not.
        timers.tasks.spawn(async move { stop.run_until_cancelled_owned(expire).await });
        timers
    }

    /// Ends it, wherever it is.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn collect_by_the_clock<B: BlobStore, C: Maintenance>(gc: Gc<B, C>, interval: Duration) {
    loop {
        let begun = Instant::now();
        match gc.run().await {
            Ok(collected) if collected == Collected::default() => {}
            Ok(Collected { blobs, blob_bytes, temp_files, temp_bytes, held }) => info!(
                gc.blobs = blobs,
                gc.blob_bytes = blob_bytes,
                gc.temp_files = temp_files,
                gc.temp_bytes = temp_bytes,
                gc.held = held,
                "Deleted {blobs} orphaned blobs and {temp_files} temporary files"
            ),
            Err(e) => warn!(error = chain(&e), "Garbage collection failed; trying again at the next interval"),
        }
        if gc.stop.run_until_cancelled(sleep_until(begun + interval)).await.is_none() {
            return;
        }
    }
}

async fn purge_by_the_clock<B: BlobStore, C: Changes>(purge: Purge<B, C>, interval: Duration, metrics: Metrics) {
    loop {
        let begun = Instant::now();
        match purge.run().await {
            Ok(summary) if summary == PurgeSummary::default() => {}
            Ok(PurgeSummary { packages, bytes, freed, held }) => {
                metrics.purged(packages, bytes);
                info!(
                    purge.packages = packages,
                    purge.bytes = bytes,
                    purge.freed = freed,
                    purge.held = held,
                    "Purged {packages} deleted packages; {freed} blobs are gone"
                );
            }
            Err(e) => warn!(error = chain(&e), "The purge failed; trying again at the next interval"),
        }
        if purge.stop.run_until_cancelled(sleep_until(begun + interval)).await.is_none() {
            return;
        }
    }
}

async fn clean_up_by_the_clock<C: Changes + JobQueue>(cleanup: Cleanup<C>, interval: Duration) {
    loop {
        let begun = Instant::now();
        match cleanup.run_all().await {
            Ok(summary) if summary == CleanupSummary::default() => {}
            Ok(CleanupSummary { deleted, deleted_bytes, reported }) => info!(
                cleanup.packages = deleted,
                cleanup.bytes = deleted_bytes,
                cleanup.reported = reported,
                "Cleaned up: {deleted} packages are deleted; rules that only report would delete {reported}"
            ),
            Err(e) => warn!(error = chain(&e), "The clean-up failed; trying again at the next interval"),
        }
        sleep_until(begun + interval).await;
    }
}

async fn expire_by_the_clock(catalog: impl Maintenance, jobs: Duration, events: Duration) {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let (retention_ms, event_retention_ms) = (ms(jobs), ms(events));
    loop {
        expire_events(&catalog, now_ms().saturating_sub(event_retention_ms)).await;
        match catalog.expire_jobs(now_ms().saturating_sub(retention_ms)).await {
            Ok(0) => {}
            Ok(jobs) => info!(jobs.expired = jobs, "Forgot {jobs} jobs that ended before the retention of jobs"),
            Err(e) => warn!(error = chain(&e), "Cannot forget old jobs; trying again in an hour"),
        }
        sleep(EXPIRE_EVERY).await;
    }
}

/// A part at a time, so that uploads get in between.
async fn expire_events(catalog: &impl Maintenance, before_ms: i64) {
    let mut forgotten = 0;
    loop {
        match catalog.expire_events(before_ms).await {
            Ok(0) => break,
            Ok(events) => forgotten += events,
            Err(e) => return warn!(error = chain(&e), "Cannot forget old events; trying again in an hour"),
        }
    }
    if forgotten > 0 {
        info!(events.expired = forgotten, "Forgot {forgotten} events from before the retention of events");
    }
}

async fn scrub<B: BlobStore, R: CatalogReader>(verify: Verify<B, R>) {
    loop {
        let begun = Instant::now();
        match verify.run(choose_part(), &mut log_finding).await {
            Ok(summary) => info!(
                scrub.rows = summary.rows,
                scrub.blobs = summary.blobs,
                scrub.bytes = summary.bytes,
                "Scrubbed all {} blobs",
                summary.blobs
            ),
            Err(e) => warn!(error = chain(&e), "The scrub failed; trying again in a day"),
        }
        sleep_until(begun + SCRUB_EVERY).await;
    }
}

/// Another one at each start, so that a store which never runs long enough still reads everything some day.
fn choose_part() -> u8 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    nanos.to_le_bytes()[1]
}

/// An orphaned blob is none of its business: garbage collection deletes it.
fn log_finding(finding: &Finding) {
    if !matches!(finding.kind, FindingKind::BlobOrphaned { .. }) {
        error!("Found damage: {finding}; `linkgate-store verify` lists all of it and says what can be repaired");
    }
}
