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
    /// `LINKGATE_STORE_GC_INTERVAL_S`: time between two garbage collections, which delete packages that no row
    /// references and temporary files that no upload owns; the first is at the start; 0: never.
    /// Seconds, 0–2592000. Default `86400`.
    pub gc_interval: Option<Duration>,
    /// `LINKGATE_STORE_GC_GRACE_S`: garbage collection spares what is younger. Seconds, 1–2592000. Default `3600`.
    pub gc_grace: Duration,
    /// `LINKGATE_STORE_SCRUB_BYTES_PER_S`: how fast the scrub reads stored packages and compares them with the
    /// catalog, all of them once a day at most; 0: never. Bytes a second, 0–1099511627776. Default `1048576` (1 MiB).
    pub scrub_bytes_per_s: u64,
    /// `LINKGATE_STORE_JOB_RETENTION_S`: how long you can ask for jobs that have ended. Seconds, 86400–31622400.
    /// Default `604800` (a week).
    pub job_retention: Duration,
    /// `LINKGATE_STORE_PURGE_INTERVAL_S`: time between two purges of packages whose time to be restored is over; the
    /// first is at the start; 0: never. Seconds, 0–2592000. Default `3600`.
    pub purge_interval: Option<Duration>,
    /// `LINKGATE_STORE_RESTORE_DAYS`: for how long a deleted package keeps its bytes and can be restored; 0: it is
    /// purged at once. It counts for deletions from then on. Days, 0–3660. Default `14`.
    pub restore: Duration,
    /// `LINKGATE_RETENTION_INTERVAL_S`: time between two clean-ups by these rules; the first is at the start; 0: only
    /// by request. Seconds, 0–2592000. Default `86400`.
    pub cleanup_interval: Option<Duration>,
    /// `LINKGATE_STORE_EVENT_RETENTION_DAYS`: for how long what happened to packages is known. Days, 180–36500.
    /// Default `365`.
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
