//! Pages of other sites, as browsers send their requests: preflights, and what replies say of whoever makes them.

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::{LinkRequestBuilder, Reply};
use reqwest::Method;
use serde_json::json;

use crate::replies::{WholeStack, authorized, stranger};

const PAGE: &str = "https://page.example";
const EVIL: &str = "https://page.example.evil.org";

async fn with_cors() -> WholeStack {
    WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| {
        policy["routes"]["cors"] = json!({
            "allow_origins": [PAGE, "https://*.page.example"], "allow_credentials": true, "max_age_s": 60,
        });
        policy["routes"]["stages"] = json!([{"name": "plain", "prefixes": ["/plain"]}]);
    })
    .await
}

fn from(origin: &str, request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("origin", origin)
}

fn preflight(origin: &str) -> LinkRequestBuilder {
    from(origin, stranger(""))
        .method(Method::OPTIONS)
        .raw_body("")
        .content_type(None)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-bkapi-authorization")
}

/// Headers of this kind, each of which is there once.
fn told(reply: &Reply) -> Vec<(String, String)> {
    let mut told: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == "vary")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    told.sort();
    told
}

fn assert_readable(reply: &Reply, origin: &str) {
    let told = told(reply);
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    let all =
        ["access-control-allow-credentials", "access-control-allow-origin", "access-control-expose-headers", "vary"];
    assert_eq!(names, all, "{reply:?}");
    assert_eq!((told[0].1.as_str(), told[1].1.as_str(), told[3].1.as_str()), ("true", origin, "Origin"));
    assert!(told[2].1.contains("x-bkapi-request-id"), "{reply:?}");
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_gate_alone() {
    let stack = with_cors().await;
    for origin in [PAGE, "https://a.b.page.example"] {
        let reply = stack.send(preflight(origin)).await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{reply:?}");
        let value = |name: &str| reply.header(name);
        assert_eq!(value("access-control-allow-origin"), Some(origin));
        assert_eq!(value("access-control-allow-methods"), Some("POST, GET, HEAD"));
        assert_eq!(
            (value("access-control-max-age"), value("access-control-allow-credentials")),
            (Some("60"), Some("true"))
        );
        assert!(value("access-control-allow-headers").unwrap().contains("x-bkapi-authorization"));
        assert!(value("x-bkapi-request-id").is_some());
        let line = stack.gateway().access_line(&reply).await;
        assert_eq!(line["gate"]["decision"], "PREFLIGHT", "{line}");
    }
    for origin in [EVIL, "null", "https://page.example:8443"] {
        let reply = stack.refuse_at_gate(preflight(origin)).await;
        assert_eq!((reply.status, told(&reply)), (404, vec![("vary".to_owned(), "Origin".to_owned())]), "{reply:?}");
    }
    let elsewhere = preflight(PAGE).path(stranger_path("/plain"));
    assert_eq!(told(&stack.refuse_at_gate(elsewhere).await), []);
    assert_eq!(stack.sent_to_store().await, 0);
}

fn stranger_path(prefix: &str) -> String {
    format!("{prefix}/bkapps/applications/app_code/modules/default/source_package/link/")
}

#[tokio::test]
async fn a_page_may_read_every_reply_whoever_makes_it() {
    let mut stack = with_cors().await;
    let url = stack.source().url();
    let upload = || from(PAGE, stack.request(url.clone()));
    let stored = stack.send(upload()).await;
    assert_eq!(stored.status, 200, "{stored:?}");
    let refused_by_store = stack.send(upload()).await;
    assert_eq!((refused_by_store.status, refused_by_store.header("x-bkapi-error-code")), (400, None));
    let refused_by_gate = stack.refuse_at_gate(from(PAGE, stranger(url.clone()))).await;
    let no_route = stack.refuse_at_gate(upload().method(Method::PUT)).await;
    let bad_body = stack.refuse_at_gate(upload().raw_body("nonsense")).await;
    let accepted = stack.send(upload().version("2").header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let job = format!("{}{}/", stranger_path("/stag"), accepted.json()["job_id"].as_str().unwrap());
    let asked = authorized(stranger(""), stack.gateway().credentials());
    let asked = from(PAGE, asked).method(Method::GET).path(job).raw_body("").content_type(None);
    let shown = stack.send(asked).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    for reply in [&stored, &refused_by_store, &refused_by_gate, &no_route, &bad_body, &accepted, &shown] {
        assert_readable(reply, PAGE);
    }
    let upload = upload().version("3");
    stack.kill_store();
    let down = stack.send(upload).await;
    assert_eq!((down.status, down.header("x-bkapi-error-code")), (502, Some("1650200")), "{down:?}");
    assert_readable(&down, PAGE);
}

#[tokio::test]
async fn other_pages_are_told_nothing_and_other_callers_notice_nothing() {
    let stack = with_cors().await;
    let url = stack.source().url();
    let vary = vec![("vary".to_owned(), "Origin".to_owned())];
    for (n, origin) in [EVIL, "null", "http://page.example"].into_iter().enumerate() {
        let stored = stack.send(from(origin, stack.request(url.clone()).version(&n.to_string()))).await;
        assert_eq!((stored.status, told(&stored)), (200, vary.clone()), "{stored:?}");
        let refused = stack.refuse_at_gate(from(origin, stranger(url.clone()))).await;
        assert_eq!(told(&refused), vary, "{refused:?}");
    }
    let plain = stack.send(stack.request(url.clone()).version("x")).await;
    assert_eq!((plain.status, told(&plain)), (200, vary));
    let request = from(PAGE, stack.request(url).version("y").path(stranger_path("/plain")));
    let elsewhere = stack.send(request).await;
    assert_eq!((elsewhere.status, told(&elsewhere)), (200, vec![]));
}
