//! The store as it is shipped: a fresh one for each transfer, so that nothing is there already and the peak is this one's.

use std::path::Path;
use std::time::Instant;

use linkgate_tests::measure::cpu_time;
use linkgate_tests::{GatewayPlan, LinkRequestBuilder, StoreProcess, unknown_formats_allowed};

use crate::Package;
use crate::report::Measured;

pub async fn alone(root: &Path, package: &Package) -> Measured {
    let dir = tempfile::tempdir_in(root).unwrap();
    let store = StoreProcess::trusting(&package.source, dir.path(), &[limit(package).as_setting(), any_format()]);
    let request = store.request(package.source.url());
    take_in(&store, request, store.base(), &[store.pid()], package).await
}

/// Envoy with the gate and a policy in front, as the quickstart has it.
pub async fn behind_envoy(root: &Path, package: &Package) -> Measured {
    let dir = tempfile::tempdir_in(root).unwrap();
    let plan = GatewayPlan::new();
    let (keys, limit) = (plan.public_keys(), limit(package));
    let settings = [("LINKGATE_JWT_PUBLIC_KEYS", keys.as_str()), limit.as_setting(), any_format()];
    let store = StoreProcess::trusting(&package.source, dir.path(), &settings);
    plan.deploy(&plan.credentials().policy(&[package.source.host()]));
    let gateway = plan.start(store.base().trim_start_matches("http://").parse().unwrap()).await;
    let request = store.request(package.source.url()).token(None);
    let request = request.header("x-bkapi-authorization", &gateway.credentials().header());
    take_in(&store, request, gateway.base(), &[store.pid(), gateway.pid()], package).await
}

fn any_format() -> (&'static str, &'static str) {
    unknown_formats_allowed("one of the two packages is no archive, to measure without the inspection")
}

/// A package of the benchmark may be larger than the store takes by itself.
struct Limit(String);

impl Limit {
    fn as_setting(&self) -> (&str, &str) {
        ("LINKGATE_FETCH_MAX_BYTES", &self.0)
    }
}

fn limit(package: &Package) -> Limit {
    Limit(package.bytes.to_string())
}

async fn take_in(
    store: &StoreProcess,
    request: LinkRequestBuilder,
    base: &str,
    pids: &[u32],
    package: &Package,
) -> Measured {
    let used = || pids.iter().map(|pid| cpu_time(*pid)).sum::<std::time::Duration>();
    let (begun, before) = (Instant::now(), used());
    let reply = request.send(base).await;
    let (took, cpu) = (begun.elapsed(), used() - before);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["sha256_signature"], package.sha256, "the store got other bytes");
    assert_eq!(reply.json()["package_size"], package.bytes.to_string());
    Measured { took, cpu, peak_kib: Some(store.peak_memory_kib()) }
}
