//! A platform with tenants: where app and user belong is asked, judged with the caller's header, and signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::identities::*;
use super::*;
use crate::jwt::testing::sign;

fn with_tenants() -> Value {
    let mut document = with_services();
    document["identity"]["login"]["multi_tenant"] = json!(true);
    document
}

/// bkauth and the login service of a platform with tenants: `ci` belongs to `a`, `all` to every tenant, `lost` is deleted.
fn platform(path: &str, _: &str) -> Answered {
    let ok = |data: Value| Some((200, json!({"code": 0, "data": data})));
    match path {
        "/api/v1/apps/ci" => ok(json!({"bk_app_code": "ci", "bk_tenant": {"mode": "single", "id": "a"}})),
        "/api/v1/apps/all" => ok(json!({"bk_app_code": "all", "bk_tenant": {"mode": "global", "id": ""}})),
        "/api/v1/apps/lost" => Some((404, json!({"code": 1, "data": null}))),
        "/api/v1/apps/old" => ok(json!({"bk_app_code": "old"})),
        path if path.ends_with("/access-keys/verify") => ok(json!({"is_match": true})),
        path if path.ends_with("/access-keys") => ok(json!([{"bk_app_secret": "one"}])),
        "/api/v1/auth/access-tokens/verify" => {
            ok(json!({"bk_app_code": "ci", "identity": {"username": "anna"}, "expires_in": 100}))
        }
        path => {
            let tenant = path.strip_prefix("/login/api/v3/apigw/bk-tokens/verify/?bk_token=")?;
            Some((200, json!({"data": {"bk_username": "anna", "tenant_id": tenant}})))
        }
    }
}

fn presented(app: &str, bk_token: &str) -> String {
    json!({"bk_app_code": app, "bk_app_secret": "good", "bk_token": bk_token}).to_string()
}

/// What becomes of a request that asks for this tenant; an empty one is no header.
fn send(gate: &Gate, credentials: &str, tenant: &[u8]) -> Verdict {
    let mut pairs = with("x-bkapi-authorization", credentials.as_bytes());
    if !tenant.is_empty() {
        pairs.push((b"X-Bk-Tenant-Id", tenant));
    }
    drive(gate, &pairs, NOW, &platform).0
}

/// The tenant that goes on in a header, and the claims of the token.
fn forwarded(verdict: Verdict) -> (Option<String>, Value) {
    let Verdict::Allow(forward) = verdict else { panic!("{:?}", refused(verdict).reply) };
    let value = |wanted: &str| forward.set.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
    let token = value("x-bkapi-jwt").unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    (value("x-bk-tenant-id"), serde_json::from_slice(&claims).unwrap())
}

#[test]
fn the_store_learns_where_app_and_user_belong_and_for_which_tenant_the_request_is() {
    let gate = gate_of(&with_tenants(), &worker());
    let (header, claims) = forwarded(send(&gate, &presented("ci", "a"), b""));
    assert_eq!(header.as_deref(), Some("a"));
    assert_eq!((&claims["app"]["tenant_mode"], &claims["app"]["tenant_id"]), (&json!("single"), &json!("a")));
    assert_eq!((&claims["user"]["tenant_id"], &claims["linkgate"]["tenant_id"]), (&json!("a"), &json!("a")));
    for tenant in ["b", "c", "b"] {
        let (header, claims) = forwarded(send(&gate, &presented("all", "a"), tenant.as_bytes()));
        assert_eq!(header.as_deref(), Some(tenant));
        assert_eq!((&claims["app"]["tenant_mode"], claims["app"].get("tenant_id")), (&json!("global"), None));
        assert_eq!((&claims["user"]["tenant_id"], &claims["linkgate"]["tenant_id"]), (&json!("a"), &json!(tenant)));
    }
}

#[test]
fn a_tenant_that_is_not_the_callers_is_refused_also_for_a_caller_of_a_moment_ago() {
    let gate = gate_of(&with_tenants(), &worker());
    let ci = presented("ci", "a");
    assert_eq!(forwarded(send(&gate, &ci, b"a")).0.as_deref(), Some("a"));
    let denial = refused(send(&gate, &ci, b"b"));
    assert_eq!((denial.reply.status, denial.record.decision), (403, "CROSS_TENANT_FORBIDDEN"));
    assert_eq!(denial.record.rule, "identity.login.multi_tenant");
    let body: Value = serde_json::from_str(&denial.reply.body).unwrap();
    assert_eq!(body["code"], 1_640_302);
    assert!(body["message"].as_str().unwrap().ends_with("belongs to tenant a(tenant_mode=single). [AH2]\"]"), "{body}");
    let cases: [(String, &[u8], &str); 5] = [
        (presented("ci", "b"), b"", "[AU]"),
        (presented("all", "a"), b"", "[AH1]"),
        (presented("lost", "a"), b"a", "[AH2]"),
        (CREDENTIALS.to_owned(), b"a", "[AH2]"),
        (json!({"access_token": "t"}).to_string(), b"a", "[AU]"),
    ];
    for (credentials, header, mark) in cases {
        let denial = refused(send(&gate, &credentials, header));
        assert_eq!(denial.reply.status, 403, "{credentials}");
        assert!(denial.reply.body.contains(mark), "{credentials}: {}", denial.reply.body);
    }
}

#[test]
fn a_header_that_names_no_tenant_is_refused_before_anybody_is_asked() {
    let gate = gate_of(&with_tenants(), &worker());
    let ci = presented("ci", "a");
    for bad in [&b"a b"[..], b"\xff", b"a,b", &[b'a'; 65]] {
        let (status, reason) = reason(send(&gate, &ci, bad));
        assert_eq!((status, reason.as_str()), (400, Reason::BAD_TENANT.0.as_ref()));
    }
    let mut twice = with("x-bkapi-authorization", ci.as_bytes());
    twice.extend([(&b"x-bk-tenant-id"[..], &b"a"[..]); 2]);
    assert_eq!(reason(drive(&gate, &twice, NOW, &platform).0).0, 400);
}

#[test]
fn an_app_that_belongs_nowhere_calls_without_a_tenant() {
    let gate = gate_of(&with_tenants(), &worker());
    for credentials in [presented("lost", "a"), CREDENTIALS.to_owned()] {
        let (header, claims) = forwarded(send(&gate, &credentials, b""));
        assert_eq!((header, claims["app"].get("tenant_mode"), claims["linkgate"].get("tenant_id")), (None, None, None));
    }
    let (status, reason) = reason(send(&gate, &presented("old", "a"), b""));
    assert_eq!(status, 500, "a bkauth that knows no tenants says nothing of them: {reason}");
}

#[test]
fn without_tenants_nobody_is_asked_about_them_and_nothing_is_said() {
    let mut document = with_services();
    let login = |path: &str, body: &str| match path {
        "/login/api/v2/is_login/?bk_token=a" => {
            Some((200, json!({"result": true, "data": {"bk_username": "anna", "tenant_id": "a"}})))
        }
        _ => platform(path, body),
    };
    let ci = presented("ci", "a");
    let mut pairs = with("x-bkapi-authorization", ci.as_bytes());
    pairs.push((b"x-bk-tenant-id", b"others, or not"));
    let (verdict, asked) = drive(&gate_of(&document, &worker()), &pairs, NOW, &login);
    assert_eq!(asked.len(), 2);
    let (header, claims) = forwarded(verdict);
    assert_eq!((header, claims["linkgate"].get("tenant_id")), (None, None));
    assert!(!claims.to_string().contains("tenant"));
    document["identity"]["tenant_id"] = json!("a");
    let faults = Policy::from_value(&document).unwrap_err();
    assert_eq!(faults[0].path, "identity.tenant_id");
}

#[test]
fn a_gateway_of_one_tenant_serves_its_own_alone() {
    let mut document = with_tenants();
    document["identity"]["tenant_id"] = json!("b");
    let gate = gate_of(&document, &worker());
    for (credentials, header, mark) in [
        (presented("ci", "a"), &b""[..], "[GA]"),
        (presented("all", "a"), b"b", "[GU]"),
        (presented("all", "b"), b"a", "[GH]"),
    ] {
        assert!(refused(send(&gate, &credentials, header)).reply.body.contains(mark));
    }
    assert_eq!(forwarded(send(&gate, &presented("all", "b"), b"b")).0.as_deref(), Some("b"));
}

#[test]
fn another_gateways_token_says_where_its_app_and_user_belong() {
    let gate = gate_of(&with_tenants(), &worker());
    let token = |app_tenant: &str| {
        let payload = json!({
            "nbf": 0, "exp": 2_000,
            "app": {"app_code": "ci", "verified": true, "tenant_mode": "single", "tenant_id": app_tenant},
            "user": {"username": "anna", "verified": true, "tenant_id": "a"},
        });
        json!({"inner_jwt": sign(&ed25519(1), &json!({"alg": "EdDSA", "kid": "bk-apigateway"}), &payload)}).to_string()
    };
    let (header, claims) = forwarded(send(&gate, &token("a"), b""));
    assert_eq!((header.as_deref(), &claims["app"]["tenant_id"]), (Some("a"), &json!("a")));
    assert!(refused(send(&gate, &token("b"), b"")).reply.body.contains("[AU]"));
}

#[test]
fn a_signed_request_counts_once_although_its_tenant_is_asked_for_afterwards() {
    use hmac::{KeyInit, Mac};
    let content = format!("POST{PATH}?bk_nonce=7&bk_timestamp=1000&data={BODY}");
    let mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"one").unwrap().chain_update(content);
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let mut query = form_urlencoded::Serializer::for_suffix(format!("{PATH}?"), PATH.len() + 1);
    query.append_pair("bk_nonce", "7").append_pair("bk_timestamp", "1000");
    let target = query.append_pair("bk_signature", &signature).finish();
    let shown = json!({"bk_app_code": "ci", "bk_token": "a"}).to_string();
    let mut pairs = with("x-bkapi-authorization", shown.as_bytes());
    pairs.retain(|(name, _)| *name != b":path");
    pairs.push((b":path", target.as_bytes()));
    let gate = gate_of(&with_tenants(), &worker());
    assert_eq!(forwarded(drive(&gate, &pairs, NOW, &platform).0).0.as_deref(), Some("a"));
    assert_eq!(reason(drive(&gate, &pairs, NOW, &platform).0).1, Reason::REPLAYED.0);
}
