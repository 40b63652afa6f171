//! Whoever has a signed URL downloads as its maker, whom the rules judge anew.

use linkgate_contract::{Sha256, SignedUrlClaims, SignedUrlHeader};

use super::*;
use crate::signed_url::testing::{id, sign};

const DOWNLOAD: &str = "/bkapps/applications/app_code/modules/default/source_package/7/download/";

fn changed(change: impl Fn(&mut Value)) -> Gate {
    let mut document = document();
    document["grants"][0]["actions"] = json!(["download", "sign"]);
    document["signed_urls"] = json!({"keys": [ed25519(4).public]});
    document["limits"]["uri_bytes"] = 2048.into();
    change(&mut document);
    gate_of(&document, &worker())
}

fn claims() -> SignedUrlClaims {
    SignedUrlClaims {
        iat: 0,
        exp: 2_000,
        path: DOWNLOAD.into(),
        sha256: Sha256::from_bytes([7; 32]),
        app: "ci".into(),
        user: "anna".into(),
        tenant: None,
        client_ips: Vec::new(),
    }
}

fn token(claims: &SignedUrlClaims) -> String {
    sign(&ed25519(4), &SignedUrlHeader::new(id(&ed25519(4))), claims)
}

fn target(claims: &SignedUrlClaims) -> String {
    format!("/stag{DOWNLOAD}?a=1&lg_token={}", token(claims))
}

fn judge(gate: &Gate, method: &str, target: &str, more: &[(&str, &str)], address: Option<&str>) -> Verdict {
    let mut pairs: Pairs<'_> =
        vec![(b":method", method.as_bytes()), (b":path", target.as_bytes()), (b"x-request-id", b"id-1")];
    pairs.extend(more.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let mut head = Head::new(&pairs, true, NOW, || [1; 16]);
    assert!(gate.needs_client_address_of(&head) || !target.contains("lg_token"));
    if let Some(address) = address {
        head = head.with_client_address(address.as_bytes());
    }
    gate.on_headers(&head)
}

fn forwarded(verdict: Verdict) -> Forward {
    match verdict {
        Verdict::Allow(forward) => forward,
        other => panic!("{:?}", refused(other).reply),
    }
}

fn code_of(gate: &Gate, claims: &SignedUrlClaims) -> (u16, String) {
    code(judge(gate, "GET", &target(claims), &[], None))
}

fn code(verdict: Verdict) -> (u16, String) {
    let denial = refused(verdict);
    let body: Value = serde_json::from_str(&denial.reply.body).unwrap();
    let code = body.get("code_name").unwrap_or(&body["code"]).as_str().unwrap().to_owned();
    (denial.reply.status, code)
}

#[test]
fn a_good_url_goes_on_as_its_maker_and_names_the_bytes() {
    let gate = changed(|_| ());
    for method in ["GET", "HEAD"] {
        let forward = forwarded(judge(&gate, method, &target(&claims()), &[("range", "bytes=1-")], None));
        assert_eq!(forward.set[0], (":path", DOWNLOAD.to_owned()), "without the token");
        let said = claims_of(&forward);
        assert_eq!((&said["app"]["app_code"], &said["app"]["verified"]), (&json!("ci"), &json!(true)));
        assert_eq!((&said["user"]["username"], &said["user"]["verified"]), (&json!("anna"), &json!(true)));
        assert_eq!(said["linkgate"]["expected_sha256"], json!("07".repeat(32)));
        assert_eq!(said["linkgate"]["action"], json!("download"), "and no more");
        let record = forward.record;
        assert_eq!((record.app.as_str(), record.user.as_str(), record.identity), ("ci", "anna", "signed_url"));
        assert_eq!((record.operation, record.rule.as_str()), ("download_source_package", "grants.all"));
    }
}

#[test]
fn a_maker_without_a_user_has_none() {
    let made = SignedUrlClaims { user: String::new(), ..claims() };
    let said = claims_of(&forwarded(judge(&changed(|_| ()), "GET", &target(&made), &[], None)));
    assert_eq!(said["user"]["verified"], json!(false));
    assert_eq!(said["linkgate"]["user_optional"], json!(true));
}

#[test]
fn no_other_credential_counts_beside_it_and_none_goes_on() {
    let gate = changed(|_| ());
    let bad = [("x-bkapi-authorization", "{"), ("authorization", "Bearer x"), ("x-bkapi-jwt", "x")];
    let forward = forwarded(judge(&gate, "GET", &target(&claims()), &bad, None));
    assert_eq!(forward.remove, ["x-bkapi-authorization", "authorization", "x-bkapi-jwt"]);
    let good = [("x-bkapi-authorization", CREDENTIALS)];
    let refused = judge(&gate, "GET", &target(&SignedUrlClaims { exp: 1_000, ..claims() }), &good, None);
    assert_eq!(code(refused), (403, "SIGNATURE_EXPIRED".into()));
}

#[test]
fn a_url_that_has_ended_or_is_not_good_is_refused_in_the_callers_language() {
    let gate = changed(|_| ());
    assert_eq!(code_of(&gate, &SignedUrlClaims { exp: 1_000, ..claims() }), (403, "SIGNATURE_EXPIRED".into()));
    let invalid = (403, "SIGNATURE_INVALID".to_owned());
    assert_eq!(code_of(&gate, &SignedUrlClaims { path: "/other".into(), ..claims() }), invalid);
    let good = target(&claims());
    for bad in [
        format!("{good}x"),
        format!("{good}&lg_token=x"),
        format!("/stag{DOWNLOAD}?lg_token="),
        good.replace("/7/", "/8/"),
    ] {
        assert_eq!(code(judge(&gate, "GET", &bad, &[], None)), invalid, "{bad}");
    }
    assert_eq!(code_of(&changed(|d| d["signed_urls"]["keys"] = json!([ed25519(5).public])), &claims()), invalid);
    let denial = refused(judge(&gate, "GET", &format!("{DOWNLOAD}?lg_token=x"), &[("blueking-language", "en")], None));
    assert!(denial.reply.body.contains("The URL's signature is not valid here"), "{}", denial.reply.body);
    assert_eq!((denial.record.rule.as_str(), denial.record.app.as_str()), ("signed_urls", ""));
}

#[test]
fn the_makers_grants_users_and_rates_are_judged_anew() {
    let no_permission = (403, "APP_NO_PERMISSION".to_owned());
    for actions in [json!(["download"]), json!(["sign"]), json!(["read", "upload"])] {
        let gate = changed(|d| d["grants"][0]["actions"] = actions.clone());
        assert_eq!(code_of(&gate, &claims()), no_permission, "{actions}");
    }
    assert_eq!(code_of(&changed(|d| d["grants"][0]["callers"] = json!(["other"])), &claims()), no_permission);
    assert_eq!(code_of(&changed(|d| d["grants"][0]["users"] = json!(["bob"])), &claims()), no_permission);
    let restricted = changed(|d| d["restrictions"] = json!({"users": {"deny": ["anna"]}}));
    assert_eq!(code_of(&restricted, &claims()), (403, "BK_USER_NOT_ALLOWED".into()));
    let limited = changed(|d| d["limits"]["requests_per_app"] = json!({"per_second": 0.001, "burst": 1}));
    forwarded(judge(&limited, "GET", &target(&claims()), &[], None));
    assert_eq!(code_of(&limited, &claims()), (429, "RATE_LIMIT_RESTRICTION".into()));
}

#[test]
fn whoever_downloads_must_come_from_where_policy_and_url_let_them() {
    let gate = changed(|d| d["restrictions"] = json!({"client_ips": {"deny": ["10.9.0.0/16"]}}));
    let bound = target(&SignedUrlClaims { client_ips: vec!["10.0.0.0/8".into()], ..claims() });
    forwarded(judge(&gate, "GET", &bound, &[], Some("10.1.2.3:4711")));
    let refused = |address| code(judge(&gate, "GET", &bound, &[], Some(address)));
    assert_eq!(refused("10.9.2.3:4711"), (403, "IP_NOT_ALLOWED".into()));
    assert_eq!(refused("192.0.2.1:4711"), (403, "SIGNATURE_INVALID".into()));
}

#[test]
fn a_url_belongs_to_the_tenant_that_it_was_made_for() {
    let tenants = |gateway: &str| {
        let gateway = gateway.to_owned();
        changed(move |d| {
            d["identity"] = json!({"login": {"cluster": "login", "multi_tenant": true}, "tenant_id": gateway});
        })
    };
    let made = SignedUrlClaims { tenant: Some("blue".into()), ..claims() };
    let header = [("x-bk-tenant-id", "red")];
    let forward = forwarded(judge(&tenants("blue"), "GET", &target(&made), &header, None));
    assert!(forward.set.contains(&("x-bk-tenant-id", "blue".to_owned())), "and not the header's");
    assert_eq!(claims_of(&forward)["linkgate"]["tenant_id"], json!("blue"));
    assert_eq!(code_of(&tenants("red"), &made), (403, "CROSS_TENANT_FORBIDDEN".into()));
    assert_eq!(code_of(&tenants("blue"), &claims()), (403, "CROSS_TENANT_FORBIDDEN".into()));
}

#[test]
fn the_parameter_means_nothing_to_other_endpoints() {
    let gate = changed(|_| ());
    for path in [
        DOWNLOAD.replace("download/", "attestation/"),
        DOWNLOAD.replace("7/download/", "link/0198c3a4-5f00-7abc-8def-0123456789ab/"),
    ] {
        let target = format!("{path}?lg_token={}", token(&SignedUrlClaims { path: path.clone(), ..claims() }));
        assert_eq!(code(judge(&gate, "GET", &target, &[], None)), (400, "INVALID_ARGS".into()), "{path}");
    }
}

#[test]
fn signatures_of_strangers_have_their_share_of_a_worker_and_take_nobody_elses() {
    let gate = changed(|_| ());
    let forged = SignedUrlHeader::new(id(&ed25519(4)));
    let forged = format!("/stag{DOWNLOAD}?lg_token={}", sign(&ed25519(5), &forged, &claims()));
    let refusals = |count| (0..count).map(|_| code(judge(&gate, "GET", &forged, &[], None)));
    assert!(refusals(2_000).all(|refusal| refusal == (403, "SIGNATURE_INVALID".into())));
    let denial = refused(judge(&gate, "GET", &forged, &[], None));
    assert_eq!((denial.reply.status, denial.record.rule.as_str()), (429, "signed_urls.unverified"));
    assert!(denial.reply.headers.contains(&("retry-after", "1".to_owned())), "{:?}", denial.reply.headers);
    assert_eq!(refused(judge(&gate, "GET", &target(&claims()), &[], None)).reply.status, 429);
    let unknown_key = forged.replace("lg_token=", "lg_token=x");
    assert_eq!(code(judge(&gate, "GET", &unknown_key, &[], None)).0, 403);
}
