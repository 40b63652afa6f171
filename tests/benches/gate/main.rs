//! What the gate costs Envoy, beside no filter, Lua and `ext_authz`: time of the processor for each request, requests in a
//! second, and what callers wait; in clear, under TLS 1.3, and with TLS on both sides of Envoy.
//!
//! `cargo xtask bench gate` builds what is needed and says where it is. One Envoy with one worker for each contender, each
//! with the shipped `envoy.yaml` around it, in many short turns, medians; `--rounds`, `--seconds`. With `--memory`: whether
//! a million requests leave anything behind. Promises: every reply's status is checked, and a wrong one ends the run with
//! an error. Asserts nothing about time: a target that was missed is said, for machines differ and are busy.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

mod contenders;
mod cpu;
mod judge;
mod load;
mod memory;
mod report;
mod services;
mod wire;

use std::time::Duration;

use linkgate_tests::measure::number;

use crate::contenders::{Contender, Ground};
use crate::cpu::{Cores, Instructions};
use crate::load::{Load, Until, press};
use crate::report::{Round, Row};
use crate::services::Authorizer;

// One thread: the load and the upstream share a core and wake each other for free.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cores = Cores::find();
    if std::env::args().any(|arg| arg == "--memory") {
        return memory::watch(cores, number("--requests", 1_000_000)).await;
    }
    let (rounds, seconds) = (number("--rounds", 21), number("--seconds", 1));
    let ground = Ground::prepare().await;
    cores.enter_envoys();
    let contenders = Contender::all(&ground).await;
    cores.leave_envoys();
    for contender in &contenders {
        contender.prove(&ground).await;
    }
    let rows = measure(&contenders, rounds, Duration::from_secs(seconds)).await;
    println!("{rounds} rounds of {seconds} s, in turns, medians; one worker of Envoy, every reply checked");
    if !cores.apart() {
        println!("(one core for everything: what the load costs Envoy's caches is in the figures)");
    }
    report::print(&rows);
    report::draw(&rows);
}

async fn measure(contenders: &[Contender], rounds: u64, time: Duration) -> Vec<Row> {
    let mut rows = Vec::new();
    for contender in contenders {
        for (case, load) in contender.cases() {
            rows.push((contender, load, Row::new(contender.filter.name(), contender.channel, case)));
        }
    }
    let count = Instructions::counted();
    // One round first that does not count: caches and connections.
    for round in 0..=rounds {
        for (contender, load, row) in &mut rows {
            let measured = measure_once(contender, load, time, count).await;
            contender.gateway.empty_log();
            if round > 0 {
                row.rounds.push(measured);
            }
        }
    }
    rows.into_iter().map(|(_, _, row)| row).collect()
}

async fn measure_once(contender: &Contender, load: &Load, time: Duration, count: bool) -> Round {
    let pid = contender.gateway.pid();
    let service = || contender.service.as_ref().map(Authorizer::cpu).unwrap_or_default();
    let alone = press(&contender.entrance, &load.alone(), Until::Over(time / 4)).await.latency;
    let instructions = if count { Some(Instructions::watch(pid).await) } else { None };
    let (envoy_before, service_before) = (cpu::of_process(pid), service());
    let done = press(&contender.entrance, load, Until::Over(time)).await;
    let (envoy, service) = (cpu::of_process(pid) - envoy_before, service() - service_before);
    let each = |total: f64| total / done.requests as f64;
    Round {
        envoy_us: each(envoy.as_secs_f64() * 1e6),
        service_us: each(service.as_secs_f64() * 1e6),
        per_second: done.requests as f64 / done.took.as_secs_f64(),
        alone,
        together: done.latency,
        instructions: instructions.map(|watched| each(watched.end() as f64)),
    }
}
