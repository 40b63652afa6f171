//! What a policy allows: stages, places of credentials, grants, restrictions, limits, packages, and report-only rules.

use super::*;

fn changed(change: impl Fn(&mut Value)) -> Gate {
    let mut document = document();
    change(&mut document);
    gate_of(&document, &worker())
}

fn forwarded(verdict: Verdict) -> Forward {
    match verdict {
        Verdict::Allow(forward) => forward,
        other => panic!("{:?}", refused(other).reply),
    }
}

fn without_header<'a>(target: &'a str) -> Pairs<'a> {
    let mut pairs = with(":path", target.as_bytes());
    pairs.retain(|(name, _)| *name != b"x-bkapi-authorization");
    pairs
}

fn claims(forward: &Forward) -> Value {
    use base64::Engine;
    let token = forward.set.iter().find(|(name, _)| *name == "x-bkapi-jwt").unwrap().1.clone();
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn credentials_stand_elsewhere_only_where_the_policy_says_so() {
    let target = format!("{PATH}?bk_app_code=apigw-api-test&bk_app_secret=s3cret&bk_ticket=t1cket");
    let reply = refused(judge(&gate(), &without_header(&target), BODY.as_bytes())).reply;
    assert_eq!(message(&reply), "Parameters error [reason=\"app code cannot be empty\"]");
    let gate = changed(|d| d["routes"]["authentication"] = json!({"credentials_from": ["header", "query"]}));
    let forward = forwarded(judge(&gate, &without_header(&target), BODY.as_bytes()));
    assert_eq!(forward.set[0].1, CANONICAL);
    let broken = with("x-bkapi-authorization", b"");
    let mut pairs = broken.clone();
    pairs.retain(|(name, _)| *name != b":path");
    pairs.push((b":path", target.as_bytes()));
    let reply = refused(judge(&gate, &pairs, BODY.as_bytes())).reply;
    assert_eq!(
        message(&reply),
        "Parameters error [reason=\"app code cannot be empty\"]",
        "a header shuts out the query"
    );
}

#[test]
fn credentials_in_a_body_are_taken_and_not_forwarded() {
    let gate = changed(|d| d["routes"]["authentication"] = json!({"credentials_from": ["header", "body"]}));
    let body = json!({
        "package_url": "https://example.com/a.tar.gz", "version": "1", "odd": [1],
        "bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret", "bk_token": "t0ken",
    });
    let forward = forwarded(judge(&gate, &without_header(PATH), body.to_string().as_bytes()));
    let sent: Value = serde_json::from_slice(forward.body.as_ref().unwrap()).unwrap();
    assert_eq!(sent, json!({"package_url": "https://example.com/a.tar.gz", "version": "1", "odd": [1]}));
    let length = forward.body.as_ref().unwrap().len().to_string();
    assert!(forward.set.contains(&("content-length", length)));
    let form = b"package_url=https%3A%2F%2Fexample.com%2Fa.tgz&version=1&app_code=apigw-api-test&app_secret=s3cret&bk_ticket=t1cket";
    let mut pairs = without_header(PATH);
    pairs.retain(|(name, _)| *name != b"content-type");
    pairs.push((b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"));
    let forward = forwarded(judge(&gate, &pairs, form));
    assert_eq!(forward.body.unwrap(), br#"{"package_url":"https://example.com/a.tgz","version":"1"}"#);
    assert!(forward.set.contains(&("content-type", "application/json".to_owned())));
    for unreadable in [&b"{"[..], b"[]", b"\xff", b"{}"] {
        let reply = refused(judge(&gate, &without_header(PATH), unreadable)).reply;
        assert_eq!(message(&reply), "Parameters error [reason=\"app code cannot be empty\"]");
    }
}

#[test]
fn a_secret_in_the_body_is_never_forwarded() {
    let body = json!({"package_url": "https://example.com/a.tar.gz", "version": "1", "bk_app_secret": "s3cret"});
    let forward = forwarded(judge(&gate(), &pairs(), body.to_string().as_bytes()));
    assert_eq!(forward.body.unwrap(), br#"{"package_url":"https://example.com/a.tar.gz","version":"1"}"#);
}

#[test]
fn a_number_in_a_body_that_is_rewritten_stays_the_same() {
    let body = r#"{"package_url": "https://example.com/a.tar.gz", "version": 98067979.4929687049, "bk_token": "x"}"#;
    let forward = forwarded(judge(&gate(), &pairs(), body.as_bytes()));
    let version = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["version"].to_string();
    assert_eq!(version(&forward.body.unwrap()), version(body.as_bytes()));
}

#[test]
fn each_stage_says_who_must_be_known() {
    let gate = changed(|d| {
        d["routes"] = json!({
            "prefixes": [""],
            "stages": [
                {"name": "exempt", "prefixes": ["/stag"], "authentication": {"verified_user_exempted_apps": ["apigw-*"]}},
                {"name": "anybody", "prefixes": ["/prod"], "authentication": {"verified_user_required": false}},
                {"name": "users", "prefixes": ["/u"], "authentication": {"verified_app_required": false}},
            ],
        });
    });
    let app = br#"{"bk_app_code":"apigw-api-test","bk_app_secret":"s3cret","bk_token":"bad"}"#;
    let at = |prefix: &str, credentials: &'static [u8]| {
        let target = format!("{prefix}{CANONICAL}");
        let mut pairs = with("x-bkapi-authorization", credentials);
        pairs.retain(|(name, _)| *name != b":path");
        pairs.push((b":path", target.as_bytes()));
        judge(&gate, &pairs, BODY.as_bytes())
    };
    assert_eq!(refused(at("", app)).reply.status, 400);
    for prefix in ["/stag", "/prod"] {
        let forward = forwarded(at(prefix, app));
        let claims = claims(&forward);
        assert_eq!(claims["linkgate"], json!({"user_optional": true}));
        assert_eq!((&claims["user"]["verified"], &claims["user"]["username"]), (&json!(false), &json!("")));
        assert_eq!(claims["app"]["verified"], json!(true));
    }
    let user = br#"{"bk_app_code":"apigw-api-test","bk_app_secret":"bad","bk_token":"t0ken"}"#;
    let forward = forwarded(at("/u", user));
    assert_eq!(claims(&forward)["linkgate"], json!({"app_optional": true}));
    assert_eq!((forward.record.user.as_str(), forward.record.stage.as_str()), ("admin", "users"));
    assert_eq!(refused(at("/u", b"{}")).reply.status, 400);
    assert_eq!(refused(at("/stag", b"{}")).reply.status, 400);
}

#[test]
fn nobody_uploads_without_a_grant() {
    let gate = changed(|d| d["grants"] = json!([]));
    let refusal = refused(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!(
        refusal.reply.body,
        r#"{"code":1640301,"code_name":"APP_NO_PERMISSION","message":"App has no permission to the resource [reason=\"no permission, bk_app_code=apigw-api-test\"]","result":false,"data":null}"#
    );
    assert_eq!(refusal.record.rule, "grants");
    let gate = changed(|d| {
        d["grants"] = json!([{"callers": ["*"], "targets": ["app_*"], "until": "1970-01-01T00:16:40Z"}]);
    });
    let reply = refused(judge(&gate, &pairs(), BODY.as_bytes())).reply;
    assert!(message(&reply).contains("permission has expired, bk_app_code=apigw-api-test"));
}

#[test]
fn sources_and_users_are_restricted() {
    let gate =
        changed(|d| d["restrictions"] = json!({"client_ips": {"allow": ["10.0.0.0/8"]}, "users": {"deny": ["adm*"]}}));
    assert!(gate.needs_client_address());
    let pairs = pairs();
    let from = |address: &[u8]| {
        let head = Head::new(&pairs, false, NOW, || [1; 16]).with_client_address(address);
        gate.on_headers(&head)
    };
    let refusal = refused(from(b"192.0.2.1:9"));
    assert_eq!((refusal.reply.status, refusal.record.rule.as_str()), (403, "restrictions.client_ips"));
    assert_eq!(refused(from(b"")).reply.status, 403);
    let refusal = refused(from(b"10.1.2.3:9"));
    assert_eq!(message(&refusal.reply), "Request rejected by bk-user restriction");
    assert_eq!(refusal.record.rule, "restrictions.users");
}

#[test]
fn limits_hold_and_say_when_to_come_back() {
    let gate = changed(|d| {
        d["limits"]["requests_per_app"] = json!({"per_second": 0.5, "burst": 2});
        d["limits"]["uploads_per_app"] = json!({"concurrent": 1});
    });
    let first = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
    let refusal = refused(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!(message(&refusal.reply), "Request concurrency exceeds");
    let refusal = refused(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!(message(&refusal.reply), "API rate limit exceeded by stage strategy");
    assert!(refusal.reply.headers.contains(&("retry-after", "2".to_owned())));
    gate.release_lease(&first.lease.unwrap());
    let pairs = pairs();
    let later = Head::new(&pairs, false, Time::from_seconds(1_010), || [1; 16]).with_client_address(b"");
    let Verdict::NeedBody(pending) = gate.on_headers(&later) else { panic!() };
    forwarded(pending.on_body(&gate, BODY.as_bytes().to_vec(), Time::from_seconds(1_010)));
    let counts = gate.context.worker.take_counts().counters;
    for rule in ["limits-uploads_per_app", "limits-requests_per_app"] {
        assert!(counts.contains(&(format!("linkgate.limited.rule.{rule}"), 1)), "{counts:?}");
    }
}

#[test]
fn what_cannot_be_counted_is_not_let_through() {
    let shared = Rc::new(FakeShared::default());
    let worker = Rc::new(Worker::new(Box::new(Rc::clone(&shared)), [3; 16]));
    let mut document = document();
    document["limits"]["requests"] = json!({"per_second": 10});
    let gate = gate_of(&document, &worker);
    shared.down.set(true);
    assert_eq!(refused(judge(&gate, &pairs(), BODY.as_bytes())).reply.status, 500);
}

#[test]
fn hosts_may_be_for_some_applications_and_private_ones_go_into_the_token() {
    let gate = changed(|d| {
        d["packages"] = json!({
            "hosts": [
                {"host": "example.com", "targets": ["app_*"]},
                {"host": "artifacts.internal:8443", "allow_private_addresses": true},
            ],
        });
    });
    let forward = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!(claims(&forward)["linkgate"], json!({"private_hosts": ["artifacts.internal:8443"]}));
    let other = "/bkapps/applications/other/modules/default/source_package/link/";
    assert_eq!(refused(judge(&gate, &with(":path", other.as_bytes()), BODY.as_bytes())).reply.status, 400);
}

#[test]
fn packages_that_are_no_archive_are_allowed_in_the_token_of_their_application_alone() {
    let gate = changed(|d| d["packages"]["allow_unknown_formats"] = json!(["tool-*"]));
    let tool = "/bkapps/applications/tool-1/modules/default/source_package/link/";
    // The caller is the same, and remembered.
    for _ in 0..2 {
        let forward = forwarded(judge(&gate, &with(":path", tool.as_bytes()), BODY.as_bytes()));
        assert_eq!(claims(&forward)["linkgate"], json!({"opaque": true}));
        let forward = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
        assert_eq!(claims(&forward).get("linkgate"), None);
    }
}

#[test]
fn a_checksum_may_be_required() {
    let gate = changed(|d| d["packages"]["sha256"] = json!("required"));
    let mut english = pairs();
    english.push((b"accept-language", b"en"));
    let reply = refused(judge(&gate, &english, BODY.as_bytes())).reply;
    assert!(reply.body.contains(r#""detail":"sha256: This field is required.""#), "{}", reply.body);
    let body = json!({"package_url": "https://example.com/a", "version": "1", "sha256": "0".repeat(64)}).to_string();
    forwarded(judge(&gate, &pairs(), body.as_bytes()));
}

#[test]
fn a_report_only_rule_says_what_it_would_do_and_lets_pass() {
    let gate = changed(|d| {
        d["grants"][0]["mode"] = json!("report");
        d["restrictions"] = json!({
            "client_ips": {"allow": ["10.0.0.0/8"], "mode": "report"}, "users": {"deny": ["admin"], "mode": "report"},
        });
        d["limits"]["requests"] = json!({"per_second": 0.001, "burst": 1, "mode": "report"});
        d["limits"]["uploads_per_app"] = json!({"concurrent": 1, "mode": "report"});
        d["packages"] = json!({"hosts": [{"host": "example.com", "mode": "report"}], "sha256": "report"});
    });
    forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
    let forward = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!(
        forward.record.reported,
        "restrictions.client_ips,restrictions.users,grants.all,limits.requests,packages.hosts,packages.sha256,limits.uploads_per_app"
    );
    let counts = gate.context.worker.take_counts().counters;
    assert!(counts.contains(&("linkgate.reported.rule.grants-all".into(), 2)), "{counts:?}");
    assert!(counts.contains(&("linkgate.reported.rule.restrictions-client_ips".into(), 2)), "{counts:?}");
    assert!(!counts.iter().any(|(name, _)| name.starts_with("linkgate.limited")), "{counts:?}");
}
