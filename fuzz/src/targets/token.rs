//! Tokens of another gateway. The first byte says how the rest is meant: `r` is a token as it stands, `m` changes the one
//! that is right (pairs of place and mask), `s` is a header, a line break and a payload that the gateway's key signs, `x`
//! the same with a signature of another message. Each is presented as `jwt` and as `inner_jwt`.
//!
//! Holds: no token is believed but the one that is right, or one that the key signed, whose header names key and
//! algorithm, whose time is now, and then only for app and user that it calls verified.

use crate::drive::{End, Way, drive};
use crate::request::Pairs;
use crate::tokens::Parties;
use crate::world::{BODY, NOW_S, PATH, gate_of, with_services};
use crate::{forwarded, refused, tokens};
use serde_json::{Value, json};

const FACTS: &[u8] = br#"{"code":0,"data":{"bk_app_code":"ci","identity":{"username":"bob"},"expires_in":100}}"#;

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let Some((token, believed)) = token(*how, rest) else { return };
    if token.is_empty() {
        // Which is none.
        return;
    }
    show(&json!({"inner_jwt": token}), &token, believed.clone());
    // The app is whom the access token belongs to.
    let user_only = believed.map(|(_, user)| (Some("ci".to_owned()), user));
    show(&json!({"jwt": token, "access_token": "facts-s3cret"}), &token, user_only);
}

fn show(credentials: &Value, token: &str, believed: Option<Parties>) {
    let credentials = credentials.to_string();
    let gate = gate_of(with_services(false));
    let pairs: Pairs<'_> = vec![
        (b":method", b"POST"),
        (b":path", PATH.as_bytes()),
        (b"content-type", b"application/json"),
        (b"x-bkapi-authorization", credentials.as_bytes()),
    ];
    // The second time the gate remembers what it made of the token.
    for _ in 0..2 {
        match drive(&gate, &pairs, Way::with(BODY.as_bytes()), &[Some((200, FACTS))]).0 {
            End::Refuse(refusal) => {
                refused::check(&refusal, [token, "facts-s3cret"]);
                assert_eq!(refusal.reply.status, 400);
                assert_ne!(token, tokens::valid());
            }
            End::Forward(forward) => {
                forwarded::check_headers(&pairs, &forward);
                let claims = tokens::claims(&forward);
                let (app, user) = believed.clone().expect("a token that may be believed");
                assert!(claims.app.verified && claims.user.verified);
                assert_eq!((Some(claims.app.app_code), Some(claims.user.username)), (app, user));
            }
        }
    }
}

/// A token, and whom it may be believed about.
fn token(how: u8, rest: &[u8]) -> Option<(String, Option<Parties>)> {
    let valid = || tokens::parties(tokens::HEADER.as_bytes(), tokens::PAYLOAD.as_bytes(), NOW_S);
    let known = |token: String| {
        let believed = if token == tokens::valid() { valid() } else { None };
        (token, believed)
    };
    let parts = || {
        let at = rest.iter().position(|b| *b == b'\n')?;
        Some((&rest[..at], &rest[at + 1..]))
    };
    match how {
        b'r' => Some(known(String::from_utf8_lossy(rest).into_owned())),
        b'm' => {
            let mut bytes = tokens::valid().as_bytes().to_vec();
            for change in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                bytes[at] ^= change[2];
            }
            Some(known(String::from_utf8_lossy(&bytes).into_owned()))
        }
        b's' => {
            let (header, payload) = parts()?;
            Some((tokens::sign(header, payload), tokens::parties(header, payload, NOW_S)))
        }
        b'x' => {
            let (header, payload) = parts()?;
            let (own, other) = (tokens::sign(header, payload), tokens::sign(header, b"{}"));
            let signature = other.rsplit_once('.')?.1;
            Some(known(format!("{}.{signature}", own.rsplit_once('.')?.0)))
        }
        _ => None,
    }
}
