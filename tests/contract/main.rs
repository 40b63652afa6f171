//! The gate and the store meet here: what the gate forwards the store takes, and what both judge they judge alike.
//!
//! The gate runs natively, the store in this process; only the proxy between them is left out.

// Panicking is how a test says no; clippy knows that of test functions, but not of their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::rc::Rc;

use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use linkgate_gate::policy::Policy;
use linkgate_gate::{Forward, Gate, Head, Keys, OwnCredentials, SigningKey, Time, Unshared, Verdict, Worker};
use linkgate_tests::gateway::{APP, USER};
use linkgate_tests::{FakeSource, LinkRequestBuilder, Reply, TestStore, package_of, sha256_hex};
use serde_json::{Value, json};

const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/?x=1";

/// A gate whose key this store believes, with the store's own allow-list.
fn gate_before(store: &TestStore, source: &FakeSource) -> Gate {
    let policy = Policy::from_value(&json!({
        "version": 1,
        "gateway": store.mint().kid(),
        "routes": {"prefixes": ["/stag"]},
        "packages": {"allowed_hosts": [source.host()]},
        "grants": [{"callers": [APP], "targets": ["*"]}],
        "clients": [{"app_code": APP, "secret_sha256": [sha256_hex(b"secret")]}],
        "users": [{"username": USER, "bk_token_sha256": [sha256_hex(b"token")]}],
    }));
    let key = ed25519_dalek::SigningKey::from_bytes(&store.mint().seed());
    let signing = SigningKey::parse(&key.to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap();
    let own = OwnCredentials::new(String::new(), String::new(), String::new());
    let worker = Worker::new(Box::new(Unshared::default()), [3; 16]);
    Gate::new(policy.unwrap(), Keys { signing, own }, Rc::new(worker))
}

/// What the gate makes of a body.
fn judge(gate: &Gate, content_type: &str, language: &str, body: &[u8]) -> Verdict {
    let credentials = json!({"bk_app_code": APP, "bk_app_secret": "secret", "bk_token": "token"}).to_string();
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", PATH.as_bytes()),
        (b"content-type", content_type.as_bytes()),
        (b"accept-language", language.as_bytes()),
        (b"x-bkapi-authorization", credentials.as_bytes()),
    ];
    let now = Time::from_seconds(linkgate_tests::token::now_s().cast_unsigned());
    let head = Head::new(&pairs, body.is_empty(), now, || [1; 16]);
    match gate.on_headers(&head) {
        Verdict::NeedBody(pending) => pending.on_body(gate, body.to_vec(), now),
        verdict => verdict,
    }
}

/// The request as a proxy would send it on.
fn forwarded(store: &TestStore, forward: &Forward, body: &[u8]) -> LinkRequestBuilder {
    let mut request = LinkRequestBuilder::new("", store.mint()).token(None).raw_body(body);
    for (name, value) in &forward.set {
        request = match *name {
            ":path" => request.path(value.clone()),
            name => request.header(name, value),
        };
    }
    request
}

#[tokio::test]
async fn what_the_gate_forwards_the_store_takes_and_records_for_the_same_user() {
    let source = FakeSource::serving(package_of("package")).await;
    let store = TestStore::trusting(&source).await;
    let gate = gate_before(&store, &source);
    let body = json!({"package_url": source.url(), "version": "0.0.5"}).to_string();
    let Verdict::Allow(forward) = judge(&gate, "application/json", "en", body.as_bytes()) else { panic!("refused") };
    let reply = forwarded(&store, &forward, body.as_bytes()).send(store.base()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["operator"], USER);
    assert_eq!(store.rows().await.len(), 1);
}

/// Status, headers of the API and body, as the store gives them when it is asked directly.
async fn ask_store(store: &TestStore, content_type: &str, language: &str, body: &[u8]) -> Reply {
    let request = LinkRequestBuilder::new("", store.mint()).raw_body(body);
    request.content_type(Some(content_type)).header("accept-language", language).send(store.base()).await
}

#[tokio::test]
async fn both_give_the_same_answer_to_every_body_that_is_wrong() {
    let source = FakeSource::serving(package_of("package")).await;
    let store = TestStore::trusting(&source).await;
    let gate = gate_before(&store, &source);
    let url = source.url();
    let fields: Vec<Value> = vec![
        json!({}),
        json!({"package_url": null, "version": null, "allow_overwrite": []}),
        json!({"package_url": ""}),
        json!({"package_url": 7, "version": true}),
        json!({"package_url": "nonsense"}),
        json!({"package_url": "ftp://example.com/"}),
        json!({"package_url": "http://example.com:0/"}),
        json!({"package_url": "https://evil.example/"}),
        json!({"package_url": format!("http://u@{}/", source.host())}),
        json!({"package_url": format!("http://evil.example\\@{}/", source.host())}),
        json!({"package_url": format!("http://{}/a b", source.host())}),
        json!({"package_url": format!("http://{}/{}", source.host(), "a".repeat(9_000))}),
        json!({"package_url": url, "version": " "}),
        json!({"package_url": url, "version": "v".repeat(129)}),
        json!({"package_url": url, "version": "a\u{0}b"}),
        json!({"package_url": url, "allow_overwrite": "perhaps"}),
        json!({"package_url": url, "sha256": "abc"}),
        json!({"package_url": url, "sha256": 7}),
        json!([]),
        json!("text"),
        json!(7),
        json!(null),
        json!(true),
    ];
    let mut bodies: Vec<(&str, Vec<u8>)> =
        fields.iter().map(|f| ("application/json", f.to_string().into_bytes())).collect();
    bodies.push(("application/json", b"{".to_vec()));
    bodies.push(("application/json", b"\xff".to_vec()));
    bodies.push(("application/json", "[".repeat(1_000).into_bytes()));
    bodies.push(("application/json", Vec::new()));
    bodies.push(("text/plain", Vec::new()));
    bodies.push(("text/plain", b"{}".to_vec()));
    bodies.push(("application/x-www-form-urlencoded", b"package_url=x".to_vec()));
    bodies.push(("application/x-www-form-urlencoded", b"package_url=%ff".to_vec()));
    bodies.push(("multipart/form-data", b"--B--".to_vec()));
    bodies.push(("multipart/form-data; boundary=B", b"--B--".to_vec()));
    bodies.push(("multipart/form-data; boundary=B", b"--B".to_vec()));
    for (content_type, body) in bodies {
        for language in ["zh-CN", "en"] {
            let shown = String::from_utf8_lossy(&body).into_owned();
            let Verdict::Deny(refusal) = judge(&gate, content_type, language, &body) else { panic!("taken: {shown}") };
            let ours = refusal.reply;
            let theirs = ask_store(&store, content_type, language, &body).await;
            assert_eq!((ours.status, &ours.body), (theirs.status, &theirs.body), "{shown}");
            for name in ["content-type", "bkapi-error-code", "bkapi-error-code-num"] {
                let ours = ours.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
                assert_eq!(ours, theirs.header(name), "{name}: {shown}");
            }
        }
    }
    assert!(source.requests().is_empty());
    store.directory().assert_empty().await;
}
