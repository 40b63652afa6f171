//! Several Envoys before one store: what they let through together, and what was sent to one of them before.

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::signature::signed_target_of;
use linkgate_tests::token::now_s;
use linkgate_tests::{Behaviour, package_of_size};
use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::{Platform, Proof, UPLOAD};
use crate::replies::{WholeStack, assert_envelope, assert_not_authenticated, stranger};

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
