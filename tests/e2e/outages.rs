//! Identity services that are ill: who is known is served on, nobody else gets in, and all is well again by itself.
//!
//! What happens to an answer that is older than ten minutes is shown by `stale.rs`.

use std::time::Duration;

use linkgate_tests::gateway::APP;
use linkgate_tests::{Reply, Service, ServiceBehaviour, random};
use serde_json::{Value, json};

use crate::platform::{CI, Caller, EXEMPT, Platform, Proof};
use crate::replies::assert_envelope;

/// The failure of a service, as callers read it.
fn assert_failed(reply: &Reply, service: Service, what: &str) {
    let name = match service {
        Service::Bkauth => "bkauth",
        Service::Login => "login",
        Service::Ticket => "ticket",
    };
    let message = format!("Internal Server Error [reason=\"failed to request third-party api, {name}, {what}\"]");
    assert_envelope(reply, 500, 1_650_001, "INTERNAL_SERVER_ERROR", &message);
}

/// Every way to be ill, and what callers read of it.
const BEHAVIOURS: [(ServiceBehaviour, &str); 9] = [
    (ServiceBehaviour::Down, "status: 503"),
    (ServiceBehaviour::Hangup, "status: 503"),
    (ServiceBehaviour::Slow(Duration::from_secs(60)), "status: 504"),
    (ServiceBehaviour::Html, "response is not valid json, status: 200"),
    (ServiceBehaviour::Truncated, "response is not valid json, status: 200"),
    (ServiceBehaviour::CutShort, "no answer"),
    (ServiceBehaviour::Huge, "no answer"),
    (ServiceBehaviour::Status(500), "status: 500"),
    (ServiceBehaviour::Status(302), "status: 302"),
];

/// Puts the services through every behaviour for these proofs.
async fn go_through_all_behaviours(platform: &Platform, proofs: &[Proof]) {
    for proof in proofs {
        let (service, _) = proof.question().unwrap();
        let known = platform.caller(*proof);
        assert_eq!(platform.serve(&known).await["identity"], "fresh");
        for (behaviour, what) in BEHAVIOURS {
            platform.identity.set(service, behaviour).await;
            let new = platform.caller(*proof);
            assert_failed(&platform.refuse(&new).await, service, what);
            let line = platform.serve(&known).await;
            assert_eq!(line["identity"], "cached", "{proof:?} {behaviour:?}: {line}");
            platform.identity.set(service, ServiceBehaviour::Well).await;
            let line = platform.serve(&new).await;
            assert_eq!(line["identity"], "fresh", "{proof:?} {behaviour:?}: {line}");
        }
    }
}

#[tokio::test]
async fn an_ill_service_lets_nobody_in_but_those_who_are_known() {
    let platform = Platform::with(|policy| policy["identity"]["timeout_ms"] = json!(2_000)).await;
    go_through_all_behaviours(&platform, &Proof::ASKED).await;
    let mut tenants = platform.stack.policy().clone();
    tenants["identity"]["login"]["multi_tenant"] = true.into();
    platform.stack.gateway().enforce(&tenants).await;
    go_through_all_behaviours(&platform, &[Proof::Token]).await;

    // Who needs no service does not notice.
    platform.identity.set_all(ServiceBehaviour::Down).await;
    for proof in [Proof::InnerEdDsa, Proof::InnerRs512] {
        assert_eq!(platform.serve(&platform.caller(proof)).await["identity"], "fresh");
    }
    let listed = platform.stack.gateway().credentials();
    let listed = platform.user("bk_ticket", &listed.ticket);
    let reply = platform.stack.send(platform.request(&listed)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let line = &platform.stack.gateway().access_line(&reply).await["gate"];
    assert_eq!((&line["app"], &line["identity"]), (&json!(APP), &json!("listed")));
    assert!(!platform.stack.gateway().log().contains("critical"), "{}", platform.stack.gateway().log());
}

#[tokio::test]
async fn a_gateway_that_its_services_do_not_know_refuses_and_does_not_blame_the_caller() {
    let platform = Platform::with(|policy| policy["identity"]["login"]["multi_tenant"] = true.into()).await;
    platform.identity.rotate_gateway_secret();
    platform.identity.rotate_bearer();
    for proof in [Proof::Secret, Proof::Signature, Proof::UserToken, Proof::Token] {
        let (service, _) = proof.question().unwrap();
        assert_failed(&platform.refuse(&platform.caller(proof)).await, service, "status: 401");
    }
}

#[tokio::test]
async fn where_no_user_is_needed_only_one_who_shows_a_user_needs_the_service_of_users() {
    let platform = Platform::new().await;
    let app = platform.app(&platform.identity.add_app(CI));
    let caller = Caller { prefix: EXEMPT, operator: CI, ..app }.with("bk_ticket", random());
    platform.identity.set(Service::Ticket, ServiceBehaviour::Down).await;
    // It would be recorded for the app, and nobody would know whose it was.
    assert_failed(&platform.refuse(&caller).await, Service::Ticket, "status: 503");
    let caller = caller.with("bk_ticket", Value::Null);
    let line = platform.serve(&caller).await;
    assert_eq!((&line["app"], &line["user"]), (&json!(CI), &Value::Null), "{line}");
    // The app itself must be known for that.
    platform.identity.set(Service::Bkauth, ServiceBehaviour::Down).await;
    let caller = caller.with("bk_app_secret", platform.identity.add_app(CI));
    assert_failed(&platform.refuse(&caller).await, Service::Bkauth, "status: 503");
}
