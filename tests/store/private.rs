//! Private hosts that a token brings along, for one upload.

use linkgate_contract::{AllowList, Extension, HostRule};
use linkgate_tests::token::good_claims;
use linkgate_tests::{Behaviour, FakeSource, TestStore, TokenMint, package_of};
use serde_json::{Value, json};

use crate::{assert_field_refused, assert_problem};

const PRIVATE: &str = "The host may not be fetched from.";

/// A store that may fetch from these, but knows of no private host.
async fn store_allowing(hosts: &[String]) -> TestStore {
    let rules = hosts.iter().map(|host| HostRule::new(host).unwrap()).collect();
    TestStore::with(|c| c.fetch.allowed_hosts = AllowList::new(rules)).await
}

fn token(mint: &TokenMint, private_hosts: impl Into<Value>) -> Option<String> {
    let mut claims = good_claims();
    claims["linkgate"] = json!({"private_hosts": private_hosts.into()});
    Some(mint.sign(&claims))
}

fn localhost(source: &FakeSource) -> String {
    format!("localhost:{}", source.port())
}

#[tokio::test]
async fn a_private_host_is_fetched_from_only_for_the_token_that_names_it() {
    let source = FakeSource::serving(package_of("x")).await;
    let by_name = format!("http://{}/example.tar.gz", localhost(&source));
    for (url, host) in [(source.url(), source.host()), (by_name, localhost(&source))] {
        let store = store_allowing(&[source.host(), localhost(&source)]).await;
        assert_field_refused(&store, store.request(&url), "package_url", PRIVATE).await;
        let named = store.request(&url).token(token(store.mint(), [host]));
        assert_eq!(store.send(named).await.status, 200, "{url}");
        let after = store.send(store.request(&url).version("2").in_english()).await;
        assert_eq!(after.json()["detail"], format!("package_url: {PRIVATE}"));
        assert_eq!(store.rows().await.len(), 1);
    }
    assert_eq!(source.requests().len(), 2);
}

#[tokio::test]
async fn another_port_or_another_name_of_the_same_host_is_another_host() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = store_allowing(&[source.host(), localhost(&source)]).await;
    let others = ["127.0.0.1".to_owned(), "127.0.0.1:1".to_owned(), format!("127.0.0.2:{}", source.port())];
    for other in others.into_iter().chain([localhost(&source)]) {
        let request = store.request(source.url()).token(token(store.mint(), [other]));
        assert_field_refused(&store, request, "package_url", PRIVATE).await;
    }
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_from_a_named_host_to_a_private_one_that_is_not_named_is_refused() {
    let inside = FakeSource::serving(package_of("secret")).await;
    let source = FakeSource::start(Behaviour::Redirect(302, inside.url())).await;
    source.on("/name", Behaviour::Redirect(302, format!("http://{}/x", localhost(&inside))));
    let store = store_allowing(&[source.host(), inside.host(), localhost(&inside)]).await;
    for path in ["/", "/name"] {
        let request = store.request(source.url_of(path)).token(token(store.mint(), [source.host()]));
        assert_field_refused(&store, request, "package_url", PRIVATE).await;
    }
    assert_eq!((source.requests().len(), inside.requests().len()), (2, 0));
    let both = store.request(source.url()).token(token(store.mint(), [source.host(), inside.host()]));
    assert_eq!(store.send(both).await.status, 200);
}

#[tokio::test]
async fn a_named_host_must_still_be_allowed_at_every_redirect() {
    let inside = FakeSource::serving(package_of("secret")).await;
    let source = FakeSource::start(Behaviour::Redirect(302, inside.url())).await;
    let store = store_allowing(&[source.host()]).await;
    let mine = token(store.mint(), [source.host(), inside.host()]);
    let direct = format!("Host '127.0.0.1' (port {}) is not in the allow-list.", inside.port());
    assert_field_refused(&store, store.request(inside.url()).token(mine.clone()), "package_url", &direct).await;
    let redirected = "The link redirects to host '127.0.0.1', which is not in the allow-list.";
    assert_field_refused(&store, store.request(source.url()).token(mine), "package_url", redirected).await;
    assert!(inside.requests().is_empty());
}

#[tokio::test]
async fn a_token_with_malformed_or_too_many_private_hosts_is_refused() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = store_allowing(&[source.host()]).await;
    let many = |count: usize| (1..count).map(|i| format!("10.0.0.1:{i}")).chain([source.host()]).collect::<Vec<_>>();
    for hosts in [
        json!([source.host(), ""]),
        json!([source.host(), "10.0.0.0/8"]),
        json!([source.host(), "*.example.com"]),
        json!([source.host(), "http://10.0.0.1"]),
        json!([source.host(), "10.0.0.1:0"]),
        json!([source.host(), 7]),
        json!([source.host(), null]),
        json!(source.host()),
        json!(null),
        json!(many(Extension::MAX_PRIVATE_HOSTS + 1)),
    ] {
        let reply = store.send(store.request(source.url()).token(token(store.mint(), hosts)).in_english()).await;
        assert_problem(&reply, 401, None, &json!({"code": "ERROR", "detail": "The authentication is invalid"}));
        store.directory().assert_empty().await;
    }
    assert!(source.requests().is_empty());
    let most = store.request(source.url()).token(token(store.mint(), many(Extension::MAX_PRIVATE_HOSTS)));
    assert_eq!(store.send(most).await.status, 200);
}
