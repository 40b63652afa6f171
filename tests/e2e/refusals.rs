//! What the gate refuses: status, headers and whole body, and nothing stored.

use serde_json::json;

use crate::replies::{NO_USER, WholeStack, assert_envelope, assert_problem, stranger};

#[tokio::test]
async fn who_is_not_known_gets_the_reason_that_callers_know() {
    let stack = WholeStack::new().await;
    let c = stack.gateway().credentials().clone();
    let secret = c.secret.as_str();
    let app = |rest: serde_json::Value| {
        let mut all = json!({"bk_app_code": "apigw-api-test", "bk_app_secret": secret});
        all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        all.to_string()
    };
    let cases = [
        ("{}".to_owned(), "app code cannot be empty"),
        ("[]".to_owned(), "app code cannot be empty"),
        (json!({"bk_app_code": "", "app_code": "apigw-api-test"}).to_string(), "app code cannot be empty"),
        ("nonsense".to_owned(), "request header X-Bkapi-Authorization is not a valid JSON"),
        ("7".to_owned(), "request header X-Bkapi-Authorization is not a valid JSON"),
        (json!({"bk_app_code": "a"}).to_string(), "please provide bk_app_secret or bk_signature to verify app"),
        (
            json!({"bk_app_code": "a".repeat(33), "bk_app_secret": "s"}).to_string(),
            "app code cannot be longer than 32 characters",
        ),
        (
            json!({"bk_app_code": "a", "bk_app_secret": "s".repeat(129)}).to_string(),
            "app secret cannot be longer than 128 characters",
        ),
        (json!({"bk_app_code": "nobody", "bk_app_secret": "s"}).to_string(), "app not found"),
        (app(json!({"bk_app_secret": "wrong"})), "bk_app_code or bk_app_secret is incorrect"),
        (app(json!({})), NO_USER),
        (app(json!({"bk_ticket": 7})), NO_USER),
        (
            app(json!({"bk_username": "admin"})),
            "user authentication failed, the user indicated by bk_username is not verified",
        ),
        (app(json!({"bk_token": "wrong", "bk_ticket": c.ticket})), "user authentication failed, bk_token is not valid"),
        (app(json!({"bk_ticket": "wrong"})), "user authentication failed, bk_ticket is not valid"),
        (app(json!({"bk_ticket": c.token})), "user authentication failed, bk_ticket is not valid"),
    ];
    for (credentials, reason) in cases {
        let reply = stack.refuse(stranger(stack.source().url()).header("x-bkapi-authorization", &credentials)).await;
        assert_envelope(&reply, 400, 1_640_001, "INVALID_ARGS", &format!("Parameters error [reason=\"{reason}\"]"));
    }
    let reply = stack.refuse(stranger(stack.source().url())).await;
    let message = "Parameters error [reason=\"app code cannot be empty\"]";
    assert_envelope(&reply, 400, 1_640_001, "INVALID_ARGS", message);
    let twice = stack.request(stack.source().url()).header("x-bkapi-authorization", &c.header());
    let message = "Parameters error [reason=\"request header X-Bkapi-Authorization must not be repeated\"]";
    assert_envelope(&stack.refuse(twice).await, 400, 1_640_001, "INVALID_ARGS", message);
    assert!(stack.source().requests().is_empty());
}

#[tokio::test]
async fn what_is_not_the_route_is_not_found() {
    let stack = WholeStack::new().await;
    let good = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
    let bad = [
        "/",
        "/healthz",
        "/prod/bkapps/applications/app_code/modules/default/source_package/link/",
        "/stag/bkapps/applications/app_code/modules/default/source_package/link",
        "/stag/bkapps/applications/app_code/modules/default/source_package/link//",
        "/stag//bkapps/applications/app_code/modules/default/source_package/link/",
        "/stag/bkapps/applications/app%5Fcode/modules/default/source_package/link/",
        "/stag/bkapps/applications/a%2Fb/modules/default/source_package/link/",
        "/stag/bkapps/applications/-/modules/default/source_package/link/",
    ];
    for path in bad {
        let reply = stack.refuse(stack.request(stack.source().url()).path(path)).await;
        assert_envelope(&reply, 404, 1_640_401, "API_NOT_FOUND", "API not found");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let reply = stack.refuse(stack.request(stack.source().url()).method(method)).await;
        assert_envelope(&reply, 404, 1_640_401, "API_NOT_FOUND", "API not found");
    }
    let long = stack.request(stack.source().url()).path(format!("{good}?{}", "a".repeat(1_024)));
    assert_envelope(&stack.refuse(long).await, 414, 1_641_401, "URI_SIZE_LIMIT_EXCEED", "Request uri size too large.");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let stack = WholeStack::new().await;
    let padded = |len: usize| {
        let body = json!({"package_url": stack.source().url(), "version": "1"}).to_string();
        format!("{body}{}", " ".repeat(len - body.len()))
    };
    let over = || stack.request(stack.source().url()).raw_body(padded(65_537));
    for request in [over(), over().chunked()] {
        let reply = stack.refuse(request).await;
        assert_envelope(&reply, 413, 1_641_301, "BODY_SIZE_LIMIT_EXCEED", "Request body size too large.");
    }
    let at_limit = stack.request(stack.source().url()).raw_body(padded(65_536)).chunked();
    assert_eq!(stack.send(at_limit).await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_with_the_body_is_said_in_the_stores_form() {
    let stack = WholeStack::new().await;
    let one = |field: &str, message: &str| {
        format!(
            r#"{{"code":"VALIDATION_ERROR","detail":"{field}: {message}","fields_detail":{{"{field}":["{message}"]}}}}"#
        )
    };
    let url = stack.source().url();
    let ask = || stack.request(&url);
    let cases = [
        (ask().without("package_url"), one("package_url", "This field is required.")),
        (ask().field("package_url", json!(null)), one("package_url", "This field may not be null.")),
        (ask().field("package_url", "  "), one("package_url", "This field may not be blank.")),
        (ask().field("package_url", "nonsense"), one("package_url", "Enter a valid URL.")),
        (
            ask().field("package_url", "https://evil.example/a.tgz"),
            one("package_url", "Host 'evil.example' (port 443) is not in the allow-list."),
        ),
        (
            ask().field("package_url", format!("http://evil.example\\@{}/", stack.source().host())),
            one("package_url", "The URL may not contain white space, control characters or backslashes."),
        ),
        (
            ask().field("package_url", format!("http://u:p@{}/", stack.source().host())),
            one("package_url", "The URL may not contain a user name or password; send them in the header X-Linkgate-Source-Authorization, or let the operator set up a credential for the host."),
        ),
        (ask().field("version", json!(null)), one("version", "This field may not be null.")),
        (ask().field("version", "v".repeat(129)), one("version", "Ensure this field has no more than 128 characters.")),
        (ask().field("allow_overwrite", "perhaps"), one("allow_overwrite", "Must be a valid boolean.")),
        (
            ask().raw_body("[]"),
            r#"{"code":"VALIDATION_ERROR","detail":"Invalid data. Expected a dictionary, but got list.","fields_detail":{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}}"#.to_owned(),
        ),
    ];
    for (request, body) in cases {
        assert_problem(&stack.refuse(request).await, 400, "VALIDATION_ERROR", None, &body);
    }
    let unreadable = r#"{"code":"ERROR","detail":"JSON parse error - EOF while parsing an object at line 1 column 1"}"#;
    assert_problem(&stack.refuse(ask().raw_body("{")).await, 400, "ERROR", None, unreadable);
    let media = r#"{"code":"ERROR","detail":"Unsupported media type, use application/json"}"#;
    assert_problem(&stack.refuse(ask().content_type(Some("text/plain"))).await, 415, "ERROR", None, media);
    let chinese = stack.send(ask().without("package_url")).await;
    let body = r#"{"code":"VALIDATION_ERROR","detail":"package_url: 该字段是必填项。","fields_detail":{"package_url":["该字段是必填项。"]}}"#;
    assert_problem(&chinese, 400, "VALIDATION_ERROR", None, body);
    assert!(stack.source().requests().is_empty());
}
