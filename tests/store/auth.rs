//! Who is believed.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_store::config::TrustedKey;
use linkgate_tests::token::{good_claims, jws, now_s};
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{Behaviour, FakeSource, StoreProcess, TestStore, TokenMint, package_of, package_of_size, trust};
use serde_json::{Value, json};

use crate::assert_problem;

const INVALID: &str = "The authentication is invalid";

/// Sends a token, expects this refusal, and that neither the source was asked nor anything stored.
async fn assert_not_believed(store: &TestStore, source: &FakeSource, name: &str, token: Option<String>, detail: &str) {
    let reply = store.send(store.request(source.url()).token(token).in_english()).await;
    assert_eq!((reply.status, reply.json()["detail"].as_str()), (401, Some(detail)), "{name}");
    assert_problem(&reply, 401, None, &json!({"code": "ERROR", "detail": detail}));
    assert_eq!(reply.header("www-authenticate"), Some("X-Bkapi-JWT"), "{name}");
    store.directory().assert_empty().await;
    assert!(source.requests().is_empty(), "{name}");
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = good_claims();
    change(&mut claims);
    claims
}

fn without(name: &str) -> Value {
    changed(|claims| drop(claims.as_object_mut().unwrap().remove(name)))
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let mint = store.mint();
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": mint.kid()});
    let hmac_with_public_key =
        |message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &mint.pem()), message).as_ref().to_vec();
    let good = mint.token();
    let (head_and_claims, signature) = good.rsplit_once('.').unwrap();
    let cases = [
        ("empty", String::new()),
        ("garbage", "garbage".into()),
        ("three dots of garbage", "a.b.c".into()),
        ("no signature", format!("{head_and_claims}.")),
        ("two parts", head_and_claims.into()),
        ("four parts", format!("{good}.x")),
        ("bearer", format!("Bearer {good}")),
        ("other claims under a good signature", {
            let other = mint.sign(&changed(|c| c["user"]["username"] = "root".into()));
            format!("{}.{signature}", other.rsplit_once('.').unwrap().0)
        }),
        ("unknown kid", mint.sign_with_header(&json!({"alg": "EdDSA", "kid": "other"}), &good_claims())),
        ("no kid", mint.sign_with_header(&json!({"alg": "EdDSA"}), &good_claims())),
        ("another key of the same name", TokenMint::new().token()),
        ("alg none", jws(&header("none"), &good_claims(), |_| Vec::new())),
        ("alg none with a good signature", mint.sign_with_header(&header("none"), &good_claims())),
        ("HS256 with the public key as secret", jws(&header("HS256"), &good_claims(), hmac_with_public_key)),
        ("RS512 on an Ed25519 key", mint.sign_with_header(&header("RS512"), &good_claims())),
        ("ES256 on an Ed25519 key", mint.sign_with_header(&header("ES256"), &good_claims())),
        ("unknown algorithm", mint.sign_with_header(&header("XX999"), &good_claims())),
        ("critical extension", {
            let header = json!({"alg": "EdDSA", "kid": mint.kid(), "crit": ["x"], "x": 1});
            mint.sign_with_header(&header, &good_claims())
        }),
        ("not yet", mint.sign(&changed(|c| c["nbf"] = (now_s() + 90).into()))),
        ("no exp", mint.sign(&without("exp"))),
        ("no nbf", mint.sign(&without("nbf"))),
        ("no app", mint.sign(&without("app"))),
        ("no user", mint.sign(&without("user"))),
        ("exp as text", mint.sign(&changed(|c| c["exp"] = "9999999999".into()))),
        ("exp null", mint.sign(&changed(|c| c["exp"] = Value::Null))),
        ("claims are a list", mint.sign(&json!([]))),
    ];
    for (name, token) in cases {
        assert_not_believed(&store, &source, name, Some(token), INVALID).await;
    }
    let expired = mint.sign(&changed(|c| c["exp"] = (now_s() - 90).into()));
    assert_not_believed(&store, &source, "expired", Some(expired), "The authentication has expired").await;
    assert_not_believed(&store, &source, "none", None, "Authentication is missing or invalid").await;
}

#[tokio::test]
async fn two_tokens_are_refused_even_if_both_are_good() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let request = store.request(source.url()).header("x-bkapi-jwt", &store.mint().token()).in_english();
    let reply = store.send(request).await;
    assert_problem(&reply, 401, None, &json!({"code": "ERROR", "detail": INVALID}));
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    for (version, claims) in [
        ("1", changed(|c| c["exp"] = (now_s() - 30).into())),
        ("2", changed(|c| c["nbf"] = (now_s() + 50).into())),
        ("3", changed(|c| c["iss"] = "somebody else".into())),
    ] {
        let token = store.mint().sign(&claims);
        let reply = store.send(store.request(source.url()).version(version).token(Some(token))).await;
        assert_eq!(reply.status, 200, "{claims}");
    }
}

#[tokio::test]
async fn a_caller_who_is_not_verified_is_forbidden() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    for claims in [
        changed(|c| c["app"]["verified"] = false.into()),
        changed(|c| c["app"]["app_code"] = "".into()),
        changed(|c| c["user"]["verified"] = false.into()),
        changed(|c| c["user"]["username"] = "".into()),
        changed(|c| c["user"]["username"] = " ".into()),
    ] {
        let token = store.mint().sign(&claims);
        let reply = store.send(store.request(source.url()).token(Some(token)).in_english()).await;
        assert_problem(&reply, 403, None, &json!({"code": "ERROR", "detail": "Permission denied"}));
    }
    store.directory().assert_empty().await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn a_token_is_good_for_the_module_and_the_action_that_it_names_and_for_nothing_else() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let named = |linkgate: Value| store.mint().sign(&changed(|c| c["linkgate"] = linkgate));
    for (linkgate, status) in [
        (json!({"target": "app_code/other", "action": "upload"}), 403),
        (json!({"target": "other/default", "action": "upload"}), 403),
        (json!({"target": "app_code/default", "action": "read"}), 403),
        (json!({"target": "app_code/default", "action": "delete"}), 403),
        (json!({"target": "app_code", "action": "upload"}), 401),
        (json!({"target": "app_code/default", "action": "everything"}), 401),
    ] {
        let reply = store.send(store.request(source.url()).token(Some(named(linkgate.clone())))).await;
        assert_eq!(reply.status, status, "{linkgate}");
    }
    store.directory().assert_empty().await;
    assert!(source.requests().is_empty());
    let good = named(json!({"target": "app_code/default", "action": "upload"}));
    assert_eq!(store.send(store.request(source.url()).token(Some(good))).await.status, 200);
}

#[tokio::test]
async fn the_token_is_judged_before_anything_else_of_the_request() {
    let store = TestStore::with(|_| {}).await;
    for request in [
        store.request("nonsense").raw_body("{"),
        store.request("nonsense").content_type(Some("text/plain")),
        store.request("nonsense").raw_body(vec![b' '; 100_000]),
    ] {
        assert_eq!(store.send(request.token(None)).await.status, 401);
    }
    let unknown = store.request("nonsense").path("/elsewhere").token(None);
    assert_eq!(store.send(unknown).await.status, 404, "after the route, though");
}

#[tokio::test]
async fn the_user_becomes_the_operator() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let token = store.mint().sign(&changed(|c| c["user"]["username"] = "张三".into()));
    let reply = store.send(store.request(source.url()).token(Some(token))).await;
    assert_eq!(reply.json()["operator"], "张三");
}

#[tokio::test]
async fn an_application_that_needs_no_user_is_its_own_operator() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let without_user = |name: &str| {
        changed(|c| {
            c["user"] = json!({"version": 1, "username": name, "verified": false, "valid_error_message": "no user"});
            c["linkgate"] = json!({"user_optional": true});
        })
    };
    for (version, claims, operator) in [
        ("1", without_user(""), "app_code"),
        ("2", without_user("root"), "app_code"),
        ("3", changed(|c| c["linkgate"] = json!({"user_optional": true})), "admin"),
        ("4", changed(|c| c["linkgate"] = json!({"user_optional": false})), "admin"),
        ("5", changed(|c| c["linkgate"] = json!({"later": [1]})), "admin"),
    ] {
        let token = store.mint().sign(&claims);
        let reply = store.send(store.request(source.url()).version(version).token(Some(token))).await;
        assert_eq!((reply.status, &reply.json()["operator"]), (200, &json!(operator)), "{claims}");
        assert_eq!(store.rows().await.last().unwrap().operator, operator);
    }
}

#[tokio::test]
async fn a_user_may_be_missing_only_where_a_verified_application_needs_none() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let optional = |app: bool, extension: Value| {
        changed(|c| {
            c["app"]["verified"] = app.into();
            c["user"]["verified"] = false.into();
            c["linkgate"] = extension;
        })
    };
    for claims in [
        optional(false, json!({"user_optional": true})),
        optional(true, json!({"user_optional": false})),
        optional(true, json!({})),
        changed(|c| {
            c["app"]["app_code"] = "".into();
            c["user"]["verified"] = false.into();
            c["linkgate"] = json!({"user_optional": true});
        }),
        changed(|c| {
            c["user"]["username"] = "".into();
            c["linkgate"] = json!({"user_optional": true});
        }),
        // Not where the gate says it.
        changed(|c| {
            c["user"]["verified"] = false.into();
            c["user_optional"] = true.into();
        }),
    ] {
        let token = store.mint().sign(&claims);
        let reply = store.send(store.request(source.url()).token(Some(token)).in_english()).await;
        assert_problem(&reply, 403, None, &json!({"code": "ERROR", "detail": "Permission denied"}));
    }
    for extension in [json!({"user_optional": "true"}), json!({"user_optional": null}), json!(true), json!(null)] {
        let token = store.mint().sign(&optional(true, extension));
        assert_not_believed(&store, &source, "another type", Some(token), INVALID).await;
    }
    store.directory().assert_empty().await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn keys_of_one_name_rotate() {
    let source = FakeSource::serving(package_of("x")).await;
    let (old, new) = (TokenMint::new(), TokenMint::new());
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        let keys = [&old, &new].map(|mint| TrustedKey::from_pem(mint.kid(), &mint.pem()).unwrap());
        c.auth.keys = keys.to_vec().into();
    })
    .await;
    for (version, mint) in [("1", &old), ("2", &new)] {
        let reply = store.send(store.request(source.url()).version(version).token(Some(mint.token()))).await;
        assert_eq!(reply.status, 200, "{version}");
    }
    let stranger = store.request(source.url()).version("3").token(Some(TokenMint::new().token()));
    assert_eq!(store.send(stranger).await.status, 401);
}

#[tokio::test]
async fn a_folder_of_keys_is_read_again_at_a_hangup_while_uploads_go_on() {
    let body = package_of_size(200_000);
    let source = FakeSource::start(Behaviour::Held(body)).await;
    let (old, new, folder) = (TokenMint::new(), TokenMint::new(), tempfile::tempdir().unwrap());
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("old.pem"), old.pem()).unwrap();
    let (kid, data) = (old.kid().to_owned(), folder.path().join("data"));
    let setting = format!("{kid}={}", folder.path().display());
    let store = StoreProcess::trusting(&source, &data, &[("LINKGATE_JWT_PUBLIC_KEYS", &setting)]);
    let with = |url: &str, mint: &TokenMint| store.request(url).token(Some(mint.token()));
    // The token is judged before the link, which is refused.
    let elsewhere = "http://elsewhere.example/a.tar.gz";
    let believes = async |mint: &TokenMint| with(elsewhere, mint).send(store.base()).await.status == 400;
    let running = tokio::spawn(with(&source.url(), &old).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    assert!(believes(&old).await && !believes(&new).await);

    std::fs::write(file("new.pem"), new.pem()).unwrap();
    store.hang_up();
    wait_until_holds("both keys", async || believes(&new).await).await;
    assert!(believes(&old).await);

    std::fs::write(file("broken.pem"), "nothing").unwrap();
    store.hang_up();
    wait_until_holds("the log line", async || store.log().iter().any(|line| line.contains("broken.pem"))).await;
    assert!(believes(&old).await && believes(&new).await);

    std::fs::remove_file(file("broken.pem")).unwrap();
    std::fs::remove_file(file("old.pem")).unwrap();
    store.hang_up();
    wait_until_holds("one key", async || !believes(&old).await).await;
    assert!(believes(&new).await);
    source.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    store.stop();
}

fn rsa_sign(key: &RsaKeyPair, padding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

#[tokio::test]
async fn a_gateway_with_an_rsa_key_is_believed_with_rs512_only() {
    let source = FakeSource::serving(package_of("x")).await;
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = STANDARD.encode(key.public_key().as_ref());
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{der}\n-----END RSA PUBLIC KEY-----\n");
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.auth.keys = vec![TrustedKey::from_pem("bk-apigw", pem.as_bytes()).unwrap()].into();
    })
    .await;
    let token = |alg: &str, padding| {
        jws(&json!({"alg": alg, "kid": "bk-apigw"}), &good_claims(), |message| rsa_sign(&key, padding, message))
    };
    let send = |token: String| store.send(store.request(source.url()).token(Some(token)));
    assert_eq!(send(token("RS256", &RSA_PKCS1_SHA256)).await.status, 401);
    assert_eq!(send(token("RS512", &RSA_PKCS1_SHA256)).await.status, 401);
    assert_eq!(send(token("RS512", &RSA_PKCS1_SHA512)).await.status, 200);
}

#[tokio::test]
async fn a_token_just_as_the_blueking_gateway_makes_it_is_believed() {
    let source = FakeSource::serving(package_of("x")).await;
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.auth.keys = vec![TrustedKey::from_pem("bkpaas3", pem.as_bytes()).unwrap()].into();
    })
    .await;
    let now = now_s();
    let claims = |issuer: &str, user_verified: bool| {
        json!({
            "iss": issuer,
            "nbf": now - 300,
            "exp": now + 1_500,
            "app": {"version": 1, "app_code": "bk_caller", "verified": true, "valid_error_message": ""},
            "user": {"version": 1, "username": "admin", "verified": user_verified, "valid_error_message": ""},
        })
    };
    let sign = |header: &Value, claims: &Value| jws(header, claims, |m| rsa_sign(&key, &RSA_PKCS1_SHA512, m));
    let header = json!({"kid": "bkpaas3", "typ": "JWT", "alg": "RS512", "iat": now});
    let mut header_with_issuer = header.clone();
    header_with_issuer["iss"] = "bk-region".into();
    for (version, header, issuer) in [("1", &header, "APIGW"), ("2", &header_with_issuer, "bk-region")] {
        let token = sign(header, &claims(issuer, true));
        let reply = store.send(store.request(source.url()).version(version).token(Some(token))).await;
        assert_eq!((reply.status, &reply.json()["operator"]), (200, &json!("admin")), "{header}");
    }
    let unverified = sign(&header, &claims("APIGW", false));
    let reply = store.send(store.request(source.url()).version("3").token(Some(unverified))).await;
    assert_eq!(reply.status, 403, "that gateway has no users that may be missing");
    assert_eq!(store.rows().await.len(), 2);
}
