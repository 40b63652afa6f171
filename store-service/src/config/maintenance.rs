//! Settings of maintenance.

use std::time::Duration;

use super::vars::{Reader, Vars};

pub(super) const GC_INTERVAL: &str = "LINKGATE_STORE_GC_INTERVAL_S";
pub(super) const GC_GRACE: &str = "LINKGATE_STORE_GC_GRACE_S";
pub(super) const SCRUB_RATE: &str = "LINKGATE_STORE_SCRUB_BYTES_PER_S";

pub(super) const JOB_RETENTION: &str = "LINKGATE_STORE_JOB_RETENTION_S";

pub(super) const PURGE_INTERVAL: &str = "LINKGATE_STORE_PURGE_INTERVAL_S";
pub(super) const RESTORE_DAYS: &str = "LINKGATE_STORE_RESTORE_DAYS";

pub(super) const RETENTION_INTERVAL: &str = "LINKGATE_RETENTION_INTERVAL_S";
pub(super) const EVENT_DAYS: &str = "LINKGATE_STORE_EVENT_RETENTION_DAYS";

const DAY_S: u64 = 86_400;

/// When and how fast maintenance runs.
#[derive(Clone, Debug)]
pub struct MaintenanceConfig {
    /// `LINKGATE_STORE_GC_INTERVAL_S`: seconds between two garbage collections; the first one is at the
    /// start. 0: never. Default 86400.
    pub gc_interval: Option<Duration>,
    /// `LINKGATE_STORE_GC_GRACE_S`: what is younger stays. Default 3600.
    pub gc_grace: Duration,
    /// `LINKGATE_STORE_SCRUB_BYTES_PER_S`: how fast stored packages are read again and held against the catalog, once a day
    /// at most. 0: never. Default 1048576.
    pub scrub_bytes_per_s: u64,
    /// `LINKGATE_STORE_JOB_RETENTION_S`: seconds for which uploads that have ended can be asked for, at least the day for which
    /// an `Idempotency-Key` counts. Default 604800, a week.
    pub job_retention: Duration,
    /// `LINKGATE_STORE_PURGE_INTERVAL_S`: seconds between two looks for deleted packages whose bytes may go; the first one is
    /// at the start. 0: never. Default 3600.
    pub purge_interval: Option<Duration>,
    /// `LINKGATE_STORE_RESTORE_DAYS`: days for which a deleted package keeps its bytes and can be restored. 0: not at all.
    /// Default 14.
    pub restore: Duration,
    /// `LINKGATE_RETENTION_INTERVAL_S`: seconds between two clean-ups by the rules of `LINKGATE_RETENTION_FILE`; the first one is
    /// at the start. 0: never. Default 86400.
    pub cleanup_interval: Option<Duration>,
    /// `LINKGATE_STORE_EVENT_RETENTION_DAYS`: days for which what happened to packages is known, at least 180. Default 365.
    pub event_retention: Duration,
}

impl MaintenanceConfig {
    pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Self {
        let interval = reader.number(GC_INTERVAL, DAY_S, 0..=30 * DAY_S);
        let cleanup_interval = reader.number(RETENTION_INTERVAL, DAY_S, 0..=30 * DAY_S);
        let purge_interval = reader.number(PURGE_INTERVAL, 3_600, 0..=30 * DAY_S);
        Self {
            gc_interval: (interval > 0).then(|| Duration::from_secs(interval)),
            // Less would race what is under way: file systems tell times no finer than a few milliseconds.
            gc_grace: Duration::from_secs(reader.number(GC_GRACE, 3_600, 1..=30 * DAY_S)),
            scrub_bytes_per_s: reader.number(SCRUB_RATE, 1 << 20, 0..=1 << 40),
            job_retention: Duration::from_secs(reader.number(JOB_RETENTION, 7 * DAY_S, DAY_S..=366 * DAY_S)),
            purge_interval: (purge_interval > 0).then(|| Duration::from_secs(purge_interval)),
            restore: Duration::from_secs(DAY_S * reader.number(RESTORE_DAYS, 14, 0..=3_660)),
            cleanup_interval: (cleanup_interval > 0).then(|| Duration::from_secs(cleanup_interval)),
            event_retention: Duration::from_secs(DAY_S * reader.number(EVENT_DAYS, 365, 180..=36_500)),
        }
    }
}
