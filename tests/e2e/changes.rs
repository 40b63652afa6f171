//! Stored packages that are changed by their callers, through a real Envoy: whom the gate lets through, and what the store
//! makes of it.

use linkgate_tests::gateway::{APP, GatewayPlan, USER};
use linkgate_tests::{Reply, WholeStack};
use reqwest::Method;
use serde_json::json;

use crate::replies::assert_envelope;

/// A stack whose grant gives these actions.
async fn stack_for(actions: &[&str]) -> WholeStack {
    WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| {
        policy["grants"] = json!([{"name": "one", "callers": ["*"], "targets": ["*"], "actions": actions}]);
    })
    .await
}

fn assert_no_permission(reply: &Reply) {
    let message = format!("App has no permission to the resource [reason=\"no permission, bk_app_code={APP}\"]");
    assert_envelope(reply, 403, 1_640_301, "APP_NO_PERMISSION", &message);
}

#[tokio::test]
async fn a_package_is_deleted_and_restored_by_whom_grants_let() {
    let stack = stack_for(&["upload", "delete", "restore"]).await;
    let uploaded = stack.send(stack.request(stack.source().url())).await;
    assert_eq!(uploaded.status, 200, "{uploaded:?}");
    let deleted = stack.send(stack.below(Method::DELETE, "1/")).await;
    assert_eq!((deleted.status, deleted.header("etag")), (200, Some("\"1.2\"")), "{deleted:?}");
    assert_eq!(deleted.json()["is_deleted"], json!(true));
    let stale = stack.below(Method::POST, "1/restore/").header("if-match", "\"1.1\"");
    assert_eq!(stack.send(stale).await.status, 412);
    let body = json!({"version": "1-again", "bk_app_secret": "none of the store's business"});
    let restored = stack.send(stack.below(Method::POST, "1/restore/").json(&body)).await;
    assert_eq!((restored.status, &restored.json()["version"]), (200, &json!("1-again")), "{restored:?}");
    let events = stack.directory().events().await;
    let said: Vec<_> = events.iter().map(|e| (e.action.as_str(), e.caller_app.as_str(), e.operator.as_str())).collect();
    assert_eq!(said, [("upload", APP, USER), ("delete", APP, USER), ("restore", APP, USER)]);
    assert!(
        events.iter().all(|event| !event.request_id.is_empty() && event.client_address == "127.0.0.1"),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_body_that_is_announced_by_its_type_and_never_comes_is_none() {
    let stack = stack_for(&["upload", "delete", "restore", "sign", "pin", "cleanup"]).await;
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
    let requests = [
        (Method::POST, "1/restore/", 200),
        (Method::POST, "1/download_url/", 200),
        (Method::PUT, "1/pins/a/", 200),
        (Method::POST, "cleanup/", 400),
    ];
    for (method, path, status) in requests {
        for media_type in ["application/x-www-form-urlencoded", "application/json", "text/plain"] {
            let request = stack.below(method.clone(), path).content_type(Some(media_type));
            let reply = stack.send(request).await;
            assert_eq!(reply.status, status, "{path} {media_type}: {reply:?}");
        }
    }
    assert_eq!(stack.send(stack.below(Method::DELETE, "1/?force=true")).await.status, 403, "and the gate goes on");
}

#[tokio::test]
async fn what_no_grant_gives_ends_at_the_gate() {
    let stack = stack_for(&["upload", "read"]).await;
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
    for (method, path) in [(Method::DELETE, "1/"), (Method::POST, "1/restore/")] {
        assert_no_permission(&stack.refuse_at_gate(stack.below(method, path)).await);
    }
}

#[tokio::test]
async fn a_pin_stands_in_the_way_of_whoever_may_not_force_it() {
    let stack = stack_for(&["upload", "delete", "pin"]).await;
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
    let pinning = || stack.below(Method::PUT, "1/pins/release-1/");
    assert_eq!(stack.send(pinning()).await.status, 200, "without a body");
    let body = json!({"protect_bytes": true, "bk_app_secret": "none of the store's business"});
    let pinned = stack.send(pinning().json(&body)).await;
    assert_eq!(
        (pinned.status, &pinned.json()["by"], &pinned.json()["protect_bytes"]),
        (200, &json!(USER), &json!(true))
    );
    let refused = stack.send(stack.below(Method::DELETE, "1/")).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("PACKAGE_IN_USE")), "{refused:?}");
    for forced in ["1/?force=true", "1/?x=y&f%6frce=tr%75e", "1/?force=false&force=true"] {
        assert_no_permission(&stack.refuse_at_gate(stack.below(Method::DELETE, forced)).await);
    }
    let not_forced = stack.send(stack.below(Method::DELETE, "1/?force=1")).await;
    assert_eq!(not_forced.status, 409, "{not_forced:?}");
    assert_eq!(stack.send(stack.below(Method::DELETE, "1/pins/release-1/")).await.status, 200);
    assert_eq!(stack.send(stack.below(Method::DELETE, "1/")).await.status, 200);
}

#[tokio::test]
async fn whoever_may_delete_and_force_it_deletes_a_pinned_package() {
    let stack = stack_for(&["upload", "delete", "pin", "force_delete"]).await;
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
    assert_eq!(stack.send(stack.below(Method::PUT, "1/pins/a/")).await.status, 200);
    assert_eq!(stack.send(stack.below(Method::DELETE, "1/?force=true")).await.status, 200);
    let alone = stack_for(&["upload", "force_delete"]).await;
    assert_no_permission(&alone.refuse_at_gate(alone.below(Method::DELETE, "1/?force=true")).await);
}

#[tokio::test]
async fn a_module_is_cleaned_up_by_whom_grants_let() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "[[rules]]\nname = \"one\"\ntargets = [\"*\"]\nkeep_last = 1\n").unwrap();
    let settings =
        [("LINKGATE_RETENTION_FILE", rules.path().to_str().unwrap()), ("LINKGATE_RETENTION_INTERVAL_S", "0")];
    let with_actions = |actions: &'static [&'static str]| {
        WholeStack::under(GatewayPlan::new(), &settings, &[], move |policy, _| {
            policy["grants"] = json!([{"name": "one", "callers": ["*"], "targets": ["*"], "actions": actions}]);
        })
    };
    let stack = with_actions(&["upload", "cleanup"]).await;
    for version in ["1", "2"] {
        assert_eq!(stack.send(stack.request(stack.source().url()).version(version)).await.status, 200);
    }
    let plan = stack.send(stack.below(Method::GET, "cleanup/")).await;
    assert_eq!((plan.status, &plan.json()["would_delete_count"]), (200, &json!(1)), "{plan:?}");
    let head = stack.send(stack.below(Method::HEAD, "cleanup/")).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let run = stack.below(Method::POST, "cleanup/").json(&json!({"plan": plan.json()["plan"]}));
    assert_eq!(stack.send(run.clone()).await.status, 200);
    assert_eq!(stack.send(run).await.status, 409, "it is done");
    let deleted: Vec<bool> = stack.directory().rows().await.iter().map(|row| row.is_deleted).collect();
    assert_eq!(deleted, [true, false]);

    let stack = with_actions(&["upload", "delete"]).await;
    for method in [Method::GET, Method::POST] {
        assert_no_permission(&stack.refuse_at_gate(stack.below(method, "cleanup/")).await);
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_through_the_gate() {
    let stack = WholeStack::with(&[("LINKGATE_QUOTA_MODULE_MAX_PACKAGES", "1")]).await;
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
    let refused = stack.send(stack.request(stack.source().url()).version("2")).await;
    assert_eq!((refused.status, refused.header("bkapi-error-code")), (400, Some("PACKAGE_QUOTA_EXCEEDED")));
    let data = json!({"scope": "module.max_packages", "limit": 1, "used": 1, "requested": 1});
    assert_eq!(refused.json()["data"], data);
}
