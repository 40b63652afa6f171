//! Routes, bodies, languages and connections.

use std::time::Duration;

use linkgate_tests::wait::WITHIN;
use linkgate_tests::{FakeSource, TestStore, package_of, trust};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{assert_field_refused, assert_problem, assert_refused};

#[tokio::test]
async fn only_the_canonical_route_is_served() {
    let store = TestStore::with(|_| {}).await;
    for path in [
        "/",
        "/bkapps/applications/app_code/modules/default/source_package/link",
        "/stag/bkapps/applications/app_code/modules/default/source_package/link/",
        "/bkapps/applications/app%5Fcode/modules/default/source_package/link/",
        "/bkapps/applications/a%2Fb/modules/default/source_package/link/",
        "//bkapps/applications/app_code/modules/default/source_package/link/",
        "/healthz/",
    ] {
        assert_refused(&store, store.request("x").path(path), 404, "ERROR", "Not found").await;
    }
    let reply = store.send(store.request("x").path("/")).await;
    assert_problem(&reply, 404, None, &json!({"code": "ERROR", "detail": "未找到"}));
}

#[tokio::test]
async fn other_methods_are_told_which_is_allowed() {
    let store = TestStore::with(|_| {}).await;
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
        let reply = store.send(store.request("x").method(method).token(None).in_english()).await;
        assert_problem(&reply, 405, None, &json!({"code": "ERROR", "detail": "Method not allowed"}));
        assert_eq!(reply.header("allow"), Some("POST, GET, HEAD"));
    }
    let reply = store.send(store.request("x").path("/readyz")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn every_reply_names_the_request_as_the_proxy_before_it_did() {
    let store = TestStore::with(|_| {}).await;
    let id = "x-bkapi-request-id";
    for path in ["/", "/bkapps/applications/app_code/modules/default/source_package/link/"] {
        let request = || store.request("x").path(path);
        let named = store.send(request().header("x-request-id", "id-1")).await;
        let twice = store.send(request().header("x-request-id", "id-1").header(id, "id-2")).await;
        let ids = [store.send(request()).await, named, twice].map(|reply| reply.header(id).map(str::to_owned));
        assert_eq!(ids, [None, Some("id-1".to_owned()), Some("id-2".to_owned())], "{path}");
    }
}

#[tokio::test]
async fn probes_need_no_token() {
    let store = TestStore::with(|_| {}).await;
    for (path, body) in [("/healthz", r#"{"status":"ok"}"#), ("/readyz", r#"{"status":"ready"}"#)] {
        let reply = store.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, body));
    }
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused() {
    let store = TestStore::with(|_| {}).await;
    let request = || store.request("x");
    let media = "Unsupported media type, use application/json";
    assert_refused(&store, request().content_type(Some("text/plain")), 415, "ERROR", media).await;
    assert_refused(&store, request().content_type(None), 415, "ERROR", media).await;
    let broken = "JSON parse error - EOF while parsing an object at line 1 column 1";
    assert_refused(&store, request().raw_body("{"), 400, "ERROR", broken).await;
    assert_field_refused(&store, request().raw_body(""), "package_url", "This field is required.").await;
    let reply = store.send(request().raw_body("[]").in_english()).await;
    assert_eq!(reply.json()["detail"], "Invalid data. Expected a dictionary, but got list.");
}

#[tokio::test]
async fn the_body_limit_is_exact_whatever_the_length_says() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.server.max_body_bytes = 1_000;
    })
    .await;
    let body_of = |len: usize| {
        let body = json!({"package_url": source.url(), "version": "1", "padding": ""}).to_string();
        let padding = "x".repeat(len - body.len());
        body.replace(r#""padding":"""#, &format!(r#""padding":"{padding}""#))
    };
    for chunked in [false, true] {
        let request = |len| {
            let request = store.request("x").raw_body(body_of(len));
            if chunked { request.chunked() } else { request }
        };
        let reply = store.send(request(1_001).in_english()).await;
        assert_problem(&reply, 413, None, &json!({"code": "ERROR", "detail": "The request body is too large"}));
        assert!(source.requests().is_empty());
    }
    for (len, version) in [(999, "a"), (1_000, "b")] {
        let body = body_of(len).replace(r#""version":"1""#, &format!(r#""version":"{version}""#));
        assert_eq!(store.send(store.request("x").raw_body(body).chunked()).await.status, 200, "{len}");
    }
}

#[tokio::test]
async fn without_a_version_the_caller_is_told_to_give_one() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let request = || store.request(source.url()).without("version");
    let message = "Give a version: the package has no app_desc.yaml, or none with a version in it.";
    assert_field_refused(&store, request(), "version", message).await;
    let reply = store.send(request()).await;
    assert_eq!(reply.json()["detail"], "version: 请提供版本号：源码包中没有 app_desc.yaml，或其中没有版本号。");
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let store = TestStore::with(|_| {}).await;
    let request = store.request("nonsense").field("version", "").field("allow_overwrite", "perhaps");
    let reply = store.send(request.in_english()).await;
    let body = json!({
        "code": "VALIDATION_ERROR",
        "detail": "allow_overwrite: Must be a valid boolean.",
        "fields_detail": {
            "allow_overwrite": ["Must be a valid boolean."],
            "package_url": ["Enter a valid URL."],
            "version": ["This field may not be blank."],
        },
    });
    assert_problem(&reply, 400, None, &body);
}

#[tokio::test]
async fn the_language_follows_the_caller() {
    let store = TestStore::with(|_| {}).await;
    let english = "The authentication is invalid";
    for (headers, want) in [
        (vec![], "身份认证信息无效"),
        (vec![("accept-language", "en-US,en;q=0.9")], english),
        (vec![("blueking-language", "en")], english),
        (vec![("blueking-language", "zh-cn"), ("accept-language", "en")], "身份认证信息无效"),
    ] {
        let mut request = store.request("x").token(Some("garbage".into()));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        assert_eq!(store.send(request).await.json()["detail"], want);
    }
}

/// A thousand times what a request takes that comes at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends these bytes and reads until the store closes; `None` if it never does.
async fn talk(store: &TestStore, bytes: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(store.base().trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(WITHIN, stream.read_to_end(&mut answer)).await.ok()?;
    // A reset is a way of closing, too.
    drop(read);
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn connections_that_ask_nothing_are_closed() {
    let store = TestStore::with(|c| c.server.header_timeout = HEADER_TIMEOUT).await;
    let cases = [
        ("silent", &b""[..]),
        ("one byte", b"P"),
        ("half a head", b"POST /bkapps HTTP/1.1\r\nhost: x\r\n"),
        ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ];
    let talks = futures_util::future::join_all(cases.map(|(_, bytes)| talk(&store, bytes))).await;
    for ((name, _), answer) in cases.iter().zip(talks) {
        assert!(answer.is_some(), "{name}");
    }
    assert_eq!(store.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let store = TestStore::with(|c| c.server.header_timeout = HEADER_TIMEOUT).await;
    let head = format!(
        "POST /bkapps/applications/a/modules/m/source_package/link/ HTTP/1.1\r\nhost: x\r\nblueking-language: en\r\n\
         x-bkapi-jwt: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        store.mint().token()
    );
    let answer = talk(&store, head.as_bytes()).await.expect("the connection is closed");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("did not arrive in time"), "{answer}");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_free_one() {
    let store = TestStore::with(|c| {
        c.server.max_connections = 2;
        c.server.header_timeout = HEADER_TIMEOUT;
    })
    .await;
    let address = store.base().trim_start_matches("http://").to_owned();
    let begun = std::time::Instant::now();
    let _silent = [TcpStream::connect(&address).await.unwrap(), TcpStream::connect(&address).await.unwrap()];
    assert_eq!(store.get("/healthz").await.status, 200, "served once a silent one is closed");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it had to wait");
}

#[tokio::test]
async fn a_request_with_as_many_headers_as_a_proxy_lets_through_is_served() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let request = (0..110).fold(store.request(source.url()), |r, n| r.header(&format!("x-{n}"), "1"));
    assert_eq!(store.send(request).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_is_closed() {
    let store = TestStore::with(|c| c.server.header_timeout = HEADER_TIMEOUT).await;
    let answer = talk(&store, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the connection is closed");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
