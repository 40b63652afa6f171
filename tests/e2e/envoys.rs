//! Several Envoys before one store: what they let through together.

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::{Behaviour, package_of_size};
use serde_json::{Value, json};

use crate::replies::{WholeStack, assert_envelope};

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
