//! What a new endpoint takes: a row in the contract's table and a handler in the store. One that only tests have is reached
//! through Envoy, with its query, by whom a grant gives its action.

use linkgate_tests::gateway::{APP, GatewayPlan, path_from};
use linkgate_tests::process::WITH_FAILPOINTS;
use linkgate_tests::{Reply, StoreProcess, TokenMint};
use reqwest::Method;
use serde_json::json;

use crate::replies::{WholeStack, assert_envelope, authorized, stranger};

#[tokio::test]
async fn a_row_and_a_handler_are_an_endpoint() {
    let plan = GatewayPlan::new().wasm(path_from("LINKGATE_TEST_WASM"));
    let keys = plan.public_keys();
    let data = tempfile::tempdir().unwrap();
    let settings = [("LINKGATE_JWT_PUBLIC_KEYS", keys.as_str())];
    let store = StoreProcess::start_program(WITH_FAILPOINTS, data.path(), &settings, TokenMint::new());
    let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
    policy["grants"] = json!([
        {"name": "default", "callers": ["*"], "targets": ["app_code"]},
        {"name": "all", "callers": ["*"], "targets": ["granted"], "actions": "*"},
    ]);
    plan.deploy(&policy);
    let gateway = plan.start(store.base().trim_start_matches("http://").parse().unwrap()).await;
    let ask = async |method: Method, app: &str| -> Reply {
        let target = "source_package/test/query/?say=a%20b&bk_token=secret&say=%26&other=1";
        let request = stranger("").method(method).raw_body("").content_type(None);
        let request = request.path(format!("/stag/bkapps/applications/{app}/modules/default/{target}"));
        authorized(request, gateway.credentials()).send(gateway.base()).await
    };

    let reply = ask(Method::GET, "granted").await;
    assert_eq!((reply.status, reply.json()), (200, json!({"raw": "say=a+b&say=%26", "read": "say=a+b&say=%26"})));
    let line = gateway.access_line(&reply).await;
    assert!(line.to_string().contains("show_test_query") && !line.to_string().contains("secret"), "{line}");
    let reply = ask(Method::HEAD, "granted").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));

    let message = format!("App has no permission to the resource [reason=\"no permission, bk_app_code={APP}\"]");
    assert_envelope(&ask(Method::GET, "app_code").await, 403, 1_640_301, "APP_NO_PERMISSION", &message);
    assert_envelope(&ask(Method::POST, "granted").await, 404, 1_640_401, "API_NOT_FOUND", "API not found");
}

#[tokio::test]
async fn everybody_may_read_what_the_api_is_and_nothing_else_of_the_store() {
    let stack = WholeStack::new().await;
    let reply = stack.get("/openapi.json").await;
    let document = reply.json();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(document["openapi"], "3.1.0");
    let upload = "/bkapps/applications/{app_code}/modules/{module}/source_package/link/";
    assert_eq!(document["paths"][upload]["post"]["operationId"], "upload_source_package_via_link");
    for closed in ["/openapi.json/", "/openapi.json%20", "/stag/openapi.json", "/metrics", "/healthz"] {
        let reply = stack.get(closed).await;
        assert_envelope(&reply, 404, 1_640_401, "API_NOT_FOUND", "API not found");
    }
}
