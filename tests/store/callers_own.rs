//! Credentials for sources that callers bring themselves.

use linkgate_tests::token::good_claims;
use linkgate_tests::wait::wait_until;
use linkgate_tests::{
    Behaviour, FakeSource, LinkRequestBuilder, Reply, StoreProcess, TestStack, TestStore, TokenMint, package_of,
    random, trust,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::credentials::{UNREACHABLE, send_in_clear, shown};
use crate::{assert_field_refused, assert_refused};

const HEADER: &str = "X-Linkgate-Source-Authorization";
const JUDGED: &str = "x-bkapi-source-authorization";

/// A request with a credential that the gate judged.
fn bringing<S>(store: &TestStack<S>, url: impl Into<String>, value: &str) -> LinkRequestBuilder {
    let mut claims = good_claims();
    claims["linkgate"] = json!({"caller_credential": true});
    let token = store.mint().sign(&claims);
    store.request(url).token(Some(token)).header(JUDGED, value).in_english()
}

async fn store_trusting(sources: &[&FakeSource]) -> TestStore {
    TestStore::with(|config| {
        trust(config, sources);
        send_in_clear(config, &sources.iter().map(|source| source.host()).collect::<Vec<_>>());
    })
    .await
}

#[tokio::test]
async fn it_goes_to_the_source_as_it_is_and_to_no_other_origin() {
    let (home, abroad) = (FakeSource::serving(package_of("x")).await, FakeSource::serving(package_of("x")).await);
    home.on("/1", Behaviour::Redirect(302, "/2".into()));
    home.on("/2", Behaviour::Redirect(302, abroad.url_of("/3")));
    abroad.on("/3", Behaviour::Redirect(302, home.url_of("/4")));
    let store = store_trusting(&[&home, &abroad]).await;
    assert_eq!(store.send(bringing(&store, home.url_of("/1"), "Bearer my-own")).await.status, 200);
    let mine = Some("Bearer my-own".to_owned());
    assert_eq!(shown(&home, "authorization"), [mine.clone(), mine, None]);
    assert_eq!(shown(&abroad, "authorization"), [None]);
    let heads = [home.requests(), abroad.requests()].concat().join("").to_ascii_lowercase();
    assert!(!heads.contains("source-authorization"), "{heads}");
}

#[tokio::test]
async fn one_that_no_gate_judged_is_refused_under_either_name() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = store_trusting(&[&source]).await;
    let host = format!("host '127.0.0.1' (port {})", source.port());
    let message = format!("A caller's own credential is not allowed for {host}. Ask the operator.");
    for name in [JUDGED, HEADER] {
        let request = store.request(source.url()).header(name, "Bearer my-own");
        assert_field_refused(&store, request, HEADER, &message).await;
    }
    let raw = bringing(&store, source.url(), "Bearer my-own").header(JUDGED, "Bearer other");
    assert_field_refused(&store, raw, HEADER, "Send this header once.").await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn one_that_the_source_refuses_is_shown_once_and_the_caller_told() {
    for status in [401, 403] {
        let source = FakeSource::start(Behaviour::Status(status)).await;
        let store = store_trusting(&[&source]).await;
        let detail = format!("{UNREACHABLE}: the source refused the credential of {HEADER} ({status})");
        let request = bringing(&store, source.url(), "Bearer s3cret");
        assert_refused(&store, request, 502, "SOURCE_UNREACHABLE", &detail).await;
        assert_eq!(source.requests().len(), 1);
    }
}

#[tokio::test]
async fn it_does_not_go_over_plain_http_either() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let message = "A credential goes with this link, and it is sent over https only; give an https link.";
    assert_field_refused(&store, bringing(&store, source.url(), "Bearer my-own"), "package_url", message).await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn two_callers_with_two_credentials_are_two_downloads_and_with_the_same_one() {
    let source = FakeSource::start(Behaviour::Held(package_of("x"))).await;
    let store = store_trusting(&[&source]).await;
    let send = |value: &str| {
        let request = bringing(&store, source.url(), value).overwriting();
        tokio::spawn(request.try_send_owned(store.base()))
    };
    let first = send("Bearer one");
    source.wait_for_requests(1).await;
    let (other, same) = (send("Bearer two"), send("Bearer one"));
    let without = tokio::spawn(store.request(source.url()).overwriting().try_send_owned(store.base()));
    source.wait_for_requests(3).await;
    let joined = "linkgate_store_uploads_joined_total 1\n";
    wait_until(async || {
        let metrics = store.get("/metrics").await.body;
        if metrics.contains(joined) { Ok(()) } else { Err(metrics) }
    })
    .await;
    source.release();
    for upload in [first, other, same, without] {
        assert_eq!(upload.await.unwrap().unwrap().status, 200);
    }
    let mut all = shown(&source, "authorization");
    all.sort();
    assert_eq!(all, [None, Some("Bearer one".to_owned()), Some("Bearer two".to_owned())]);
}

#[tokio::test]
async fn without_a_key_to_seal_it_with_it_does_not_outlive_its_request() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = store_trusting(&[&source]).await;
    let message = "The store has no key to seal this credential with, so it cannot outlive the request. \
                   Leave out Prefer: respond-async and Idempotency-Key, or ask the operator.";
    for (name, value) in [("prefer", "respond-async"), ("idempotency-key", "k")] {
        let request = bringing(&store, source.url(), "Bearer my-own").header(name, value);
        assert_field_refused(&store, request, HEADER, message).await;
    }
    assert!(source.requests().is_empty());
    assert_eq!(store.directory().jobs().await, []);
    assert_eq!(store.send(bringing(&store, source.url(), "Bearer my-own")).await.status, 200);
}

/// A store with a key to seal with.
fn sealing_store(source: &FakeSource, data: &std::path::Path, key: &str, keys: Option<&str>) -> StoreProcess {
    let host = source.host();
    let mut settings = vec![
        ("LINKGATE_FETCH_CREDENTIALS_OVER_HTTP", host.as_str()),
        ("LINKGATE_STORE_SEALING_KEY", key),
        ("LINKGATE_LOG", "trace"),
    ];
    settings.extend(keys.map(|keys| ("LINKGATE_JWT_PUBLIC_KEYS", keys)));
    StoreProcess::trusting(source, data, &settings)
}

fn new_key() -> String {
    random() + &random()
}

/// How the job ended that a 202 named.
async fn ended(base: &str, accepted: &Reply, mint: &TokenMint) -> Value {
    let place = accepted.header("location").expect("a 202 says where");
    let path = format!("/bkapps/applications/app_code/modules/default/source_package/link/{place}");
    wait_until(async || {
        let request = LinkRequestBuilder::new("", mint).method(Method::GET).path(path.clone()).raw_body("");
        let document = request.content_type(None).in_english().send(base).await.json();
        if document["ended"] == Value::Null { Err(format!("it did not end: {document}")) } else { Ok(document) }
    })
    .await
}

#[tokio::test]
async fn sealed_it_survives_a_kill_and_is_gone_when_the_upload_has_ended() {
    if linkgate_tests::engine::is_about_directories("it looks into the files of the catalog") {
        return;
    }
    let (source, data) = (FakeSource::start(Behaviour::Held(package_of("x"))).await, tempfile::tempdir().unwrap());
    let (key, marker) = (new_key(), format!("Bearer {}", random()));
    let mut first = sealing_store(&source, data.path(), &key, None);
    let accepted = first.send(bringing(&first, source.url(), &marker).header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    source.wait_for_requests(1).await;
    let sealed = first.directory().sealed_credentials().await;
    assert_eq!(sealed.len(), 1);
    assert!(first.directory().holds(&sealed[0]), "what is written down is found");
    first.kill_9();
    assert!(!first.directory().holds(marker.as_bytes()) && !accepted.body.contains(&marker));
    let next = sealing_store(&source, data.path(), &key, Some(&first.mint().setting()));
    source.wait_for_requests(2).await;
    source.release();
    let done = ended(next.base(), &accepted, first.mint()).await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(shown(&source, "authorization"), [Some(marker.clone()), Some(marker.clone())]);
    assert!(next.directory().sealed_credentials().await.is_empty());
    let directory = next.directory().clone();
    let log = [first.log(), next.stop_and_read()].concat().join("\n");
    assert!(!directory.holds(marker.as_bytes()) && !directory.holds(&sealed[0]), "nothing of it is left");
    assert!(log.contains("package.url") && !log.contains(&marker[7..]), "no line shows it");
}

#[tokio::test]
async fn under_another_key_the_upload_fails_with_the_reason_and_no_request() {
    if linkgate_tests::engine::is_about_directories("it looks into the file of the catalog") {
        return;
    }
    let (source, data) = (FakeSource::start(Behaviour::Held(package_of("x"))).await, tempfile::tempdir().unwrap());
    let mut first = sealing_store(&source, data.path(), &new_key(), None);
    let accepted = first.send(bringing(&first, source.url(), "Bearer a").header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    source.wait_for_requests(1).await;
    first.kill_9();
    let next = sealing_store(&source, data.path(), &new_key(), Some(&first.mint().setting()));
    let failed = ended(next.base(), &accepted, first.mint()).await;
    let detail = "What was kept of the upload cannot be read any more, upload it again";
    assert_eq!(failed["error"], json!({"code": "ERROR", "detail": detail}), "{failed}");
    assert_eq!(source.requests().len(), 1);
    assert!(next.directory().sealed_credentials().await.is_empty());
    next.directory().assert_empty().await;
}

#[tokio::test]
async fn before_its_own_key_a_new_one_is_put_and_the_upload_goes_on() {
    if linkgate_tests::engine::is_about_directories("the stores of a database are told of another key by a setting") {
        return;
    }
    let (source, data) = (FakeSource::start(Behaviour::Held(package_of("x"))).await, tempfile::tempdir().unwrap());
    let (old, marker) = (new_key(), format!("Bearer {}", random()));
    let mut first = sealing_store(&source, data.path(), &old, None);
    let accepted = first.send(bringing(&first, source.url(), &marker).header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    source.wait_for_requests(1).await;
    first.kill_9();
    let both = format!("{}\n{old}", new_key());
    let next = sealing_store(&source, data.path(), &both, Some(&first.mint().setting()));
    source.wait_for_requests(2).await;
    source.release();
    let done = ended(next.base(), &accepted, first.mint()).await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(shown(&source, "authorization"), [Some(marker.clone()), Some(marker)]);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_credential_also_after_a_restart() {
    let (source, data) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let key = new_key();
    let first = sealing_store(&source, data.path(), &key, None);
    let request =
        |store: &StoreProcess, value: &str| bringing(store, source.url(), value).header("idempotency-key", "k");
    assert_eq!(first.send(request(&first, "Bearer one")).await.status, 200);
    let other = first.send(request(&first, "Bearer two")).await;
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("IDEMPOTENCY_KEY_REUSED")), "{other:?}");
    let (again, another) = (request(&first, "Bearer one"), request(&first, "Bearer two"));
    let keys = first.mint().setting();
    let pem = std::fs::read(first.mint().pem_path()).unwrap();
    first.stop();
    // The key's file went with the first store's fixture.
    let (_, path) = keys.split_once('=').unwrap();
    std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
    std::fs::write(path, pem).unwrap();
    let next = sealing_store(&source, data.path(), &key, Some(&keys));
    assert_eq!(next.send(again).await.status, 200);
    assert_eq!(next.send(another).await.status, 422);
    assert_eq!(source.requests().len(), 1);
}
