//! Several Envoys before one store: what they let through together, and what was sent to one of them before.

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::signature::signed_target_of;
use linkgate_tests::token::now_s;
use linkgate_tests::{Behaviour, Gateway, LinkRequestBuilder, RateLimits, package_of_size};
use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::{Platform, Proof, UPLOAD};
use crate::recorder::Recorder;
use crate::replies::{WholeStack, assert_envelope, assert_not_authenticated, authorized, stranger};

const LIMITED: &str = "API rate limit exceeded by stage strategy";

/// A stack whose limits are for two Envoys.
async fn for_two(limits: Value) -> WholeStack {
    WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| {
        policy["limits"] = limits;
        policy["limits"]["instances"] = json!(2);
    })
    .await
}

#[tokio::test]
async fn the_rates_of_two_envoys_are_together_what_is_written() {
    // Nothing comes back within hours, so what passes is the bursts.
    let rate = |burst: u64| json!({"per_second": 0.001, "burst": burst});
    let stack = for_two(json!({"requests_per_app": rate(7), "requests": rate(12)})).await;
    let second = stack.add_gateway(|plan| plan).await;
    let mut passed = [0, 0];
    for _ in 0..10 {
        for (passed, base) in passed.iter_mut().zip([stack.base(), second.base()]) {
            // What passes the limit has no package in it.
            let reply = stack.request("").without("package_url").send(base).await;
            match reply.status {
                400 => *passed += 1,
                _ => assert_envelope(&reply, 429, 1_642_902, "RATE_LIMIT_RESTRICTION", LIMITED),
            }
        }
    }
    assert_eq!(passed, [3, 3], "half of seven, rounded down");
}

#[tokio::test]
async fn the_uploads_of_two_envoys_are_together_what_is_written() {
    let stack = for_two(json!({"uploads_per_app": {"concurrent": 4}})).await;
    let second = stack.add_gateway(|plan| plan).await;
    let url = stack.link_to("/held.tgz", Behaviour::Held(package_of_size(100_000)));
    let begin = |base: &str, n: usize| tokio::spawn(stack.request(&url).version(&format!("{n}")).try_send_owned(base));
    let mut held = Vec::new();
    for (base, from) in [(stack.base(), 0), (second.base(), 10)] {
        held.extend((from..from + 2).map(|n| begin(base, n)));
        stack.source().wait_for_requests(held.len()).await;
        for n in from + 2..from + 5 {
            let reply = begin(base, n).await.unwrap().unwrap();
            let message = "Request concurrency exceeds";
            assert_envelope(&reply, 429, 1_642_904, "CONCURRENCY_LIMIT_RESTRICTION", message);
        }
    }
    assert_eq!(stack.source().requests().len(), 4);
    stack.source().release();
    for upload in held {
        assert_eq!(upload.await.unwrap().unwrap().status, 200);
    }
}

const USED: &str = "parameter bk_nonce has been used before";

#[tokio::test]
async fn a_signed_upload_is_refused_by_the_store_when_it_comes_again_by_another_envoy() {
    let platform = Platform::new().await;
    let second = platform.stack.add_gateway(|plan| plan.asking(&platform.identity)).await;
    let signer = platform.caller(Proof::Signature);
    let request = platform.request(&signer);
    let served = platform.stack.send(request.clone()).await;
    assert_eq!(served.status, 200, "{served:?}");
    let fetched = platform.stack.source().requests().len();
    // By the first one it is refused there; by the second one, which never saw it, by the store. Callers read the same.
    let by_gate = platform.stack.refuse_at_gate(request.clone()).await;
    assert_not_authenticated(&by_gate, USED);
    let sent = second.stat("cluster.store.upstream_rq_total").await;
    for _ in 0..2 {
        let by_store = request.clone().send(second.base()).await;
        assert_not_authenticated(&by_store, USED);
        assert_eq!(by_store.body, by_gate.body);
        // The second time the second one knows it, too.
        assert_eq!(second.stat("cluster.store.upstream_rq_total").await, sent + 1);
    }
    assert_eq!((platform.stack.rows().await.len(), platform.stack.source().requests().len()), (1, fetched));
    // What is signed anew is another request.
    let reply = platform.request(&signer).send(second.base()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_signed_request_that_only_reads_may_come_by_each_envoy_once() {
    let platform = Platform::new().await;
    let second = platform.stack.add_gateway(|plan| plan.asking(&platform.identity)).await;
    let signer = platform.caller(Proof::Signature);
    let reply = platform.stack.send(platform.request(&signer)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let path = format!("/stag{}1/", UPLOAD.trim_end_matches("link/"));
    let signed = |method: &Method, nonce| {
        let secret = signer.signs_with.as_deref().unwrap();
        let target = signed_target_of(method.as_str(), &path, nonce, now_s(), secret);
        let request = stranger("").method(method.clone()).raw_body("").content_type(None).path(target);
        request.header("x-bkapi-authorization", &signer.presented.to_string())
    };
    let reading = signed(&Method::GET, 9_000);
    for base in [platform.stack.base(), second.base()] {
        assert_eq!(reading.clone().send(base).await.status, 200);
        assert_not_authenticated(&reading.clone().send(base).await, USED);
    }
    // A deletion that nobody granted is refused before the store hears of it, so its nonce counts there alone.
    let deleting = signed(&Method::DELETE, 9_001);
    for base in [platform.stack.base(), second.base()] {
        assert_eq!(deleting.clone().send(base).await.status, 403);
    }
}

/// A gateway that has uploads counted by this service, before whatever takes every request.
async fn counted(plan: GatewayPlan, service: &RateLimits, upstream: &Recorder) -> Gateway {
    let address = service.address();
    let plan = plan
        .wire("LINKGATE_RATELIMIT_DISABLED", "false")
        .wire("LINKGATE_RATELIMIT_ADDRESS", &address.ip().to_string())
        .wire("LINKGATE_RATELIMIT_PORT", &address.port().to_string());
    let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
    // What the gate counted by itself would be used up at once.
    policy["limits"]["requests_per_app"] = json!({"per_second": 0.001, "burst": 1});
    policy["limits"]["upload_rates"] = json!("service");
    plan.deploy(&policy);
    plan.start(upstream.address()).await
}

fn upload(gateway: &Gateway) -> LinkRequestBuilder {
    authorized(stranger("https://example.com/a.tar.gz"), gateway.credentials())
}

#[tokio::test]
async fn a_rate_that_a_service_counts_is_exact_over_two_envoys() {
    let (service, store) = (RateLimits::start(&[("app", 5)]).await, Recorder::start().await);
    // However slow this machine is.
    let patient = |plan: GatewayPlan| plan.wire("LINKGATE_RATELIMIT_TIMEOUT", "60s");
    let first = counted(patient(GatewayPlan::new()), &service, &store).await;
    let second = counted(patient(GatewayPlan::beside(&first)), &service, &store).await;
    let mut passed = 0;
    for _ in 0..4 {
        for gateway in [&first, &second] {
            // What a caller says of itself counts nothing.
            let reply = upload(gateway).header("x-bkapi-limit-app", "another").send(gateway.base()).await;
            match reply.status {
                200 => passed += 1,
                _ => {
                    assert_envelope(&reply, 429, 1_642_902, "RATE_LIMIT_RESTRICTION", LIMITED);
                    assert_eq!(reply.header("retry-after"), Some("1"));
                }
            }
        }
    }
    let seen = store.take();
    assert_eq!((passed, seen.len(), service.asked().len()), (5, 5, 8));
    let entry = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    for asked in service.asked() {
        assert_eq!(asked.domain, "linkgate");
        let want = [entry("app", "apigw-api-test"), entry("stage", "default"), entry("uploads", "all")];
        assert_eq!(asked.descriptors, want);
    }
    for seen in seen {
        assert!(!seen.head.contains("x-bkapi-limit-"), "it is for the filter alone: {}", seen.head);
    }
    // What the gate refuses by itself is nothing to count, and what is no upload is counted by the gate.
    let refused = upload(&first).field("package_url", "https://elsewhere.example/a.tar.gz").send(first.base()).await;
    assert_eq!(refused.status, 400);
    let reading = || upload(&first).below(Method::GET, "1/").header("x-bkapi-limit-app", "another");
    assert_eq!(reading().send(first.base()).await.status, 200);
    let refused = reading().send(first.base()).await;
    assert_envelope(&refused, 429, 1_642_902, "RATE_LIMIT_RESTRICTION", LIMITED);
    assert_eq!(service.asked().len(), 8);
}

#[tokio::test]
async fn while_the_service_does_not_answer_uploads_are_refused_or_let_through_as_the_operator_says() {
    let (service, store) = (RateLimits::start(&[]).await, Recorder::start().await);
    let denying = counted(GatewayPlan::new(), &service, &store).await;
    let allowing = GatewayPlan::beside(&denying).wire("LINKGATE_RATELIMIT_FAILURE_MODE_DENY", "false");
    let allowing = counted(allowing, &service, &store).await;
    service.fall_silent();
    let refused = upload(&denying).send(denying.base()).await;
    assert_envelope(&refused, 503, 1_650_300, "SERVICE_UNAVAILABLE", "Service Unavailable");
    assert_eq!((refused.header("retry-after"), store.take().len()), (Some("1"), 0));
    assert_eq!(upload(&allowing).send(allowing.base()).await.status, 200);
    assert_eq!(store.take().len(), 1);
    assert!(!service.asked().is_empty(), "both asked");
    service.answer_again();
    // On a busy machine an answer may take longer than they wait for it.
    linkgate_tests::wait_until_holds("the service", async || upload(&denying).send(denying.base()).await.status == 200)
        .await;
    drop(service);
    // Nobody listens any more.
    linkgate_tests::wait_until_holds("the refusal", async || upload(&denying).send(denying.base()).await.status == 503)
        .await;
    assert_eq!(upload(&allowing).send(allowing.base()).await.status, 200);
}
