//! Links for others are made by the store, and what the gate says of one is kept to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use ed25519_dalek::{Signature, VerifyingKey};
use linkgate_tests::token::{good_claims, now_s};
use linkgate_tests::{
    Behaviour, Downloaded, FakeSource, LinkRequestBuilder, Reply, TestStore, package_of, package_path, sha256_hex,
    trust,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn holding() -> (FakeSource, TestStore, i64) {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let id = store.send(store.request(source.url())).await.json()["id"].as_i64().unwrap();
    (source, store, id)
}

fn asking(store: &TestStore, id: i64, body: &Value) -> LinkRequestBuilder {
    let request = store.about_package(Method::POST, id, "download_url/");
    request.raw_body(body.to_string()).content_type(Some("application/json"))
}

/// The claims of the token in a reply's link, once its signature was checked with the store's public key.
fn claims(store: &TestStore, reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let url = reply.json()["download_url"].as_str().unwrap().to_owned();
    let token = url.split_once("?lg_token=").unwrap().1;
    let pem = std::fs::read_to_string(store.directory().path().join("signed-urls.pub.pem")).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    VerifyingKey::from_public_key_pem(&pem).unwrap().verify_strict(signed.as_bytes(), &signature).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[tokio::test]
async fn a_link_names_path_bytes_end_and_maker() {
    let (_source, store, id) = holding().await;
    let begun = now_s();
    let body = json!({"expires_in": 600, "client_ips": ["10.0.0.0/8", "192.0.2.1"]});
    let reply = store.send(asking(&store, id, &body)).await;
    let made = claims(&store, &reply);
    let life = made["exp"].as_i64().unwrap() - made["iat"].as_i64().unwrap();
    assert_eq!((life, made["iat"].as_i64().unwrap() >= begun), (600, true));
    assert_eq!(made["path"], package_path(id, "download/"));
    assert_eq!(made["sha256"], sha256_hex(&package_of("x")));
    assert_eq!((&made["app"], &made["user"]), (&json!("app_code"), &json!("admin")));
    assert_eq!(made["client_ips"], json!(["10.0.0.0/8", "192.0.2.1"]));
    let document = reply.json();
    assert!(document["download_url"].as_str().unwrap().starts_with("../download/?lg_token="));
    assert_eq!(document.as_object().unwrap().len(), 2);
    assert_eq!(document["expires"].as_str().unwrap().len(), "2027-01-31 00:00:00".len());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let bare = claims(&store, &store.send(store.about_package(Method::POST, id, "download_url/")).await);
    assert_eq!(bare["exp"].as_i64().unwrap() - bare["iat"].as_i64().unwrap(), 3_600);
}

#[tokio::test]
async fn a_user_who_is_not_verified_and_an_application_that_is_not_make_no_name() {
    let (_source, store, id) = holding().await;
    let mut claims_of = good_claims();
    claims_of["user"] = json!({"version": 1, "username": "root", "verified": false, "valid_error_message": "no"});
    claims_of["linkgate"] = json!({"user_optional": true, "action": "sign"});
    let token = store.mint().sign(&claims_of);
    let made = claims(&store, &store.send(asking(&store, id, &json!({})).token(Some(token))).await);
    assert_eq!((&made["app"], made.get("user")), (&json!("app_code"), None));
}

#[tokio::test]
async fn a_link_leads_to_the_gateway_where_that_is_known() {
    let source = FakeSource::serving(package_of("x")).await;
    let change = |config: &mut linkgate_store::config::Config| {
        trust(config, &[&source]);
        config.public_url = Some("https://gw.example.com/prod".into());
    };
    let store = TestStore::with(change).await;
    let id = store.send(store.request(source.url())).await.json()["id"].as_i64().unwrap();
    let reply = store.send(asking(&store, id, &json!({}))).await.json();
    let begin = format!("https://gw.example.com/prod{}?lg_token=", package_path(id, "download/"));
    assert!(reply["download_url"].as_str().unwrap().starts_with(&begin), "{reply}");
}

#[tokio::test]
async fn what_no_link_can_have_is_refused_field_by_field() {
    let (_source, store, id) = holding().await;
    let body = json!({"expires_in": 86_401, "client_ips": ["example.com"]});
    let reply = store.send(asking(&store, id, &body)).await;
    assert_eq!(reply.status, 400);
    let fields = &reply.json()["fields_detail"];
    assert_eq!(fields["expires_in"], json!(["Give a whole number of seconds from 60 to 86400."]));
    assert_eq!(fields["client_ips"], json!(["Give at most 16 addresses and networks, such as 10.0.0.0/8."]));
    let absent = store.send(asking(&store, id + 1, &json!({}))).await;
    assert_eq!(absent.status, 404);
}

#[tokio::test]
async fn the_gates_word_on_the_bytes_is_kept_to() {
    let (source, store, id) = holding().await;
    let expecting = |sha256: &str| {
        let mut claims = good_claims();
        claims["linkgate"] = json!({"expected_sha256": sha256, "action": "download"});
        store.about_package(Method::GET, id, "download/").token(Some(store.mint().sign(&claims)))
    };
    let (old, new) = (sha256_hex(&package_of("x")), sha256_hex(&package_of("new")));
    assert_eq!(expecting(&old).open(store.base()).await.status(), 200);
    source.on("/new", Behaviour::Bytes(package_of("new")));
    assert_eq!(store.send(store.request(source.url_of("/new")).overwriting()).await.status, 200);
    let changed = Downloaded::read(expecting(&old).open(store.base()).await).await.unwrap();
    assert_eq!((changed.status, changed.code().as_str()), (410, "PACKAGE_CHANGED"));
    assert_eq!(expecting(&new).open(store.base()).await.status(), 200);
    assert_eq!(expecting("nonsense").open(store.base()).await.status(), 401, "a word that cannot be kept to");
}
