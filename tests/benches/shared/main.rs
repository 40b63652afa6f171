//! What stores cost that share a database and a bucket, beside what others cost for the same.
//!
//! `cargo xtask bench shared` fetches SeaweedFS and rclone and says where they are; `--mib`, `--rounds`, `--only`. A package goes from a source on
//! this machine into a server that keeps nothing, which shows what a client costs, and into SeaweedFS, which takes more than all its
//! clients. Promises: what every store replies is held against what was sent, and a wrong one ends the run with an error. Asserts
//! nothing about time: a target that was missed is said.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

mod peers;
mod sink;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{cpu_time, median, number, text};
use linkgate_tests::{Behaviour, Bulk, FakeSource, Nginx, Reached, Replicas, StoreProcess, unknown_formats_allowed};

use crate::peers::{curl_into, rclone_into};
use crate::sink::Sink;

/// Hosts, and applications, each of which calls for itself: no limit of one of them counts.
const PARTIES: usize = 8;
/// How many stores are held against one.
const STORES: usize = 4;
/// What each of them may do at once.
const PLACES: usize = 4;
/// A source that gives 10 MB/s: a MiB, and a rest.
const REST: Duration = Duration::from_millis(105);
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let (mib, rounds) = (number("--mib", 1_024), number("--rounds", 3).max(1));
    let Some(servers) = Replicas::start().await else { std::process::exit(2) };
    let sink = Sink::start().await;
    let only = text("--only");
    let is_wanted = |part| only.as_deref().is_none_or(|only| only == part);
    println!("{:<44}{:>10}{:>12}{:>10}{:>12}", "what", "MB/s", "CPU s/GiB", "peak MiB", "target");
    if is_wanted("ingest") {
        measure_ingest(&servers, &sink, mib, rounds).await;
    }
    if is_wanted("many") {
        measure_many(&servers, &sink).await;
    }
    if is_wanted("growth") {
        measure_growth(&servers, &sink).await;
    }
    if is_wanted("idle") {
        measure_idle(&servers).await;
    }
}

/// What a transfer came to.
#[derive(Clone, Copy)]
struct Measured {
    took: Duration,
    cpu: Duration,
    peak_kib: Option<u64>,
}

impl Measured {
    fn speed(rounds: &[Self], bytes: u64) -> f64 {
        bytes as f64 / 1e6 / median(rounds.iter().map(|round| round.took.as_secs_f64()))
    }

    fn print(what: &str, rounds: &[Self], bytes: u64, target: &str) {
        let cpu = median(rounds.iter().map(|round| round.cpu.as_secs_f64())) * f64::from(1 << 30) / bytes as f64;
        Chart::new("speed", "How fast a package gets into a bucket", "MB/s").bar(
            what,
            what.starts_with("store"),
            rounds.iter().map(|round| Self::speed(&[*round], bytes)),
        );
        let peak = rounds.iter().filter_map(|round| round.peak_kib).max();
        let peak = peak.map_or("–".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
        println!("{what:<44}{:>10.0}{cpu:>12.2}{peak:>10}{target:>12}", Self::speed(rounds, bytes));
    }
}

/// A store that is there for this alone, with its usual settings.
fn start_store(
    servers: &Replicas,
    hosts: &[String],
    more: &[(&'static str, String)],
    sink: Option<&Sink>,
) -> StoreProcess {
    let reached = Reached { endpoint: sink.map(Sink::endpoint), settings: more.to_vec(), ..Reached::default() };
    let mut settings = servers.settings(&hosts.join(","), &reached);
    // What tests are quicker with.
    settings.retain(|(name, _)| {
        ![
            "LINKGATE_STORE_JOB_LEASE_S",
            "LINKGATE_STORE_GC_INTERVAL_S",
            "LINKGATE_STORE_PURGE_INTERVAL_S",
            "LINKGATE_STORE_SCRUB_BYTES_PER_S",
        ]
        .contains(name)
    });
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.extend([
        ("LINKGATE_FETCH_MAX_BYTES", "17179869184"),
        unknown_formats_allowed("one of the packages is no archive, so that nothing but its way counts"),
    ]);
    StoreProcess::start_with_mint(&servers.next_data_dir(), &settings, servers.mint())
}

async fn measure_ingest(servers: &Replicas, sink: &Sink, mib: u64, rounds: u64) {
    let bulk = Bulk::tar_gz(u32::try_from(mib).expect("--mib is smaller"));
    // A web server takes the least of the time that is to be the clients', and one that nobody holds back.
    let source = Nginx::start("sendfile on;").await;
    let file = source.file("/example.tar.gz");
    bulk.write_to(&file);
    let mut all = [const { Vec::new() }; 4];
    // One round first that does not count.
    for round in 0..=rounds {
        let measured = [
            Some(take_in(servers, &source, Some(sink), &bulk, round).await),
            rclone_into(&sink.endpoint(), &source.url_of("/example.tar.gz")).await,
            Some(take_in(servers, &source, None, &bulk, round).await),
            curl_into(&servers.weed.endpoint(), &file).await,
        ];
        for (measured, all) in measured.into_iter().zip(&mut all).filter(|_| round > 0) {
            all.extend(measured);
        }
    }
    let (bytes, [ours, rclone, stored, curl]) = (bulk.size(), &all);
    Measured::print("store, into nothing", ours, bytes, "2.6 CPU, 64");
    if rclone.is_empty() {
        println!("NOT MEASURED: rclone copyurl, because there is no rclone");
    } else {
        Measured::print("rclone copyurl, into nothing", rclone, bytes, "");
        println!(
            "  the store is {:.2} x as fast (at least 2)",
            Measured::speed(ours, bytes) / Measured::speed(rclone, bytes)
        );
    }
    Measured::print("store, into SeaweedFS", stored, bytes, "");
    Measured::print("curl -T, into SeaweedFS", curl, bytes, "");
    println!(
        "  the store is {:.2} x as fast (at least 0.85)",
        Measured::speed(stored, bytes) / Measured::speed(curl, bytes)
    );
}

/// A fresh store takes the package in; the same bytes are another version of a module that is new with each round, and are
/// deleted behind it, so that they are stored again.
async fn take_in(servers: &Replicas, source: &Nginx, sink: Option<&Sink>, bulk: &Bulk, round: u64) -> Measured {
    let store = start_store(servers, &[source.host()], &[], sink);
    servers.execute("delete from source_package").await;
    servers.execute("delete from blob").await;
    let request = store.request(source.url_of("/example.tar.gz")).version(&format!("1.0.{round}"));
    let (begun, before) = (Instant::now(), cpu_time(store.pid()));
    let reply = request.send(store.base()).await;
    let (took, cpu) = (begun.elapsed(), cpu_time(store.pid()) - before);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["sha256_signature"], bulk.sha256(), "the store got other bytes");
    let measured = Measured { took, cpu, peak_kib: Some(store.peak_memory_kib()) };
    store.stop();
    measured
}

/// Sources at addresses of their own, for a store counts by host, whatever the port.
async fn start_sources() -> Vec<FakeSource> {
    let mut sources = Vec::new();
    for number in 1..=PARTIES {
        sources.push(FakeSource::start_at(&format!("127.0.0.{number}:0"), Behaviour::Status(404)).await);
    }
    sources
}

fn hosts_of(sources: &[FakeSource]) -> Vec<String> {
    sources.iter().map(FakeSource::host).collect()
}

/// Asks for packages that all differ, at once, and waits for all of them.
async fn take_in_at_once(
    stores: &[StoreProcess],
    sources: &[FakeSource],
    count: usize,
    bytes: u64,
    rest: Duration,
) -> Duration {
    let uploads: Vec<_> = (0..count)
        .map(|number| {
            let (bulk, source) = (Bulk::opaque(bytes, fastrand::u64(1 << 40..)), &sources[number % PARTIES]);
            let path = format!("/{number}-{}.bin", fastrand::u64(..));
            source.on(&path, bulk.served(rest));
            (bulk.sha256(), source.url_of(&path), format!("app-{}", number / PARTIES % PARTIES), number)
        })
        .collect();
    let begun = Instant::now();
    join_all(uploads.iter().map(|(sha256, url, application, number)| {
        let store = &stores[number % stores.len()];
        let (version, token) = (format!("{number}-{}", fastrand::u64(..)), store.mint().token_of(application));
        let request = store.request(url).module(application, "default").version(&version).token(Some(token));
        async move {
            let reply = request.send(store.base()).await;
            assert_eq!(
                (reply.status, reply.json()["sha256_signature"].as_str()),
                (200, Some(sha256.as_str())),
                "{reply:?}"
            );
        }
    }))
    .await;
    begun.elapsed()
}

async fn measure_many(servers: &Replicas, sink: &Sink) {
    const UPLOADS: usize = 64;
    const BYTES: u64 = 64 << 20;
    let sources = start_sources().await;
    let store = [start_store(servers, &hosts_of(&sources), &[], Some(sink))];
    let before = cpu_time(store[0].pid());
    let took = take_in_at_once(&store, &sources, UPLOADS, BYTES, Duration::ZERO).await;
    let cpu = cpu_time(store[0].pid()) - before;
    let measured = Measured { took, cpu, peak_kib: Some(store[0].peak_memory_kib()) };
    Measured::print("store, 64 x 64 MiB at once, into nothing", &[measured], BYTES * UPLOADS as u64, "160 MiB");
}

/// More stores with more places, where sources are what everybody waits for: SeaweedFS would be before them on a small machine.
async fn measure_growth(servers: &Replicas, sink: &Sink) {
    const BYTES: u64 = 10 << 20;
    let sources = start_sources().await;
    let mut speeds = Vec::new();
    for count in [1, STORES] {
        let places =
            ["LINKGATE_STORE_MAX_UPLOADS", "LINKGATE_STORE_MAX_UPLOADS_PER_HOST", "LINKGATE_STORE_MAX_UPLOADS_PER_APP"]
                .map(|name| (name, (count * PLACES).to_string()));
        let more = [&places[..], &[("LINKGATE_STORE_QUEUE_TIMEOUT_S", "60".to_owned())]].concat();
        let stores: Vec<_> = (0..count).map(|_| start_store(servers, &hosts_of(&sources), &more, Some(sink))).collect();
        // What each does once, such as to connect, is no part of it.
        take_in_at_once(&stores, &sources, count * PLACES, 1 << 20, Duration::ZERO).await;
        let uploads = STORES * PLACES * 8;
        let took = take_in_at_once(&stores, &sources, uploads, BYTES, REST).await;
        let speed = (BYTES * uploads as u64) as f64 / 1e6 / took.as_secs_f64();
        println!("{count} stores of {PLACES} places, sources of 10 MB/s{speed:>14.1} MB/s");
        speeds.push(speed);
    }
    println!("  {STORES} stores are {:.2} x as fast as one (at least 3.5)", speeds[1] / speeds[0]);
}

/// How often a store that has nothing to do asks the database, and what.
async fn measure_idle(servers: &Replicas) {
    let sources = start_sources().await;
    let _store = start_store(servers, &hosts_of(&sources), &[], None);
    for setting in ["alter system set log_statement = 'all'", "select pg_reload_conf()"] {
        servers.execute(setting).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = servers.postgres.statements().len();
    tokio::time::sleep(IDLE).await;
    let asked = servers.postgres.statements().split_off(before);
    let often = asked.len() as f64 / IDLE.as_secs_f64();
    println!("a store that has nothing to do asks the database {often:.2} times a second (at most 1):");
    let mut kinds = BTreeMap::<_, u32>::new();
    for statement in &asked {
        *kinds.entry(statement.chars().take(80).collect::<String>()).or_default() += 1;
    }
    for (statement, count) in kinds {
        println!("{count:>4} in {} s: {statement}", IDLE.as_secs());
    }
}
