//! Nonces of signed requests: each serves once, whichever gate sends it.

use linkgate_contract::SignedNonce;
use linkgate_store_core::budget::Bounds;
use linkgate_tests::token::{good_claims, now_s};
use linkgate_tests::{FakeSource, Reply, StoreProcess, TestStore, TokenMint, package_of, trust};
use reqwest::Method;
use serde_json::{Value, json};

use crate::assert_problem;

/// A token for one signed request, as the gate makes it.
fn token_until(mint: &TokenMint, nonce: &str, until: i64, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = good_claims();
    claims["linkgate"]["nonce"] = serde_json::to_value(SignedNonce::new("app_code", nonce, 1, until)).unwrap();
    change(&mut claims);
    mint.sign(&claims)
}

fn token(mint: &TokenMint, nonce: &str) -> Option<String> {
    Some(token_until(mint, nonce, now_s() + 300, |_| ()))
}

/// In the form and the words of the gate.
#[track_caller]
fn assert_refused(reply: &Reply, reason: &str) {
    let message = format!("Parameters error [reason=\"{reason}\"]");
    let body = json!({
        "code": 1_640_001, "code_name": "INVALID_ARGS", "message": message, "result": false, "data": null,
        "detail": message,
    });
    assert_eq!((reply.status, reply.json()), (400, body));
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.header("x-bkapi-error-code"), Some("1640001"));
    assert_eq!(reply.header("x-bkapi-error-message"), Some(message.as_str()));
}

const USED: &str = "parameter bk_nonce has been used before";

#[tokio::test]
async fn a_token_with_a_nonce_is_good_for_one_request() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let request = |nonce: &str, version: &str| {
        store.request(source.url()).version(version).token(token(store.mint(), nonce)).in_english()
    };
    assert_eq!(store.send(request("1", "1")).await.status, 200);
    let fetched = source.requests().len();
    // Whatever is asked for with it.
    assert_refused(&store.send(request("1", "1")).await, USED);
    assert_refused(&store.send(request("1", "2")).await, USED);
    let deleting =
        token_until(store.mint(), "1", now_s() + 300, |claims| claims["linkgate"]["action"] = "delete".into());
    assert_refused(&store.send(store.below(Method::DELETE, "1/").token(Some(deleting))).await, USED);
    assert_eq!((store.rows().await.len(), source.requests().len()), (1, fetched));
    assert_eq!(store.send(request("2", "2")).await.status, 200);
    // A request that is refused for what it says has used its nonce up.
    assert_eq!(store.send(request("3", "3").without("package_url")).await.status, 400);
    assert_refused(&store.send(request("3", "3")).await, USED);
    // One that is not believed has not.
    let stranger = token(&TokenMint::new(), "4");
    assert_eq!(store.send(store.request(source.url()).version("4").token(stranger)).await.status, 401);
    assert_eq!(store.send(request("4", "4")).await.status, 200);
    // Tokens without one serve as long as they are good.
    for version in ["5", "6"] {
        assert_eq!(store.send(store.request(source.url()).version(version)).await.status, 200);
    }
}

#[tokio::test]
async fn of_equal_requests_at_once_one_is_served() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let request = store.request(source.url()).token(token(store.mint(), "1"));
    let sent = (0..8).map(|_| tokio::spawn(request.clone().try_send_owned(store.base())));
    let mut served = 0;
    for reply in sent.collect::<Vec<_>>() {
        let reply = reply.await.unwrap().unwrap();
        match reply.status {
            200 => served += 1,
            _ => assert_refused(&reply, USED),
        }
    }
    assert_eq!((served, store.rows().await.len()), (1, 1));
}

#[tokio::test]
async fn a_nonce_that_is_remembered_no_more_does_not_serve_again() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let late = token_until(store.mint(), "1", now_s() - SignedNonce::ON_ITS_WAY_S - 1, |_| ());
    let reply = store.send(store.request(source.url()).token(Some(late))).await;
    assert_refused(&reply, "parameter bk_timestamp has expired");
    store.directory().assert_empty().await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn so_many_nonces_are_remembered_of_one_caller_and_of_all() {
    if linkgate_tests::engine::is_about_directories("stores that share a bound each have a part of what is free") {
        return;
    }
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        config.server.queue.nonces = Bounds { per_owner: 2, in_sum: 3 };
    })
    .await;
    let send = async |app: &str, nonce: &str| {
        let token = token_until(store.mint(), nonce, now_s() + 300, |claims| claims["app"]["app_code"] = app.into());
        store.send(store.request(source.url()).version(nonce).token(Some(token)).in_english()).await
    };
    for nonce in ["1", "2"] {
        assert_eq!(send("app_code", nonce).await.status, 200);
    }
    let assert_full = |reply: &Reply, detail: &str| {
        assert_problem(reply, 429, None, &json!({"code": "TOO_MANY_REQUESTS", "detail": detail}));
        assert_eq!(reply.header("retry-after"), Some("5"));
    };
    let own = "As many of your signed requests are remembered as one caller may have (2), try again in some minutes";
    assert_full(&send("app_code", "3").await, own);
    assert_eq!(send("other", "3").await.status, 200);
    let all = "As many signed requests are remembered as may be (3), try again in some minutes";
    assert_full(&send("third", "4").await, all);
    // Whoever does not sign is none of it.
    assert_eq!(store.send(store.request(source.url()).version("5")).await.status, 200);
    assert_eq!(store.rows().await.len(), 4);
}

#[tokio::test]
async fn a_used_nonce_is_remembered_over_a_restart() {
    let source = FakeSource::serving(package_of("x")).await;
    let data = tempfile::tempdir().unwrap();
    let settings = [("LINKGATE_FETCH_ALLOWED_HOSTS", source.host()), ("LINKGATE_FETCH_PRIVATE_HOSTS", source.host())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for version in ["1", "2"] {
        let mut store = StoreProcess::start(data.path(), &settings);
        let request = store.request(source.url()).version(version).token(token(store.mint(), "1"));
        let reply = store.send(request).await;
        match version {
            "1" => assert_eq!(reply.status, 200),
            _ => assert_refused(&reply, USED),
        }
        store.kill_9();
    }
}
