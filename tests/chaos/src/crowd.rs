//! One caller who takes as much of each thing as it can get, and another who is served all the same.
//!
//! For each row of docs/LIMITS.md that a caller or a neighbour can fill: a store of its own with the shipped bounds, the other
//! caller's latencies while all is quiet, the crowd, and the same latencies again. What must hold: the crowd holds what the
//! bound says and no more; all that is refused is refused as documented; the other caller is served, within twice its quiet
//! latency; the store stays within the memory that the shipped deployments give it. Then the same before Envoy, for what the gate holds and
//! what its policy bounds.

mod gateway;
mod gather;
mod report;

use std::time::{Duration, Instant};

use linkgate_tests::measure::median;
use linkgate_tests::{
    Behaviour, Compression, FakeSource, LinkRequestBuilder, Reply, StoreProcess, package_of_size, tar,
};
use reqwest::Method;

use gather::Gathered;
pub use report::Report;

/// The caller that takes all it can get, and the one that wants to be served.
const GREEDY: &str = "greedy";
const MODEST: &str = "modest";
/// A package that no buffers hold.
const LARGE: usize = 32 << 20;
/// Requests of each kind of which the median is taken.
const REQUESTS: u32 = 20;

/// What a crowd takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Uploads at work and places in the queue, by uploads that nobody waits for.
    Queue,
    /// Seats of those who wait for one upload.
    OneUpload,
    /// Seats of those who wait for uploads.
    Waiters,
    /// Event streams.
    Watchers,
    /// Bodies in memory.
    Bodies,
    /// Files that come.
    Files,
    /// Downloads that are not read.
    Downloads,
    /// Jobs that have ended.
    EndedJobs,
    /// Connections on which nothing comes.
    Strangers,
    /// Probes, as fast as they come.
    Probes,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Queue,
        Self::OneUpload,
        Self::Waiters,
        Self::Watchers,
        Self::Bodies,
        Self::Files,
        Self::Downloads,
        Self::EndedJobs,
        Self::Strangers,
        Self::Probes,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Queue => "uploads at work and in the queue",
            Self::OneUpload => "requests that wait for one upload",
            Self::Waiters => "requests that wait for uploads",
            Self::Watchers => "event streams",
            Self::Bodies => "bodies in memory",
            Self::Files => "files that come",
            Self::Downloads => "downloads that are not read",
            Self::EndedJobs => "jobs that have ended",
            Self::Strangers => "connections of strangers",
            Self::Probes => "probes",
        }
    }
}

/// How long the other caller's requests take: an upload, a look at a job, a probe.
#[derive(Clone, Copy, Debug)]
struct Latencies {
    upload: Duration,
    look: Duration,
    probe: Duration,
}

/// What was found of one resource.
#[derive(Debug)]
struct Found {
    name: &'static str,
    gathered: Gathered,
    quiet: Latencies,
    crowded: Latencies,
    /// The most memory that each process had.
    peaks: Vec<(&'static str, u64)>,
    faults: Vec<String>,
}

/// Tries all resources, one after the other.
pub async fn run() -> Report {
    let mut found = Vec::new();
    for resource in Resource::ALL {
        found.push(try_one(resource).await);
    }
    for resource in gateway::Resource::ALL {
        found.push(gateway::try_one(resource).await);
    }
    Report::new(found)
}

/// A store, what it downloads, and who asks.
struct Ground {
    store: StoreProcess,
    source: FakeSource,
    _data: tempfile::TempDir,
}

impl Ground {
    async fn new() -> Self {
        let package = tar(&[("main.py", b"print()")], Compression::Gzip);
        let source = FakeSource::serving(package.clone()).await;
        source.on("/slow", Behaviour::Held(package));
        source.on("/none", Behaviour::Status(404));
        source.on("/large", Behaviour::Bytes(package_of_size(LARGE)));
        let data = tempfile::tempdir().unwrap();
        // A crowd stays as long as it is looked at, and jobs that have ended reach their bound within a minute.
        let settings = [
            ("LINKGATE_FETCH_IDLE_TIMEOUT_S", "600"),
            ("LINKGATE_FETCH_MIN_RATE", "0"),
            ("LINKGATE_STORE_QUEUE_TIMEOUT_S", "600"),
            ("LINKGATE_STORE_MAX_ENDED_JOBS_PER_APP", "100"),
        ];
        Self { store: StoreProcess::trusting(&source, data.path(), &settings), source, _data: data }
    }

    /// A request of this caller.
    fn request(&self, app: &str, path: &str, version: &str) -> LinkRequestBuilder {
        let request = self.store.request(self.source.url_of(path)).module(app, "default").version(version);
        request.token(Some(self.store.mint().token_of(app))).in_english()
    }

    /// The same without waiting.
    fn hurried(&self, app: &str, path: &str, version: &str) -> LinkRequestBuilder {
        self.request(app, path, version).header("prefer", "respond-async")
    }

    /// A request about the job that a 202 named.
    fn about(&self, app: &str, accepted: &Reply) -> LinkRequestBuilder {
        let place = accepted.header("location").expect("a 202 says where");
        let base = format!("/bkapps/applications/{app}/modules/default/source_package/link/");
        self.request(app, "/", "1").method(Method::GET).path(format!("{base}{place}")).raw_body("").content_type(None)
    }

    /// The other caller's latencies; what was not served is a fault.
    async fn measure(&self, when: &str, faults: &mut Vec<String>) -> Latencies {
        let accepted = self.store.send(self.hurried(MODEST, "/quick", &format!("{when}-job"))).await;
        if accepted.status != 202 {
            faults.push(format!("{when}: an upload was answered {} {}", accepted.status, accepted.body));
        }
        let (mut uploads, mut looks, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..REQUESTS {
            let upload = self.request(MODEST, "/quick", &format!("{when}-{number}"));
            uploads.push(timed(self.store.send(upload), faults).await);
            if accepted.status == 202 {
                looks.push(timed(self.store.send(self.about(MODEST, &accepted)), faults).await);
            }
            probes.push(timed(self.store.get("/readyz"), faults).await);
        }
        let looks = if looks.is_empty() { vec![Duration::MAX] } else { looks };
        Latencies { upload: median(uploads), look: median(looks), probe: median(probes) }
    }
}

async fn timed(asked: impl Future<Output = Reply>, faults: &mut Vec<String>) -> Duration {
    let begun = Instant::now();
    let reply = asked.await;
    if reply.status != 200 {
        faults.push(format!("the other caller was answered {} {}", reply.status, reply.body));
    }
    begun.elapsed()
}

async fn try_one(resource: Resource) -> Found {
    let (ground, mut faults) = (Ground::new().await, Vec::new());
    let quiet = ground.measure("quiet", &mut faults).await;
    let (gathered, held) = gather::gather(resource, &ground).await;
    let crowded = ground.measure("crowded", &mut faults).await;
    let peaks = vec![("the store", peak_memory_mib(ground.store.pid()))];
    drop(held);
    Found { name: resource.name(), gathered, quiet, crowded, peaks, faults }
}

/// The most memory that the process ever had.
fn peak_memory_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}
