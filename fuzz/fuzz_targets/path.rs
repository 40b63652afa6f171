//! A method and a target, as `METHOD target`, with credentials that are right, with wrong ones, and with none but those
//! in the target.
//!
//! Holds: what is served is exactly what the API's document lists, in one form; the query never goes on; without the
//! right credentials nothing goes on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use linkgate_fuzz::drive::{End, Way, drive};
use linkgate_fuzz::request::{Pairs, form, route};
use linkgate_fuzz::who::Shown;
use linkgate_fuzz::world::{APP, APP_SECRET, BK_TICKET, BK_TOKEN, BODY, CREDENTIALS, document, gate_of};
use linkgate_fuzz::{forwarded, refused};
use linkgate_gate::Gate;

thread_local!(static GATE: Gate = gate_of(&document()));

const WRONG: &[u8] = br#"{"bk_app_code":"apigw-api-test","bk_app_secret":"app-secret","bk_ticket":"ticket-secret"}"#;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|b| *b == b' ').unwrap_or(data.len());
    let (method, target) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let as_text = |bytes| std::str::from_utf8(bytes).ok();
    let route = route(as_text(method), as_text(target));
    let query = target.splitn(2, |b| *b == b'?').nth(1).unwrap_or_default();
    let mut pairs: Pairs<'_> = vec![
        (b":method", method),
        (b":path", target),
        (b"content-type", b"application/json"),
        (b"x-request-id", b"id-1"),
    ];
    let judge = |pairs: &Pairs<'_>| {
        let (end, asked) = GATE.with(|gate| drive(gate, pairs, Way::with(BODY.as_bytes()), &[]));
        assert!(asked.is_empty());
        match end {
            End::Forward(forward) => {
                forwarded::check_headers(pairs, &forward);
                forwarded::check_body(BODY.as_bytes(), &forward);
                Ok(forward.set[0].1.clone())
            }
            End::Refuse(refusal) => {
                let shown = route.as_ref().and_then(|(stage, _)| Shown::read(stage, pairs, BODY.as_bytes()));
                refused::check(&refusal, shown.iter().flat_map(|shown| shown.secrets(pairs, &[])));
                Err(refusal.reply.status)
            }
        }
    };
    let from_target = judge(&pairs);
    pairs.push((b"x-bkapi-authorization", CREDENTIALS.as_bytes()));
    let known = judge(&pairs);
    pairs.last_mut().unwrap().1 = WRONG;
    let stranger = judge(&pairs);
    match route {
        Some((stage, path)) => {
            assert_eq!(known, Ok(path));
            assert_eq!(stranger, Err(400));
            let fields = form(query);
            let is =
                |name: &str, old: &str, want: &str| fields.get(name).or(fields.get(old)).is_some_and(|v| v == want);
            let right = is("bk_app_code", "app_code", APP)
                && is("bk_app_secret", "app_secret", APP_SECRET)
                && (is("bk_token", "", BK_TOKEN) || is("bk_ticket", "", BK_TICKET));
            assert!(from_target.is_err() || stage.query && right, "a stranger goes on");
        }
        None => {
            let status = if target.len() > linkgate_fuzz::world::URI_BYTES { 414 } else { 404 };
            assert_eq!([from_target, known, stranger], [Err(status), Err(status), Err(status)]);
        }
    }
});
