//! Who calls, by every kind of credential, with services that answer, fail and come back.

use super::*;
use crate::jwt::testing::sign;

/// Services by the path and body of a question.
pub(super) type Services<'a> = &'a dyn Fn(&str, &str) -> Answered;

/// What a service answers: status and body; `None`: nothing.
pub(super) type Answered = Option<(u16, Value)>;

pub(super) fn with_services() -> Value {
    let mut document = document();
    document["identity"] = json!({
        "bkauth": {"cluster": "bkauth", "authority": "bkauth.internal"},
        "login": {"cluster": "bklogin"},
        "ticket": {"cluster": "bkticket", "path": "/is_login/"},
        "jwt_keys": [{"kid": "bk-apigateway", "public_key": ed25519(1).public}],
        "inner_jwt_kid": "bk-apigateway",
    });
    document
}

/// Drives a request to its end; `services` sees the call's path and gives the answer.
pub(super) fn drive(gate: &Gate, pairs: &Pairs<'_>, now: Time, services: Services<'_>) -> (Verdict, Vec<String>) {
    drive_with(gate, pairs, BODY.as_bytes(), now, services)
}

/// The same with another body; an empty one is none.
pub(super) fn drive_with(
    gate: &Gate,
    pairs: &Pairs<'_>,
    body: &[u8],
    now: Time,
    services: Services<'_>,
) -> (Verdict, Vec<String>) {
    let mut asked = Vec::new();
    let head = Head::new(pairs, body.is_empty(), now, || [1; 16]);
    let mut verdict = gate.on_headers(&head);
    loop {
        verdict = match verdict {
            Verdict::NeedBody(pending) => pending.on_body(gate, body.to_vec(), now),
            Verdict::NeedAnswer(waiter) => {
                let CallStep::Send(call, call_in_flight) = gate.start_call(&waiter, 1, now) else {
                    panic!("nothing to send")
                };
                let path = call.headers.iter().find(|(name, _)| *name == ":path").unwrap().1.clone();
                let body = String::from_utf8(call.body.clone()).unwrap();
                let answered = services(&path, &body);
                asked.push(path);
                let bytes = answered.as_ref().map(|(_, body)| body.to_string().into_bytes()).unwrap_or_default();
                let reply = answered.map(|(status, _)| ServiceReply { status, body: &bytes });
                let completion = gate.complete_call(&call_in_flight, reply, now);
                assert_eq!(completion.waiters, [1]);
                gate.resume(waiter, &completion, now)
            }
            end => return (end, asked),
        };
    }
}

fn to_header(credentials: &Value) -> String {
    credentials.to_string()
}

fn ask(gate: &Gate, credentials: &Value, now: Time, services: Services<'_>) -> (Verdict, Vec<String>) {
    let header = to_header(credentials);
    drive(gate, &with("x-bkapi-authorization", header.as_bytes()), now, services)
}

pub(super) fn reason(verdict: Verdict) -> (u16, String) {
    let reply = refused(verdict).reply;
    let message = message(&reply);
    let reason = message.split_once("[reason=\"").and_then(|(_, rest)| rest.strip_suffix("\"]")).unwrap_or_default();
    (reply.status, reason.to_owned())
}

fn caller(verdict: Verdict) -> (String, String, &'static str) {
    let Verdict::Allow(forward) = verdict else { panic!("{:?}", refused(verdict).reply) };
    (forward.record.app, forward.record.user, forward.record.identity)
}

fn at(seconds: u64) -> Time {
    Time::from_seconds(seconds)
}

/// A platform where all is well.
fn well(path: &str, body: &str) -> Answered {
    let ok = |data: Value| Some((200, json!({"code": 0, "message": "OK", "data": data})));
    match path {
        "/api/v1/apps/ci/access-keys/verify" => ok(json!({"is_match": body == r#"{"bk_app_secret":"good"}"#})),
        "/api/v1/apps/nobody/access-keys/verify" => Some((404, json!({"code": 1, "data": null}))),
        "/api/v1/auth/access-tokens/verify" => {
            let token = |user: &str, expires_in: i64| json!({"bk_app_code": "ci", "identity": {"username": user}, "expires_in": expires_in});
            match body {
                r#"{"access_token":"user"}"# => ok(token("anna", 100)),
                r#"{"access_token":"app"}"# => ok(token("", 100)),
                r#"{"access_token":"old"}"# => ok(token("anna", 0)),
                _ => Some((400, json!({"code": 1901403, "message": "no such token", "data": null}))),
            }
        }
        "/login/api/v2/is_login/?bk_token=good%2B" => {
            Some((200, json!({"result": true, "data": {"bk_username": "anna"}})))
        }
        "/is_login/?bk_ticket=good" => Some((200, json!({"ret": 0, "data": {"username": "anna"}}))),
        path if path.starts_with("/login/") => {
            Some((200, json!({"result": false, "bk_error_msg": "登录态\n\"已过期\"", "data": {}})))
        }
        path if path.starts_with("/is_login/") => Some((200, json!({"ret": 1, "msg": "ticket expired"}))),
        path => panic!("{path}"),
    }
}

#[test]
fn services_vouch_for_whom_the_policy_does_not_list() {
    let gate = gate_of(&with_services(), &worker());
    let good = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_token": "good+"});
    let (verdict, asked) = ask(&gate, &good, NOW, &well);
    assert_eq!(caller(verdict), ("ci".into(), "anna".into(), "fresh"));
    assert_eq!(asked, ["/api/v1/apps/ci/access-keys/verify", "/login/api/v2/is_login/?bk_token=good%2B"]);
    let (verdict, asked) = ask(&gate, &good, NOW, &well);
    assert_eq!(caller(verdict), ("ci".into(), "anna".into(), "cached"));
    assert!(asked.is_empty());
    let ticket = json!({"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret", "bk_ticket": "good"});
    let (verdict, asked) = ask(&gate, &ticket, NOW, &well);
    assert_eq!(caller(verdict), ("apigw-api-test".into(), "anna".into(), "fresh"));
    assert_eq!(asked, ["/is_login/?bk_ticket=good"]);
}

#[test]
fn every_refusal_of_a_service_has_its_reason() {
    let gate = gate_of(&with_services(), &worker());
    let app = |rest: Value| {
        let mut all = json!({"bk_app_code": "ci", "bk_app_secret": "good"});
        all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        all
    };
    let cases = [
        (json!({"bk_app_code": "nobody", "bk_app_secret": "x"}), "app not found"),
        (json!({"bk_app_code": "ci", "bk_app_secret": "bad"}), "bk_app_code or bk_app_secret is incorrect"),
        (app(json!({"bk_token": "bad"})), "登录态 '已过期'"),
        (app(json!({"bk_ticket": "bad"})), "ticket expired"),
        (app(json!({"bk_token": "bad", "bk_ticket": "good"})), "登录态 '已过期'"),
        (json!({"access_token": "bad"}), "bkauth error message: no such token"),
        (json!({"access_token": "old"}), "the access_token of the user(anna) has expired, please re-authorize"),
        (app(json!({"access_token": "bad", "bk_token": "good+"})), "bkauth error message: no such token"),
        (json!({"access_token": "app"}), "the access_token is the application type and cannot indicate the user"),
        (json!({"jwt": "x"}), "access_token cannot be empty"),
        (json!({"jwt": "x", "access_token": "user"}), "parameter jwt is invalid: JWT Token invalid"),
        (json!({"inner_jwt": "x"}), "parameter jwt is invalid: JWT Token invalid"),
    ];
    for (credentials, want) in cases {
        assert_eq!(reason(ask(&gate, &credentials, NOW, &well).0), (400, want.to_owned()), "{credentials}");
    }
}

#[test]
fn without_a_service_its_proofs_are_refused() {
    let gate = gate();
    let never = |path: &str, _: &str| -> Answered { panic!("{path}") };
    let app = json!({"bk_app_code": "ci", "bk_app_secret": "good"});
    assert_eq!(reason(ask(&gate, &app, NOW, &never).0).1, "app not found");
    let token = json!({"access_token": "user"});
    assert!(reason(ask(&gate, &token, NOW, &never).0).1.starts_with("access_token is not supported here"));
    let inner = json!({"inner_jwt": "x"});
    assert_eq!(reason(ask(&gate, &inner, NOW, &never).0).1, "inner_jwt is not supported here");
}

#[test]
fn an_access_token_stands_for_app_and_user_while_it_lives() {
    let gate = gate_of(&with_services(), &worker());
    let token = json!({"access_token": "user"});
    assert_eq!(caller(ask(&gate, &token, at(1_000), &well).0), ("ci".into(), "anna".into(), "fresh"));
    assert_eq!(caller(ask(&gate, &token, at(1_099), &well).0), ("ci".into(), "anna".into(), "cached"));
    let (_, asked) = ask(&gate, &token, at(1_100), &well);
    assert_eq!(asked.len(), 1, "it is asked again when its life is over");
    let down = |_: &str, _: &str| None;
    let (verdict, _) = ask(&gate, &token, at(1_200), &down);
    assert_eq!(reason(verdict).0, 500, "and never taken beyond it, whoever is down");
}

#[test]
fn code_and_secret_count_for_the_app_when_its_token_fails() {
    let mut document = with_services();
    document["routes"]["authentication"] = json!({"verified_user_exempted_apps": ["ci"]});
    let gate = gate_of(&document, &worker());
    let both = json!({"access_token": "bad", "bk_app_code": "ci", "bk_app_secret": "good"});
    assert_eq!(caller(ask(&gate, &both, NOW, &well).0), ("ci".into(), String::new(), "fresh"));
}

#[test]
fn tokens_of_another_gateway_are_read_by_its_key() {
    let gate = gate_of(&with_services(), &worker());
    let payload = json!({
        "nbf": 700, "exp": 1_900,
        "app": {"app_code": "mcp_7_ci", "verified": true}, "user": {"username": "anna", "verified": true},
    });
    let token = |payload: &Value| sign(&ed25519(1), &json!({"alg": "EdDSA", "kid": "bk-apigateway"}), payload);
    let inner = json!({"inner_jwt": token(&payload)});
    assert_eq!(caller(ask(&gate, &inner, NOW, &well).0), ("mcp_7_ci".into(), "anna".into(), "fresh"));
    assert_eq!(caller(ask(&gate, &inner, NOW, &well).0).2, "cached");
    let jwt = json!({"jwt": token(&payload), "access_token": "app"});
    assert_eq!(caller(ask(&gate, &jwt, NOW, &well).0), ("ci".into(), "anna".into(), "fresh"));
    let mut unverified = payload.clone();
    unverified["user"]["verified"] = json!(false);
    let refused = ask(&gate, &json!({"inner_jwt": token(&unverified)}), NOW, &well).0;
    assert_eq!(reason(refused).1, "the user indicated by jwt is not verified");
    unverified["app"] = Value::Null;
    let refused = ask(&gate, &json!({"inner_jwt": token(&unverified)}), NOW, &well).0;
    assert_eq!(reason(refused).1, "parameter jwt does not indicate app information");
    assert_eq!(
        reason(ask(&gate, &inner, at(1_900), &well).0).1,
        "parameter jwt is invalid: failed to verify jwt, it has expired"
    );
}

#[test]
fn only_the_gateway_that_the_policy_names_may_send_an_inner_jwt() {
    let mut document = with_services();
    let other = json!({"kid": "other", "public_key": ed25519(2).public});
    document["identity"]["jwt_keys"].as_array_mut().unwrap().push(other);
    let gate = gate_of(&document, &worker());
    let payload = json!({"nbf": 0, "exp": 9_999, "app": {"app_code": "ci", "verified": true}});
    let token = sign(&ed25519(2), &json!({"alg": "EdDSA", "kid": "other"}), &payload);
    let refused = ask(&gate, &json!({"inner_jwt": token}), NOW, &well).0;
    assert_eq!(reason(refused).1, "invalid kid, only bk-apigateway is supported");
}

#[test]
fn a_service_that_fails_is_a_failure_of_the_gateway_and_leaks_nothing() {
    let html = |_: &str, _: &str| Some((200, json!("<html>")));
    let credentials = json!({"bk_app_code": "ci", "bk_app_secret": "good-s3cret", "bk_token": "good+"});
    let answers: [(&str, Services<'_>); 6] = [
        ("no answer", &|_, _| None),
        ("response is not as expected, status: 200", &html),
        ("status: 503", &|_, _| Some((503, json!({"code": 0, "data": {"is_match": true}})))),
        ("status: 401", &|_, _| Some((401, json!({"code": 1})))),
        ("response is not as expected, status: 200", &|_, _| {
            Some((200, json!({"code": 7, "data": {"is_match": true}})))
        }),
        ("response is not as expected, status: 200", &|_, _| {
            Some((200, json!({"code": 0, "data": {"is_match": "true"}})))
        }),
    ];
    for (what, services) in answers {
        let gate = gate_of(&with_services(), &worker());
        let refusal = refused(ask(&gate, &credentials, NOW, services).0);
        let message = message(&refusal.reply);
        assert_eq!(refusal.reply.status, 500);
        assert!(
            message.starts_with("Internal Server Error [reason=\"failed to request third-party api, bkauth"),
            "{message}"
        );
        assert!(message.contains(what) && !message.contains("s3cret"), "{message}");
        assert_eq!(refusal.record.app, "ci");
    }
}

#[test]
fn while_a_service_is_down_its_last_good_answer_counts_for_a_day() {
    let gate = gate_of(&with_services(), &worker());
    let good = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_ticket": "t1cket"});
    let bad = json!({"bk_app_code": "ci", "bk_app_secret": "bad", "bk_ticket": "t1cket"});
    let down = |_: &str, _: &str| None;
    assert_eq!(caller(ask(&gate, &good, at(1_000), &well).0).2, "fresh");
    assert_eq!(caller(ask(&gate, &good, at(1_599), &down).0).2, "cached");
    let (verdict, asked) = ask(&gate, &good, at(1_600), &down);
    assert_eq!((caller(verdict).2, asked.len()), ("stale", 1));
    let (verdict, asked) = ask(&gate, &good, at(1_604), &down);
    assert_eq!((caller(verdict).2, asked.len()), ("stale", 0), "nobody waits for a service that just failed");
    let (verdict, asked) = ask(&gate, &bad, at(1_604), &down);
    assert_eq!((reason(verdict).0, asked.len()), (500, 1), "a secret that is not known always asks");
    assert_eq!(caller(ask(&gate, &good, at(1_609), &well).0).2, "fresh");
    assert_eq!(caller(ask(&gate, &good, at(1_609 + 86_399), &down).0).2, "stale");
    assert_eq!(reason(ask(&gate, &good, at(1_609 + 86_400), &down).0).0, 500);
}

#[test]
fn no_strangers_credential_makes_a_revoked_one_count_again() {
    let gate = gate_of(&with_services(), &worker());
    let listed = |token: &str| json!({"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret", "bk_token": token});
    let login = |path: &str, _: &str| match path.rsplit_once('=').map(|(_, token)| token) {
        Some("anna") => Some((200, json!({"result": true, "data": {"bk_username": "anna"}}))),
        _ => None,
    };
    assert_eq!(caller(ask(&gate, &listed("anna"), at(1_000), &login).0).1, "anna");
    // From here on her token is revoked, and odd ones make the service fail, in any way.
    for (n, answer) in [None, Some((500, json!({}))), Some((503, json!({})))].into_iter().cycle().take(12).enumerate() {
        let now = at(1_700 + u64::try_from(n).unwrap());
        let odd = |path: &str, _: &str| if path.ends_with("=anna") { None } else { answer.clone() };
        let (verdict, _) = ask(&gate, &listed(&format!("odd-{n}")), now, &odd);
        assert_eq!(reason(verdict).0, 500);
    }
    let revoked = |_: &str, _: &str| Some((200, json!({"result": false})));
    let (verdict, asked) = ask(&gate, &listed("anna"), at(1_712), &revoked);
    assert_eq!(
        (reason(verdict).1.as_str(), asked.len()),
        (Reason::BAD_TOKEN.0.as_ref(), 1),
        "she is asked about herself"
    );
}

#[test]
fn an_error_counts_as_down_once_several_credentials_meet_it() {
    let gate = gate_of(&with_services(), &worker());
    let listed = |token: &str| json!({"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret", "bk_token": token});
    let anna = |_: &str, _: &str| Some((200, json!({"result": true, "data": {"bk_username": "anna"}})));
    let broken = |_: &str, _: &str| Some((500, json!({})));
    assert_eq!(caller(ask(&gate, &listed("anna"), at(1_000), &anna).0).2, "fresh");
    for now in [1_700, 1_701] {
        assert_eq!(reason(ask(&gate, &listed("anna"), at(now), &broken).0).0, 500, "it may be her token");
    }
    for other in ["b", "c"] {
        assert_eq!(reason(ask(&gate, &listed(other), at(1_702), &broken).0).0, 500);
    }
    assert_eq!(caller(ask(&gate, &listed("anna"), at(1_703), &broken).0).2, "stale");
    assert_eq!(caller(ask(&gate, &listed("anna"), at(1_710), &anna).0).2, "fresh");
    assert_eq!(reason(ask(&gate, &listed("d"), at(1_711), &broken).0).0, 500);
}

#[test]
fn an_answer_in_use_is_renewed_before_it_ends_and_nobody_waits() {
    let gate = gate_of(&with_services(), &worker());
    let good = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_ticket": "t1cket"});
    let renew = |now: Time, reply: Option<ServiceReply<'_>>| {
        let due = gate.take_refreshes(now);
        due.iter()
            .for_each(|(_, call_in_flight)| assert!(gate.complete_call(call_in_flight, reply, now).waiters.is_empty()));
        due.len()
    };
    let never = |path: &str, _: &str| -> Answered { panic!("{path}") };
    ask(&gate, &good, at(1_000), &well);
    ask(&gate, &good, at(1_500), &never);
    assert_eq!(renew(at(1_500), None), 0);
    ask(&gate, &good, at(1_540), &never);
    let body = json!({"code": 0, "data": {"is_match": true}}).to_string();
    assert_eq!(renew(at(1_541), Some(ServiceReply { status: 200, body: body.as_bytes() })), 1);
    assert_eq!(caller(ask(&gate, &good, at(2_080), &never).0).2, "cached");
    // A service that went down is noticed before anybody needs it, and so is that it came back.
    ask(&gate, &good, at(2_138), &never);
    assert_eq!(renew(at(2_139), None), 1);
    for now in 2_141..2_144 {
        assert_eq!(caller(ask(&gate, &good, at(now), &never).0).2, "stale");
        assert_eq!(renew(at(now), None), 1);
    }
    ask(&gate, &good, at(2_144), &never);
    assert_eq!(renew(at(2_144), Some(ServiceReply { status: 200, body: body.as_bytes() })), 1);
    assert_eq!(caller(ask(&gate, &good, at(2_145), &never).0).2, "cached");
}

#[test]
fn a_changed_secret_works_at_once_and_a_revoked_one_is_forgotten() {
    let gate = gate_of(&with_services(), &worker());
    let with_secret = |secret: &str| json!({"bk_app_code": "ci", "bk_app_secret": secret, "bk_ticket": "t1cket"});
    let now_new = |_: &str, body: &str| Some((200, json!({"code": 0, "data": {"is_match": body.contains("new")}})));
    assert_eq!(caller(ask(&gate, &with_secret("good"), at(1_000), &well).0).2, "fresh");
    assert_eq!(caller(ask(&gate, &with_secret("new"), at(1_001), &now_new).0).2, "fresh");
    assert_eq!(reason(ask(&gate, &with_secret("good"), at(1_600), &now_new).0).1, Reason::WRONG_SECRET.0);
    let down = |_: &str, _: &str| None;
    let (verdict, asked) = ask(&gate, &with_secret("good"), at(1_659), &down);
    assert_eq!((reason(verdict).1, asked.len()), (Reason::WRONG_SECRET.0.into_owned(), 0));
    assert_eq!(reason(ask(&gate, &with_secret("good"), at(1_660), &down).0).0, 500, "no stale answer is left of it");
}

#[test]
fn what_was_learned_outlives_a_policy_but_not_another_service() {
    let worker = worker();
    let good = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_ticket": "t1cket"});
    assert_eq!(caller(ask(&gate_of(&with_services(), &worker), &good, NOW, &well).0).2, "fresh");
    let mut other = with_services();
    other["limits"]["uri_bytes"] = json!(400);
    assert_eq!(caller(ask(&gate_of(&other, &worker), &good, NOW, &well).0).2, "cached");
    other["identity"]["bkauth"]["authority"] = json!("elsewhere");
    assert_eq!(caller(ask(&gate_of(&other, &worker), &good, NOW, &well).0).2, "fresh");
}

#[test]
fn a_caller_of_a_moment_ago_is_known_again_by_the_same_header_alone() {
    let gate = gate_of(&with_services(), &worker());
    let good = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_ticket": "t1cket"});
    ask(&gate, &good, at(1_000), &well);
    assert_eq!(caller(ask(&gate, &good, at(1_029), &well).0), ("ci".into(), "admin".into(), "cached"));
    let header = good.to_string();
    let mut pairs = with("x-bkapi-authorization", header.as_bytes());
    pairs.push((b"x-bkapi-authorization", header.as_bytes()));
    let refused = refused(drive(&gate, &pairs, at(1_029), &well).0);
    assert!(message(&refused.reply).contains("must not be repeated"));
    let counts = gate.context.worker.take_counts().counters;
    let ok = |kind: &str| (format!("linkgate.authentications.kind.{kind}.outcome.ok"), 2);
    assert!(counts.contains(&ok("app_secret")) && counts.contains(&ok("bk_ticket")), "{counts:?}");
}

#[test]
fn what_ends_by_itself_is_never_taken_for_a_moment_longer() {
    let gate = gate_of(&with_services(), &worker());
    let token = json!({"access_token": "user"});
    assert_eq!(caller(ask(&gate, &token, at(1_090), &well).0).1, "anna");
    let down = |_: &str, _: &str| None;
    assert_eq!(reason(ask(&gate, &token, at(1_190), &down).0).0, 500);
    // Stale answers are taken for themselves only, so that a service that is back is noticed.
    let good = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_ticket": "t1cket"});
    ask(&gate, &good, at(2_000), &well);
    assert_eq!(caller(ask(&gate, &good, at(2_600), &down).0).2, "stale");
    assert_eq!(caller(ask(&gate, &good, at(2_606), &well).0).2, "fresh");
}

#[test]
fn many_requests_ask_one_question() {
    let gate = gate_of(&with_services(), &worker());
    let header = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_ticket": "t1cket"}).to_string();
    let pairs = with("x-bkapi-authorization", header.as_bytes());
    let waiter = || match gate.on_headers(&Head::new(&pairs, false, NOW, || [1; 16])) {
        Verdict::NeedAnswer(waiter) => waiter,
        _ => panic!("nothing asked"),
    };
    let (first, mut second, gone) = (waiter(), waiter(), waiter());
    let CallStep::Send(call, call_in_flight) = gate.start_call(&first, 10, NOW) else { panic!("nothing to send") };
    assert_eq!((call.cluster.as_str(), call.timeout_ms), ("bkauth", 5_000));
    assert!(call.headers.contains(&("x-bk-app-secret", "0wn-secret".to_owned())));
    assert!(call.headers.contains(&("x-request-id", "id-1".to_owned())));
    assert!(
        matches!(gate.start_call(&second, 11, NOW), CallStep::Wait)
            && matches!(gate.start_call(&gone, 12, NOW), CallStep::Wait)
    );
    gate.remove_waiter(&gone, 12);
    assert!(second.hold(&gate, 1_024, Vec::new).is_none() && second.hold(&gate, 1_025, Vec::new).is_some());
    let body = json!({"code": 0, "data": {"is_match": true}}).to_string();
    let completion =
        gate.complete_call(&call_in_flight, Some(ServiceReply { status: 200, body: body.as_bytes() }), NOW);
    assert_eq!(completion.waiters, [10, 11]);
    for waiter in [first, second] {
        assert!(matches!(gate.resume(waiter, &completion, NOW), Verdict::NeedBody(_)));
    }
    let counts = gate.context.worker.take_counts();
    assert!(counts.counters.contains(&("linkgate.calls.service.bkauth.outcome.ok".into(), 1)), "{counts:?}");
}

#[test]
fn an_answer_of_ten_megabytes_is_none() {
    let gate = gate_of(&with_services(), &worker());
    let header = json!({"bk_app_code": "ci", "bk_app_secret": "good", "bk_ticket": "t1cket"}).to_string();
    let pairs = with("x-bkapi-authorization", header.as_bytes());
    let Verdict::NeedAnswer(waiter) = gate.on_headers(&Head::new(&pairs, false, NOW, || [1; 16])) else { panic!() };
    let CallStep::Send(_, call_in_flight) = gate.start_call(&waiter, 1, NOW) else { panic!() };
    let body = vec![b' '; crate::services::question::MAX_ANSWER + 1];
    let completion = gate.complete_call(&call_in_flight, Some(ServiceReply { status: 200, body: &body }), NOW);
    let (status, reason) = reason(gate.resume(waiter, &completion, NOW));
    assert_eq!(
        (status, reason.as_str()),
        (500, "failed to request third-party api, bkauth, the response is too large")
    );
}

#[test]
fn a_signed_request_proves_the_app_once() {
    use base64::Engine;
    use hmac::{KeyInit, Mac};
    let gate = gate_of(&with_services(), &worker());
    let keys = |secrets: &'static [&'static str]| {
        move |path: &str, _: &str| {
            assert_eq!(path, "/api/v1/apps/ci/access-keys");
            let data: Vec<_> = secrets.iter().map(|secret| json!({"bk_app_secret": secret, "id": 1})).collect();
            Some((200, json!({"code": 0, "data": data})))
        }
    };
    let target = |secret: &str, nonce: u32| {
        let content = format!("POST{PATH}?bk_nonce={nonce}&bk_timestamp=1000&data={BODY}");
        let mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).unwrap().chain_update(content);
        let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{PATH}?"), PATH.len() + 1);
        query.append_pair("bk_nonce", &nonce.to_string()).append_pair("bk_timestamp", "1000");
        query.append_pair("bk_signature", &signature).finish()
    };
    let send = |target: &str, services: Services<'_>| {
        let header = json!({"bk_app_code": "ci", "bk_ticket": "t1cket"}).to_string();
        let mut pairs = with("x-bkapi-authorization", header.as_bytes());
        pairs.retain(|(name, _)| *name != b":path");
        pairs.push((b":path", target.as_bytes()));
        drive(&gate, &pairs, NOW, services)
    };
    let (verdict, asked) = send(&target("one", 7), &keys(&["one"]));
    assert_eq!((caller(verdict), asked.len()), (("ci".into(), "admin".into(), "fresh"), 1));
    let (verdict, asked) = send(&target("one", 7), &keys(&["one"]));
    assert_eq!((reason(verdict).1.as_str(), asked.len()), ("parameter bk_nonce has been used before", 0));
    assert_eq!(caller(send(&target("one", 8), &keys(&["one"])).0).2, "cached");
    let (verdict, asked) = send(&target("two", 9), &keys(&["one", "two"]));
    assert_eq!((caller(verdict).2, asked.len()), ("fresh", 1), "a new secret works at once");
    let bad = "signature [bk_signature] verification failed, please provide valid bk_signature";
    assert_eq!(reason(send(&target("three", 10), &keys(&["one", "two"])).0), (400, bad.to_owned()));
    let down = |_: &str, _: &str| None;
    assert_eq!(reason(send(&target("three", 10), &down).0), (400, bad.to_owned()));
    let none = |_: &str, _: &str| Some((404, json!({"code": 1901404})));
    let other = gate_of(&with_services(), &worker());
    let header = json!({"bk_app_code": "ci"}).to_string();
    let path = target("one", 11);
    let mut pairs = with("x-bkapi-authorization", header.as_bytes());
    pairs.retain(|(name, _)| *name != b":path");
    pairs.push((b":path", path.as_bytes()));
    assert_eq!(reason(drive(&other, &pairs, NOW, &none).0), (400, "app not found".to_owned()));
}

#[test]
fn a_signature_is_for_one_method() {
    use base64::Engine;
    use hmac::{KeyInit, Mac};
    let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
    let gate = gate_of(&with_services(), &worker());
    let keys = |_: &str, _: &str| Some((200, json!({"code": 0, "data": [{"bk_app_secret": "one"}]})));
    let send = |method: &str, content: &str, nonce: u32| {
        let mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"one").unwrap().chain_update(content);
        let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{job}?"), job.len() + 1);
        query.append_pair("bk_nonce", &nonce.to_string()).append_pair("bk_timestamp", "1000");
        let target = query.append_pair("bk_signature", &signature).finish();
        let presented = json!({"bk_app_code": "ci", "bk_ticket": "t1cket"}).to_string();
        let pairs: Pairs<'_> = vec![
            (b":method", method.as_bytes()),
            (b":path", target.as_bytes()),
            (b"x-bkapi-authorization", presented.as_bytes()),
        ];
        drive_with(&gate, &pairs, b"", NOW, &keys).0
    };
    let bad = "signature [bk_signature] verification failed, please provide valid bk_signature";
    for (nonce, method) in (1..).step_by(3).zip(["GET", "DELETE"]) {
        let content = |method: &str, nonce: u32| format!("{method}{job}?bk_nonce={nonce}&bk_timestamp=1000");
        assert_eq!(caller(send(method, &content(method, nonce), nonce)).0, "ci");
        assert_eq!(reason(send(method, &content("POST", nonce + 1), nonce + 1)).1, bad);
        assert_eq!(reason(send(method, &format!("{}&data=", content(method, nonce + 2)), nonce + 2)).1, bad);
    }
}

#[test]
fn the_login_service_with_tenants_is_asked_in_its_own_way() {
    let mut document = with_services();
    document["identity"]["login"]["multi_tenant"] = json!(true);
    let gate = gate_of(&document, &worker());
    let tenants = |path: &str, _: &str| match path {
        "/login/api/v3/apigw/bk-tokens/verify/?bk_token=good" => {
            Some((200, json!({"data": {"bk_username": "anna", "tenant_id": "system"}})))
        }
        _ => Some((400, json!({"error": {"code": "INVALID"}}))),
    };
    let with_token =
        |token: &str| json!({"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret", "bk_token": token});
    assert_eq!(caller(ask(&gate, &with_token("good"), NOW, &tenants).0).1, "anna");
    assert_eq!(reason(ask(&gate, &with_token("bad"), NOW, &tenants).0).1, "bk_token is not valid");
    let header = with_token("third").to_string();
    let pairs = with("x-bkapi-authorization", header.as_bytes());
    let Verdict::NeedAnswer(waiter) = gate.on_headers(&Head::new(&pairs, false, NOW, || [1; 16])) else { panic!() };
    let CallStep::Send(call, _) = gate.start_call(&waiter, 1, NOW) else { panic!() };
    assert!(call.headers.contains(&("authorization", "Bearer b3arer".to_owned())));
}
