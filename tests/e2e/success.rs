//! What a good request gets, and what the store sees of it.

use std::time::Duration;

use linkgate_tests::gateway::{GatewayPlan, USER};
use linkgate_tests::{Behaviour, Bulk, sha256_hex, wait_until};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::replies::{WholeStack, assert_named, authorized, package, stranger};

#[tokio::test]
async fn the_request_of_the_api_document_gets_its_reply() {
    let stack = WholeStack::new().await;
    let reply = stack.send(stack.request(stack.source().url())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_named(&reply);
    let stamp = reply.json()["created"].as_str().unwrap().to_owned();
    let sha256 = sha256_hex(&package());
    assert_eq!(
        reply.body,
        format!(
            r#"{{"id":1,"version":"0.0.5","package_name":"example:0.0.5","package_size":"{}","sha256_signature":"{sha256}","is_deleted":false,"updated":"{stamp}","created":"{stamp}","operator":"{USER}"}}"#,
            package().len()
        )
    );
    assert_eq!(stamp.len(), "YYYY-MM-DD HH:MM:SS".len());
    assert_eq!(stack.stored_files(), [sha256]);
    assert_eq!(stack.rows().await.len(), 1);
}

#[tokio::test]
async fn every_prefix_and_either_login_proof_leads_to_the_store() {
    let stack = WholeStack::new().await;
    let path = "/bkapps/applications/app_code/modules/default/source_package/link/";
    for (n, prefix) in ["", "/stag", "/api/bkpaas3/prod"].into_iter().enumerate() {
        let request = stack.request(stack.source().url()).path(format!("{prefix}{path}?x=1")).version(&n.to_string());
        assert_eq!(stack.send(request).await.status, 200, "{prefix}");
    }
    let c = stack.gateway().credentials();
    let by_token = format!(r#"{{"app_code":"apigw-api-test","app_secret":"{}","bk_token":"{}"}}"#, c.secret, c.token);
    let request = stranger(stack.source().url()).header("X-Bkapi-Authorization", &by_token).version("by-token");
    let reply = stack.send(request).await;
    assert_eq!((reply.status, reply.json()["operator"].as_str()), (200, Some(USER)), "{reply:?}");
}

/// Takes one request as the store would, and gives its head.
async fn record_one(listener: tokio::net::TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn the_store_sees_one_form_of_the_request_and_no_credentials() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plan = GatewayPlan::new();
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    let gateway = plan.start(listener.local_addr().unwrap()).await;
    let recorded = tokio::spawn(record_one(listener));
    let request = authorized(stranger("https://example.com/a.tgz"), gateway.credentials())
        .path("/stag/bkapps/applications/app_code/modules/default/source_package/link/?bk_app_secret=x")
        .header("cookie", "bk_token=c00kie")
        .header("authorization", "Basic c00kie")
        .header("x-bkapi-jwt", "forged")
        .header("x-bkapi-app", "forged")
        .header("x_bkapi_jwt", "forged")
        .header("x-bkapi-request-id", "forged")
        .header("x-bkapi-caller-request-id", "forged")
        .header("x-request-id", "their-own");
    let reply = request.send(gateway.base()).await;
    assert_eq!(reply.status, 200);
    let seen = recorded.await.unwrap();
    let path = "/bkapps/applications/app_code/modules/default/source_package/link/";
    assert!(seen.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{seen}");
    for absent in ["forged", "c00kie", "x-bkapi-authorization", "bk_app_secret", &gateway.credentials().ticket] {
        assert!(!seen.contains(absent), "{absent} in {seen}");
    }
    let tokens: Vec<_> = seen.lines().filter_map(|line| line.strip_prefix("x-bkapi-jwt: ")).collect();
    assert_eq!((tokens.len(), tokens[0].split('.').count()), (1, 3), "{seen}");
    let id = reply.header("x-bkapi-request-id").expect("the gateway names a reply of any back end");
    assert_eq!(reply.header("x-request-id"), Some("their-own"));
    let mut named: Vec<_> = seen.lines().filter(|line| line.contains("request-id: ")).collect();
    named.sort_unstable();
    assert_eq!(named, [format!("x-bkapi-request-id: {id}"), "x-request-id: their-own".to_owned()]);
    assert_eq!(gateway.access_line_with(id).await["request_id"], id);
}

#[tokio::test]
async fn a_token_serves_several_requests_of_its_caller() {
    let stack = WholeStack::new().await;
    for version in ["1", "2", "3"] {
        assert_eq!(stack.send(stack.request(stack.source().url()).version(version)).await.status, 200);
    }
    assert_eq!(stack.rows().await.len(), 3);
    assert_eq!(stack.stored_files().len(), 1, "the same bytes are kept once");
}

#[tokio::test]
async fn a_large_package_goes_through_in_flat_memory() {
    let stack = WholeStack::new().await;
    let large = Bulk::tar_gz(300);
    let url = stack.link_to("/large.tgz", large.served(Duration::ZERO));
    let reply = stack.send(stack.request(url)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let package: Value = reply.json();
    assert_eq!(package["package_size"], large.size().to_string());
    assert_eq!(package["sha256_signature"], large.sha256());
    let peak = stack.store().peak_memory_kib();
    assert!(peak < 64 << 10, "the store held {peak} KiB");
}

#[tokio::test]
async fn no_secret_is_in_any_log() {
    let stack = WholeStack::new().await;
    let url = stack.source().url_of("/generic/example.tar.gz?sign=url-c4nary");
    assert_eq!(stack.send(stack.request(&url)).await.status, 200);
    let wrong =
        stack.request(&url).path("/elsewhere?bk_app_secret=query-c4nary").header("cookie", "bk_token=cookie-c4nary");
    assert_eq!(stack.send(wrong).await.status, 404);
    let bad = stranger(&url)
        .header("x-bkapi-authorization", r#"{"bk_app_code":"apigw-api-test","bk_app_secret":"wrong-c4nary"}"#);
    assert_eq!(stack.send(bad).await.status, 400);
    let failed = stack.link_to("/gone.tgz?sign=url-c4nary", Behaviour::Status(404));
    assert_eq!(stack.send(stack.request(failed).version("2")).await.status, 502);
    // Both write their last lines a moment after the reply.
    let mut store = String::new();
    let all = wait_until(async || {
        store += &stack.store().log().join("\n");
        let all = format!("{store}\n{}", stack.gateway().log());
        let statuses = [200, 404, 400, 502].map(|status| format!(r#""status":{status}"#));
        // Two requests came to the store.
        let is_whole = store.matches("Answered POST").count() == 2 && statuses.iter().all(|line| all.contains(line));
        if is_whole { Ok(all) } else { Err(format!("not all is logged: {all}")) }
    })
    .await;
    let c = stack.gateway().credentials();
    for canary in ["-c4nary", &c.secret, &c.token, &c.ticket, "PRIVATE KEY", "eyJ"] {
        let line = all.lines().find(|line| line.contains(canary));
        assert_eq!(line, None, "{canary}");
    }
}
