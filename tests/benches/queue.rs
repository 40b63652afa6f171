//! What uploads and stores that share a database cost it, each beside the other: the times that `cargo xtask simulate replicas`
//! reckons with.
//!
//! `cargo xtask bench queue`; `--cycles` for how many uploads, `--processes` for how many stores at once. A server of its own,
//! whose disk is left out (`fsync` is off): how long that takes is the disk's, and the simulation has it as a number of its own.
//! Promises: every upload is queued, claimed, kept alive and recorded by the store's own code, or the run ends with an error.
//! Asserts nothing about time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::time::{Duration, Instant};

use linkgate_catalog::PostgresCatalog;
use linkgate_catalog::testing::PostgresServer;
use linkgate_contract::{AppCode, CallerApp, JobId, ModuleName, ModuleRef, Operator, Sha256};
use linkgate_store_core::budget::Bounds;
use linkgate_store_core::ingest::ports::{
    BeatReply, Catalog as _, CatalogReader as _, Claim, Enqueued, Heartbeat, HolderId, JobQueue as _, JobRecord,
    JobRequest, JobState, JobView, NewJob, NewPackage, UploadKey,
};
use linkgate_store_core::ingest::{Allowance, now_ms};
use linkgate_store_core::settings::QueueLimits;
use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{cpu_time, median, number};
use linkgate_tests::records::{self, random_digest};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

/// Limits that nobody comes up against.
const LIMITS: QueueLimits = QueueLimits {
    running: 100_000,
    per_host: 100_000,
    per_app: 100_000,
    queued: 100_000,
    queued_per_app: 100_000,
    resumed: 4,
    ended: Bounds { per_owner: 5_000, in_sum: 50_000 },
    nonces: Bounds { per_owner: 20_000, in_sum: 100_000 },
    queue_timeout: Duration::from_secs(20),
    lease: Duration::from_secs(60),
};
/// Jobs that run while somebody looks, as many as stores that share take by default.
const RUNNING: u64 = 64;
/// How often something small is measured.
const SMALL: u32 = 300;
/// As a store does that finds nothing to do.
const LOOK: &str = "select * from claim_job(gen_random_uuid(), gen_random_uuid(), '60 s', 64, 32, 16, 4)";

#[tokio::main]
async fn main() {
    if let Some(missing) = PostgresServer::missing() {
        println!("{missing}: nothing was measured");
        std::process::exit(2);
    }
    let (cycles, processes) = (number("--cycles", 400).max(10), number("--processes", 8).max(1));
    let server = PostgresServer::start();
    measure_one(&server, cycles).await;
    measure_many(&server, cycles, processes).await;
    measure_looks(&server, processes).await;
    measure_beats(&server).await;
}

/// Each step of an upload, where nobody else does anything.
async fn measure_one(server: &PostgresServer, cycles: u64) {
    let catalog = connect(server).await;
    let mut steps = [const { Vec::new() }; 4];
    let before = server_time(server).await;
    for turn in 0..cycles {
        let times = cycle(&catalog, &format!("app-{}", turn % 16)).await;
        steps.iter_mut().zip(times).for_each(|(all, time)| all.push(time.as_secs_f64() * 1e3));
    }
    let used = server_time(server).await.checked_sub(before).unwrap_or_default();
    let chart = Chart::new("steps", "What an upload asks of PostgreSQL", "ms");
    for (name, times) in ["queue", "claim", "keep alive", "record"].into_iter().zip(steps) {
        chart.ours(name, times.iter().copied());
        println!("{name:<12}{:>8.2} ms", median(times));
    }
    println!("an upload takes {:.2} ms of the server's processors", per(used, cycles));
    catalog.close().await;
}

/// Several stores that do nothing else.
async fn measure_many(server: &PostgresServer, cycles: u64, processes: u64) {
    let mut working = JoinSet::new();
    let (begun, before) = (Instant::now(), server_time(server).await);
    for process in 0..processes {
        let catalog = connect(server).await;
        working.spawn(async move {
            for turn in 0..cycles {
                cycle(&catalog, &format!("app-{process}-{}", turn % 16)).await;
            }
            catalog
        });
    }
    // Open until all is measured: a backend that has ended tells no time.
    let open = working.join_all().await;
    let (all, took) = (cycles * processes, begun.elapsed());
    let used = server_time(server).await.checked_sub(before).unwrap_or_default();
    println!(
        "{processes} stores: {:.0} uploads a second, {:.2} ms of the server's processors each",
        all as f64 / took.as_secs_f64(),
        per(used, all)
    );
    for catalog in open {
        catalog.close().await;
    }
}

/// What it takes to find nothing: as many at once as there are stores show how long one holds the lock.
async fn measure_looks(server: &PostgresServer, processes: u64) {
    let catalog = connect(server).await;
    let mut running = Vec::new();
    for turn in 0..RUNNING {
        running.push(begin(&catalog, &format!("app-{}", turn % 16)).await);
    }
    for connections in [1, processes] {
        let mut looking = JoinSet::new();
        let (begun, before) = (Instant::now(), server_time(server).await);
        for _ in 0..connections {
            let mut connection = PgConnection::connect(&server.address()).await.unwrap();
            looking.spawn(async move {
                for _ in 0..SMALL {
                    assert!(sqlx::query(LOOK).fetch_optional(&mut connection).await.unwrap().is_none());
                }
                connection
            });
        }
        let open = looking.join_all().await;
        let looks = connections * u64::from(SMALL);
        let (took, used) = (begun.elapsed(), server_time(server).await.checked_sub(before).unwrap_or_default());
        println!(
            "{connections} at once look for jobs, {RUNNING} of which run: {:.0} looks a second, {:.3} ms of the server's processors each",
            looks as f64 / took.as_secs_f64(),
            per(used, looks)
        );
        drop(open);
    }
    for claim in running {
        end(&catalog, claim).await;
    }
    catalog.close().await;
}

/// What it takes to keep jobs alive, all those of a store at once.
async fn measure_beats(server: &PostgresServer) {
    let catalog = connect(server).await;
    let mut running = Vec::new();
    for count in [1_u64, 16, 64] {
        while (running.len() as u64) < count {
            running.push(begin(&catalog, "app").await);
        }
        let before = server_time(server).await;
        let mut times = Vec::new();
        for _ in 0..SMALL {
            let beats = running.iter().map(beat).collect();
            let begun = Instant::now();
            let replies = catalog.heartbeat(beats).await.unwrap();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            assert!(replies.iter().all(|reply| *reply == BeatReply::Extended));
        }
        let used = server_time(server).await.checked_sub(before).unwrap_or_default();
        println!(
            "a sign of life of {count} jobs takes {:.2} ms, {:.3} ms of the server's processors",
            median(times),
            per(used, u64::from(SMALL))
        );
    }
    for claim in running {
        end(&catalog, claim).await;
    }
    catalog.close().await;
}

async fn connect(server: &PostgresServer) -> PostgresCatalog {
    PostgresCatalog::connect(&server.address(), LIMITS).await.unwrap()
}

/// Of the server's processes that there are now.
async fn server_time(server: &PostgresServer) -> Duration {
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    let pids: Vec<i32> = sqlx::query_scalar("select pid from pg_stat_activity where pid <> pg_backend_pid()")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    pids.into_iter().map(|pid| cpu_time(u32::try_from(pid).unwrap())).sum()
}

fn per(used: Duration, number: u64) -> f64 {
    used.as_secs_f64() * 1e3 / number as f64
}

/// An upload as the database sees it.
async fn cycle(catalog: &PostgresCatalog, caller: &str) -> [Duration; 4] {
    let job = new_job(caller);
    let begun = Instant::now();
    assert_eq!(catalog.enqueue(job).await.unwrap(), Enqueued::Queued);
    let queued = begun.elapsed();
    let claim = catalog.claim(HolderId::random()).await.unwrap();
    let claimed = begun.elapsed();
    assert_eq!(catalog.heartbeat(vec![beat(&claim)]).await.unwrap(), [BeatReply::Extended]);
    let kept = begun.elapsed();
    end(catalog, claim).await;
    [queued, claimed - queued, kept - claimed, begun.elapsed() - kept]
}

async fn begin(catalog: &PostgresCatalog, caller: &str) -> Claim {
    assert_eq!(catalog.enqueue(new_job(caller)).await.unwrap(), Enqueued::Queued);
    catalog.claim(HolderId::random()).await.unwrap()
}

async fn end(catalog: &PostgresCatalog, claim: Claim) {
    let package = new_package(&claim.record);
    catalog.record(package, claim.record, Some(claim.fence)).await.unwrap();
}

fn beat(claim: &Claim) -> Heartbeat {
    Heartbeat { fence: claim.fence, view: claim.record.view.clone() }
}

fn new_job(caller: &str) -> NewJob {
    let digest = random_digest();
    let target = ModuleRef { app: AppCode::new(caller).unwrap(), module: ModuleName::new("default").unwrap() };
    let view = JobView {
        id: JobId::from_uuid(uuid::Uuid::from_slice(&digest[..16]).unwrap()),
        target,
        state: JobState::Queued,
        received_bytes: 0,
        total_bytes: None,
        attempts: 0,
        created_ms: now_ms(),
        started_ms: None,
        ended_ms: None,
        end: None,
    };
    let request = JobRequest {
        body: "{}".into(),
        allowance: Allowance::default(),
        source_url: "https://example.com/generic/example.tar.gz".to_owned(),
        caller_app: Some(CallerApp::new(caller).unwrap()),
        operator: Operator::new("admin").unwrap(),
        tenant: None,
        request_id: linkgate_tests::random(),
        client_address: String::new(),
        sealed: None,
    };
    NewJob {
        record: JobRecord { view, request, keys: Vec::new(), lives: 0, upload_key: None, is_queued: true },
        key: UploadKey(Sha256::from_bytes(digest)),
        host: "example.com".to_owned(),
        is_resumed: false,
    }
}

fn new_package(job: &JobRecord) -> NewPackage {
    let digest = random_digest();
    let version = format!("1.0.{}", hex::encode(&digest[..8]));
    records::new_package(job.view.target.clone(), &version, digest, job.request.source_url.clone())
}
