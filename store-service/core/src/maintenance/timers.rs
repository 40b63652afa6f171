//! The running store's own maintenance: garbage collection, purging and expiry by the clock, and reading what is stored again, slowly.
//!
//! Promises: none of it holds up an upload for longer than it takes to ask the catalog and delete one file; a failure is
//! logged and tried again at the next turn; of several stores that share a catalog, one does each piece; [`Timers::stop`] returns once nothing runs any more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::digest::ReadRate;
use super::verify::{Finding, FindingKind, Verify};
use super::{Collected, Gc, Purge, PurgeSummary};
use crate::ingest::ports::{BlobStore, Changes, Chore, JobQueue, Maintenance, Turn, UsedNonces};
use crate::ingest::{chain, now_ms};
use crate::metrics::{Finder, Metrics};
use crate::retention::{Cleanup, CleanupSummary};

/// All is read once in this time at most, however little there is.
const SCRUB_EVERY: Duration = Duration::from_secs(86_400);

/// How often ended uploads are looked through for those that are to be forgotten.
const EXPIRE_EVERY: Duration = Duration::from_secs(3_600);

/// How often used nonces are looked through: each is needed for some minutes.
const FORGET_NONCES_EVERY: Duration = Duration::from_secs(60);

/// When the catalog did not say whose turn it is.
const ASK_AGAIN: Duration = Duration::from_secs(60);

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

/// A piece of maintenance, and what is said of it.
trait Task: Send + Sync {
    const CHORE: Chore;
    /// Does it once.
    fn run(&self) -> impl Future<Output = ()> + Send;
}

impl Timers {
    /// Starts what the operator wants.
    #[must_use]
    pub fn start<B: BlobStore, C: Changes + JobQueue + UsedNonces>(
        schedule: &Schedule,
        blobs: &B,
        catalog: &C,
        cleanup: &Cleanup<C>,
        metrics: &Metrics,
    ) -> Self {
        let timers = Self { tasks: TaskTracker::new(), stop: CancellationToken::new() };
        let (stop, blobs, catalog) = (&timers.stop, || blobs.clone(), || catalog.clone());
        if let Some(interval) = schedule.gc_interval {
            let mut gc = Gc::new(blobs(), catalog(), schedule.gc_grace);
            gc.stop = stop.clone();
            timers.tasks.spawn(by_the_clock(catalog(), Collecting(gc), interval, stop.clone()));
        }
        if let Some(interval) = schedule.purge_interval {
            let mut purge = Purge::new(blobs(), catalog());
            purge.stop = stop.clone();
            let purging = Purging { purge, metrics: metrics.clone() };
            timers.tasks.spawn(by_the_clock(catalog(), purging, interval, stop.clone()));
        }
        if schedule.scrub_bytes_per_s > 0 {
            let rate = ReadRate::BytesPerSecond(schedule.scrub_bytes_per_s);
            let grace = schedule.gc_grace;
            let verify =
                Verify { blobs: blobs(), catalog: catalog(), rate, grace, repairs: false, looks_for_unknown: false };
            // It only reads.
            let scrubbing = Scrubbing { verify, metrics: metrics.clone() };
            timers.spawn_breakable(by_the_clock(catalog(), scrubbing, SCRUB_EVERY, stop.clone()));
        }
        if let Some(interval) = schedule.cleanup_interval {
            // Each deletion is one transaction, which is done or not.
            timers.spawn_breakable(by_the_clock(catalog(), CleaningUp(cleanup.clone()), interval, stop.clone()));
        }
        let (job_retention, event_retention) = (schedule.job_retention, schedule.event_retention);
        let expiring = Expiring { catalog: catalog(), job_retention, event_retention };
        // One statement, which is done or not.
        timers.spawn_breakable(by_the_clock(catalog(), expiring, EXPIRE_EVERY, stop.clone()));
        let forgetting = ForgettingNonces(catalog());
        timers.spawn_breakable(by_the_clock(catalog(), forgetting, FORGET_NONCES_EVERY, stop.clone()));
        timers
    }

    /// For what can be given up anywhere.
    fn spawn_breakable(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled_owned(task).await });
    }

    /// Ends it, wherever it is.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Does a task again and again, whenever it is this process's turn, until it is stopped. What is due is due at the start.
async fn by_the_clock<C: Maintenance, T: Task>(catalog: C, task: T, every: Duration, stop: CancellationToken) {
    loop {
        let begun = Instant::now();
        let wait = match catalog.begin_chore(T::CHORE, every).await {
            Ok(Turn::Now(_lease)) => {
                task.run().await;
                every
            }
            Ok(Turn::Later(wait)) => wait,
            Err(e) => {
                let name = T::CHORE.name();
                warn!(error = chain(&e), "Cannot find out whether to do `{name}` here; asking again in a minute");
                ASK_AGAIN.min(every)
            }
        };
        if stop.run_until_cancelled(sleep_until(begun + wait)).await.is_none() {
            return;
        }
    }
}

struct Collecting<B, C>(Gc<B, C>);

impl<B: BlobStore, C: Maintenance> Task for Collecting<B, C> {
    const CHORE: Chore = Chore::CollectGarbage;

    async fn run(&self) {
        match self.0.run().await {
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
    }
}

struct Purging<B, C> {
    purge: Purge<B, C>,
    metrics: Metrics,
}

impl<B: BlobStore, C: Changes> Task for Purging<B, C> {
    const CHORE: Chore = Chore::Purge;

    async fn run(&self) {
        match self.purge.run().await {
            Ok(summary) if summary == PurgeSummary::default() => {}
            Ok(PurgeSummary { packages, bytes, freed, held }) => {
                self.metrics.purged(packages, bytes);
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
    }
}

struct CleaningUp<C>(Cleanup<C>);

impl<C: Changes + JobQueue> Task for CleaningUp<C> {
    const CHORE: Chore = Chore::CleanUp;

    async fn run(&self) {
        match self.0.run_all().await {
            Ok(summary) if summary == CleanupSummary::default() => {}
            Ok(CleanupSummary { deleted, deleted_bytes, reported }) => info!(
                cleanup.packages = deleted,
                cleanup.bytes = deleted_bytes,
                cleanup.reported = reported,
                "Cleaned up: {deleted} packages are deleted; rules that only report would delete {reported}"
            ),
            Err(e) => warn!(error = chain(&e), "The clean-up failed; trying again at the next interval"),
        }
    }
}

struct Expiring<C> {
    catalog: C,
    job_retention: Duration,
    event_retention: Duration,
}

impl<C: Maintenance> Task for Expiring<C> {
    const CHORE: Chore = Chore::Expire;

    async fn run(&self) {
        expire_events(&self.catalog, ms_before(self.event_retention)).await;
        match self.catalog.expire_jobs(ms_before(self.job_retention)).await {
            Ok(0) => {}
            Ok(jobs) => info!(jobs.expired = jobs, "Forgot {jobs} jobs that ended before the retention of jobs"),
            Err(e) => warn!(error = chain(&e), "Cannot forget old jobs; trying again in an hour"),
        }
    }
}

struct ForgettingNonces<C>(C);

impl<C: UsedNonces> Task for ForgettingNonces<C> {
    const CHORE: Chore = Chore::ForgetNonces;

    /// A part at a time, like events. That there are none is nothing to log, and some are nothing to know.
    async fn run(&self) {
        loop {
            match self.0.expire_nonces().await {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) => return warn!(error = chain(&e), "Cannot forget old nonces; trying again in a minute"),
            }
        }
    }
}

fn ms_before(age: Duration) -> i64 {
    now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
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

struct Scrubbing<B, C> {
    verify: Verify<B, C>,
    metrics: Metrics,
}

impl<B: BlobStore, C: Maintenance> Task for Scrubbing<B, C> {
    const CHORE: Chore = Chore::Scrub;

    async fn run(&self) {
        // An orphaned blob is none of its business: garbage collection deletes it.
        let mut tell = |finding: &Finding| {
            if !matches!(finding.kind, FindingKind::BlobOrphaned { .. }) {
                self.metrics.found_damage(Finder::Scrub);
                error!(
                    "Found damage: {finding}; `linkgate-store verify` lists all of it and says what can be repaired"
                );
            }
        };
        match self.verify.run(choose_part(), &mut tell).await {
            Ok(summary) => info!(
                scrub.rows = summary.rows,
                scrub.blobs = summary.blobs,
                scrub.bytes = summary.bytes,
                "Scrubbed all {} blobs",
                summary.blobs
            ),
            Err(e) => warn!(error = chain(&e), "The scrub failed; trying again in a day"),
        }
    }
}

/// Another one at each start, so that a store which never runs long enough still reads everything some day.
fn choose_part() -> u8 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    nanos.to_le_bytes()[1]
}
