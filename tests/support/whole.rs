//! The largest size of the stack: a source, a store and a gateway, wired as an operator would.

use crate::gateway::{Credentials, Gateway, GatewayPlan};
use crate::process::command;
use crate::stack::{Caller, TestStack};
use crate::{Behaviour, FakeSource, LinkRequestBuilder, Reply, StoreProcess, TokenMint, package_of};
use serde_json::Value;

/// Everything that one upload needs.
pub struct Whole {
    source: FakeSource,
    store: StoreProcess,
    gateway: Gateway,
    policy: Value,
    _data: tempfile::TempDir,
}

/// A source, a store as a process, and Envoy before it.
pub type WholeStack = TestStack<Whole>;

/// What the source serves unless a test says otherwise.
#[must_use]
pub fn package() -> Vec<u8> {
    package_of("what a package holds")
}

impl TestStack<Whole> {
    /// A stack with the default settings.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A stack whose store has further settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::planned(GatewayPlan::new(), settings, &[]).await
    }

    /// A stack with a changed gateway, and more hosts that the policy and the store allow.
    pub async fn planned(plan: GatewayPlan, settings: &[(&str, &str)], more_hosts: &[String]) -> Self {
        Self::under(plan, settings, more_hosts, |_, _| ()).await
    }

    /// The same under a changed policy; the change sees the source.
    pub async fn under(
        plan: GatewayPlan,
        settings: &[(&str, &str)],
        more_hosts: &[String],
        change: impl FnOnce(&mut Value, &FakeSource),
    ) -> Self {
        let source = FakeSource::serving(package()).await;
        let mut hosts = vec![source.host(), format!("localhost:{}", source.port())];
        hosts.extend_from_slice(more_hosts);
        let data = tempfile::tempdir().unwrap();
        let keys = plan.public_keys();
        let mut all = vec![
            ("LINKGATE_JWT_PUBLIC_KEYS", keys.clone()),
            ("LINKGATE_FETCH_ALLOWED_HOSTS", hosts.join(",")),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", source.host()),
        ];
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let store = StoreProcess::start(data.path(), &all);
        let mut policy = plan.credentials().policy(&hosts);
        change(&mut policy, &source);
        plan.deploy(&policy);
        let gateway = plan.start(store.base().trim_start_matches("http://").parse().unwrap()).await;
        Self {
            base: gateway.base().to_owned(),
            directory: store.directory().clone(),
            caller: Caller::App(gateway.credentials().clone()),
            size: Whole { source, store, gateway, policy, _data: data },
        }
    }

    /// One more gateway before the same store, under the same policy: `plan` says what else of it, from
    /// [`GatewayPlan::beside`] the first one.
    pub async fn add_gateway(&self, plan: impl FnOnce(GatewayPlan) -> GatewayPlan) -> Gateway {
        let plan = plan(GatewayPlan::beside(&self.size.gateway));
        plan.deploy(&self.size.policy);
        plan.start(self.size.store.base().trim_start_matches("http://").parse().unwrap()).await
    }

    /// Where packages come from.
    #[must_use]
    pub fn source(&self) -> &FakeSource {
        &self.size.source
    }

    /// The store behind the gateway.
    #[must_use]
    pub fn store(&self) -> &StoreProcess {
        &self.size.store
    }

    /// Kills the store behind the gateway and waits until it is gone, so that nothing answers there any more.
    pub fn kill_store(&mut self) {
        self.size.store.kill_9();
    }

    /// Envoy.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.size.gateway
    }

    /// The policy that it began with.
    #[must_use]
    pub fn policy(&self) -> &Value {
        &self.size.policy
    }

    /// Sends a request that must be refused, in English, and checks that nothing was kept.
    pub async fn refuse(&self, request: LinkRequestBuilder) -> Reply {
        let reply = self.send(request.in_english()).await;
        assert!(reply.status >= 400, "{reply:?}");
        assert_named(&reply);
        self.directory().assert_empty().await;
        reply
    }

    /// Sends a request that the gate must refuse, and checks that nothing of it got beyond.
    pub async fn refuse_at_gate(&self, request: LinkRequestBuilder) -> Reply {
        let before = (self.sent_to_store().await, self.directory().rows().await);
        let reply = self.send(request.in_english()).await;
        assert!(reply.status >= 400, "{reply:?}");
        assert_named(&reply);
        assert_eq!((self.sent_to_store().await, self.directory().rows().await), before, "{reply:?}");
        reply
    }

    /// How many requests Envoy has sent to the store.
    pub async fn sent_to_store(&self) -> u64 {
        self.size.gateway.stat("cluster.store.upstream_rq_total").await
    }

    /// Ends the store, and fails unless all that it left is as it should be.
    pub fn end_clean(self) {
        let Whole { store, _data: data, .. } = self.size;
        store.stop();
        let verified = command(data.path(), &["verify"]);
        assert_eq!(verified.code(), 0, "{verified:?}");
        assert_eq!(self.directory.temp_files(), Vec::<std::path::PathBuf>::new());
    }

    /// Makes the source behave so on a path, and gives the link.
    #[must_use]
    pub fn link_to(&self, path: &str, behaviour: Behaviour) -> String {
        self.size.source.on(path, behaviour);
        self.size.source.url_of(path)
    }
}

/// The request of the API document without credentials.
#[must_use]
pub fn stranger(url: impl Into<String>) -> LinkRequestBuilder {
    LinkRequestBuilder::new(url, &TokenMint::new())
        .token(None)
        .path("/stag/bkapps/applications/app_code/modules/default/source_package/link/")
}

/// The same with good credentials.
#[must_use]
pub fn authorized(request: LinkRequestBuilder, credentials: &Credentials) -> LinkRequestBuilder {
    request.header("x-bkapi-authorization", &credentials.header())
}

/// Both ids are there, once, and agree.
pub fn assert_named(reply: &Reply) {
    let only = |name: &str| {
        let all: Vec<_> = reply.headers.get_all(name).iter().collect();
        assert_eq!(all.len(), 1, "{name}: {reply:?}");
        all[0].to_str().unwrap().to_owned()
    };
    let id = only("x-request-id");
    assert_eq!(only("x-bkapi-request-id"), id);
    assert!(!id.is_empty());
}
