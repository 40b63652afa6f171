//! Packages are listed and shown through the gate: whom a grant lets, with the query that the endpoint reads.

use linkgate_tests::gateway::{APP, GatewayPlan};
use reqwest::Method;
use serde_json::json;

use crate::replies::{WholeStack, assert_envelope, assert_named};

#[tokio::test]
async fn packages_are_listed_and_shown_through_the_gate() {
    let stack = WholeStack::new().await;
    for version in ["1.9", "1.10", "2.0-rc1"] {
        let reply = stack.send(stack.request(stack.source().url()).version(version)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let page = stack.read("?order_by=-version_natural&limit=2").await;
    assert_named(&page);
    let found = page.json();
    assert_eq!((&found["count"], &found["next"]), (&json!(3), &json!("?limit=2&offset=2&order_by=-version_natural")));
    assert_eq!((&found["results"][0]["version"], &found["results"][1]["version"]), (&json!("2.0-rc1"), &json!("1.10")));
    assert_eq!(page.header("link"), Some(r#"<?limit=2&offset=2&order_by=-version_natural>; rel="next""#));
    let rest = stack.read(found["next"].as_str().unwrap()).await.json();
    assert_eq!((&rest["results"][0]["version"], &rest["next"]), (&json!("1.9"), &json!(null)));
    let searched = stack.read("?search_term=%22example:1.1%22,RC1&bk_app_secret=c4nary").await.json();
    assert_eq!(searched["count"], 0);
    assert_eq!(stack.read("?search_term=example%20RC1").await.json()["count"], 1);

    let shown = stack.read("2/").await;
    assert_eq!((shown.status, &shown.json()["version"], shown.header("etag")), (200, &json!("1.10"), Some("\"2.1\"")));
    let known = stack.send(stack.reading("2/").header("if-none-match", "\"2.1\"")).await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    for path in ["", "2/", "usage/", "events/"] {
        let head = stack.send(stack.reading(path).method(Method::HEAD)).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
    assert_eq!(stack.read("4/").await.status, 404);
    assert_eq!(stack.read("usage/").await.json()["module"]["packages"], 3);
    let events = stack.read("events/").await.json();
    let actions: Vec<_> = events["results"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    assert_eq!(actions, ["upload"; 3]);
    let line = stack.gateway().access_line(&page).await;
    assert!(line.to_string().contains("list_source_packages") && !line.to_string().contains("order_by"), "{line}");
}

#[tokio::test]
async fn the_store_is_told_by_name_of_a_parameter_that_the_gate_leaves_out() {
    let stack = WholeStack::new().await;
    let strict =
        async |query: &str| stack.send(stack.reading(query).header("prefer", "handling=strict").in_english()).await;
    let refused = strict("?limit=5&page=s3cret-c4nary").await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (
            400,
            r#"{"code":"VALIDATION_ERROR","detail":"Unknown parameter: page.","fields_detail":{"non_field_errors":["Unknown parameter: page."]}}"#
        )
    );
    let good = strict("?limit=5&bk_nonce=1").await;
    assert_eq!((good.status, good.header("preference-applied")), (200, Some("handling=strict")));
    assert_eq!(stack.read("?page=2").await.status, 200);
}

#[tokio::test]
async fn nobody_reads_whom_no_grant_lets_read() {
    let upload_only = |policy: &mut serde_json::Value, _: &linkgate_tests::FakeSource| {
        policy["grants"] =
            json!([{"name": "upload", "callers": ["*"], "targets": ["app_code"], "actions": ["upload"]}]);
    };
    let stack = WholeStack::under(GatewayPlan::new(), &[], &[], upload_only).await;
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
    let message = format!("App has no permission to the resource [reason=\"no permission, bk_app_code={APP}\"]");
    for path in ["", "1/", "usage/", "events/"] {
        assert_envelope(&stack.read(path).await, 403, 1_640_301, "APP_NO_PERMISSION", &message);
    }
    assert_eq!(stack.read("elsewhere/").await.status, 404);
}
