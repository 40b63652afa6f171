//! The console's side of the gate in a real Envoy: who is shown what, and what no page of another site can do.

use linkgate_tests::gateway::{GatewayPlan, USER};
use linkgate_tests::{LinkRequestBuilder, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::replies::{WholeStack, assert_envelope, authorized, stranger};

const FIRST: &str = "/console/bkapps/applications/";
const API_PACKAGES: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/";
const PACKAGES: &str = "/console/bkapps/applications/app_code/modules/default/source_package/";

async fn with_console(change: impl Fn(&mut Value)) -> WholeStack {
    WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| {
        policy["routes"]["console"] = json!({"login_url": "/login/?to={url}", "contact": "ops@example.com"});
        change(policy);
    })
    .await
}

/// A browser that looks at a page.
fn look(path: &str) -> LinkRequestBuilder {
    let request = stranger("").method(Method::GET).path(path).raw_body("").content_type(None);
    request.header("accept", "text/html,*/*;q=0.8").header("accept-language", "en")
}

/// The same of somebody who is signed in.
fn signed_in(stack: &WholeStack, request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("cookie", &cookie(stack))
}

fn cookie(stack: &WholeStack) -> String {
    format!("bk_token={}", stack.gateway().credentials().token)
}

fn assert_page(reply: &Reply, status: u16, title: &str) {
    assert_eq!((reply.status, reply.header("content-type")), (status, Some("text/html; charset=utf-8")), "{reply:?}");
    assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{reply:?}");
    assert_eq!(
        (reply.header("x-content-type-options"), reply.header("cache-control")),
        (Some("nosniff"), Some("no-store"))
    );
    assert!(
        reply.body.starts_with("<!DOCTYPE html>") && reply.body.contains(&format!("<h1>{title}</h1>")),
        "{}",
        reply.body
    );
    assert!(reply.header("x-bkapi-request-id").is_some_and(|id| reply.body.contains(id)), "{reply:?}");
}

#[tokio::test]
async fn a_stranger_is_shown_where_to_sign_in() {
    let stack = with_console(|_| ()).await;
    let page = format!("{}{FIRST}", stack.base());
    let encoded = page.replace(':', "%3A").replace('/', "%2F");
    // By way of the two redirects, which the client follows.
    for path in ["/console", "/console/", FIRST] {
        let reply = stack.send(look(path)).await;
        assert_page(&reply, 401, "Sign in");
        assert!(reply.body.contains(&format!("href=\"/login/?to={encoded}\"")), "{}", reply.body);
    }
    let reply = stack.send(look(FIRST).header("cookie", "bk_token=wrong; blueking_language=zh-cn")).await;
    assert_page(&reply, 401, "请登录");
    let script = stack.send(look(FIRST).header("accept", "application/json").method(Method::HEAD)).await;
    assert_eq!(script.status, 401);
    assert_eq!(stack.sent_to_store().await, 0);
}

#[tokio::test]
async fn denials_are_pages_for_people_and_the_envelope_for_programs() {
    let stack = with_console(|policy| {
        policy["grants"] = json!([{"callers": ["?*"], "targets": ["*"]}]);
    })
    .await;
    let reply = stack.send(signed_in(&stack, look(FIRST))).await;
    assert_page(&reply, 403, "No permission");
    assert!(
        reply.body.contains(&format!("signed in as {USER}")) && reply.body.contains("ops@example.com"),
        "{}",
        reply.body
    );
    let line = stack.gateway().access_line(&reply).await;
    assert_eq!((&line["gate"]["decision"], &line["gate"]["stage"]), (&json!("APP_NO_PERMISSION"), &json!("console")));
    assert_page(&stack.send(signed_in(&stack, look("/console/elsewhere"))).await, 404, "Page not found");
    let program = stranger("").method(Method::GET).path(FIRST).raw_body("").content_type(None);
    let reply = stack.send(signed_in(&stack, program)).await;
    let message = "App has no permission to the resource [reason=\"no permission, bk_app_code=\"]";
    assert_envelope(&reply, 403, 1_640_301, "APP_NO_PERMISSION", message);
}

#[tokio::test]
async fn a_limit_says_on_its_page_when_to_come_back() {
    let stack = with_console(|policy| policy["limits"]["requests"] = json!({"per_second": 0.001, "burst": 1})).await;
    assert_eq!(stack.send(signed_in(&stack, look(PACKAGES))).await.header("x-bkapi-error-code"), None);
    let reply = stack.send(signed_in(&stack, look(PACKAGES))).await;
    assert_page(&reply, 429, "Too many requests");
    assert!(
        reply.header("retry-after").is_some_and(|seconds| reply.body.contains(&format!("in {seconds} s"))),
        "{reply:?}"
    );
}

#[tokio::test]
async fn a_store_that_is_down_is_a_page_for_people_and_the_envelope_for_programs() {
    let mut stack = with_console(|_| ()).await;
    stack.kill_store();
    let page = || signed_in(&stack, look(PACKAGES));
    assert_page(&stack.send(page()).await, 503, "Not available right now");
    let chinese = look(PACKAGES).header("cookie", &format!("{}; blueking_language=zh-cn", cookie(&stack)));
    assert_page(&stack.send(chinese).await, 503, "暂时无法使用");
    let program = stranger("").method(Method::GET).path(PACKAGES).raw_body("").content_type(None);
    assert_envelope(&stack.send(signed_in(&stack, program)).await, 502, 1_650_200, "BAD_GATEWAY", "Bad Gateway");
    // Who asks for no page of the console gets none, whatever the headers say.
    let made_up = look(API_PACKAGES).header("x-bkapi-page-language", "en");
    let made_up = authorized(made_up, stack.gateway().credentials());
    assert_envelope(&stack.send(made_up).await, 502, 1_650_200, "BAD_GATEWAY", "Bad Gateway");
}

#[tokio::test]
async fn what_a_cookie_names_reaches_the_store_and_assets_need_none() {
    let stack = with_console(|_| ()).await;
    let scripted = look(PACKAGES).header("accept", "application/json");
    let reply = stack.send(signed_in(&stack, scripted)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let line = stack.gateway().access_line(&reply).await;
    let gate = &line["gate"];
    assert_eq!((&gate["user"], &gate["stage"], &gate["decision"]), (&json!(USER), &json!("console"), &json!("OK")));
    let asset = stack.send(look("/console/assets/console.css")).await;
    assert_eq!(asset.header("x-bkapi-error-code"), None, "it is the store that answers: {asset:?}");
    let line = stack.gateway().access_line(&asset).await;
    assert_eq!((&line["gate"]["decision"], &line["gate"]["user"]), (&json!("OK"), &Value::Null));
}

#[tokio::test]
async fn no_page_of_another_site_uploads_in_its_visitors_name() {
    let stack = with_console(|_| ()).await;
    let upload = || signed_in(&stack, stranger(stack.source().url()).path(format!("{PACKAGES}link/")));
    let port = stack.gateway().address().port();
    let hostile = [
        vec![],
        vec![("origin", "null".to_owned())],
        vec![("origin", "https://evil.example".to_owned())],
        vec![("origin", format!("http://sub.127.0.0.1:{port}"))],
        vec![("origin", format!("http://127.0.0.1:{}", port ^ 1))],
        vec![("origin", stack.base().to_owned()), ("origin", "https://evil.example".to_owned())],
        vec![("origin", stack.base().to_owned()), ("sec-fetch-site", "same-site".to_owned())],
        vec![("sec-fetch-site", "cross-site".to_owned())],
    ];
    for headers in hostile {
        let request = headers.iter().fold(upload(), |request, (name, value)| request.header(name, value));
        let reply = stack.send(request).await;
        let said = (reply.status, reply.header("x-bkapi-error-code"));
        assert_eq!(said, (403, Some("1640304")), "{headers:?}: {reply:?}");
    }
    assert_eq!((stack.sent_to_store().await, stack.stored_files().len()), (0, 0));
    let own = || upload().header("origin", stack.base()).header("sec-fetch-site", "same-origin");
    let without_token = stack.send(own()).await;
    assert_eq!(
        (without_token.status, without_token.header("x-bkapi-error-code")),
        (403, None),
        "it is the store's word"
    );
    let page = stack.send(signed_in(&stack, look(PACKAGES).header("accept", "text/html"))).await;
    let reply = stack.send(own().header("x-csrf-token", page.csrf_token())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["operator"], USER);
}

#[tokio::test]
async fn without_it_in_the_policy_there_is_no_console() {
    let stack = WholeStack::new().await;
    for path in ["/console", "/console/", FIRST, PACKAGES, "/console/assets/console.css"] {
        let reply = stack.refuse(signed_in(&stack, look(path))).await;
        assert_envelope(&reply, 404, 1_640_401, "API_NOT_FOUND", "API not found");
    }
}
