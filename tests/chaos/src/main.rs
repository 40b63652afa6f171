//! What `cargo xtask chaos` runs: `gate` under load while policies and bkauth come and go; `crash` and `power`, a store
//! that is killed, or whose disk goes away, while callers upload, overwrite and delete; `disk`, one that fills up or fails;
//! `crowd`, one of which a caller takes all it can get; `memory`, one with the packages that take most of its memory; `races`, one
//! module of which many callers change at once; `replicas`, stores that share a database and a bucket, while any of these fails; `upgrade`, the same while one
//! after the other is replaced by one of another release; `rollback`, a data directory that goes from one release to the next and
//! back.
//!
//! `cargo run -p linkgate-chaos -- gate --seconds 30 --rate 1000 --deploys 20`, with the
//! variables that `cargo xtask test` sets. Promises: ends with 0 only if nothing was wrong, with 1 if something was, and
//! says what; with 2 if it cannot run here. Whatever it mounted is unmounted, also after Ctrl-C.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a run that cannot begin says so by failing"
)]

use std::fmt::Display;
use std::process::ExitCode;

use linkgate_chaos::crash::trouble::{self, Trouble, cannot_trouble};
use linkgate_chaos::crash::{self, FileSystem};
use linkgate_chaos::{crowd, gate, memory, races, replicas, rollback};
use tokio::signal::unix::{SignalKind, signal};

/// Nothing was found wrong, but nothing was looked at either.
const CANNOT_RUN: u8 = 2;
/// As a shell says it after Ctrl-C.
const STOPPED: u8 = 130;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        ended = shake() => ended,
        // What was begun is dropped, and with it processes and mounts.
        _ = tokio::signal::ctrl_c() => ExitCode::from(STOPPED),
        _ = terminate.recv() => ExitCode::from(STOPPED),
    }
}

async fn shake() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("crash") => crash(crash::Plan::kills(wanted("--rounds", 1_000), seed())).await,
        Some("power") => power().await,
        Some("disk") => disk().await,
        Some("memory") => memory().await,
        Some("races") => {
            let report = races::run(races::Plan { callers: wanted("--callers", 32), seconds: wanted("--seconds", 60) });
            let report = report.await;
            ended(&report, &report.violations())
        }
        Some("replicas") => replicas(replicas::Plan::new(wanted("--rounds", 1_000), seed())).await,
        Some("upgrade") => {
            let upgrade = replicas::Upgrade { from: from(), seconds: wanted("--seconds", 5) };
            replicas(replicas::Plan::of_upgrade(upgrade, seed())).await
        }
        Some("rollback") => {
            let report = rollback::run(from()).await;
            ended(&report, &report.violations())
        }
        Some("crowd") => {
            let report = crowd::run().await;
            ended(&report, &report.violations())
        }
        _ => {
            let [seconds, rate, deploys] =
                [("--seconds", 30), ("--rate", 1_000), ("--deploys", 20)].map(|(name, usual)| wanted(name, usual));
            let report = gate::run(gate::Plan { seconds, rate, deploys }).await;
            ended(&report, &report.violations())
        }
    }
}

async fn power() -> ExitCode {
    let disks: &'static [FileSystem] = match value("--fs").as_deref() {
        Some("ext4") => &[FileSystem::Ext4],
        Some("xfs") => &[FileSystem::Xfs],
        _ => &FileSystem::BOTH,
    };
    if let Some(why) = crash::cannot_mount(disks) {
        eprintln!("NOT RUN, nothing was tested: {why}");
        return ExitCode::from(CANNOT_RUN);
    }
    crash(crash::Plan::power_cuts(wanted("--rounds", 100), seed(), disks)).await
}

async fn disk() -> ExitCode {
    if let Some(why) = cannot_trouble() {
        eprintln!("NOT RUN, nothing was tested: {why}");
        return ExitCode::from(CANNOT_RUN);
    }
    let mut violations = Vec::new();
    for trouble in Trouble::ALL {
        let report = trouble::run(trouble, wanted("--rounds", 5)).await;
        println!("{report}");
        violations.extend_from_slice(report.violations());
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn memory() -> ExitCode {
    if let Some(why) = memory::cannot_limit() {
        eprintln!("NOT RUN, nothing was tested: {why}");
        return ExitCode::from(CANNOT_RUN);
    }
    let report = memory::run(wanted("--kills", 2)).await;
    ended(&report, &report.violations())
}

async fn replicas(plan: replicas::Plan) -> ExitCode {
    match replicas::run(plan).await {
        Some(report) => ended(&report, &report.violations()),
        None => {
            eprintln!("NOT RUN, nothing was tested: PostgreSQL or SeaweedFS is missing");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

async fn crash(plan: crash::Plan) -> ExitCode {
    let report = crash::run(plan).await;
    ended(&report, &report.violations())
}

fn ended(report: &impl Display, violations: &[String]) -> ExitCode {
    println!("{report}");
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The number behind this name, or what is usual.
fn wanted(name: &str, usual: u32) -> u32 {
    value(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn from() -> String {
    value("--from").expect("--from takes the path of a store")
}

fn seed() -> Option<u64> {
    value("--seed").map(|text| text.parse().unwrap_or_else(|_| panic!("--seed takes a number")))
}

fn value(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}
