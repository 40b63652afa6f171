//! The store as it is shipped, alone and behind Envoy: a fresh one for each transfer, so that nothing is there already and the
//! peak is this one's.

use std::path::Path;
use std::time::{Duration, Instant};

use linkgate_tests::measure::cpu_time;
use linkgate_tests::whole::authorized;
use linkgate_tests::{
    Certificates, Channel, Gateway, GatewayPlan, LinkRequestBuilder, StoreProcess, unknown_formats_allowed,
};
use tempfile::TempDir;

use crate::Package;
use crate::report::Measured;

/// A store, what stands before it, and a caller who keeps his connection.
pub struct Served {
    store: StoreProcess,
    gateway: Option<Gateway>,
    client: reqwest::Client,
    base: String,
    _dir: TempDir,
}

impl Served {
    /// The store by itself.
    pub fn alone(root: &Path, package: &Package) -> Self {
        let dir = tempfile::tempdir_in(root).unwrap();
        let store = start(package, dir.path(), &[]);
        let (client, base) = (reqwest::Client::builder().no_proxy().build().unwrap(), store.base().to_owned());
        Self { store, gateway: None, client, base, _dir: dir }
    }

    /// Envoy with the gate and a policy in front, as the quickstart has it, with and without TLS.
    pub async fn behind_envoy(root: &Path, package: &Package, certificates: &Certificates, channel: Channel) -> Self {
        let dir = tempfile::tempdir_in(root).unwrap();
        let plan = certificates.wire(GatewayPlan::new(), channel);
        let mut settings = certificates.store_settings(channel);
        settings.push(("LINKGATE_JWT_PUBLIC_KEYS", plan.public_keys()));
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let store = start(package, dir.path(), &settings);
        plan.deploy(&plan.credentials().policy(&[package.host()]));
        let gateway = plan.start(store.base().trim_start_matches("http://").parse().unwrap()).await;
        let base = Certificates::base(&gateway, channel);
        Self { store, gateway: Some(gateway), client: certificates.client(), base, _dir: dir }
    }

    fn request(&self, package: &Package) -> LinkRequestBuilder {
        let request = self.store.request(package.url());
        match &self.gateway {
            None => request,
            Some(gateway) => authorized(request.token(None), gateway.credentials()),
        }
    }

    /// What the store and Envoy have used so far.
    pub fn cpu(&self) -> Duration {
        let gateway = self.gateway.as_ref().map(|gateway| cpu_time(gateway.pid()));
        cpu_time(self.store.pid()) + gateway.unwrap_or_default()
    }

    /// Takes the package in and says how long that took.
    pub async fn upload(&self, package: &Package, version: &str) -> Duration {
        let request = self.request(package).version(version);
        let begun = Instant::now();
        let reply = request.try_send_by(&self.client, &self.base).await.expect("the store answers");
        let took = begun.elapsed();
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()["sha256_signature"], package.sha256, "the store got other bytes");
        assert_eq!(reply.json()["package_size"], package.bytes.to_string());
        took
    }

    /// The same of one that takes in nothing else.
    pub async fn measure(self, package: &Package) -> Measured {
        let before = self.cpu();
        let took = self.upload(package, "0.0.5").await;
        Measured { took, cpu: self.cpu() - before, peak_kib: Some(self.store.peak_memory_kib()) }
    }
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
