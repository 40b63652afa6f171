//! Links for others work through a real Envoy without any other credential, for as long as they should, and stand in no log.

use linkgate_contract::{Sha256, SignedUrlClaims};
use linkgate_store_core::signed_url::{KEY_FILES, UrlSigner};
use linkgate_tests::gateway::{APP, GatewayPlan, USER};
use linkgate_tests::token::now_s;
use linkgate_tests::whole::package;
use linkgate_tests::{Behaviour, Downloaded, WholeStack, package_of, package_path, sha256_hex, wait_until_holds};
use reqwest::Method;
use serde_json::{Value, json};

use crate::downloads::{granting, upload};
use crate::recorder::Recorder;

/// A stack that trusts its store's links, with one package.
async fn holding() -> (WholeStack, Value, i64) {
    let stack = granting(json!(["upload", "download", "sign"])).await;
    let mut policy = stack.policy().clone();
    let key = std::fs::read_to_string(stack.directory().path().join("signed-urls.pub.pem")).unwrap();
    policy["signed_urls"] = json!({"keys": [key]});
    policy["limits"]["uri_bytes"] = 4_096.into();
    stack.gateway().deploy(&policy).await.unwrap();
    let id = upload(&stack, &stack.source().url()).await;
    (stack, policy, id)
}

/// A link to a package: the whole of it, as whoever gets it uses it.
async fn link(stack: &WholeStack, id: i64, body: Value) -> String {
    let path = format!("/stag{}", package_path(id, "download_url/"));
    let request = stack.about_package(Method::POST, id, "download_url/").path(&path);
    let request = request.raw_body(body.to_string()).content_type(Some("application/json"));
    let reply = stack.send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let base = reqwest::Url::parse(&format!("{}{path}", stack.base())).unwrap();
    base.join(reply.json()["download_url"].as_str().unwrap()).unwrap().to_string()
}

async fn fetch(method: Method, url: &str, headers: &[(&str, &str)]) -> Downloaded {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, url).header("blueking-language", "en");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Downloaded::read(request.send().await.unwrap()).await.unwrap()
}

async fn assert_refused(url: &str, status: u16, code: &str) {
    let reply = fetch(Method::GET, url, &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (status, code));
}

#[tokio::test]
async fn whoever_has_the_link_downloads_whole_and_in_part() {
    let (stack, _, id) = holding().await;
    let url = link(&stack, id, json!({"expires_in": 60, "client_ips": ["127.0.0.0/8"]})).await;
    assert!(url.contains("/stag/bkapps/applications/app_code/") && url.contains("?lg_token="), "{url}");
    let whole = fetch(Method::GET, &url, &[]).await;
    assert_eq!((whole.status, sha256_hex(&whole.bytes)), (200, sha256_hex(&package())));
    let head = fetch(Method::HEAD, &url, &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, whole.header("content-length")));
    let part = fetch(Method::GET, &url, &[("range", "bytes=-7")]).await;
    assert_eq!((part.status, &part.bytes[..]), (206, &package()[package().len() - 7..]));
    let said = ["identity\\\":\\\"signed_url", &format!("app\\\":\\\"{APP}"), &format!("user\\\":\\\"{USER}")]
        .map(str::to_owned);
    wait_until_holds("the line of the access log", async || {
        let gate = stack.gateway().log();
        gate.lines().any(|line| said.iter().all(|word| line.contains(word)))
    })
    .await;
}

#[tokio::test]
async fn a_link_ends_with_its_bytes_its_path_and_its_makers_grant() {
    let (stack, mut policy, id) = holding().await;
    let url = link(&stack, id, json!({})).await;
    assert_refused(&format!("{url}A"), 403, "SIGNATURE_INVALID").await;
    assert_refused(&url.replace(&format!("/{id}/"), &format!("/{}/", id + 1)), 403, "SIGNATURE_INVALID").await;
    assert_refused(&link(&stack, id, json!({"client_ips": ["192.0.2.1"]})).await, 403, "SIGNATURE_INVALID").await;
    let other = stack.link_to("/other.tar.gz", Behaviour::Bytes(package_of("other")));
    assert_eq!(upload(&stack, &other).await, id);
    assert_refused(&url, 410, "PACKAGE_CHANGED").await;
    let url = link(&stack, id, json!({})).await;
    assert_eq!(sha256_hex(&fetch(Method::GET, &url, &[]).await.bytes), sha256_hex(&package_of("other")));
    policy["grants"][0]["actions"] = json!(["upload", "download"]);
    stack.gateway().deploy(&policy).await.unwrap();
    assert_refused(&url, 403, "APP_NO_PERMISSION").await;
    policy["grants"][0]["actions"] = json!("*");
    policy["signed_urls"] = json!({});
    stack.gateway().deploy(&policy).await.unwrap();
    assert_refused(&url, 403, "SIGNATURE_INVALID").await;
}

#[tokio::test]
async fn a_link_stands_in_no_log_and_does_not_reach_the_store() {
    let (dir, recorder, plan) = (tempfile::tempdir().unwrap(), Recorder::start().await, GatewayPlan::new());
    let signer = UrlSigner::open(dir.path(), None).unwrap();
    let mut policy = plan.credentials().policy(&[]);
    policy["grants"][0]["actions"] = json!(["download", "sign"]);
    policy["limits"]["uri_bytes"] = 4_096.into();
    policy["signed_urls"] = json!({"keys": [std::fs::read_to_string(dir.path().join(KEY_FILES.public)).unwrap()]});
    plan.deploy(&policy);
    let gateway = plan.start(recorder.address()).await;
    let claims = |exp: i64| SignedUrlClaims {
        iat: now_s(),
        exp,
        path: package_path(7, "download/"),
        sha256: Sha256::from_bytes([7; 32]),
        app: "builder".into(),
        user: "anna".into(),
        tenant: None,
        client_ips: Vec::new(),
    };
    let (good, late) = (signer.sign(&claims(now_s() + 600)), signer.sign(&claims(now_s() - 1)));
    let url = |token: &str| format!("{}{}?a=1&lg_token={token}", gateway.base(), package_path(7, "download/"));
    assert_eq!(fetch(Method::GET, &url(&good), &[("referer", "http://example.com/")]).await.status, 200);
    assert_refused(&url(&late), 403, "SIGNATURE_EXPIRED").await;
    let seen = recorder.take();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].head.starts_with(&format!("GET {} HTTP/1.1", package_path(7, "download/"))), "{}", seen[0].head);
    let log = gateway.log();
    for token in [&good, &late] {
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(!seen[0].head.contains(signature) && !log.contains(signature));
        assert!(!log.contains("lg_token"), "{log}");
    }
}
