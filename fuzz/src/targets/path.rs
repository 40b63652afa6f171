//! A method and a target, as `METHOD target`, with credentials that are right, with wrong ones, and with none but those
//! in the target.
//!
//! Holds: what is served is exactly what the API's document lists, in one form that reads as itself; the query never goes
//! on; a body goes on only to where uploads begin; without the right credentials nothing goes on.

use crate::drive::{End, Way, drive};
use crate::request::{Pairs, form, is_job, route};
use crate::who::Shown;
use crate::world::{APP, APP_SECRET, BK_TICKET, BK_TOKEN, BODY, CREDENTIALS, STAGES, document, gate_of};
use crate::{forwarded, refused};
use linkgate_contract::{LinkPath, PathPrefix, UploadPath};
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
    let is_job = route.as_ref().is_some_and(|(_, path)| is_job(path));
    let judge_with = |pairs: &Pairs<'_>, body: &[u8]| {
        let (end, asked) = GATE.with(|gate| drive(gate, pairs, Way::with(body), &[]));
        assert!(asked.is_empty());
        match end {
            End::Forward(forward) => {
                forwarded::check_headers(pairs, &forward);
                forwarded::check_body(body, &forward);
                Ok(forward.set[0].1.clone())
            }
            End::Refuse(refusal) => {
                let shown = route.as_ref().and_then(|(stage, _)| Shown::read(stage, pairs, body));
                refused::check(&refusal, shown.iter().flat_map(|shown| shown.secrets(pairs, &[])));
                Err(refusal.reply.status)
            }
        }
    };
    let judge = |pairs: &Pairs<'_>| judge_with(pairs, if is_job { b"" } else { BODY.as_bytes() });
    let from_target = judge(&pairs);
    pairs.push((b"x-bkapi-authorization", CREDENTIALS.as_bytes()));
    let known = judge(&pairs);
    assert!(!is_job || judge_with(&pairs, BODY.as_bytes()) == Err(413));
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
            let status = if target.len() > crate::world::URI_BYTES { 414 } else { 404 };
            assert_eq!([from_target, known, stranger], [Err(status), Err(status), Err(status)]);
        }
    }
}

/// What is read is written in one form, which reads as the same; and it is either where uploads begin or one of them.
fn reads_as_itself(target: &str) {
    let prefixes = STAGES.map(|stage| PathPrefix::new(stage.prefix).unwrap());
    let Some(path) = LinkPath::read(target, &prefixes) else { return };
    let canonical = path.canonical();
    assert!(target.split('?').next().is_some_and(|target| target.ends_with(&canonical)));
    assert_eq!(LinkPath::read(&canonical, &prefixes[..1]).as_ref(), Some(&path));
    assert_eq!(UploadPath::read(&canonical, &prefixes[..1]), path.job.is_none().then_some(path.upload));
}
