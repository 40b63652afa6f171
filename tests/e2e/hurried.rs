//! Uploads that are not waited for, through a real Envoy and the real store.

use linkgate_tests::{Behaviour, LinkRequestBuilder, Reply, package_of_size, sha256_hex};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::replies::WholeStack;

const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";

/// Where a 202 leads, as every client works it out.
fn place(stack: &WholeStack, accepted: &Reply) -> String {
    let asked = Url::parse(&format!("{}{PATH}", stack.gateway().base())).unwrap();
    let place = asked.join(accepted.header("location").expect("a 202 says where")).unwrap();
    assert!(place.path().starts_with(PATH), "it stays behind the prefix: {place}");
    place.path().to_owned()
}

fn about(stack: &WholeStack, method: Method, path: &str, accept: &str) -> LinkRequestBuilder {
    let request = stack.request("").path(path).method(method).raw_body("").content_type(None).in_english();
    request.header("accept", accept)
}

async fn ask(stack: &WholeStack, method: Method, path: &str, accept: &str) -> Reply {
    stack.send(about(stack, method, path, accept)).await
}

#[tokio::test]
async fn an_upload_is_begun_watched_and_done_behind_a_prefix() {
    let stack = WholeStack::new().await;
    let package = package_of_size(300_000);
    stack.source().on("/held.tar.gz", Behaviour::Held(package.clone()));
    let request = || stack.request(stack.source().url_of("/held.tar.gz")).path(PATH).header("prefer", "respond-async");
    let accepted = request().header("idempotency-key", "k").send(stack.gateway().base()).await;
    assert_eq!((accepted.status, accepted.header("preference-applied")), (202, Some("respond-async")), "{accepted:?}");
    let place = place(&stack, &accepted);
    let again = request().header("idempotency-key", "k").send(stack.gateway().base()).await;
    assert_eq!((again.status, again.header("location")), (202, accepted.header("location")));
    stack.source().wait_for_requests(1).await;
    let now = ask(&stack, Method::GET, &place, "application/json").await;
    assert_eq!((now.status, &now.json()["ended"]), (200, &Value::Null), "{now:?}");
    let mut events = about(&stack, Method::GET, &place, "text/event-stream").open(stack.base()).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut heard = String::from_utf8(events.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(heard.contains("data:") && !heard.contains("event:done"), "{heard}");
    stack.source().release();
    heard += &events.text().await.unwrap();
    assert!(heard.matches("data:").count() >= 2 && heard.contains("event:done"), "{heard}");
    let done = ask(&stack, Method::GET, &place, "application/json").await.json();
    assert_eq!(done["package"]["sha256_signature"], sha256_hex(&package));
    assert_eq!(stack.source().requests().len(), 1);
}

#[tokio::test]
async fn an_upload_is_cancelled_through_the_gateway_and_nothing_is_left() {
    let stack = WholeStack::new().await;
    stack.source().on("/held.tar.gz", Behaviour::Held(package_of_size(300_000)));
    let request = stack.request(stack.source().url_of("/held.tar.gz")).path(PATH).header("prefer", "respond-async");
    let accepted = request.send(stack.gateway().base()).await;
    let place = place(&stack, &accepted);
    stack.source().wait_for_requests(1).await;
    let cancelled = ask(&stack, Method::DELETE, &place, "*/*").await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")), "{cancelled:?}");
    stack.store().directory().assert_empty().await;
    let unknown = place.replace('0', "f");
    assert_eq!(ask(&stack, Method::GET, &unknown, "*/*").await.json(), json!({"code": "ERROR", "detail": "Not found"}));
}
