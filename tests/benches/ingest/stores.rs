//! The store as it is shipped: a fresh one for each transfer, so that nothing is there already and the peak is this one's.

use std::path::Path;
use std::time::Instant;

use linkgate_tests::measure::cpu_time;
use linkgate_tests::{GatewayPlan, LinkRequestBuilder, StoreProcess, unknown_formats_allowed};

use crate::Package;
use crate::report::Measured;

pub async fn alone(root: &Path, package: &Package) -> Measured {
    let dir = tempfile::tempdir_in(root).unwrap();
    let store = start(package, dir.path(), &[]);
    let request = store.request(package.url());
    take_in(&store, request, store.base(), &[store.pid()], package).await
}

/// Envoy with the gate and a policy in front, as the quickstart has it.
pub async fn behind_envoy(root: &Path, package: &Package) -> Measured {
    let dir = tempfile::tempdir_in(root).unwrap();
    let plan = GatewayPlan::new();
    let store = start(package, dir.path(), &[("LINKGATE_JWT_PUBLIC_KEYS", &plan.public_keys())]);
    plan.deploy(&plan.credentials().policy(&[package.host()]));
    let gateway = plan.start(store.base().trim_start_matches("http://").parse().unwrap()).await;
    let request = store.request(package.url()).token(None);
    let request = request.header("x-bkapi-authorization", &gateway.credentials().header());
    take_in(&store, request, gateway.base(), &[store.pid(), gateway.pid()], package).await
}

/// A store that may read this package, which may be larger than a store takes by itself.
fn start(package: &Package, data_dir: &Path, more: &[(&str, &str)]) -> StoreProcess {
    let (host, limit, trust) = (package.host(), package.bytes.to_string(), package.trust());
    let mut settings = vec![
        ("LINKGATE_FETCH_ALLOWED_HOSTS", host.as_str()),
        ("LINKGATE_FETCH_PRIVATE_HOSTS", &host),
        ("LINKGATE_FETCH_MAX_BYTES", &limit),
        unknown_formats_allowed("one of the packages is no archive, to measure without the inspection"),
    ];
    settings.extend(trust.iter().map(|(name, value)| (*name, value.as_str())));
    settings.extend(more);
    StoreProcess::start(data_dir, &settings)
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
