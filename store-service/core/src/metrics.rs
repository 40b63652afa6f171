//! What operators see of the store over time, in the text format of OpenMetrics, which Prometheus reads.
//!
//! Promises: a fixed number of series, whatever callers send, for labels are words of ours; recording neither fails nor
//! waits. docs/reference/METRICS.md lists every name.

mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use linkgate_contract::release::{COMMIT, DATE, VERSION};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tracing::Instrument as _;

use self::process::Process;
use crate::trace;

/// The media type of what [`Metrics::render`] gives.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// From a package that is there at once to one that takes as long as a download may.
const UPLOAD_SECONDS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 180.0, 600.0];
/// From what never waits to a disk or database in trouble, and downloads among the stages.
const STAGE_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0];

/// The store's metrics; a copy counts into the same.
#[derive(Clone)]
pub struct Metrics(Arc<Parts>);

struct Parts {
    /// Those of the store alone.
    ///
    /// - `linkgate_store_build_info` (info; `version`, `commit`, `date`): always 1; `date` is the day of the commit.
    registry: Registry,
    /// Those whose names every program has.
    common: Registry,
    /// `linkgate_store_uploads_total` (counter; `result`): uploads that ended, whether their callers still waited or
    /// not. `result` is `stored`; `unknown_module`, `unsupported_origin`, `version_missing`, `already_exists`,
    /// `in_use`, `quota_exceeded`, `checksum_mismatch`, `size_mismatch`, `too_large`, `too_many_uploads` and
    /// `insufficient_storage` as in the errors; of files that callers send also `condition_not_met`, `file_timeout`,
    /// `file_broke_off` and `request_refused` (a form or a digest that cannot be read or does not match);
    /// `source_forbidden` (an address or a redirect that is not allowed), `source_refused` (a status other than 200,
    /// an encoded body, an HTML page, a file that changed meanwhile or that may be cut off), `source_timeout`,
    /// `source_unreachable`, `source_credential` (a credential that the source refused, that is not there, that may
    /// not go over plain HTTP or that cannot be sealed); `package_refused` (for its format or content);
    /// `idempotency_key_reused`; `failed` (disk or database); `cancelled` (somebody cancelled it, or the store
    /// stopped).
    uploads: Family<ByResult, Counter>,
    /// `linkgate_store_upload_duration_seconds` (histogram; `result`): from the checked request to the end of the
    /// upload.
    upload_seconds: Family<ByResult, Histogram>,
    /// `linkgate_store_stage_duration_seconds` (histogram; `stage`): stages of an upload: `queue` (waits for its
    /// turn), `open` (until the source's body begins), `copy` (reads, hashes and writes), `finish` (makes the bytes
    /// durable), `inspect` (what is left of the inspection when all is written; all of it for a zip), `lock` (waits
    /// for other uploads of the same bytes), `commit` (gives the blob its name), `record` (the transaction, with the wait
    /// for the database).
    stage_seconds: Family<ByStage, Histogram>,
    /// `linkgate_store_database_wait_seconds` (histogram): how long the transactions of packages waited for the
    /// database, where one at a time writes.
    database_wait_seconds: Histogram,
    /// `linkgate_store_uploads_active` (gauge): uploads that run or wait now.
    active: Gauge,
    /// `linkgate_store_uploads_waiting` (gauge): of these, uploads that wait for their turn.
    waiting: Gauge,
    /// `linkgate_store_stored_bytes_total` (counter): bytes of the packages that were stored.
    stored_bytes: Counter,
    /// `linkgate_store_deduplicated_total` (counter): stored packages whose bytes the store had already.
    deduplicated: Counter,
    /// `linkgate_store_uploads_joined_total` (counter): requests that joined an equal upload in progress; they are
    /// not among the uploads.
    joined: Counter,
    /// `linkgate_store_changes_total` (counter; `action`, `result`): changes of stored packages that callers asked
    /// for. `action` is `delete`, `restore`, `pin`, `unpin` or `cleanup` (also by the clock); `result` is `done`
    /// (also if nothing had to be done), `not_found`, `precondition_failed`, `in_use`, `version_taken`, `deleted`,
    /// `purged`, `quota_exceeded`, `plan_changed` or `failed` (disk or database).
    changes: Family<ByChange, Counter>,
    /// `linkgate_store_damage_found_total` (counter; `by`): packages found with missing or wrong bytes, by a `download` or
    /// the `scrub`. The log names them.
    damage_found: Family<ByFinder, Counter>,
    /// `linkgate_store_purged_packages_total` (counter): deleted packages that gave up their bytes by the clock.
    purged: Counter,
    /// `linkgate_store_purged_bytes_total` (counter): the bytes that they had; others may need the same ones.
    purged_bytes: Counter,
    /// `linkgate_store_cleaned_up_packages_total` (counter; `mode`): packages that retention rules deleted
    /// (`enforce`, also by request), or would have at each look (`report`).
    cleaned_up: Family<ByMode, Counter>,
    /// `linkgate_store_cleaned_up_bytes_total` (counter; `mode`): their bytes.
    cleaned_up_bytes: Family<ByMode, Counter>,
    /// `linkgate_store_http_requests_total` (counter; `route`, `status`): answered requests. `route` is the operation
    /// id of the endpoint (like `upload_source_package_via_link` or `list_source_packages`), `healthz`, `readyz`,
    /// `metrics`, or `none` for any other path or method.
    requests: Family<ByRoute, Counter>,
    /// `linkgate_store_downloads_total` (counter; `result`): downloads that ended: `sent`, `aborted` (the caller went
    /// away), `too_slow`, `failed` (the bytes could not be read).
    downloads: Family<ByResult, Counter>,
    /// `linkgate_store_downloads_active` (gauge): downloads that run now.
    downloads_active: Gauge,
    /// `linkgate_store_sent_bytes_total` (counter): bytes of packages that were sent.
    sent_bytes: Counter,
    /// `linkgate_store_disk_free_bytes` (gauge): space that the store can still use on the file system of its data
    /// directory; 0 if the system does not say.
    disk_free: Gauge,
    /// `linkgate_store_decoder_memory_bytes` (gauge): memory that decoders of packages hold now, of
    /// `LINKGATE_STORE_DECODER_MEMORY_BYTES`.
    decoder_memory: Gauge,
    /// `linkgate_store_decoders_waiting` (gauge): inspections that wait for a decoder's memory.
    decoders_waiting: Gauge,
    data_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMode {
    mode: &'static str,
}

/// Who finds damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finder {
    Download,
    Scrub,
}

impl Finder {
    fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Scrub => "scrub",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFinder {
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChange {
    action: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    route: &'static str,
    status: u16,
}

/// A download that runs; dropping it without an end counts as `aborted`.
pub struct Sending {
    metrics: Metrics,
    result: &'static str,
}

/// An upload that runs; dropping it without an end counts as `cancelled`.
pub struct Running {
    metrics: Metrics,
    begun: Instant,
    result: &'static str,
}

impl Metrics {
    /// Begins to count. Free space is that of the file system of `data_dir`.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        let by_result = Family::new_with_constructor((|| Histogram::new(UPLOAD_SECONDS)) as fn() -> Histogram);
        let by_stage = Family::new_with_constructor((|| Histogram::new(STAGE_SECONDS)) as fn() -> Histogram);
        let mut parts = Parts {
            registry: Registry::with_prefix("linkgate_store"),
            common: Registry::default(),
            uploads: Family::default(),
            upload_seconds: by_result,
            stage_seconds: by_stage,
            database_wait_seconds: Histogram::new(STAGE_SECONDS),
            active: Gauge::default(),
            waiting: Gauge::default(),
            stored_bytes: Counter::default(),
            deduplicated: Counter::default(),
            joined: Counter::default(),
            changes: Family::default(),
            damage_found: Family::default(),
            purged: Counter::default(),
            purged_bytes: Counter::default(),
            cleaned_up: Family::default(),
            cleaned_up_bytes: Family::default(),
            requests: Family::default(),
            downloads: Family::default(),
            downloads_active: Gauge::default(),
            sent_bytes: Counter::default(),
            disk_free: Gauge::default(),
            decoder_memory: Gauge::default(),
            decoders_waiting: Gauge::default(),
            data_dir: data_dir.to_owned(),
        };
        parts.register();
        let this = Self(Arc::new(parts));
        // There from the start, for whoever asks how often rules did nothing.
        for mode in ["report", "enforce"] {
            this.cleaned_up(mode, 0, 0);
        }
        // Or for whom the first one is one more than before.
        for by in [Finder::Download, Finder::Scrub] {
            drop(this.0.damage_found.get_or_create(&ByFinder { by: by.name() }));
        }
        this
    }

    /// An upload begins.
    #[must_use]
    pub fn upload(&self) -> Running {
        self.0.active.inc();
        Running { metrics: self.clone(), begun: Instant::now(), result: "cancelled" }
    }

    /// A download begins.
    #[must_use]
    pub fn download(&self) -> Sending {
        self.0.downloads_active.inc();
        Sending { metrics: self.clone(), result: "aborted" }
    }

    /// Takes the time of a stage of an upload, and is its span.
    pub async fn timed<T>(&self, stage: &'static str, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.instrument(trace::stage(stage)).await;
        self.0.stage_seconds.get_or_create(&ByStage { stage }).observe(begun.elapsed().as_secs_f64());
        done
    }

    /// Takes the time of the wait for a claim, during which an upload counts as waiting.
    pub async fn queued<T>(&self, place: impl Future<Output = T>) -> T {
        let _waits = Waits::begin(&self.0.waiting);
        self.timed("queue", place).await
    }

    /// A package was stored; `is_new` if its bytes were not there before.
    pub fn stored(&self, size_bytes: u64, is_new: bool) {
        self.0.stored_bytes.inc_by(size_bytes);
        if !is_new {
            self.0.deduplicated.inc();
        }
    }

    /// The decoders of all inspections hold so many bytes.
    pub fn set_decoder_memory(&self, bytes: u64) {
        self.0.decoder_memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// An inspection waits for memory while the result lives.
    pub(crate) fn decoder_waits(&self) -> Waits<'_> {
        Waits::begin(&self.0.decoders_waiting)
    }

    /// A transaction waited so long for the database's only writer.
    pub fn waited_for_database(&self, wait: Duration) {
        self.0.database_wait_seconds.observe(wait.as_secs_f64());
    }

    /// A call waits for an upload that another one began.
    pub fn joined(&self) {
        self.0.joined.inc();
    }

    /// A stored package was to be changed, with this result.
    pub fn changed(&self, action: &'static str, result: &'static str) {
        self.0.changes.get_or_create(&ByChange { action, result }).inc();
    }

    /// A package's bytes are missing or wrong.
    pub(crate) fn found_damage(&self, by: Finder) {
        self.0.damage_found.get_or_create(&ByFinder { by: by.name() }).inc();
    }

    /// So many packages gave up so many bytes.
    pub fn purged(&self, packages: u64, bytes: u64) {
        self.0.purged.inc_by(packages);
        self.0.purged_bytes.inc_by(bytes);
    }

    /// A rule deleted so many packages, or would have.
    pub fn cleaned_up(&self, mode: &'static str, packages: u64, bytes: u64) {
        self.0.cleaned_up.get_or_create(&ByMode { mode }).inc_by(packages);
        self.0.cleaned_up_bytes.get_or_create(&ByMode { mode }).inc_by(bytes);
    }

    /// A request was answered.
    pub fn answered(&self, route: &'static str, status: u16) {
        self.0.requests.get_or_create(&ByRoute { route, status }).inc();
    }

    /// All of it as text; `None` if that fails. Asks the file system, which may take a while.
    #[must_use]
    pub fn render(&self) -> Option<String> {
        let parts = &self.0;
        if let Ok(disk) = rustix::fs::statvfs(&parts.data_dir) {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            parts.disk_free.set(i64::try_from(free).unwrap_or(i64::MAX));
        }
        let mut out = String::new();
        text::encode_registry(&mut out, &parts.registry).ok()?;
        text::encode(&mut out, &parts.common).ok().map(|()| out)
    }
}

impl Parts {
    fn register(&mut self) {
        self.common.register_collector(Box::new(Process));
        let to = &mut self.registry;
        to.register(
            "build",
            "Which store this is",
            Info::new([("version", VERSION), ("commit", COMMIT), ("date", DATE)]),
        );
        to.register("uploads", "Uploads that ended, by result", self.uploads.clone());
        to.register_with_unit(
            "upload_duration",
            "How long uploads took, by result",
            Unit::Seconds,
            self.upload_seconds.clone(),
        );
        to.register_with_unit(
            "stage_duration",
            "How long the stages of an upload took",
            Unit::Seconds,
            self.stage_seconds.clone(),
        );
        to.register_with_unit(
            "database_wait",
            "How long recording waited for the database",
            Unit::Seconds,
            self.database_wait_seconds.clone(),
        );
        to.register("uploads_active", "Uploads that run now", self.active.clone());
        to.register("uploads_waiting", "Of these, uploads that wait for others to end", self.waiting.clone());
        to.register_with_unit(
            "stored",
            "Bytes of the packages that were stored",
            Unit::Bytes,
            self.stored_bytes.clone(),
        );
        to.register("deduplicated", "Packages whose bytes were there already", self.deduplicated.clone());
        to.register("uploads_joined", "Calls that waited for an upload that another one began", self.joined.clone());
        to.register("changes", "Changes of stored packages, by action and result", self.changes.clone());
        to.register("damage_found", "Packages found with missing or wrong bytes", self.damage_found.clone());
        to.register("purged_packages", "Deleted packages that gave up their bytes", self.purged.clone());
        to.register_with_unit("purged", "Bytes that they had", Unit::Bytes, self.purged_bytes.clone());
        let (packages, bytes) = (self.cleaned_up.clone(), self.cleaned_up_bytes.clone());
        to.register("cleaned_up_packages", "Packages that retention rules deleted, or would have", packages);
        to.register_with_unit("cleaned_up", "Bytes that they have", Unit::Bytes, bytes);
        to.register("http_requests", "Requests answered, by route and status", self.requests.clone());
        to.register("downloads", "Downloads that ended, by result", self.downloads.clone());
        to.register("downloads_active", "Downloads that run now", self.downloads_active.clone());
        to.register_with_unit("sent", "Bytes of packages that were sent", Unit::Bytes, self.sent_bytes.clone());
        to.register_with_unit(
            "decoder_memory",
            "Memory that decoders of packages hold",
            Unit::Bytes,
            self.decoder_memory.clone(),
        );
        to.register("decoders_waiting", "Inspections that wait for a decoder's memory", self.decoders_waiting.clone());
        to.register_with_unit(
            "disk_free",
            "Free space for packages and the catalog",
            Unit::Bytes,
            self.disk_free.clone(),
        );
    }
}

/// Counted while it lives.
pub(crate) struct Waits<'a>(&'a Gauge);

impl<'a> Waits<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Running {
    /// Says what came of it, and counts it.
    pub fn end(mut self, result: &'static str) {
        self.result = result;
    }

    /// For how long it has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (parts, label) = (&self.metrics.0, ByResult { result: self.result });
        parts.active.dec();
        parts.upload_seconds.get_or_create(&label).observe(self.begun.elapsed().as_secs_f64());
        parts.uploads.get_or_create(&label).inc();
    }
}

impl Sending {
    /// So many bytes more went out.
    pub fn sent(&self, bytes: u64) {
        self.metrics.0.sent_bytes.inc_by(bytes);
    }

    /// Says what came of it, and counts it.
    pub fn end(mut self, result: &'static str) {
        self.result = result;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let parts = &self.metrics.0;
        parts.downloads_active.dec();
        parts.downloads.get_or_create(&ByResult { result: self.result }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(Path::new("/"))
    }

    fn has(metrics: &Metrics, line: &str) -> bool {
        metrics.render().unwrap().lines().any(|have| have == line)
    }

    #[test]
    fn an_upload_is_active_until_it_ends_and_counts_once() {
        let metrics = metrics();
        let (first, second) = (metrics.upload(), metrics.upload());
        assert!(has(&metrics, "linkgate_store_uploads_active 2"));
        first.end("stored");
        drop(second);
        assert!(has(&metrics, "linkgate_store_uploads_active 0"));
        for result in ["stored", "cancelled"] {
            assert!(has(&metrics, &format!("linkgate_store_uploads_total{{result=\"{result}\"}} 1")));
            assert!(has(&metrics, &format!("linkgate_store_upload_duration_seconds_count{{result=\"{result}\"}} 1")));
        }
    }

    #[tokio::test]
    async fn stages_bytes_and_requests_are_counted() {
        let metrics = metrics();
        assert_eq!(metrics.timed("fetch", async { 7 }).await, 7);
        metrics.stored(5, true);
        metrics.stored(5, false);
        metrics.answered("upload_source_package_via_link", 200);
        for line in [
            "linkgate_store_stage_duration_seconds_count{stage=\"fetch\"} 1",
            "linkgate_store_stored_bytes_total 10",
            "linkgate_store_deduplicated_total 1",
            "linkgate_store_http_requests_total{route=\"upload_source_package_via_link\",status=\"200\"} 1",
        ] {
            assert!(has(&metrics, line), "{line} in {}", metrics.render().unwrap());
        }
    }

    #[test]
    fn a_download_is_active_until_it_ends_and_counts_once() {
        let metrics = metrics();
        let (first, second) = (metrics.download(), metrics.download());
        first.sent(5);
        assert!(has(&metrics, "linkgate_store_downloads_active 2"));
        first.end("sent");
        drop(second);
        for line in [
            "linkgate_store_downloads_active 0",
            "linkgate_store_downloads_total{result=\"sent\"} 1",
            "linkgate_store_downloads_total{result=\"aborted\"} 1",
            "linkgate_store_sent_bytes_total 5",
        ] {
            assert!(has(&metrics, line), "{line} in {}", metrics.render().unwrap());
        }
    }

    #[test]
    fn the_build_and_the_process_are_known() {
        let metrics = metrics();
        assert!(has(
            &metrics,
            &format!("linkgate_store_build_info{{version=\"{VERSION}\",commit=\"{COMMIT}\",date=\"{DATE}\"}} 1")
        ));
        let text = metrics.render().unwrap();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_threads",
        ] {
            let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap_or_default();
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{name}: {value:?} in {text}");
        }
    }

    #[test]
    fn free_space_is_that_of_the_disk_and_a_disk_that_is_gone_is_no_failure() {
        let free = |metrics: &Metrics| {
            let text = metrics.render().unwrap();
            let line = text.lines().find(|line| line.starts_with("linkgate_store_disk_free_bytes ")).unwrap();
            line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()
        };
        assert!(free(&metrics()) > 0);
        assert_eq!(free(&Metrics::new(Path::new("/nowhere/at/all"))), 0);
        assert!(metrics().render().unwrap().ends_with("# EOF\n"));
    }
}
