//! A source, a store and a gateway, wired as an operator would.

use linkgate_tests::gateway::{Credentials, Gateway, GatewayPlan};
use linkgate_tests::{Behaviour, DataDirectory, FakeSource, LinkRequestBuilder, Reply, StoreProcess, TokenMint};
use serde_json::Value;

/// Everything that one upload needs.
pub struct TestStack {
    pub source: FakeSource,
    pub store: StoreProcess,
    pub gateway: Gateway,
    pub policy: Value,
    _data: tempfile::TempDir,
}

/// The gateway's words where no user credential was shown.
pub const NO_USER: &str =
    "user authentication failed, please provide a valid user identity, such as bk_username, bk_token, access_token";

/// What the source serves unless a test says otherwise.
pub const PACKAGE: &[u8] = b"what a package holds";

impl TestStack {
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
        let source = FakeSource::serving(PACKAGE).await;
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
        Self { source, store, gateway, policy, _data: data }
    }

    /// The request of the API document for a link.
    pub fn request(&self, url: impl Into<String>) -> LinkRequestBuilder {
        authorized(stranger(url), self.gateway.credentials())
    }

    /// Sends it through the gateway.
    pub async fn send(&self, request: LinkRequestBuilder) -> Reply {
        request.send(self.gateway.base()).await
    }

    /// What the store keeps.
    pub fn directory(&self) -> &DataDirectory {
        self.store.directory()
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
        self.gateway.stat("cluster.store.upstream_rq_total").await
    }

    /// Makes the source behave so on a path, and gives the link.
    pub fn link_to(&self, path: &str, behaviour: Behaviour) -> String {
        self.source.on(path, behaviour);
        self.source.url_of(path)
    }
}

/// The request of the API document without credentials.
pub fn stranger(url: impl Into<String>) -> LinkRequestBuilder {
    LinkRequestBuilder::new(url, &TokenMint::new())
        .token(None)
        .path("/stag/bkapps/applications/app_code/modules/default/source_package/link/")
}

/// The same with good credentials.
pub fn authorized(request: LinkRequestBuilder, credentials: &Credentials) -> LinkRequestBuilder {
    request.header("x-bkapi-authorization", &credentials.header())
}

/// The refusal of who could not be authenticated, with this reason.
pub fn assert_not_authenticated(reply: &Reply, reason: &str) {
    let message = format!("Parameters error [reason=\"{reason}\"]");
    assert_envelope(reply, 400, 1_640_001, "INVALID_ARGS", &message);
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

/// The store's form: status, headers, whole body.
pub fn assert_problem(reply: &Reply, status: u16, code: &str, number: Option<&str>, body: &str) {
    assert_eq!((reply.status, reply.body.as_str()), (status, body), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("bkapi-error-code"), Some(code));
    assert_eq!(reply.header("bkapi-error-code-num"), number);
}

/// The gateway's envelope: status, headers, whole body.
pub fn assert_envelope(reply: &Reply, status: u16, code: u32, name: &str, message: &str) {
    let quoted = Value::from(message).to_string();
    let body = format!(r#"{{"code":{code},"code_name":"{name}","message":{quoted},"result":false,"data":null}}"#);
    assert_eq!((reply.status, reply.body.as_str()), (status, body.as_str()), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-bkapi-error-code"), Some(code.to_string().as_str()));
    assert_eq!(reply.header("x-bkapi-error-message"), Some(message));
    assert_named(reply);
}
