//! The store in the memory that its shipped deployments give it, with the packages that take most of it.
//!
//! Four callers have all the uploads that they may have at work, and more that wait, of packages made for large decoders and long
//! lists. The source gives half of each and holds the rest back, so all that a store ever holds it holds at once. It is killed
//! and started again in between, and takes up what it accepted. What must hold: memory never ends it, and every upload that
//! was accepted ends.

mod cgroup;
mod packages;
mod report;

use std::time::Duration;

use linkgate_tests::token::good_claims;
use linkgate_tests::{Behaviour, FakeSource, LinkRequestBuilder, Reply, StoreProcess, TokenMint};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use cgroup::MemoryLimit;
pub use cgroup::cannot_limit;
pub use report::Report;

/// What compose and Kubernetes give the store.
const MEMORY_MIB: u64 = 512;
/// Callers, and the uploads of each: more than it may have at work.
const CALLERS: usize = 4;
const UPLOADS: usize = 32;
/// How long memory is looked at after each start.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// How long all uploads may take once the source holds nothing back.
const END_WITHIN: Duration = Duration::from_secs(600);
/// More starts than these are not tried.
const MOST_STARTS: usize = 12;

/// An upload that was accepted.
struct Accepted {
    caller: String,
    package: &'static str,
    reply: Reply,
}

/// Kills the store so often, and then lets it end what it accepted.
pub async fn run(kills: u32) -> Report {
    let (source, packages) = (FakeSource::serving("").await, packages::all());
    for (name, bytes) in &packages {
        source.on(&format!("/{name}"), Behaviour::Held(bytes.clone()));
    }
    let data = tempfile::tempdir().expect("there is space");
    let mut stage = Stage {
        mint: TokenMint::new(),
        source,
        data,
        limit: MemoryLimit::new(MEMORY_MIB),
        report: Report::new(MEMORY_MIB),
    };
    let mut store = stage.start();
    let accepted;
    (store, accepted) = stage.upload(store, &packages).await;
    for _ in 0..kills {
        store = stage.look(store).await;
        store.kill_9();
        store = stage.start();
    }
    store = stage.look(store).await;
    stage.source.release();
    stage.await_ends(store, &accepted).await;
    stage.report.peak_mib = stage.limit.peak_mib();
    stage.report
}

struct Stage {
    mint: TokenMint,
    source: FakeSource,
    data: tempfile::TempDir,
    limit: MemoryLimit,
    report: Report,
}

impl Stage {
    /// With the shipped bounds; a source that holds back what it has is no fault of it.
    fn start(&mut self) -> StoreProcess {
        self.report.starts += 1;
        let keys = self.mint.setting();
        let settings = [
            ("LINKGATE_JWT_PUBLIC_KEYS", keys.as_str()),
            ("LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS", "false"),
            ("LINKGATE_FETCH_IDLE_TIMEOUT_S", "3600"),
            ("LINKGATE_FETCH_TOTAL_TIMEOUT_S", "3600"),
            ("LINKGATE_FETCH_MIN_RATE", "0"),
            ("LINKGATE_STORE_MAX_UPLOADS_PER_HOST", "64"),
        ];
        let store = StoreProcess::trusting(&self.source, self.data.path(), &settings);
        self.limit.take(store.pid());
        store
    }

    async fn upload(
        &mut self,
        mut store: StoreProcess,
        packages: &[(&'static str, Vec<u8>)],
    ) -> (StoreProcess, Vec<Accepted>) {
        let mut accepted = Vec::new();
        for number in 0..CALLERS * UPLOADS {
            let (caller, package) = (format!("caller-{}", number % CALLERS), packages[number % packages.len()].0);
            let request = self.request(&caller, package, &number.to_string()).header("prefer", "respond-async");
            store = self.revive(store);
            match request.try_send(store.base()).await {
                Ok(reply) if reply.status == 202 => accepted.push(Accepted { caller, package, reply }),
                Ok(reply) => self.report.faults.push(format!("an upload was answered {} {}", reply.status, reply.body)),
                // It died meanwhile, which is told by itself.
                Err(_) => self.report.unanswered += 1,
            }
        }
        self.report.accepted = accepted.len();
        (store, accepted)
    }

    fn request(&self, caller: &str, package: &str, version: &str) -> LinkRequestBuilder {
        let mut claims = good_claims();
        claims["app"]["app_code"] = caller.into();
        claims["exp"] = (linkgate_tests::token::now_s() + 3_600).into();
        let request = LinkRequestBuilder::new(self.source.url_of(&format!("/{package}")), &self.mint);
        request.module(caller, "default").version(version).token(Some(self.mint.sign(&claims))).in_english()
    }

    /// Leaves it alone for a while; one that ends is started again.
    async fn look(&mut self, mut store: StoreProcess) -> StoreProcess {
        let until = Instant::now() + LOOK_FOR;
        while Instant::now() < until {
            store = self.revive(store);
            sleep(Duration::from_millis(200)).await;
        }
        store
    }

    fn revive(&mut self, mut store: StoreProcess) -> StoreProcess {
        let Some(status) = store.ended() else { return store };
        self.report.deaths.push(format!("start {}: {status}", self.report.starts));
        assert!(self.report.starts < MOST_STARTS, "it ends again and again: {}", self.report);
        self.start()
    }

    async fn await_ends(&mut self, mut store: StoreProcess, accepted: &[Accepted]) {
        let until = Instant::now() + END_WITHIN;
        for job in accepted {
            loop {
                store = self.revive(store);
                let state = self.state(&store, job).await;
                if let Some(end) = state {
                    *self.report.ends.entry((job.package, end)).or_default() += 1;
                    break;
                }
                if Instant::now() > until {
                    self.report.faults.push(format!("an upload of {} did not end", job.package));
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// How it ended; `None` if it has not, or nobody answered.
    async fn state(&self, store: &StoreProcess, job: &Accepted) -> Option<String> {
        let base = format!("/bkapps/applications/{}/modules/default/source_package/link/", job.caller);
        let place = job.reply.header("location").expect("a 202 says where");
        let request = self.request(&job.caller, job.package, "1").method(Method::GET).path(format!("{base}{place}"));
        let reply = request.raw_body("").content_type(None).try_send(store.base()).await.ok()?;
        let document: Value = serde_json::from_str(&reply.body).ok()?;
        match document["state"].as_str()? {
            "done" => Some("done".to_owned()),
            "failed" => Some(format!("failed: {}", document["error"]["code"].as_str().unwrap_or("without a code"))),
            _ => None,
        }
    }
}
