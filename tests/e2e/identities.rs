//! Who calls, by every proof: good ones, bad ones, and those that come to an end.

use std::time::Duration;

use linkgate_tests::token::{jws, now_s};
use linkgate_tests::{Question, Service, ServiceBehaviour, random};
use serde_json::{Value, json};

use crate::platform::{ANNA, CI, Caller, EXEMPT, OTHER_GATEWAY, Platform, Proof, UPLOAD, claims, inner};
use crate::replies::{assert_envelope, assert_not_authenticated, assert_problem};

/// Serves somebody twice: the first time `question` is asked, the second time nothing.
async fn serve_twice(platform: &Platform, caller: &Caller, question: Option<Question>) {
    platform.identity.forget();
    let line = platform.serve(caller).await;
    assert_eq!(line["identity"], "fresh", "{caller:?}: {line}");
    let asked: Vec<_> = platform.identity.asked().iter().map(|asked| asked.question).collect();
    assert_eq!(asked, question.into_iter().collect::<Vec<_>>(), "{caller:?}");
    let line = platform.serve(caller).await;
    assert_eq!(line["identity"], "cached", "{caller:?}: {line}");
    assert_eq!(platform.identity.asked().len(), asked.len(), "asked again for {caller:?}");
}

#[tokio::test]
async fn every_good_proof_is_believed_and_asked_about_once() {
    let platform = Platform::new().await;
    for proof in Proof::ALL {
        serve_twice(&platform, &platform.caller(proof), proof.question().map(|(_, question)| question)).await;
    }
    // A login service with tenants knows the gateway by a bearer.
    let mut tenants = platform.stack.policy().clone();
    tenants["identity"]["login"]["multi_tenant"] = true.into();
    platform.stack.gateway().enforce(&tenants).await;
    for proof in [Proof::Token, Proof::TokenCookie] {
        serve_twice(&platform, &platform.caller(proof), Some(Question::VerifyToken)).await;
    }
    let [_, _, (_, bearer)] = platform.identity.environment();
    assert_eq!(platform.identity.asked()[0].header("authorization"), Some(format!("Bearer {bearer}").as_str()));
    let unknown = platform.refuse(&platform.user("bk_token", &random())).await;
    assert_not_authenticated(&unknown, "bk_token is not valid");
}

#[tokio::test]
async fn an_app_that_needs_no_user_uploads_in_its_own_name() {
    let platform = Platform::new().await;
    let secret = platform.identity.add_app(CI);
    let app = json!({"bk_app_code": CI, "bk_app_secret": secret});
    let alone = Caller { presented: app, prefix: EXEMPT, operator: CI, ..platform.app(&secret) };
    for caller in [alone.clone(), alone.clone().with("bk_username", ANNA), alone.clone().with("bk_token", random())] {
        let line = platform.serve(&caller).await;
        assert_eq!((&line["app"], &line["user"]), (&json!(CI), &Value::Null), "{line}");
    }
    // Where a user is needed, or another app calls, a name alone proves nothing.
    let unverified = "user authentication failed, the user indicated by bk_username is not verified";
    let elsewhere = Caller { prefix: "/stag", ..alone.clone() }.with("bk_username", ANNA);
    let other = platform.identity.add_app("other");
    let another = alone.with("bk_app_code", "other").with("bk_app_secret", other).with("bk_username", ANNA);
    for caller in [elsewhere, another] {
        assert_not_authenticated(&platform.refuse(&caller).await, unverified);
    }
}

type Cases = Vec<(Caller, &'static str)>;

const BAD_SIGNATURE: &str = "signature [bk_signature] verification failed, please provide valid bk_signature";
const UNKNOWN_TOKEN: &str = "bkauth error message: access_token is invalid";
const MISMATCH: &str = "parameter jwt is invalid: failed to verify jwt, signature mismatch";

/// Proofs that a service refuses, in its words or ours.
fn bad_for_services(platform: &Platform) -> Cases {
    let good = |proof| platform.caller(proof);
    let ending = |user: Option<&str>, expires_in: i64| {
        let token = random();
        platform.identity.know_access_token(&token, CI, user, expires_in);
        good(Proof::UserToken).with("access_token", token)
    };
    let no_user = "the access_token is the application type and cannot indicate the user";
    vec![
        (good(Proof::Secret).forged(), "bk_app_code or bk_app_secret is incorrect"),
        (good(Proof::Secret).with("bk_app_code", "nobody"), "app not found"),
        (Caller { signs_with: Some(random()), ..good(Proof::Signature) }, BAD_SIGNATURE),
        (good(Proof::Signature).with("bk_app_code", "nobody"), "app not found"),
        (good(Proof::Token).with("bk_token", random()), "登录态已过期"),
        (platform.browser("bk_token", &random()), "登录态已过期"),
        (good(Proof::TokenCookie).with("bk_token", random()), "登录态已过期"),
        (good(Proof::Ticket).with("bk_ticket", random()), "ticket is invalid"),
        (good(Proof::Ticket).with("bk_token", random()), "登录态已过期"),
        (platform.browser("bk_ticket", &random()), "ticket is invalid"),
        (good(Proof::UserToken).with("access_token", random()), UNKNOWN_TOKEN),
        (ending(Some(ANNA), 0), "the access_token of the user(anna) has expired, please re-authorize"),
        (ending(None, -5), "access_token has expired"),
        (Caller { prefix: "/stag", ..good(Proof::AppToken) }, no_user),
        (good(Proof::Jwt).with("access_token", random()), UNKNOWN_TOKEN),
        (good(Proof::Jwt).with("access_token", ""), "access_token cannot be empty"),
    ]
}

/// Tokens that are not the other gateway's, or say the wrong thing.
fn bad_tokens(platform: &Platform) -> Cases {
    let good = |proof| platform.caller(proof);
    let saying = |change: fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        platform.other.sign(&claims)
    };
    let with_jwt = |jwt: String| good(Proof::Jwt).with("jwt", jwt);
    let unsigned = jws(&json!({"alg": "none", "kid": OTHER_GATEWAY}), &claims(), |_| Vec::new());
    let over = saying(|claims| claims["exp"] = now_s().into());
    let early = saying(|claims| claims["nbf"] = (now_s() + 120).into());
    let stranger = platform.other_rsa.sign("stranger", &claims());
    let unverified = saying(|claims| claims["user"]["verified"] = false.into());
    let without_app = saying(|claims| claims["app"] = Value::Null);
    vec![
        (with_jwt("x".to_owned()), "parameter jwt is invalid: JWT Token invalid"),
        (with_jwt(good(Proof::InnerRs512).forged().secrets[0].clone()), MISMATCH),
        (with_jwt(over.clone()), "parameter jwt is invalid: failed to verify jwt, it has expired"),
        (with_jwt(early), "parameter jwt is invalid: failed to verify jwt, it is not valid yet"),
        (good(Proof::InnerEdDsa).forged(), MISMATCH),
        (good(Proof::InnerRs512).forged(), MISMATCH),
        (inner(&unsigned), MISMATCH),
        (inner(&over), "parameter jwt is invalid: failed to verify jwt, it has expired"),
        (inner(&stranger), "parameter jwt is invalid: failed to get public_key of its gateway"),
        (inner(&unverified), "the user indicated by jwt is not verified"),
        (inner(&without_app), "parameter jwt does not indicate app information"),
    ]
}

#[tokio::test]
async fn every_bad_proof_has_its_reason() {
    let platform = Platform::new().await;
    for (caller, reason) in bad_for_services(&platform).into_iter().chain(bad_tokens(&platform)) {
        assert_not_authenticated(&platform.refuse(&caller).await, reason);
    }
    // Services of different age.
    for status in [404, 422, 200] {
        platform.identity.answer_unknown_access_tokens_with(status);
        let unknown = platform.caller(Proof::UserToken).with("access_token", random());
        assert_not_authenticated(&platform.refuse(&unknown).await, UNKNOWN_TOKEN);
    }
    let now = now_s();
    for (query, reason) in [
        (format!("bk_timestamp={now}"), "parameter bk_nonce required"),
        (format!("bk_timestamp={now}&bk_nonce=x"), "parameter bk_nonce is invalid, it should be a positive integer"),
        ("bk_nonce=1".to_owned(), "parameter bk_timestamp required"),
        (format!("bk_nonce=1&bk_timestamp={}", now - 302), "parameter bk_timestamp has expired"),
        (format!("bk_nonce=1&bk_timestamp={}", now + 330), "parameter bk_timestamp is in the future"),
        (format!("bk_nonce=1&bk_timestamp={now}"), BAD_SIGNATURE),
    ] {
        let request = platform.request(&platform.caller(Proof::Signature));
        let request = request.path(format!("/stag{UPLOAD}?{query}&bk_signature=c2ln"));
        assert_not_authenticated(&platform.stack.refuse_at_gate(request).await, reason);
    }
    platform.stack.directory().assert_empty().await;
    assert!(platform.stack.source().requests().is_empty());
}

#[tokio::test]
async fn what_comes_to_an_end_counts_no_longer_whoever_is_down() {
    // Hundreds of times what the four requests take that come before the end.
    const LIFE_S: i64 = 30;
    let platform = Platform::new().await;
    let (token, jwt_end) = (random(), now_s() + LIFE_S);
    platform.identity.know_access_token(&token, CI, Some(ANNA), LIFE_S);
    let by_token = platform.caller(Proof::UserToken).with("access_token", token);
    let mut ending = claims();
    ending["exp"] = jwt_end.into();
    let by_jwt = inner(&platform.other.sign(&ending));
    for caller in [&by_token, &by_jwt] {
        assert_eq!(platform.serve(caller).await["identity"], "fresh");
        assert_eq!(platform.serve(caller).await["identity"], "cached");
    }
    platform.identity.set(Service::Bkauth, ServiceBehaviour::Down).await;
    tokio::time::sleep(Duration::from_millis(LIFE_S.unsigned_abs() * 1_000 + 500)).await;
    let reason = "failed to request third-party api, bkauth, status: 503";
    let message = format!("Internal Server Error [reason=\"{reason}\"]");
    assert_envelope(&platform.refuse(&by_token).await, 500, 1_650_001, "INTERNAL_SERVER_ERROR", &message);
    let expired = "parameter jwt is invalid: failed to verify jwt, it has expired";
    assert_not_authenticated(&platform.refuse(&by_jwt).await, expired);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_to_those_only_who_are_known() {
    let platform = Platform::new().await;
    let request = |caller: &Caller| platform.request(caller).raw_body("{}");
    let body = r#"{"code":"VALIDATION_ERROR","detail":"package_url: This field is required.","fields_detail":{"package_url":["This field is required."]}}"#;
    for proof in Proof::ASKED {
        // The body of a signed request belongs to what is signed.
        if proof == Proof::Signature {
            continue;
        }
        let known = platform.stack.refuse_at_gate(request(&platform.caller(proof))).await;
        assert_problem(&known, 400, "VALIDATION_ERROR", None, body);
        let forged = platform.stack.refuse_at_gate(request(&platform.caller(proof).forged())).await;
        assert_eq!(forged.json()["code"], 1_640_001, "{forged:?}");
    }
}
