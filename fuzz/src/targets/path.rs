//! A method and a target, as `METHOD target`, with credentials that are right, with wrong ones, and with none but those
//! in the target.
//!
//! Holds: what is served is exactly what the table of endpoints lists, in one form that reads as itself; no query goes on that
//! the endpoint does not read; a body goes on only where the endpoint takes one; without the right credentials nothing goes
//! on, and nothing by a signed URL that no store made.

use crate::drive::{End, Way, drive};
use crate::request::{Pairs, form, route};
use crate::who::Presented;
use crate::world::{APP, APP_SECRET, BK_TICKET, BK_TOKEN, BODY, CREDENTIALS, STAGES, document, gate_of};
use crate::{forwarded, refused};
use linkgate_contract::{BodyKind, Endpoint, Operation, PathPrefix, SIGNED_URL_PARAMETER};
use linkgate_gate::Gate;

thread_local!(static GATE: Gate = gate_of(&document()));

const WRONG: &[u8] = br#"{"bk_app_code":"apigw-api-test","bk_app_secret":"app-secret","bk_ticket":"ticket-secret"}"#;

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
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
    as_text(target).into_iter().for_each(reads_as_itself);
    let has_no_body = route.as_ref().is_some_and(|(.., endpoint)| endpoint.body == BodyKind::None);
    let judge_with = |pairs: &Pairs<'_>, body: &[u8]| {
        let (end, asked) = GATE.with(|gate| drive(gate, pairs, Way::with(body), &[]));
        assert!(asked.is_empty());
        match end {
            End::Forward(forward) => {
                forwarded::check_headers(pairs, &forward);
                forwarded::check_body(pairs, body, &forward);
                Ok(forwarded::split_target(&forward).0.to_owned())
            }
            End::Refuse(refusal) => {
                let presented = route.as_ref().and_then(|(stage, ..)| Presented::read(stage, pairs, body));
                refused::check(&refusal, presented.iter().flat_map(|presented| presented.secrets(pairs, &[])));
                Err(refusal.reply.status)
            }
        }
    };
    let judge = |pairs: &Pairs<'_>| judge_with(pairs, if has_no_body { b"" } else { BODY.as_bytes() });
    let from_target = judge(&pairs);
    pairs.push((b"x-bkapi-authorization", CREDENTIALS.as_bytes()));
    let known = judge(&pairs);
    let with_body = has_no_body.then(|| judge_with(&pairs, BODY.as_bytes()));
    pairs.last_mut().unwrap().1 = WRONG;
    let stranger = judge(&pairs);
    match route {
        Some((_, _, endpoint)) if is_by_signed_url(endpoint, query) => {
            assert_eq!([from_target, known, stranger], [Err(403), Err(403), Err(403)]);
        }
        Some((stage, path, _)) => {
            assert_eq!(known, Ok(path));
            assert!(with_body.is_none_or(|judged| judged == Err(413)));
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
            let status = if target.len() > crate::world::URI_BYTES { 414 } else { 404 };
            assert_eq!([from_target, known, stranger], [Err(status), Err(status), Err(status)]);
        }
    }
}

fn is_by_signed_url(endpoint: &Endpoint, query: &[u8]) -> bool {
    endpoint.operation == Operation::DownloadSourcePackage && form(query).contains_key(SIGNED_URL_PARAMETER)
}

/// What is read is written in one form, which reads as the same.
fn reads_as_itself(target: &str) {
    let prefixes = STAGES.map(|stage| PathPrefix::new(stage.prefix).unwrap());
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
        let Ok(route) = Endpoint::find_below(method, target, &prefixes) else { continue };
        let canonical = route.canonical_path();
        assert!(target.split('?').next().is_some_and(|target| target.ends_with(&canonical)));
        assert_eq!(Endpoint::find(method, &canonical).as_ref(), Ok(&route));
    }
}
