//! What is decided before a body is held, and how much is held of requests that wait.

use super::*;

/// Twenty bytes, in base64, as a query has it.
const SOME_MAC: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAA%3D";

fn with_bkauth() -> Value {
    let mut document = document();
    document["identity"] = json!({"bkauth": {"cluster": "bkauth"}, "login": {"cluster": "bklogin"}});
    document
}

fn target(query: &str) -> String {
    format!("{PATH}?{query}")
}

/// What becomes of a request at its head, of which a body is still to come.
fn judge_signed(gate: &Gate, app: &str, query: &str) -> Verdict {
    let (header, path) = (json!({"bk_app_code": app}).to_string(), target(query));
    let mut pairs = with("x-bkapi-authorization", header.as_bytes());
    pairs.retain(|(name, _)| *name != b":path");
    pairs.push((b":path", path.as_bytes()));
    gate.on_headers(&Head::new(&pairs, false, NOW, || [1; 16]))
}

fn refused_signed(gate: &Gate, app: &str, query: &str) -> String {
    let message = message(&refused(judge_signed(gate, app, query)).reply);
    message.trim_start_matches("Parameters error [reason=\"").trim_end_matches("\"]").to_owned()
}

fn answer(gate: &Gate, verdict: Verdict, status: u16, body: &Value) -> Verdict {
    let Verdict::NeedAnswer(waiter) = verdict else { panic!("nothing asked") };
    let CallStep::Send(_, call) = gate.start_call(&waiter, 1, NOW) else { panic!("nothing to send") };
    let body = body.to_string();
    let completion = gate.complete_call(&call, Some(ServiceReply { status, body: body.as_bytes() }), NOW);
    gate.resume(waiter, &completion, NOW)
}

#[test]
fn a_signature_that_the_head_refuses_needs_no_body() {
    let good = format!("bk_nonce=1&bk_timestamp=1000&bk_signature={SOME_MAC}");
    // Without bkauth nobody can sign; a client of the policy never can.
    assert_eq!(refused_signed(&gate(), "ci", &good), Reason::UNSIGNED.0);
    let gate = gate_of(&with_bkauth(), &worker());
    assert_eq!(refused_signed(&gate, "apigw-api-test", &good), Reason::UNSIGNED.0);
    assert_eq!(refused_signed(&gate, "NOBODY", &good), Reason::APP_NOT_FOUND.0);
    assert_eq!(refused_signed(&gate, "", &good), Reason::NO_APP_CODE.0);
    assert_eq!(refused_signed(&gate, &"a".repeat(33), &good), Reason::APP_CODE_TOO_LONG.0);
    // bkauth says whether there is such an app; what is wrong with the signature is for those that there are.
    let unknown = answer(&gate, judge_signed(&gate, "nobody", "bk_signature=c2ln"), 404, &json!({"code": 1_901_404}));
    assert_eq!(refused(unknown).record.reason, Reason::APP_NOT_FOUND.0);
    assert_eq!(refused_signed(&gate, "nobody", &good), Reason::APP_NOT_FOUND.0);
    let keys = json!({"code": 0, "data": [{"bk_app_secret": "one"}]});
    let known = answer(&gate, judge_signed(&gate, "ci", &good), 200, &keys);
    assert!(matches!(known, Verdict::NeedBody(_)), "only the body can tell");
    for (query, reason) in [
        ("bk_signature=c2ln", "parameter bk_nonce required"),
        ("bk_nonce=x&bk_timestamp=1000&bk_signature=c2ln", "parameter bk_nonce is invalid"),
        ("bk_nonce=1&bk_timestamp=699&bk_signature=c2ln", "parameter bk_timestamp has expired"),
        ("bk_nonce=1&bk_timestamp=1000&bk_signature=c2ln", Reason::BAD_SIGNATURE.0.as_ref()),
    ] {
        let refused = refused_signed(&gate, "ci", query);
        assert!(refused.starts_with(reason), "{query}: {refused}");
    }
}

#[test]
fn a_body_that_is_announced_too_large_is_not_waited_for_to_know_the_caller() {
    let mut document = with_bkauth();
    document["routes"] = json!({"prefixes": [""], "stages": [{
        "name": "browser", "prefixes": ["/stag"],
        "authentication": {"credentials_from": ["header", "body"]},
    }]});
    let gate = gate_of(&document, &worker());
    let mut pairs = pairs();
    pairs.retain(|(name, _)| *name != b"x-bkapi-authorization");
    let head = |pairs: &Pairs<'_>| gate.on_headers(&Head::new(pairs, false, NOW, || [1; 16]));
    assert!(matches!(head(&pairs), Verdict::NeedBody(_)));
    pairs.push((b"content-length", b"1025"));
    let refused = refused(head(&pairs));
    assert_eq!((refused.reply.status, refused.record.rule.as_str()), (413, "limits.body_bytes"));
}

/// Requests of a caller who is not known yet, from one address, until one is refused.
fn fill(gate: &Gate, address: &[u8]) -> (Vec<Waiter>, Denial) {
    let mut waiters = Vec::new();
    loop {
        let app = format!("a{}", waiters.len());
        let query = format!("bk_nonce=1&bk_timestamp=1000&bk_signature={SOME_MAC}");
        let Verdict::NeedAnswer(mut waiter) = judge_signed(gate, &app, &query) else { panic!("nothing asked") };
        match waiter.hold(gate, 1_000, || address.to_vec()) {
            None => waiters.push(waiter),
            Some(denial) => return (waiters, denial),
        }
    }
}

#[test]
fn an_address_at_its_bound_is_refused_and_other_callers_are_not() {
    let worker = worker();
    let gate = gate_of(&with_bkauth(), &worker);
    let (waiters, denial) = fill(&gate, b"192.0.2.1:4711");
    assert_eq!(waiters.len(), 128);
    assert_eq!((denial.reply.status, denial.record.rule.as_str()), (429, "held_requests.address"));
    assert!(denial.reply.headers.contains(&("retry-after", "1".to_owned())));
    let counted = "linkgate.limited.rule.held_requests-address".to_owned();
    assert!(worker.take_counts().counters.contains(&(counted, 1)));

    let (others, _) = fill(&gate, b"192.0.2.2:4711");
    assert_eq!(others.len(), 128, "another address has its own");
    let pairs = pairs();
    let head = Head::new(&pairs, false, NOW, || [1; 16]);
    let Verdict::NeedBody(mut known) = gate.on_headers(&head) else { panic!("no body asked for") };
    let never = || panic!("the address of a known caller does not matter");
    assert!(known.hold(&gate, 0, never).is_none());
    assert!(known.hold(&gate, 1_000, never).is_none());

    drop(waiters);
    assert_eq!(fill(&gate, b"192.0.2.1:4711").0.len(), 128, "given back");
}

#[test]
fn a_known_caller_who_says_nothing_holds_its_requests_all_the_same() {
    let gate = gate();
    let (pairs, mut waiting) = (pairs(), Vec::new());
    let never = || panic!("the address of a known caller does not matter");
    let denial = loop {
        let head = Head::new(&pairs, false, NOW, || [1; 16]);
        let Verdict::NeedBody(mut pending) = gate.on_headers(&head) else { panic!("no body asked for") };
        assert!(pending.hold(&gate, 0, never).is_none(), "its body may follow at once");
        if let Some(denial) = pending.hold_silent(&gate, || 1_000, never) {
            break denial;
        }
        assert!(pending.hold_silent(&gate, || panic!("it is held"), never).is_none());
        waiting.push(pending);
    };
    assert_eq!(waiting.len(), 512);
    assert_eq!((denial.reply.status, denial.record.rule.as_str()), (429, "held_requests.app"));
    waiting.pop();
    let Verdict::NeedBody(mut next) = gate.on_headers(&Head::new(&pairs, false, NOW, || [1; 16])) else { panic!() };
    assert!(next.hold(&gate, 1_000, never).is_none(), "given back");
}

#[test]
fn all_strangers_at_their_bound_get_503_and_known_callers_are_served() {
    let gate = gate_of(&with_bkauth(), &worker());
    let held: Vec<_> = (0..8).map(|n| fill(&gate, format!("192.0.2.{n}:1").as_bytes()).0).collect();
    let (none, denial) = fill(&gate, b"192.0.2.9:1");
    assert!(none.is_empty() && held.iter().all(|waiters| waiters.len() == 128));
    assert_eq!((denial.reply.status, denial.record.rule.as_str()), (503, "held_requests.total"));
    assert!(denial.reply.body.contains("\"code\":1650300,") && !denial.reply.body.contains("a0"));
    assert!(matches!(judge(&gate, &pairs(), BODY.as_bytes()), Verdict::Allow(_)));
}

#[test]
fn a_body_counts_while_its_caller_is_asked_about_also_if_its_sender_would_hold_it_back() {
    let waiting = |expect: Option<&'static str>| {
        let gate = gate_of(&with_bkauth(), &worker());
        let target = PATH.replace("link/", "upload/a.tgz?version=1");
        let mut waiters = Vec::new();
        loop {
            let header = json!({"bk_app_code": format!("a{}", waiters.len()), "bk_app_secret": "any"}).to_string();
            let mut pairs = with("x-bkapi-authorization", header.as_bytes());
            pairs.retain(|(name, _)| ![&b":method"[..], b":path", b"content-type"].contains(name));
            pairs.extend([
                (&b":method"[..], &b"PUT"[..]),
                (b":path", target.as_bytes()),
                (b"content-length", b"2000000"),
            ]);
            pairs.extend(expect.map(|value| (&b"expect"[..], value.as_bytes())));
            let head = Head::new(&pairs, false, NOW, || [1; 16]);
            let Verdict::NeedAnswer(mut waiter) = gate.on_headers(&head) else { panic!("nothing asked") };
            if waiter.hold(&gate, 0, || b"192.0.2.1:4711".to_vec()).is_some() {
                return waiters.len();
            }
            waiters.push(waiter);
        }
    };
    assert_eq!((waiting(None), waiting(Some("x")), waiting(Some("100-Continue"))), (7, 7, 30));
}
