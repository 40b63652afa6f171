//! Packages are downloaded through a real Envoy: by whom a grant lets, whole and in part, and by readers who are slow.

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::wait::wait_until;
use linkgate_tests::whole::package;
use linkgate_tests::{Behaviour, Downloaded, FakeSource, WholeStack, package_of_size, sha256_hex};
use reqwest::Method;
use serde_json::{Value, json};

/// A stack whose grant lets its caller do this.
pub async fn granting(actions: Value) -> WholeStack {
    let change = |policy: &mut Value, _: &FakeSource| policy["grants"][0]["actions"] = actions;
    WholeStack::under(GatewayPlan::new(), &[], &[], change).await
}

/// Uploads a package and gives its number.
pub async fn upload(stack: &WholeStack, link: &str) -> i64 {
    let reply = stack.send(stack.request(link).overwriting()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_package_that_went_in_by_link_comes_out_as_it_was() {
    let stack = granting(json!(["upload", "download", "read"])).await;
    let id = upload(&stack, &stack.source().url()).await;
    let whole = stack.download(id, &[]).await;
    assert_eq!((whole.status, sha256_hex(&whole.bytes)), (200, sha256_hex(&package())));
    assert_eq!(whole.header("etag"), Some(format!("\"{}\"", sha256_hex(&package())).as_str()));
    assert_eq!(whole.header("content-length"), Some(package().len().to_string().as_str()));
    assert_eq!(whole.header("cache-control"), Some("private, no-transform"));
    assert!(whole.header("content-disposition").unwrap().starts_with("attachment; filename=\"example-0.0.5.tar"));
    assert!(whole.header("x-bkapi-request-id").is_some());
    let head = stack.fetch(Method::HEAD, id, "download/", &[]).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    for name in ["content-length", "etag", "last-modified", "repr-digest", "content-disposition"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    let part = stack.download(id, &[("range", "bytes=10-19")]).await;
    assert_eq!((part.status, &part.bytes[..]), (206, &package()[10..20]));
    let beyond = stack.download(id, &[("range", "bytes=999999999-")]).await;
    assert_eq!((beyond.status, beyond.code().as_str()), (416, "RANGE_NOT_SATISFIABLE"));
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{}", package().len()).as_str()));
    let known = stack.download(id, &[("if-none-match", whole.header("etag").unwrap())]).await;
    assert_eq!((known.status, known.bytes.len()), (304, 0));
    let other = stack.download(id, &[("if-match", "\"other\"")]).await;
    assert_eq!((other.status, other.code().as_str()), (412, "PRECONDITION_FAILED"));
    let statement = stack.fetch(Method::GET, id, "attestation/", &[]).await;
    assert_eq!(statement.header("content-type"), Some("application/vnd.dsse.envelope.v1+json"));
    let envelope: Value = serde_json::from_slice(&statement.bytes).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
}

#[tokio::test]
async fn the_usual_grant_reads_and_does_not_download() {
    let stack = WholeStack::new().await;
    let id = upload(&stack, &stack.source().url()).await;
    let before = stack.sent_to_store().await;
    for (method, below) in [(Method::GET, "download/"), (Method::HEAD, "download/"), (Method::POST, "download_url/")] {
        let refused = stack.fetch(method.clone(), id, below, &[]).await;
        assert_eq!(refused.status, 403, "{method} {below}");
        assert_eq!(refused.header("x-bkapi-error-code"), Some("1640301"));
    }
    let nobody = stack.request("").method(Method::GET).path(linkgate_tests::package_path(id, "download/"));
    let nobody = nobody.raw_body("").content_type(None).header("x-bkapi-authorization", "{}");
    assert_eq!(Downloaded::read(nobody.open(stack.base()).await).await.unwrap().status, 400);
    assert_eq!(stack.sent_to_store().await, before, "nothing of it reached the store");
    assert_eq!(stack.fetch(Method::GET, id, "attestation/", &[]).await.status, 200);
}

#[tokio::test]
async fn slow_readers_hold_their_places_and_nothing_else() {
    // More than the buffers of all sockets on the way ever grow to.
    const LARGE: usize = 96 << 20;
    const READERS: usize = 20;
    let stack = granting(json!("*")).await;
    let link = stack.link_to("/large.tar.gz", Behaviour::Bytes(package_of_size(LARGE)));
    let id = upload(&stack, &link).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reply = stack.about_package(Method::GET, id, "download/").open(stack.base()).await;
        assert!(reply.chunk().await.unwrap().is_some());
        readers.push(reply);
    }
    let metrics = stack.store().get("/metrics").await.body;
    assert!(metrics.contains(&format!("linkgate_store_downloads_active {READERS}")), "{metrics}");
    // Far less than what they have asked for.
    let held = stack.gateway().resident_kib();
    assert!(held < 400 << 10, "Envoy holds {held} KiB");
    assert_eq!(stack.download(id, &[("range", "bytes=-1")]).await.status, 206, "others are served");
    let mut one = readers.pop().unwrap();
    drop(readers);
    while one.chunk().await.unwrap().is_some() {}
    wait_until(async || {
        let metrics = stack.store().get("/metrics").await.body;
        if metrics.contains("linkgate_store_downloads_active 0") { Ok(()) } else { Err("places are held".into()) }
    })
    .await;
}
