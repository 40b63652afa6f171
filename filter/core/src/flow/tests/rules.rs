//! What a policy allows: stages, places of credentials, grants, restrictions, limits, packages, and report-only rules.

use super::*;

pub(super) fn changed(change: impl Fn(&mut Value)) -> Gate {
    let mut document = document();
    change(&mut document);
    gate_of(&document, &worker())
}

pub(super) fn forwarded(verdict: Verdict) -> Forward {
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

pub(super) fn claims(forward: &Forward) -> Value {
    use base64::Engine;
    let token = forward.set.iter().find(|(name, _)| *name == "x-bkapi-jwt").unwrap().1.clone();
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// What the gate says beside what the token is good for, which is always there.
pub(super) fn extension(forward: &Forward) -> Value {
    let mut said = claims(forward)["linkgate"].clone();
    let [target, action] = ["target", "action"].map(|name| said.as_object_mut().unwrap().remove(name));
    assert!(target.is_some() && action == Some("upload".into()), "{target:?}, {action:?}");
    if said == json!({}) { Value::Null } else { said }
}

#[test]
fn a_token_is_good_for_one_action_on_one_module_whatever_its_caller_did_before() {
    let gate = changed(|d| d["grants"] = json!([{"callers": ["*"], "targets": ["*"], "actions": "*"}]));
    let other = PATH.replace("default", "other");
    let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
    let upload = |path: &str| forwarded(judge(&gate, &with(":path", path.as_bytes()), BODY.as_bytes()));
    let cancel = || {
        let mut pairs = with(":path", job.as_bytes());
        pairs.retain(|(name, _)| *name != b":method");
        pairs.push((b":method", b"DELETE"));
        forwarded(judge(&gate, &pairs, b""))
    };
    let mut tokens = std::collections::HashSet::new();
    for _ in 0..2 {
        for (forward, target) in
            [(upload(PATH), "app_code/default"), (upload(&other), "app_code/other"), (cancel(), "app_code/default")]
        {
            assert_eq!(claims(&forward)["linkgate"], json!({"target": target, "action": "upload"}));
            tokens.insert(forward.set[1].1.clone());
        }
    }
    assert_eq!(tokens.len(), 2, "one for each module, and again the same");
}

#[test]
fn a_parameter_that_asks_for_more_needs_both_actions_and_its_token_names_the_further_one() {
    let package = PATH.replace("link/", "7/");
    let delete = |actions: &[&str], query: &str| {
        let grants = json!([{"name": "one", "callers": ["*"], "targets": ["*"], "actions": actions}]);
        let gate = changed(|d| d["grants"] = grants.clone());
        let target = format!("{package}{query}");
        let mut pairs = with(":path", target.as_bytes());
        pairs.retain(|(name, _)| !matches!(*name, b":method" | b"content-type"));
        pairs.push((b":method", b"DELETE"));
        judge(&gate, &pairs, b"")
    };
    for (actions, query, passed, action) in [
        (&["delete"][..], "", "7/", "delete"),
        (&["delete"], "?force=false&x=true", "7/?force=false", "delete"),
        (&["delete", "force_delete"], "?force=true", "7/?force=true", "force_delete"),
    ] {
        let forward = forwarded(delete(actions, query));
        assert!(forward.set[0].1.ends_with(passed), "{}", forward.set[0].1);
        assert_eq!(claims(&forward)["linkgate"]["action"], action, "{query}");
    }
    for (actions, query) in [
        (&["delete"][..], "?force=true"),
        (&["delete"], "?f%6Frce=tru%65"),
        (&["force_delete"], "?force=true"),
        (&["force_delete"], ""),
    ] {
        let denial = refused(delete(actions, query));
        assert_eq!((denial.reply.status, denial.record.rule.as_str()), (403, "grants"), "{actions:?} {query}");
    }
}

#[test]
fn where_no_body_came_none_is_put_in_its_place() {
    let gate = changed(|d| d["grants"] = json!([{"callers": ["*"], "targets": ["*"], "actions": "*"}]));
    let restore = "/stag/bkapps/applications/app_code/modules/default/source_package/7/restore/";
    for media_type in [&b"application/x-www-form-urlencoded"[..], b"application/json", b"text/plain"] {
        let mut pairs = with(":path", restore.as_bytes());
        pairs.retain(|(name, _)| *name != b"content-type");
        pairs.push((b"content-type", media_type));
        let forward = forwarded(judge(&gate, &pairs, b""));
        assert!(forward.body.is_none(), "{:?}", forward.body);
        assert!(forward.set.iter().all(|(name, _)| *name != "content-length"));
    }
}

#[test]
fn credentials_stand_elsewhere_only_where_the_policy_says_so() {
    let target = format!("{PATH}?bk_app_code=apigw-api-test&bk_app_secret=s3cret&bk_ticket=t1cket");
    let reply = refused(judge(&gate(), &without_header(&target), BODY.as_bytes())).reply;
    assert_eq!(message(&reply), format!("Parameters error [reason=\"{}\"]", Reason::MISPLACED_IN_QUERY.0));
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
fn a_field_that_is_left_empty_hides_nothing() {
    let gate = changed(|d| d["routes"]["authentication"] = json!({"credentials_from": ["header", "query", "body"]}));
    let form = b"package_url=https%3A%2F%2Fexample.com%2Fa.tgz&version=1&bk_app_code=&app_code=apigw-api-test&app_secret=s3cret&bk_ticket=";
    let target = format!("{PATH}?bk_ticket=t1cket&bk_token=");
    let mut pairs = without_header(&target);
    pairs.retain(|(name, _)| *name != b"content-type");
    pairs.push((b"content-type", b"application/x-www-form-urlencoded"));
    let forward = forwarded(judge(&gate, &pairs, form));
    assert_eq!(forward.body.unwrap(), br#"{"package_url":"https://example.com/a.tgz","version":"1"}"#);
}

/// The upload of a caller who puts all of it into a form.
fn multipart(more: &[(&str, &str)]) -> String {
    let own = [
        ("package_url", "https://example.com/a.tgz"),
        ("version", "1.10"),
        ("allow_overwrite", "true"),
        ("bk_app_code", "apigw-api-test"),
        ("bk_app_secret", "s3cret"),
        ("bk_token", "t0ken"),
    ];
    let part = |(name, value)| format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    own.into_iter().chain(more.iter().copied()).map(part).chain(["--B--\r\n".to_owned()]).collect()
}

fn without_header_as(content_type: &str) -> Pairs<'_> {
    let mut pairs = without_header(PATH);
    pairs.retain(|(name, _)| *name != b"content-type");
    pairs.push((b"content-type", content_type.as_bytes()));
    pairs
}

#[test]
fn a_multipart_form_with_all_in_it_becomes_json_without_credentials() {
    let gate = changed(|d| d["routes"]["authentication"] = json!({"credentials_from": ["header", "body"]}));
    let body = multipart(&[("note", "n"), ("version", "2"), ("bk_signature", "x")]);
    let forward = forwarded(judge(&gate, &without_header_as("multipart/form-data; boundary=B"), body.as_bytes()));
    let want = r#"{"allow_overwrite":"true","note":"n","package_url":"https://example.com/a.tgz","version":"1.10"}"#;
    assert_eq!(String::from_utf8(forward.body.unwrap()).unwrap(), want);
    assert!(forward.set.contains(&("content-type", "application/json".to_owned())));
    assert!(forward.set.contains(&("content-length", want.len().to_string())));
    assert_eq!(forward.record.fields()[..2], [("app", "apigw-api-test"), ("user", "admin")]);
}

#[test]
fn a_form_is_taken_from_who_is_known_by_the_header_too() {
    for (content_type, body) in [
        ("multipart/form-data; boundary=\"B\"", multipart(&[])),
        (
            "application/x-www-form-urlencoded",
            "package_url=https%3A%2F%2Fexample.com%2Fa.tgz&bk_token=t0ken".to_owned(),
        ),
    ] {
        let forward = forwarded(judge(&gate(), &with("content-type", content_type.as_bytes()), body.as_bytes()));
        let sent: Value = serde_json::from_slice(&forward.body.unwrap()).unwrap();
        assert_eq!(sent["package_url"], "https://example.com/a.tgz");
        assert!(sent.get("bk_token").is_none() && sent.get("bk_app_secret").is_none());
    }
}

#[test]
fn a_form_that_cannot_be_read_is_told_so_wherever_its_credentials_stand() {
    let gate = changed(|d| d["routes"]["authentication"] = json!({"credentials_from": ["header", "body"]}));
    let whole = multipart(&[]);
    let truncated = whole.trim_end_matches("--B--\r\n");
    let detail = |pairs: &Pairs<'_>| {
        let reply = refused(judge(&gate, pairs, truncated.as_bytes())).reply;
        assert_eq!(reply.status, 400);
        assert!(!reply.body.contains("s3cret"), "{}", reply.body);
        serde_json::from_str::<Value>(&reply.body).unwrap()["detail"].as_str().unwrap().to_owned()
    };
    let mut by_header = with("content-type", b"multipart/form-data; boundary=B");
    let mut in_body = without_header_as("multipart/form-data; boundary=B");
    for pairs in [&mut by_header, &mut in_body] {
        pairs.push((b"blueking-language", b"en"));
        assert!(detail(pairs).starts_with("Form parse error - the body ends before its last boundary"));
    }
    let mut bare = without_header_as("multipart/form-data");
    bare.push((b"blueking-language", b"en"));
    assert!(detail(&bare).starts_with("Form parse error - Content-Type names no valid boundary"));
}

#[test]
fn credentials_where_they_do_not_count_are_said_to_be_there() {
    let in_body = "Parameters error [reason=\"app code cannot be empty, credentials were found in the request body, which is not allowed here, please use request header X-Bkapi-Authorization\"]";
    let nothing = "Parameters error [reason=\"app code cannot be empty\"]";
    let form = b"package_url=x&bk_token=t0ken";
    let json_body = br#"{"package_url": "x", "bk_app_secret": "s3cret"}"#;
    let whole = multipart(&[]);
    for (content_type, body, want) in [
        ("multipart/form-data; boundary=B", whole.as_bytes(), in_body),
        ("application/x-www-form-urlencoded", form, in_body),
        ("application/json", json_body, in_body),
        ("application/json", b"{\"package_url\": \"x\"}", nothing),
        ("application/json", b"{", nothing),
        ("multipart/form-data; boundary=C", whole.as_bytes(), nothing),
        ("text/plain", form, nothing),
    ] {
        let reply = refused(judge(&gate(), &without_header_as(content_type), body)).reply;
        assert_eq!((reply.status, message(&reply).as_str()), (400, want), "{content_type}");
        assert!(!format!("{reply:?}").contains("s3cret"));
    }
    let target = format!("{PATH}?bk_app_secret=s3cret");
    for places in [json!(["header"]), json!(["header", "body"])] {
        let gate = changed(|d| d["routes"]["authentication"] = json!({"credentials_from": places}));
        let reply = refused(judge(&gate, &without_header(&target), b"{}")).reply;
        assert_eq!(message(&reply), in_body.replace("request body", "query"));
    }
}

#[test]
fn what_only_changes_the_words_is_not_waited_for_when_it_is_large_or_held_back() {
    let at_once = |more: (&'static [u8], &'static [u8])| {
        let mut pairs = without_header(PATH);
        pairs.push(more);
        gate().on_headers(&Head::new(&pairs, false, NOW, || [1; 16]))
    };
    for more in [(&b"content-length"[..], &b"8193"[..]), (b"expect", b"100-continue")] {
        let reply = refused(at_once(more)).reply;
        assert_eq!(message(&reply), "Parameters error [reason=\"app code cannot be empty\"]");
    }
    let gate = changed(|d| d["limits"]["body_bytes"] = json!(65_536));
    let pairs = without_header(PATH);
    let Verdict::NeedBody(pending) = gate.on_headers(&Head::new(&pairs, false, NOW, || [1; 16])) else { panic!() };
    assert!(pending.check_body_size(&gate, 8_192).is_none());
    let reply = pending.check_body_size(&gate, 8_193).unwrap().reply;
    assert_eq!(message(&reply), "Parameters error [reason=\"app code cannot be empty\"]");
}

#[test]
fn the_store_gets_the_gates_id_and_the_callers_own() {
    let ids = |more: &[(&'static str, &'static str)]| {
        let mut pairs = pairs();
        pairs.extend(more.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let forward = forwarded(judge(&gate(), &pairs, BODY.as_bytes()));
        let named = |name: &str| forward.set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        (named("x-bkapi-request-id"), named("x-request-id"))
    };
    let ours = Some("id-1".to_owned());
    assert_eq!(ids(&[]), (ours.clone(), None));
    assert_eq!(ids(&[("x-bkapi-request-id", "forged")]), (ours.clone(), None));
    let own = ("x-bkapi-caller-request-id", "their/own");
    assert_eq!(ids(&[own]), (ours.clone(), Some("their/own".to_owned())));
    assert_eq!(ids(&[("x-bkapi-caller-request-id", "a b")]), (ours, None));
}

#[test]
fn errors_have_a_detail_unless_the_policy_says_no() {
    let keys = |gate: &Gate, target: &str| {
        let reply = refused(judge(gate, &with(":path", target.as_bytes()), b"{")).reply;
        serde_json::from_str::<serde_json::Map<String, Value>>(&reply.body).unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let none = changed(|d| {
        d["routes"]["error_detail"] = json!(false);
        d["grants"] = json!([]);
    });
    let usual = changed(|d| d["grants"] = json!([]));
    for target in [PATH, "/elsewhere"] {
        assert_eq!(keys(&none, target), ["code", "code_name", "data", "message", "result"]);
        assert!(keys(&usual, target).contains(&"detail".to_owned()));
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
        assert_eq!(extension(&forward), json!({"user_optional": true}));
        assert_eq!((&claims["user"]["verified"], &claims["user"]["username"]), (&json!(false), &json!("")));
        assert_eq!(claims["app"]["verified"], json!(true));
    }
    let user = br#"{"bk_app_code":"apigw-api-test","bk_app_secret":"bad","bk_token":"t0ken"}"#;
    let forward = forwarded(at("/u", user));
    assert_eq!(extension(&forward), json!({"app_optional": true}));
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
        r#"{"code":1640301,"code_name":"APP_NO_PERMISSION","message":"App has no permission to the resource [reason=\"no permission, bk_app_code=apigw-api-test\"]","result":false,"data":null,"detail":"App has no permission to the resource [reason=\"no permission, bk_app_code=apigw-api-test\"]"}"#
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
fn uploads_that_a_service_counts_are_named_to_the_proxy_and_not_counted_here() {
    let gate = changed(|d| {
        d["limits"]["requests_per_app"] = json!({"per_second": 0.001, "burst": 1});
        d["limits"]["uploads_per_app"] = json!({"concurrent": 2});
        d["limits"]["upload_rates"] = json!("service");
        d["grants"][0]["actions"] = json!("*");
    });
    let mut leases = Vec::new();
    for _ in 0..2 {
        let mut pairs = pairs();
        pairs.push((b"x-bkapi-limit-app", b"another"));
        let forward = forwarded(judge(&gate, &pairs, BODY.as_bytes()));
        let named: Vec<_> = forward.set.iter().filter(|(name, _)| name.starts_with("x-bkapi-limit-")).collect();
        let want = [("x-bkapi-limit-app", "apigw-api-test"), ("x-bkapi-limit-stage", "default")];
        assert_eq!(named, want.map(|(name, value)| (name, value.to_owned())).iter().collect::<Vec<_>>());
        assert!(forward.remove.iter().any(|name| name == "x-bkapi-limit-app"), "a caller's own counts nothing");
        leases.extend(forward.lease);
    }
    let refusal = refused(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!(message(&refusal.reply), "Request concurrency exceeds", "leases are the gate's");
    // What is no upload is counted here.
    let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
    let mut reading = with(":path", job.as_bytes());
    reading.retain(|(name, _)| *name != b":method");
    reading.push((b":method", b"GET"));
    let forward = forwarded(judge(&gate, &reading, b""));
    assert!(forward.set.iter().all(|(name, _)| !name.starts_with("x-bkapi-limit-")));
    let refusal = refused(judge(&gate, &reading, b""));
    assert_eq!(message(&refusal.reply), "API rate limit exceeded by stage strategy");
    assert_eq!(leases.len(), 2);
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
    assert_eq!(extension(&forward), json!({"private_hosts": ["artifacts.internal:8443"]}));
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
        assert_eq!(extension(&forward), json!({"opaque": true}));
        let forward = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
        assert_eq!(extension(&forward), Value::Null);
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
