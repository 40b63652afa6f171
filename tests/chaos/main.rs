//! The gate under load while policies and bkauth come and go: `cargo xtask chaos gate`.
//!
//! `cargo bench -p linkgate-tests --bench chaos --profile dev -- --seconds 30 --rate 1000 --deploys 20`, with the variables
//! that `cargo xtask test` sets. Promises: ends with 0 only if nothing was wrong, and says what was.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a run that cannot begin says so by failing"
)]

use std::process::ExitCode;

use linkgate_tests::chaos::{Plan, run};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let [seconds, rate, deploys] = [("--seconds", 30), ("--rate", 1_000), ("--deploys", 20)].map(wanted);
    let report = run(Plan { seconds, rate, deploys }).await;
    println!("{report}");
    if report.violations().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The number behind this name, or what is usual.
fn wanted((name, usual): (&str, u32)) -> u32 {
    let number = std::env::args().skip_while(|argument| argument != name).nth(1);
    number.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}
