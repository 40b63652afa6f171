//! Whether requests leave anything behind: what Envoy and the filter hold early on, and after many more.
//!
//! Half of the requests are accepted; the others come from hundreds of apps and users that nobody knows, so that
//! whatever is kept by a caller's name would show.

use std::sync::Arc;
use std::time::Duration;

use linkgate_tests::gateway::APP;
use linkgate_tests::request::get;
use serde_json::json;

use crate::contenders::{HOST, shipped};
use crate::cpu::Cores;
use crate::load::{Ask, Load, Until, press};
use crate::services::Upstream;
use crate::wire::Entrance;

/// Strangers of each kind.
const STRANGERS: usize = 300;
/// Early enough to be compared with, late enough for pools and caches to be full.
const EARLY: u64 = 100_000;
/// What allocators may move by, in KiB.
const NOISE_KIB: u64 = 2048;
/// V8 keeps that much free of access behind every VM's memory.
const GUARD: u64 = 4 << 30;

struct Held {
    requests: u64,
    rss_kib: u64,
    allocated_kib: u64,
    vms: usize,
    vms_kib: u64,
}

/// Sends that many requests and prints what was held when.
pub async fn watch(cores: Cores, requests: u64) {
    assert!(requests > EARLY, "--requests takes more than {EARLY}");
    let upstream = Upstream::start(None).await;
    let plan = shipped();
    plan.deploy(&plan.credentials().policy(&[HOST.to_owned()]));
    cores.enter_envoys();
    let gateway = plan.start(upstream.address).await;
    cores.leave_envoys();
    let entrance = Entrance { address: gateway.address(), tls: None };
    let load = Load::of(mixed(gateway.credentials()));
    println!("{:>10}{:>14}{:>20}{:>24}", "requests", "Envoy's RSS", "Envoy's allocator", "memory of the VMs");
    let mut early = None;
    let mut sent = 0;
    for upto in [EARLY, requests] {
        while sent < upto {
            let step = EARLY.min(upto - sent);
            press(&entrance, &load, Until::Sent(step)).await;
            gateway.empty_log();
            sent += step;
        }
        // Until the connections of refused requests are let go.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let held = look(gateway.pid(), gateway.admin(), sent).await;
        held.print();
        match early {
            None => early = Some(held),
            Some(early) => return compare(&early, &held),
        }
    }
}

fn mixed(credentials: &linkgate_tests::gateway::Credentials) -> Arc<[Ask]> {
    let unknown = "0".repeat(credentials.secret.len());
    let stranger = |number| {
        let app = json!({"bk_app_code": format!("stranger-{number}"), "bk_app_secret": unknown, "bk_ticket": unknown});
        let user = json!({
            "bk_app_code": APP,
            "bk_app_secret": credentials.secret,
            "bk_ticket": format!("ticket-{number}"),
            "bk_username": format!("user-{number}"),
        });
        let good = || Ask::upload(&credentials.header(), 200);
        [good(), Ask::upload(&app.to_string(), 400), good(), Ask::upload(&user.to_string(), 400)]
    };
    (0..STRANGERS).flat_map(stranger).collect()
}

async fn look(pid: u32, admin: &str, requests: u64) -> Held {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells VmRSS");
    let stats = get(admin, "/stats?filter=server.memory_allocated").await.body;
    let (_, allocated) = stats.trim().split_once(": ").expect("Envoy tells what it allocated");
    let vms = memories(&std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap());
    Held {
        requests,
        rss_kib: rss.split_whitespace().next().unwrap().parse().unwrap(),
        allocated_kib: allocated.parse::<u64>().unwrap() >> 10,
        vms: vms.len(),
        vms_kib: vms.iter().sum::<u64>() >> 10,
    }
}

/// The linear memory of each VM: what can be written right before a guard.
fn memories(maps: &str) -> Vec<u64> {
    let mapping = |line: &'_ str| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let number = |hex| u64::from_str_radix(hex, 16).unwrap();
        (number(to) - number(from), rest[..4].to_owned())
    };
    let mappings: Vec<(u64, String)> = maps.lines().map(mapping).collect();
    let guarded = mappings.windows(2).filter(|pair| pair[0].1 == "rw-p" && pair[1].1 == "---p" && pair[1].0 >= GUARD);
    guarded.map(|pair| pair[0].0).collect()
}

impl Held {
    fn print(&self) {
        let Self { requests, rss_kib, allocated_kib, vms, vms_kib } = self;
        println!("{requests:>10}{rss_kib:>10} KiB{allocated_kib:>16} KiB{:>24}", format!("{vms_kib} KiB in {vms}"));
    }
}

fn compare(early: &Held, late: &Held) {
    let growth = late.rss_kib.saturating_sub(early.rss_kib);
    let steady = growth <= NOISE_KIB && late.vms > 0 && late.vms_kib <= early.vms_kib;
    let verdict = if steady { "yes" } else { "MISSED" };
    println!("\nno growth (target: none in the VMs, at most {NOISE_KIB} KiB in all): {verdict}, {growth} KiB");
}
