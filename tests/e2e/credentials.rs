//! Private sources, through everything: the policy names a credential, the store shows it, and callers bring their own.

use std::os::unix::fs::PermissionsExt as _;

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::{FakeSource, LinkRequestBuilder, WholeStack, random};
use serde_json::{Value, json};

use crate::replies::assert_problem;

const OWN: &str = "X-Linkgate-Source-Authorization";
const PATH: &str = "/stag/bkapps/applications/other/modules/default/source_package/link/";

/// A stack whose store has a credential for a source, which the policy names for `app_code` alone.
struct Private {
    stack: WholeStack,
    source: FakeSource,
    secret: String,
    _dir: tempfile::TempDir,
}

impl Private {
    async fn new(more: &Value) -> Self {
        let source = FakeSource::serving(linkgate_tests::whole::package()).await;
        let (dir, host, secret) = (tempfile::tempdir().unwrap(), source.host(), random());
        let file = dir.path().join("credentials.toml");
        let text = format!(
            "[[credentials]]\nname = \"nexus\"\nhost = \"{host}\"\npath = \"/generic\"\nkind = \"bearer\"\nsecret = \"{secret}\"\n"
        );
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let settings = [
            ("LINKGATE_FETCH_CREDENTIALS_FILE", file.to_str().unwrap()),
            ("LINKGATE_FETCH_CREDENTIALS_OVER_HTTP", &host),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", &host),
            ("LINKGATE_LOG", "trace"),
        ];
        let mut entry = json!({"host": host, "targets": ["app_code"], "credential": "nexus"});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let change = |policy: &mut Value, _: &_| policy["packages"]["hosts"] = json!([entry]);
        let stack = WholeStack::under(GatewayPlan::new(), &settings, std::slice::from_ref(&host), change).await;
        Self { stack, source, secret, _dir: dir }
    }

    fn request(&self) -> LinkRequestBuilder {
        self.stack.request(self.source.url())
    }

    fn shown(&self) -> Vec<Option<String>> {
        let value = |head: &String| head.lines().find_map(|l| l.strip_prefix("authorization: ").map(str::to_owned));
        self.source.requests().iter().map(value).collect()
    }

    /// Nothing that anybody logs, answers or stores has the text in it.
    fn assert_untold(&self, text: &str, replies: &[&str]) {
        assert!(!self.stack.gateway().log().contains(text), "Envoy's log shows it");
        assert!(!self.stack.store().log().join("\n").contains(text), "the store's log shows it");
        assert!(!self.stack.directory().holds(text.as_bytes()), "it is stored");
        assert!(replies.iter().all(|reply| !reply.contains(text)), "a caller reads it");
    }
}

#[tokio::test]
async fn the_credential_that_the_policy_names_is_shown_for_its_targets_alone() {
    let private = Private::new(&json!({})).await;
    let stack = &private.stack;
    let reply = stack.send(private.request()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    // The same caller, and another target.
    assert_eq!(stack.send(private.request().path(PATH)).await.status, 200);
    let elsewhere = stack.request(private.source.url_of("/other/example.tar.gz")).version("2");
    assert_eq!(stack.send(elsewhere).await.status, 200);
    assert_eq!(private.shown(), [Some(format!("Bearer {}", private.secret)), None, None]);
    private.assert_untold(&private.secret, &[&reply.body]);
}

#[tokio::test]
async fn a_caller_s_own_credential_reaches_the_source_where_the_policy_allows_it() {
    let private = Private::new(&json!({"allow_caller_credential": true})).await;
    let own = random();
    let reply = private.stack.send(private.request().header(OWN, &format!("Basic {own}"))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(private.shown(), [Some(format!("Basic {own}"))]);
    let stack = &private.stack;
    let refused =
        stack.refuse_at_gate(private.request().version("2").header(OWN, &format!("Basic {own}")).path(PATH)).await;
    let port = private.source.port();
    let message =
        format!("A caller's own credential is not allowed for host '127.0.0.1' (port {port}). Ask the operator.");
    let body =
        json!({"code": "VALIDATION_ERROR", "detail": format!("{OWN}: {message}"), "fields_detail": {OWN: [message]}});
    assert_problem(&refused, 400, "VALIDATION_ERROR", None, &body.to_string());
    let several = private.request().version("2").header(OWN, "Basic a").header(OWN, "Basic b");
    assert_eq!(stack.refuse_at_gate(several).await.status, 400);
    assert_eq!(private.shown().len(), 1);
    private.assert_untold(&own, &[&reply.body, &refused.body]);
}

#[tokio::test]
async fn a_header_that_pretends_to_be_judged_is_dropped() {
    let private = Private::new(&json!({"allow_caller_credential": true})).await;
    let public = private.source.url_of("/other/example.tar.gz");
    for (version, name) in ["x-bkapi-source-authorization", "x_bkapi_source_authorization"].iter().enumerate() {
        let request = private.stack.request(&public).version(&version.to_string()).header(name, "Bearer forged");
        let reply = private.stack.send(request).await;
        // Envoy itself may refuse names with underscores.
        assert!(reply.status == 200 || name.contains('_'), "{reply:?}");
    }
    assert!(private.shown().iter().all(Option::is_none), "{:?}", private.shown());
}
