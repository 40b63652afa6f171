//! Credentials of every kind, anywhere, and services that answer anything; then the same caller again, and one who shows
//! almost the same, at a gate that remembers.
//!
//! Holds: nobody is vouched for whom the request does not prove to be, by the stage's rules; no credential goes on;
//! questions go only where they belong, and show a service only what is its own; a refusal tells no secret; a signature
//! serves once.

use crate::drive::{Asked, End, Way, drive};
use crate::request::{Pairs, Script, route, text};
use crate::who::{CredentialsCheck, Presented};
use crate::world::{NOW_S, PATH, gate_of, with_services};
use crate::{forwarded, refused, tokens};
use linkgate_gate::Gate;

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let script = Script::read(data);
    let gate = gate_of(with_services(script.says("tenants")));
    let way = Way { body_first: script.says("body-first"), ..Way::with(script.body) };
    let mut asked = Vec::new();
    if !goes_on(&gate, &script.pairs, way, &script.answers, &mut asked) {
        return;
    }
    let silent = &[];
    let signed = asked.iter().any(|asked| asked.path().ends_with("/access-keys"));
    let again = goes_on(&gate, &script.pairs, way, silent, &mut asked);
    assert!(!again || !signed, "a signature served twice");
    let mut pairs = script.pairs.clone();
    pairs[1].1 = PATH.as_bytes();
    goes_on(&gate, &pairs, way, silent, &mut asked);
    let mut header = Vec::new();
    for pair in &mut pairs {
        if pair.0.eq_ignore_ascii_case(b"x-bkapi-authorization") && header.is_empty() {
            header = changed(pair.1, data.len());
            pair.1 = &header;
            break;
        }
    }
    goes_on(&gate, &pairs, way, silent, &mut asked);
}

/// The same text but for one bit.
fn changed(text: &[u8], place: usize) -> Vec<u8> {
    let mut text = text.to_vec();
    if !text.is_empty() {
        let at = place % text.len();
        text[at] ^= 1;
    }
    text
}

/// Drives a request and holds what comes of it against all that it shows and all that was said so far.
fn goes_on<'a>(
    gate: &Gate,
    pairs: &Pairs<'_>,
    way: Way<'_>,
    answers: &[Option<(u16, &'a [u8])>],
    asked: &mut Vec<Asked<'a>>,
) -> bool {
    let route = route(text(pairs, ":method"), text(pairs, ":path"));
    let presented = route.as_ref().and_then(|(stage, ..)| Presented::read(stage, pairs, way.body));
    let (end, now_asked) = drive(gate, pairs, way, answers);
    asked.extend(now_asked);
    match end {
        End::Refuse(refusal) => {
            refused::check(&refusal, presented.iter().flat_map(|presented| presented.secrets(pairs, asked)));
            false
        }
        End::Forward(forward) => {
            let ((stage, path, _), presented) = (route.expect("a route"), presented.expect("credentials"));
            assert_eq!(forwarded::split_target(&forward).0, path);
            forwarded::check_headers(pairs, &forward);
            forwarded::check_body(pairs, way.body, &forward);
            let claims = tokens::claims(&forward);
            CredentialsCheck { presented: &presented, asked, pairs, body: way.body, now: NOW_S }.check(&stage, &claims);
            assert_eq!((&forward.record.app, &forward.record.user), (&claims.app.app_code, &claims.user.username));
            true
        }
    }
}
