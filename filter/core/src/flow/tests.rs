//! The gate's decisions from end to end, and ten thousand hostile requests.

use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::context::Keys;
use crate::gate::{CallStep, Gate};
use crate::keys::SigningKey;
use crate::keys::testing::ed25519;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::services::question::{OwnCredentials, ServiceReply};
use crate::shared::fake::FakeShared;
use crate::worker::Worker;

mod console;
mod cors;
mod held;
mod identities;
mod jobs;
mod listing;
mod nonces;
mod rules;
mod signed_urls;
mod source_access;
mod tenants;

const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
const CANONICAL: &str = "/bkapps/applications/app_code/modules/default/source_package/link/";
const CREDENTIALS: &str = r#"{"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret", "bk_ticket": "t1cket"}"#;
const BODY: &str = r#"{"package_url": "https://example.com/generic/example.tar.gz", "version": "0.0.5"}"#;
const NOW: Time = Time::from_seconds(1_000);

fn hex_of(secret: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(secret))
}

fn document() -> Value {
    json!({
        "version": 1,
        "gateway": "linkgate",
        "routes": {"prefixes": ["", "/stag"]},
        "limits": {"body_bytes": 1024, "uri_bytes": 512},
        "packages": {"allowed_hosts": ["example.com"]},
        "grants": [{"name": "all", "callers": ["*"], "targets": ["*"]}],
        "clients": [{"app_code": "apigw-api-test", "secret_sha256": [hex_of("s3cret")]}],
        "users": [{"username": "admin", "bk_token_sha256": [hex_of("t0ken")], "bk_ticket_sha256": [hex_of("t1cket")]}],
    })
}

fn gate_of(document: &Value, worker: &Rc<Worker>) -> Gate {
    let signing = SigningKey::parse(&ed25519(9).private).unwrap();
    let own = OwnCredentials::new("linkgate".into(), "0wn-secret".into(), "b3arer".into());
    Gate::new(Policy::from_value(document).unwrap(), Keys { signing, own }, Rc::clone(worker))
}

fn worker() -> Rc<Worker> {
    Rc::new(Worker::new(Box::new(Rc::new(FakeShared::default())), [3; 16]))
}

fn gate() -> Gate {
    gate_of(&document(), &worker())
}

type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;
type OwnedPairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A good request; a test changes one thing.
fn pairs<'a>() -> Pairs<'a> {
    vec![
        (b":method", b"POST"),
        (b":path", PATH.as_bytes()),
        (b":authority", b"gateway"),
        (b"content-type", b"application/json"),
        (b"x-bkapi-authorization", CREDENTIALS.as_bytes()),
        (b"x-request-id", b"id-1"),
    ]
}

fn with<'a>(name: &'a str, value: &'a [u8]) -> Pairs<'a> {
    let mut pairs = pairs();
    pairs.retain(|(n, _)| *n != name.as_bytes());
    pairs.push((name.as_bytes(), value));
    pairs
}

fn judge(gate: &Gate, pairs: &Pairs<'_>, body: &[u8]) -> Verdict {
    let head = Head::new(pairs, body.is_empty(), NOW, || [1; 16]);
    match gate.on_headers(&head) {
        Verdict::NeedBody(pending) => pending.on_body(gate, body.to_vec(), NOW),
        verdict => verdict,
    }
}

fn refused(verdict: Verdict) -> Denial {
    match verdict {
        Verdict::Deny(refusal) => refusal,
        Verdict::Allow(_) => panic!("accepted"),
        Verdict::NeedAnswer(waiter) => panic!("asked about a {}", waiter.kind()),
        Verdict::NeedBody(_) => panic!("asked for the body"),
    }
}

/// What the token of a request that goes on says.
fn claims_of(forward: &Forward) -> Value {
    use base64::Engine as _;
    let (_, token) = forward.set.iter().find(|(name, _)| *name == headers::JWT).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap());
    serde_json::from_slice(&claims.unwrap()).unwrap()
}

fn refusal(pairs: &Pairs<'_>, body: &[u8]) -> Reply {
    refused(judge(&gate(), pairs, body)).reply
}

fn message(reply: &Reply) -> String {
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    body["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_good_request_is_forwarded_without_credentials_and_with_a_token() {
    let mut pairs = pairs();
    pairs.push((b"cookie", b"bk_token=t0ken"));
    pairs.push((b"X-Bkapi-JWT", b"forged"));
    pairs.push((b"x-bkapi-app", b"forged"));
    pairs.push((b"x_bkapi_jwt", b"forged"));
    pairs.push((b"X-Bk-Tenant-Id", b"others"));
    let Verdict::Allow(forward) = judge(&gate(), &pairs, BODY.as_bytes()) else { panic!("refused") };
    let removed: Vec<_> = forward.remove.iter().map(String::as_str).collect();
    let want = ["x-bkapi-authorization", "cookie", "x-bkapi-jwt", "x-bkapi-app", "x_bkapi_jwt", "x-bk-tenant-id"];
    assert_eq!(removed, want);
    let names: Vec<_> = forward.set.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [":path", "x-bkapi-jwt", "x-bkapi-request-id"]);
    assert_eq!(forward.set[0].1, CANONICAL);
    assert_eq!(forward.set[1].1.split('.').count(), 3);
    assert!(forward.body.is_none() && forward.lease.is_none());
    assert_eq!(
        forward.record.fields(),
        [
            ("app", "apigw-api-test"),
            ("user", "admin"),
            ("application", "app_code"),
            ("module", "default"),
            ("operation", "upload_source_package_via_link"),
            ("stage", "default"),
            ("decision", "OK"),
            ("reason", ""),
            ("rule", "grants.all"),
            ("identity", "listed"),
            ("reported", ""),
        ]
    );
}

#[test]
fn a_query_is_not_forwarded() {
    let target = format!("{PATH}?bk_app_secret=s3cret");
    let Verdict::Allow(forward) = judge(&gate(), &with(":path", target.as_bytes()), BODY.as_bytes()) else {
        panic!("refused")
    };
    assert_eq!(forward.set[0].1, CANONICAL);
}

#[test]
fn the_route_is_judged_before_who_asks() {
    let reply = refusal(&vec![(b":method", b"POST"), (b":path", b"/elsewhere")], b"");
    assert_eq!((reply.status, message(&reply).as_str()), (404, "API not found"));
    for method in ["PUT", "DELETE", "OPTIONS", "post"] {
        assert_eq!(refusal(&with(":method", method.as_bytes()), b"x").status, 404, "{method}");
    }
    assert_eq!(refusal(&vec![], b"").status, 404);
    assert_eq!(refusal(&with(":path", b"/stag/\xff"), b"x").status, 404);
}

#[test]
fn the_target_is_bounded() {
    let at_limit = format!("{PATH}?{}", "a".repeat(512 - PATH.len() - 1));
    assert!(matches!(judge(&gate(), &with(":path", at_limit.as_bytes()), BODY.as_bytes()), Verdict::Allow(_)));
    let reply = refusal(&with(":path", format!("{at_limit}a").as_bytes()), b"x");
    assert_eq!((reply.status, message(&reply).as_str()), (414, "Request uri size too large."));
}

#[test]
fn the_app_is_verified_before_the_user() {
    let cases = [
        (r#"{"bk_app_code":"nobody","bk_app_secret":"x"}"#, Reason::APP_NOT_FOUND),
        (r#"{"bk_app_code":"apigw-api-test","bk_app_secret":"x"}"#, Reason::WRONG_SECRET),
        (r#"{"bk_app_code":"apigw-api-test","bk_app_secret":"s3cret"}"#, Reason::NO_USER),
        (
            r#"{"bk_app_code":"apigw-api-test","bk_app_secret":"s3cret","bk_username":"admin"}"#,
            Reason::USER_NOT_VERIFIED,
        ),
        (
            r#"{"bk_app_code":"apigw-api-test","bk_app_secret":"s3cret","bk_token":"bad","bk_ticket":"t1cket"}"#,
            Reason::BAD_TOKEN,
        ),
        (r#"{"bk_app_code":"apigw-api-test","bk_app_secret":"s3cret","bk_ticket":"bad"}"#, Reason::BAD_TICKET),
        (r#"{"bk_app_code":"a"}"#, Reason::NO_APP_SECRET),
        (r#"{"bk_app_code":"a","bk_app_secret":"","app_secret":"s3cret"}"#, Reason::NO_APP_SECRET),
        ("{}", Reason::NO_APP_CODE),
        ("nonsense", Reason::NOT_JSON),
    ];
    for (credentials, reason) in cases {
        let reply = refusal(&with("x-bkapi-authorization", credentials.as_bytes()), BODY.as_bytes());
        assert_eq!(reply.status, 400);
        assert_eq!(message(&reply), format!("Parameters error [reason=\"{}\"]", reason.0));
        assert!(!format!("{reply:?}").contains("s3cret"));
    }
}

#[test]
fn a_body_over_the_limit_is_refused_as_soon_as_it_is_known() {
    let gate = gate();
    assert_eq!(refusal(&with("content-length", b"1025"), BODY.as_bytes()).status, 413);
    let pairs = pairs();
    let head = Head::new(&pairs, false, NOW, || [1; 16]);
    let Verdict::NeedBody(mut pending) = gate.on_headers(&head) else { panic!("no body asked for") };
    assert!(pending.hold(&gate, 1024, Vec::new).is_none());
    assert_eq!(pending.hold(&gate, 1025, Vec::new).unwrap().reply.status, 413);
    let refusal = refused(pending.on_body(&gate, vec![b' '; 1025], NOW));
    assert_eq!(message(&refusal.reply), "Request body size too large.");
    assert_eq!(
        (refusal.record.decision, refusal.record.rule.as_str()),
        ("BODY_SIZE_LIMIT_EXCEED", "limits.body_bytes")
    );
}

#[test]
fn what_is_wrong_with_the_body_is_said_in_the_stores_form_and_language() {
    let reply = refusal(&pairs(), b"");
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.body,
        r#"{"code":"VALIDATION_ERROR","detail":"package_url: 该字段是必填项。","fields_detail":{"package_url":["该字段是必填项。"]}}"#
    );
    let mut english = with("content-type", b"text/plain");
    english.push((b"accept-language", b"en"));
    let refused = refused(judge(&gate(), &english, BODY.as_bytes()));
    let reply = &refused.reply;
    assert_eq!(reply.status, 415);
    assert_eq!(reply.body, r#"{"code":"ERROR","detail":"Unsupported media type, use application/json"}"#);
    assert_eq!(refused.record.decision, "ERROR");
    assert!(reply.headers.contains(&("x-request-id", "id-1".to_owned())));
}

/// One mutation of a good request: any part replaced, repeated, cut or filled with noise.
fn mutated() -> impl Strategy<Value = (OwnedPairs, Vec<u8>, bool)> {
    let noise = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "\\PC{0,80}".prop_map(String::into_bytes),
        Just(b"{\"bk_app_code\":{\"a\":[1,2,{}]}}".to_vec()),
        Just("[".repeat(5_000).into_bytes()),
        Just("%2e%2e/../".repeat(20).into_bytes()),
    ];
    let change = (0..8_usize, any::<prop::sample::Index>(), noise.clone());
    (proptest::collection::vec(change, 1..4), proptest::option::of(noise), any::<bool>()).prop_map(
        |(changes, body, end_of_stream)| {
            let mut list: Vec<_> = pairs().into_iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            let mut body = body.unwrap_or_else(|| BODY.as_bytes().to_vec());
            for (kind, at, noise) in changes {
                let n = at.index(list.len().max(1));
                mutate(&mut list, &mut body, kind, n, at, noise);
            }
            (list, body, end_of_stream)
        },
    )
}

fn mutate(list: &mut OwnedPairs, body: &mut Vec<u8>, kind: usize, n: usize, at: prop::sample::Index, noise: Vec<u8>) {
    match (kind, list.get_mut(n)) {
        (0, Some(pair)) => pair.1 = noise,
        (1, Some(pair)) => pair.0 = noise,
        (2, Some(pair)) if !pair.1.is_empty() => {
            let cut = at.index(pair.1.len());
            pair.1.truncate(cut);
        }
        (3, Some(pair)) if !pair.1.is_empty() => {
            let flip = at.index(pair.1.len());
            pair.1[flip] ^= 1 << (noise.len() % 8);
        }
        (4, Some(pair)) => {
            let copy = (pair.0.clone(), noise);
            list.push(copy);
        }
        (5, Some(_)) => {
            list.remove(n);
        }
        (6, _) if !body.is_empty() => {
            let flip = at.index(body.len());
            body[flip] ^= 1 << (noise.len() % 8);
        }
        _ => {
            let cut = at.index(body.len() + 1);
            body.truncate(cut);
            body.extend(noise);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_makes_the_gate_panic_or_let_a_stranger_in((list, body, end_of_stream) in mutated()) {
        thread_local!(static GATE: Gate = gate());
        let pairs: Pairs<'_> = list.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        let head = Head::new(&pairs, end_of_stream, NOW, || [1; 16]);
        let verdict = GATE.with(|gate| match gate.on_headers(&head) {
            Verdict::NeedBody(pending) => pending.on_body(gate, body.clone(), NOW),
            verdict => verdict,
        });
        match verdict {
            Verdict::Deny(Denial { reply, .. }) => {
                prop_assert!((400..500).contains(&reply.status), "{}", reply.status);
                prop_assert!(serde_json::from_str::<Value>(&reply.body).is_ok());
                prop_assert!(reply.headers.iter().all(|(_, v)| v.bytes().all(|b| b >= b' ')));
                prop_assert!(!reply.body.contains("s3cret") && !reply.body.contains("t1cket"));
            }
            Verdict::Allow(forward) => {
                let credentials = head.all(crate::head::HeaderField::Authorization).collect::<Vec<_>>();
                prop_assert_eq!(credentials.len(), 1);
                let given: Value = serde_json::from_slice(credentials[0]).unwrap();
                prop_assert_eq!(&given["bk_app_secret"], "s3cret");
                prop_assert!(forward.set[0].1.starts_with("/bkapps/applications/"));
            }
            Verdict::NeedBody(_) | Verdict::NeedAnswer(_) => prop_assert!(false, "asked for more than the body"),
        }
    }
}
