//! Nonces of signed requests, as the store hears of them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{KeyInit, Mac};
use linkgate_contract::{Claims, SignedNonce};

use super::identities::{drive_with, with_services};
use super::*;

/// A target that `ci` has signed, for a body.
fn signed(method: &str, path: &str, nonce: &str, body: &str) -> String {
    let data = if method == "POST" { format!("&data={body}") } else { String::new() };
    let content = format!("{method}{path}?bk_nonce={nonce}&bk_timestamp=900{data}");
    let mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"one").unwrap().chain_update(content);
    let mut query = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    query.append_pair("bk_nonce", nonce).append_pair("bk_timestamp", "900");
    query.append_pair("bk_signature", &STANDARD.encode(mac.finalize().into_bytes())).finish()
}

/// The token of a signed request that goes on.
fn token(gate: &Gate, method: &str, path: &str, nonce: &str) -> String {
    let body = if method == "POST" { BODY } else { "" };
    let target = signed(method, path, nonce, body);
    let presented = json!({"bk_app_code": "ci", "bk_ticket": "t1cket"}).to_string();
    let pairs: Pairs<'_> = vec![
        (b":method", method.as_bytes()),
        (b":path", target.as_bytes()),
        (b"content-type", b"application/json"),
        (b"x-bkapi-authorization", presented.as_bytes()),
    ];
    let keys = |_: &str, _: &str| Some((200, json!({"code": 0, "data": [{"bk_app_secret": "one"}]})));
    match drive_with(gate, &pairs, body.as_bytes(), NOW, &keys).0 {
        Verdict::Allow(forward) => forward.set.iter().find(|(name, _)| *name == "x-bkapi-jwt").unwrap().1.clone(),
        verdict => panic!("{:?}", refused(verdict).reply),
    }
}

fn nonce_of(token: &str) -> Option<SignedNonce> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Claims>(&claims).unwrap().linkgate.nonce
}

#[test]
fn the_token_of_what_may_change_something_has_its_nonce_and_is_for_it_alone() {
    let gate = gate_of(&with_services(), &worker());
    let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
    for (method, path, nonce) in [("POST", PATH, "7"), ("POST", PATH, "8"), ("DELETE", job.as_str(), "9")] {
        let token = token(&gate, method, path, nonce);
        assert_eq!(nonce_of(&token), Some(SignedNonce::new("ci", nonce, 900, 1_200)), "{method}");
    }
    // Another proxy, with memory of its own, says the same of the same request.
    let other = gate_of(&with_services(), &worker());
    let zeros = token(&other, "POST", PATH, "007");
    assert_eq!(nonce_of(&zeros), Some(SignedNonce::new("ci", "7", 900, 1_200)));
}

#[test]
fn what_only_reads_has_a_token_like_any_other() {
    let gate = gate_of(&with_services(), &worker());
    let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
    let tokens = ["1", "2"].map(|nonce| token(&gate, "GET", &job, nonce));
    assert_eq!(nonce_of(&tokens[0]), None);
    assert_eq!(tokens[0], tokens[1], "signed once for both");
}

#[test]
fn the_token_of_a_nonce_is_no_other_requests() {
    let worker = worker();
    let gate = gate_of(&with_services(), &worker);
    let first = token(&gate, "POST", PATH, "1");
    // The same app by its secret, for the same action and module.
    let presented = json!({"bk_app_code": "ci", "bk_app_secret": "one", "bk_ticket": "t1cket"}).to_string();
    let pairs = with("x-bkapi-authorization", presented.as_bytes());
    let yes = |_: &str, _: &str| Some((200, json!({"code": 0, "data": {"is_match": true}})));
    for _ in 0..2 {
        let Verdict::Allow(forward) = drive_with(&gate, &pairs, BODY.as_bytes(), NOW, &yes).0 else { panic!() };
        let own = &forward.set[1].1;
        assert_eq!(nonce_of(own), None);
        assert_ne!(own, &first);
    }
    assert_ne!(token(&gate, "POST", PATH, "2"), first);
}
