//! Many callers change one module at once: they upload, overwrite, delete, restore, download and clean up, while the store purges
//! and collects garbage.
//!
//! Promises: every download that is answered 200 has the whole of one version, with the digest that its headers promised; no
//! quota is ever seen exceeded; each package's events account for each of its changes; what is left verifies.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::time::Duration;

use futures_util::future::join_all;
use linkgate_tests::process::command_with;
use linkgate_tests::{Downloaded, LinkRequestBuilder, Reply, StoreProcess, sha256_hex};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Versions that the callers fight for, and what they may hold.
const VERSIONS: u32 = 12;
const CONTENTS: u32 = 24;
/// The quotas, which are met often.
const MAX_PACKAGES: u64 = 8;
const MAX_BYTES: u64 = 600_000;
/// What went wrong is named so often and no more.
const EXAMPLES: usize = 20;

/// The rule that cleans up; it keeps few.
const RULES: &str =
    "[[rules]]\nname = \"few\"\ntargets = [\"*\"]\nmode = \"enforce\"\nkeep_last = 4\nremove_after_days = 0\n";

/// How many callers, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// At once.
    pub callers: u32,
    /// How long they go on.
    pub seconds: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Replies by what was asked and their status.
    counts: BTreeMap<(&'static str, u16), u64>,
    /// Bytes that were downloaded.
    downloaded: u64,
    /// Events that were written.
    events: usize,
    wrong: Vec<String>,
}

impl Report {
    /// Whatever should not be.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        for asked in ["upload", "delete", "restore", "download", "cleanup"] {
            if self.counts.get(&(asked, 200)).is_none_or(|count| *count == 0) {
                wrong.push(format!("no {asked} was answered 200, so nothing was raced"));
            }
        }
        wrong
    }

    fn count(&mut self, asked: &'static str, status: u16) {
        *self.counts.entry((asked, status)).or_default() += 1;
    }

    fn fault(&mut self, fault: String) {
        if self.wrong.len() < EXAMPLES {
            self.wrong.push(fault);
        }
    }

    fn merge(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.downloaded += other.downloaded;
        other.wrong.into_iter().for_each(|fault| self.fault(fault));
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for ((asked, status), count) in &self.counts {
            writeln!(f, "{asked:10} {status}  {count:8}")?;
        }
        write!(f, "{} MiB downloaded, {} events", self.downloaded >> 20, self.events)?;
        self.violations().iter().try_for_each(|violation| write!(f, "\nVIOLATION: {violation}"))
    }
}

/// Runs it.
pub async fn run(plan: Plan) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let (data, rules) = (dir.path().join("data"), dir.path().join("retention.toml"));
    std::fs::write(&rules, RULES).unwrap();
    let (packages, bytes) = (MAX_PACKAGES.to_string(), MAX_BYTES.to_string());
    let settings = [
        ("LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS", "true"),
        ("LINKGATE_RETENTION_FILE", rules.to_str().unwrap()),
        ("LINKGATE_RETENTION_INTERVAL_S", "2"),
        ("LINKGATE_QUOTA_MODULE_MAX_PACKAGES", packages.as_str()),
        ("LINKGATE_QUOTA_MODULE_MAX_BYTES", bytes.as_str()),
        ("LINKGATE_STORE_RESTORE_DAYS", "0"),
        ("LINKGATE_STORE_PURGE_INTERVAL_S", "1"),
        ("LINKGATE_STORE_GC_INTERVAL_S", "1"),
        ("LINKGATE_STORE_GC_GRACE_S", "1"),
    ];
    let store = StoreProcess::start(&data, &settings);
    let end = Instant::now() + Duration::from_secs(plan.seconds.into());
    let callers = join_all((0..plan.callers).map(|number| call(&store, number, end)));
    let (done, watched) = tokio::join!(callers, watch_quotas(&store, end));
    let mut report = Report::default();
    watched.into_iter().for_each(|fault| report.fault(fault));
    done.into_iter().for_each(|done| report.merge(done));
    store.stop();
    // One that changes nothing by itself while it is looked at.
    let never = ["LINKGATE_STORE_PURGE_INTERVAL_S", "LINKGATE_STORE_GC_INTERVAL_S"].map(|name| (name, "0"));
    let still = StoreProcess::start(&data, &never);
    judge_events(&still, &mut report).await;
    still.stop();
    // A purge that the store's stop cut short has marked its rows, and leaves their bytes to the collection.
    let collected = command_with(&data, &["gc"], &settings);
    if collected.code() != 0 {
        report.fault(format!("gc failed: {}{}", collected.out, collected.err));
    }
    let verified = command_with(&data, &["verify"], &settings);
    if verified.code() != 0 {
        report.fault(format!("verify found something: {}{}", verified.out, verified.err));
    }
    report
}

/// What a caller does until the end.
async fn call(store: &StoreProcess, number: u32, end: Instant) -> Report {
    let (mut report, mut rng) = (Report::default(), fastrand::Rng::with_seed(number.into()));
    while Instant::now() < end {
        match rng.u32(..10) {
            0..4 => upload(store, &mut rng, &mut report).await,
            4..8 => download(store, &mut rng, &mut report).await,
            8 => change(store, &mut rng, &mut report).await,
            _ => clean_up(store, &mut report).await,
        }
    }
    report
}

/// The content of this number: of its own size, and like no other.
fn content(number: u32) -> Vec<u8> {
    let length = 1_000 + number as usize * 5_000;
    number.to_le_bytes().into_iter().cycle().take(length).collect()
}

async fn send(request: LinkRequestBuilder, store: &StoreProcess) -> Reply {
    request.send(store.base()).await
}

async fn upload(store: &StoreProcess, rng: &mut fastrand::Rng, report: &mut Report) {
    let (version, overwrite) = (rng.u32(..VERSIONS), rng.bool());
    let query = format!("version={version}&allow_overwrite={overwrite}");
    let bytes = content(rng.u32(..CONTENTS));
    let reply = send(store.request("").put_file("a.bin", &query, bytes.clone()), store).await;
    report.count("upload", reply.status);
    match reply.status {
        200 if reply.json()["sha256_signature"] != sha256_hex(&bytes) => {
            report.fault(format!("an upload was answered with other bytes: {}", reply.body));
        }
        200 | 400 | 429 => {}
        _ => report.fault(format!("an upload was answered {reply:?}")),
    }
}

/// One of the packages, deleted ones among them.
async fn choose(store: &StoreProcess, rng: &mut fastrand::Rng, deleted: &str) -> Option<i64> {
    let reply = send(store.below(Method::GET, &format!("?is_deleted={deleted}&limit=50")), store).await;
    let page = reply.json();
    let ids: Vec<i64> = page["results"].as_array()?.iter().filter_map(|row| row["id"].as_i64()).collect();
    rng.choice(ids)
}

async fn download(store: &StoreProcess, rng: &mut fastrand::Rng, report: &mut Report) {
    let Some(id) = choose(store, rng, "false").await else { return };
    let request = store.below(Method::GET, &format!("{id}/download/"));
    let Ok(reply) = Downloaded::read(request.open(store.base()).await).await else {
        return report.fault(format!("the download of {id} broke off"));
    };
    report.count("download", reply.status);
    match reply.status {
        200 => {
            report.downloaded += reply.bytes.len() as u64;
            let (promised, found) = (reply.header("x-checksum-sha256"), sha256_hex(&reply.bytes));
            if promised != Some(found.as_str()) {
                report.fault(format!("a download of {id} has {found}, and promised {promised:?}"));
            }
        }
        404 | 410 | 429 => {}
        status => report.fault(format!("a download of {id} was answered {status}: {}", reply.code())),
    }
}

async fn change(store: &StoreProcess, rng: &mut fastrand::Rng, report: &mut Report) {
    let (asked, method, below, of) = match rng.u32(..3) {
        0 => ("restore", Method::POST, "restore/", "true"),
        1 => ("restore", Method::POST, "restore/", "all"),
        _ => ("delete", Method::DELETE, "", "false"),
    };
    let Some(id) = choose(store, rng, of).await else { return };
    let reply = send(store.below(method, &format!("{id}/{below}")), store).await;
    report.count(asked, reply.status);
    if !matches!(reply.status, 200 | 400 | 410) {
        report.fault(format!("to {asked} {id} was answered {reply:?}"));
    }
}

async fn clean_up(store: &StoreProcess, report: &mut Report) {
    let plan = send(store.below(Method::GET, "cleanup/"), store).await;
    report.count("plan", plan.status);
    if plan.status != 200 {
        return report.fault(format!("a plan was answered {plan:?}"));
    }
    let body = json!({"plan": plan.json()["plan"]});
    let reply = send(store.below(Method::POST, "cleanup/").json(&body), store).await;
    report.count("cleanup", reply.status);
    if !matches!(reply.status, 200 | 409) {
        report.fault(format!("a clean-up was answered {reply:?}"));
    }
}

/// Looks at the sums until the end.
async fn watch_quotas(store: &StoreProcess, end: Instant) -> Vec<String> {
    let mut wrong = Vec::new();
    while Instant::now() < end {
        let sums = send(store.below(Method::GET, "usage/"), store).await.json();
        let number = |name: &str| sums["module"][name].as_u64().unwrap_or(u64::MAX);
        let bytes = number("bytes").saturating_add(number("deleted_bytes"));
        if number("packages") > MAX_PACKAGES || bytes > MAX_BYTES {
            wrong.push(format!("the quotas are exceeded: {sums}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    wrong
}

/// Each change of a package raises its revision and is an event, so the two tell the same number.
async fn judge_events(store: &StoreProcess, report: &mut Report) {
    let events = store.directory().events().await;
    report.events = events.len();
    let mut changes: BTreeMap<i64, i64> = BTreeMap::new();
    for event in events.iter().filter(|event| !event.action.ends_with("_refused")) {
        if let Some(id) = event.package_id {
            *changes.entry(id).or_default() += 1;
        }
    }
    let rows = store.rows().await;
    for row in &rows {
        let detail: Value = send(store.below(Method::GET, &format!("{}/", row.id)), store).await.json();
        let (revision, events) = (detail["revision"].as_i64(), changes.get(&row.id).copied());
        if revision.is_none() || revision != events {
            report.fault(format!("package {} has the revision {revision:?} and {events:?} events", row.id));
        }
    }
    if rows.len() != changes.len() {
        report.fault(format!("{} packages have events, and {} are there", changes.len(), rows.len()));
    }
}
