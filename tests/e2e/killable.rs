//! A store that is killed behind its gateway, and comes back where that looks for it.

use linkgate_catalog::testing::free_port;
use linkgate_tests::gateway::{Gateway, GatewayPlan};
use linkgate_tests::{FakeSource, StoreProcess};
use serde_json::Value;

/// Both, and what the store is started with.
pub(crate) struct KillableStack {
    pub(crate) store: StoreProcess,
    pub(crate) gateway: Gateway,
    data: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
}

impl KillableStack {
    /// They take packages from this source.
    pub(crate) async fn start(source: &FakeSource) -> Self {
        Self::under(source, &[], |_| ()).await
    }

    /// The same with further settings of the store, under a changed policy.
    pub(crate) async fn under(
        source: &FakeSource,
        more: &[(&'static str, &str)],
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let (data, plan) = (tempfile::tempdir().unwrap(), GatewayPlan::new());
        let listen = format!("127.0.0.1:{}", free_port());
        let mut settings = vec![
            ("LINKGATE_STORE_LISTEN", listen.clone()),
            ("LINKGATE_JWT_PUBLIC_KEYS", plan.public_keys()),
            ("LINKGATE_FETCH_ALLOWED_HOSTS", source.host()),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", source.host()),
        ];
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let store = start_store(&data, &settings);
        let mut policy = plan.credentials().policy(&[source.host()]);
        change(&mut policy);
        plan.deploy(&policy);
        let gateway = plan.start(listen.parse().unwrap()).await;
        Self { store, gateway, data, settings }
    }

    /// The store, which was killed, begins again.
    pub(crate) fn start_store_again(&mut self) {
        self.store = start_store(&self.data, &self.settings);
    }
}

fn start_store(data: &tempfile::TempDir, settings: &[(&'static str, String)]) -> StoreProcess {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    StoreProcess::start(data.path(), &settings)
}
