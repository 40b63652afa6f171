//! Pages of other sites: preflights, and what replies say.

use super::*;

const PAGE: &[u8] = b"https://page.example";

fn with_cors() -> Value {
    let mut document = document();
    document["routes"]["cors"] = json!({"allow_origins": ["https://page.example"], "allow_credentials": true});
    document["routes"]["stages"] = json!([{"name": "plain", "prefixes": ["/plain"]}]);
    document
}

fn preflight<'a>(path: &'a str, origin: &'a [u8], method: &'a [u8]) -> Pairs<'a> {
    vec![
        (b":method", b"OPTIONS"),
        (b":path", path.as_bytes()),
        (b"origin", origin),
        (b"access-control-request-method", method),
        (b"access-control-request-headers", b"x-bkapi-authorization,content-type"),
        (b"x-request-id", b"id-1"),
    ]
}

fn header<'a>(headers: &'a [(&'static str, String)], wanted: &str) -> Option<&'a str> {
    headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
}

#[test]
fn a_preflight_is_answered_from_the_table_without_credentials() {
    let gate = gate_of(&with_cors(), &worker());
    let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/?x=1");
    for (path, methods) in [(PATH, "POST, GET, HEAD"), (CANONICAL, "POST, GET, HEAD"), (&job, "GET, HEAD, DELETE")] {
        let Denial { reply, record } = refused(judge(&gate, &preflight(path, PAGE, b"POST"), b""));
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
        let value = |name: &str| header(&reply.headers, name);
        assert_eq!(value("access-control-allow-methods"), Some(methods));
        assert_eq!(value("access-control-allow-origin"), Some("https://page.example"));
        assert_eq!(value("access-control-allow-credentials"), Some("true"));
        assert_eq!(value("access-control-max-age"), Some("600"));
        assert!(value("access-control-allow-headers").unwrap().contains("x-bkapi-authorization"));
        assert!(value("vary").unwrap().starts_with("Origin, "));
        assert_eq!(value("x-request-id"), Some("id-1"));
        assert_eq!((record.decision, record.stage.as_str(), record.operation), ("PREFLIGHT", "default", ""));
    }
}

#[test]
fn a_preflight_that_is_not_ours_to_answer_is_no_route() {
    let gate = gate_of(&with_cors(), &worker());
    let not_found = |pairs: &Pairs<'_>| {
        let reply = refused(judge(&gate, pairs, b"")).reply;
        assert_eq!((reply.status, message(&reply).as_str()), (404, "API not found"), "{pairs:?}");
        assert!(!reply.headers.iter().any(|(name, _)| name.starts_with("access-control-allow-m")), "{reply:?}");
        header(&reply.headers, "access-control-allow-origin").map(str::to_owned)
    };
    let plain = PATH.replace("/stag", "/plain");
    let long = format!("{PATH}?{}", "a".repeat(512));
    assert_eq!(refused(judge(&gate, &preflight(&long, PAGE, b"POST"), b"")).reply.status, 414);
    for (path, origin) in [(PATH, &b"https://evil.example"[..]), (PATH, b"null"), (PATH, b"\xff"), (PATH, b"*")] {
        assert_eq!(not_found(&preflight(path, origin, b"POST")), None);
    }
    for path in [plain.as_str(), "/elsewhere", "*", ""] {
        assert_eq!(not_found(&preflight(path, PAGE, b"POST")), None, "{path}");
    }
    for missing in [&b"origin"[..], b"access-control-request-method"] {
        let mut pairs = preflight(PATH, PAGE, b"POST");
        pairs.retain(|(name, _)| *name != missing);
        not_found(&pairs);
    }
    let mut twice = preflight(PATH, PAGE, b"POST");
    twice.push((b"Origin", PAGE));
    assert_eq!(not_found(&twice), None);
}

#[test]
fn a_preflight_from_a_restricted_address_is_not_answered() {
    let mut document = with_cors();
    document["restrictions"] = json!({"client_ips": {"deny": ["10.0.0.0/8"]}});
    let gate = gate_of(&document, &worker());
    let pairs = preflight(PATH, PAGE, b"POST");
    let status_from = |address: &[u8]| {
        let head = Head::new(&pairs, true, NOW, || [1; 16]).with_client_address(address);
        refused(gate.on_headers(&head)).reply.status
    };
    assert_eq!((status_from(b"10.0.0.1:1"), status_from(b"192.0.2.1:1")), (404, 204));
}

#[test]
fn every_reply_of_the_stage_says_who_may_read_it() {
    let gate = gate_of(&with_cors(), &worker());
    let from = |origin: &'static [u8], pairs: &Pairs<'_>, body: &[u8]| {
        let mut pairs = pairs.clone();
        pairs.push((b"origin", origin));
        match judge(&gate, &pairs, body) {
            Verdict::Allow(forward) => forward.reply_headers,
            verdict => refused(verdict).reply.headers,
        }
    };
    let stranger = with("x-bkapi-authorization", b"{}");
    let (wrong_method, bad_body) = (with(":method", b"PUT"), b"nonsense");
    let all: [(&Pairs<'_>, &[u8]); 4] =
        [(&pairs(), BODY.as_bytes()), (&stranger, BODY.as_bytes()), (&wrong_method, b""), (&pairs(), bad_body)];
    for (pairs, body) in all {
        let headers = from(PAGE, pairs, body);
        assert_eq!(header(&headers, "access-control-allow-origin"), Some("https://page.example"));
        assert!(header(&headers, "access-control-expose-headers").unwrap().contains("retry-after"));
        assert_eq!(header(&headers, "vary"), Some("Origin"));
        let headers = from(b"https://evil.example", pairs, body);
        assert_eq!(headers.iter().filter(|(name, _)| name.starts_with("access-control-")).count(), 0);
        assert_eq!(header(&headers, "vary"), Some("Origin"));
    }
    let elsewhere = PATH.replace("/stag", "/plain");
    assert_eq!(from(PAGE, &with(":path", elsewhere.as_bytes()), BODY.as_bytes()), []);
    assert_eq!(header(&from(PAGE, &with(":path", b"/x"), b""), "vary"), None);
}
