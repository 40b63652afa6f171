//! How fast callers send and get files, beside what else one would do behind the same Envoy, in turns; and what it holds in memory.
//!
//! `cargo xtask bench transfers` builds what is needed and says where it is; `--mib`, `--rounds`. Promises: every transfer's digest
//! is checked, and a wrong one ends the run with an error. Asserts nothing about time: machines differ, and a slow one is not
//! broken.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

mod download;
mod upload;

use std::time::Duration;

use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{median, number};

/// One transfer.
pub struct Measured {
    /// From the client's first byte to the end of the reply, and of the digest where that is made apart.
    pub took: Duration,
    /// What the back end held at most.
    pub back_end_kib: u64,
    /// What Envoy held at most, beyond what it held before.
    pub envoy_more_kib: u64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (mib, rounds) = (number("--mib", 1_024), number("--rounds", 5).max(1));
    println!("{mib} MiB, {rounds} rounds in turns, medians; × is the speed over nginx's\n");
    let runtime = runtime.expect("threads");
    runtime.block_on(upload::measure(mib << 20, rounds));
    runtime.block_on(download::measure(mib << 20, rounds));
}

/// Prints the rows of a table, the one that the others are held against last.
pub fn print(title: &str, bytes: u64, rows: &[(&str, Vec<Measured>)]) {
    println!("| {title} | MiB/s | × | back end, peak MiB | Envoy, more MiB |\n|---|---|---|---|---|");
    let rate = |all: &[Measured]| {
        let seconds = median(all.iter().map(|one| one.took.as_secs_f64()));
        #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
        let mib = bytes as f64 / f64::from(1 << 20);
        mib / seconds
    };
    let base = rows.last().map_or(1.0, |(_, all)| rate(all));
    for (name, all) in rows {
        let (back_end, envoy) =
            (all.iter().map(|one| one.back_end_kib).max(), all.iter().map(|one| one.envoy_more_kib).max());
        let mib = |kib: Option<u64>| kib.unwrap_or_default().div_ceil(1 << 10);
        println!("| {name} | {:.0} | {:.2} | {} | {} |", rate(all), rate(all) / base, mib(back_end), mib(envoy));
    }
    println!();
    let chart = Chart::new(title.replace([',', ' '], "-").replace("--", "-"), title, "MiB/s");
    for (name, all) in rows {
        #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
        let speeds = all.iter().map(|one| bytes as f64 / f64::from(1 << 20) / one.took.as_secs_f64());
        chart.bar(name, name.starts_with("store"), speeds);
    }
}

/// A number of KiB that Linux tells of a process.
#[must_use]
pub fn memory_kib(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux, and the process runs");
    let line = status.lines().find(|line| line.starts_with(what)).expect("Linux tells it");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
