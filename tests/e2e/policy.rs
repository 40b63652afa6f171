//! Policies that change while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use linkgate_tests::gateway::{GatewayPlan, path_from};
use serde_json::{Value, json};

use crate::replies::WholeStack;

fn without_hosts(policy: &Value) -> Value {
    let mut policy = policy.clone();
    policy["packages"]["allowed_hosts"] = json!(["other.example"]);
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_changes_the_verdicts_without_one_failed_request() {
    let stack = WholeStack::new().await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (base, stop, asked) = (stack.gateway().base().to_owned(), Arc::clone(&stop), Arc::clone(&asked));
            let request = stack.request(stack.source().url()).overwriting().in_english();
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let reply = request.clone().send(&base).await;
                    let refused = reply.body.contains("is not in the allow-list");
                    assert!(reply.status == 200 || (reply.status == 400 && refused), "{reply:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..10 {
        let allow = round % 2 == 1;
        let policy = if allow { stack.policy().clone() } else { without_hosts(stack.policy()) };
        stack.gateway().deploy(&policy).await.unwrap();
        let settled = settled_verdict(&stack, if allow { 200 } else { 400 }).await;
        assert!(settled, "round {round}: the verdict did not change");
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 50, "requests ran all the while");
}

/// Envoy's workers take a configuration one after the other: several requests in a row must agree.
async fn settled_verdict(stack: &WholeStack, status: u16) -> bool {
    let mut in_a_row = 0;
    for _ in 0..200 {
        let reply = stack.send(stack.request(stack.source().url()).overwriting()).await;
        in_a_row = if reply.status == status { in_a_row + 1 } else { 0 };
        if in_a_row == 10 {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_broken_policy_is_refused_by_the_command_line_and_by_envoy_and_the_old_one_serves() {
    let stack = WholeStack::new().await;
    let before = stack.gateway().resource();
    let mut broken = stack.policy().clone();
    broken["clients"][0]["secret_sha256"][0] = "nonsense".into();
    broken["granted"] = json!([]);
    let said = stack.gateway().deploy(&broken).await.unwrap_err();
    assert!(said.contains("granted"), "{said}");
    assert_eq!(stack.gateway().resource(), before, "nothing was deployed");

    // Past the command line, the filter itself refuses.
    let mut resource = before.clone();
    resource["version_info"] = "broken".into();
    let configuration = &mut resource["resources"][0]["typed_config"]["config"]["configuration"];
    configuration["value"] = broken.to_string().into();
    stack.gateway().place_and_see_it_refused(&resource).await;
    assert!(stack.gateway().log().contains("policy refused: granted: unknown key"), "{}", stack.gateway().log());
    for version in ["1", "2", "3", "4"] {
        let reply = stack.send(stack.request(stack.source().url()).version(version)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    // And a good one is taken again.
    stack.gateway().deploy(&without_hosts(stack.policy())).await.unwrap();
    assert!(settled_verdict(&stack, 400).await);
}

/// How several uploads in a row end; they need not be told to settle.
async fn statuses(stack: &WholeStack) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(stack.send(stack.request(stack.source().url()).overwriting()).await.status);
    }
    statuses.dedup();
    statuses
}

#[tokio::test]
async fn a_deploy_that_waits_ends_when_every_worker_serves_the_policy_and_a_rollback_undoes_it() {
    let stack = WholeStack::new().await;
    assert_eq!(statuses(&stack).await, [200]);
    let filter = path_from("LINKGATE_WASM");
    let wasm = ["--wasm", filter.to_str().unwrap()];
    let narrow = without_hosts(stack.policy());
    let said = stack.gateway().deploy_and_wait(&narrow, &wasm);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.ends_with("Envoy: every worker serves it now (2 of 2)\n"), "{said:?}");
    assert_eq!(statuses(&stack).await, [400]);
    let said = stack.gateway().deploy_and_wait(&narrow, &wasm);
    assert!(said.out.ends_with("Envoy: every worker serves it already (2 of 2)\n"), "{said:?}");
    for status in [200, 400] {
        let said = stack.gateway().roll_back_and_wait();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(statuses(&stack).await, [status]);
    }
}

#[tokio::test]
async fn a_policy_that_envoy_refuses_is_reported_and_rolled_back() {
    let stack = WholeStack::new().await;
    let before = stack.gateway().resource();
    let said = stack.gateway().deploy_and_wait(&without_hosts(stack.policy()), &["--wasm", "/nowhere/filter.wasm"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.err.starts_with("Envoy refused version "), "{said:?}");
    assert!(said.err.contains(" and goes on with ") && said.err.contains("linkgate policy rollback --to "), "{said:?}");
    assert!(stack.gateway().log().contains("config update rejected: Invalid path: /nowhere/filter.wasm"));
    assert_eq!(statuses(&stack).await, [200], "the policy before is in force");
    let said = stack.gateway().roll_back_and_wait();
    assert!(said.out.contains("Envoy: every worker serves it ") && said.out.ends_with(" (2 of 2)\n"), "{said:?}");
    assert_eq!(stack.gateway().resource(), before);
}

#[tokio::test]
async fn a_filter_with_other_bytes_under_its_old_path_is_loaded() {
    let stack = WholeStack::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filter.wasm");
    let mut bytes = std::fs::read(path_from("LINKGATE_WASM")).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let wasm = ["--wasm", path.to_str().unwrap()];
    assert_eq!(stack.gateway().deploy_and_wait(stack.policy(), &wasm).code, Some(0));
    // A custom section that means nothing: another filter that does the same.
    bytes.extend(b"\x00\x05\x01xabc");
    std::fs::write(&path, &bytes).unwrap();
    let reloads = || async { stack.gateway().admin_page("/stats?filter=linkgate.config_reload").await };
    let before = reloads().await;
    let said = stack.gateway().deploy_and_wait(stack.policy(), &wasm);
    assert!(said.out.ends_with("Envoy: every worker serves it now (2 of 2)\n"), "{said:?}");
    assert_ne!(reloads().await, before);
    assert_eq!(statuses(&stack).await, [200]);
}

#[tokio::test]
async fn without_a_signing_key_every_deploy_is_refused_and_says_so() {
    let stack = WholeStack::planned(GatewayPlan::new().env("LINKGATE_JWT_PRIVATE_KEY", ""), &[], &[]).await;
    let filter = path_from("LINKGATE_WASM");
    let said = stack.gateway().deploy_and_wait(&without_hosts(stack.policy()), &["--wasm", filter.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(" and has no policy in force. Its log says why"), "{said:?}");
    assert!(stack.gateway().log().contains("policy refused: the signing key is missing"), "{}", stack.gateway().log());
}
