//! Refusals as they reach the wire: status, headers, body; and what the access log is told.

use serde_json::{Value, json};

use crate::fixture::URI_LIMIT;
use crate::request::{BODY, CREDENTIALS, PATH, Request, Seen};
use crate::vm::Vm;

/// The gateway's envelope, whole.
#[track_caller]
fn assert_envelope(seen: &Seen, status: i32, code: u32, name: &str, message: &str) {
    assert_eq!((seen.stream.noted("decision").as_str(), seen.stream.noted("reason").as_str()), (name, ""));
    assert_shown(seen, status, code, name, message);
}

/// The envelope for who is not known; the access log is told the reason too.
#[track_caller]
fn assert_not_known(seen: &Seen, reason: &str) {
    assert_eq!(
        (seen.stream.noted("decision").as_str(), seen.stream.noted("reason").as_str()),
        ("INVALID_ARGS", reason)
    );
    let message = format!("Parameters error [reason=\"{reason}\"]");
    assert_shown(seen, 400, 1_640_001, "INVALID_ARGS", &message);
}

/// What the caller sees.
#[track_caller]
fn assert_shown(seen: &Seen, status: i32, code: u32, name: &str, message: &str) {
    let reply = seen.refused();
    let body =
        json!({"code": code, "code_name": name, "message": message, "result": false, "data": null, "detail": message});
    assert_eq!((reply.status, serde_json::from_str::<Value>(&reply.body).unwrap()), (status, body));
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("x-bkapi-error-code", &code.to_string()),
        ("x-bkapi-error-message", message),
        ("x-bkapi-request-id", "id-1"),
        ("x-request-id", "id-1"),
    ];
    assert_eq!(reply.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn what_is_not_routed_is_not_found() {
    let mut vm = Vm::configured();
    for request in [
        Request::good().with(":path", "/elsewhere"),
        Request::good().with(":path", PATH.replace("app_code", "app%5Fcode")),
        Request::good().with(":path", PATH.trim_end_matches('/')),
        Request::good().with(":method", "PUT"),
        Request::good().without(":method"),
        Request::good().without(":path"),
    ] {
        assert_envelope(&vm.send(&request), 404, 1_640_401, "API_NOT_FOUND", "API not found");
    }
}

#[test]
fn a_target_over_the_limit_is_refused() {
    let target = |len: usize| format!("{PATH}?{:a<1$}", "", len - PATH.len() - 1);
    let mut vm = Vm::configured();
    vm.send(&Request::good().with(":path", target(URI_LIMIT))).forwarded();
    let seen = vm.send(&Request::good().with(":path", target(URI_LIMIT + 1)));
    assert_envelope(&seen, 414, 1_641_401, "URI_SIZE_LIMIT_EXCEED", "Request uri size too large.");
}

#[test]
fn who_is_not_known_is_told_why_as_the_gateway_does() {
    let cases = [
        ("", "app code cannot be empty"),
        ("no JSON", "request header X-Bkapi-Authorization is not a valid JSON"),
        (r#"{"bk_app_code":"nobody","bk_app_secret":"s3cret-of-app"}"#, "app not found"),
        (
            r#"{"bk_app_code":"other","bk_app_secret":"s3cret-of-app","bk_ticket":"t1cket-of-admin"}"#,
            "bk_app_code or bk_app_secret is incorrect",
        ),
        (
            r#"{"bk_app_code":"other","bk_app_secret":"s3cret-of-other","bk_token":"t1cket-of-admin"}"#,
            "user authentication failed, bk_token is not valid",
        ),
    ];
    let mut vm = Vm::configured();
    for (credentials, reason) in cases {
        let seen = vm.send(&Request::good().with("x-bkapi-authorization", credentials));
        assert_not_known(&seen, reason);
    }
}

#[test]
fn credentials_that_come_twice_are_refused_even_if_both_are_good() {
    let mut vm = Vm::configured();
    for name in ["x-bkapi-authorization", "X-Bkapi-Authorization"] {
        for second in [CREDENTIALS, "", "{}"] {
            let seen = vm.send(&Request::good().plus(name, second));
            assert_not_known(&seen, "request header X-Bkapi-Authorization must not be repeated");
        }
    }
}

#[test]
fn a_body_over_the_limit_is_refused_in_the_gateways_form() {
    let seen = Vm::configured().send(&Request::good().body("x".repeat(2_000)));
    assert_envelope(&seen, 413, 1_641_301, "BODY_SIZE_LIMIT_EXCEED", "Request body size too large.");
}

#[test]
fn a_fault_of_the_body_is_told_in_the_stores_form_and_in_the_callers_language() {
    let mut vm = Vm::configured();
    let seen = vm.send(&Request::good().plus("blueking-language", "en").body("{}"));
    let reply = seen.refused();
    assert_eq!((reply.status, seen.stream.noted("decision").as_str()), (400, "VALIDATION_ERROR"));
    let message = "This field is required.";
    let detail = format!("package_url: {message}");
    let want = json!({"code": "VALIDATION_ERROR", "detail": detail, "fields_detail": {"package_url": [message]}});
    assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap(), want);
    let headers = [
        ("content-type", "application/json"),
        ("bkapi-error-code", "VALIDATION_ERROR"),
        ("x-bkapi-request-id", "id-1"),
        ("x-request-id", "id-1"),
    ];
    assert_eq!(reply.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let seen = vm.send(&Request::good().body("{}"));
    assert!(seen.refused().body.contains("该字段是必填项。"), "{:?}", seen.refused());
}

#[test]
fn a_body_that_is_not_a_link_request_is_refused() {
    let mut vm = Vm::configured();
    assert_eq!(vm.send(&Request::good().with("content-type", "text/plain")).status(), 415);
    for body in ["not JSON", "[]", "null", &"[".repeat(1_000), "{\"package_url\": 7}", "\u{0}"] {
        assert_eq!(vm.send(&Request::good().body(body)).status(), 400, "{body}");
    }
    assert_eq!(vm.send(&Request::good().body([0xff; 20])).status(), 400);
    let elsewhere = BODY.replace("example.com", "169.254.169.254");
    assert_eq!(vm.send(&Request::good().body(elsewhere)).status(), 400);
}
