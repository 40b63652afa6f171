//! What must hold of every request that is sent on, whoever sent it.

use linkgate_gate::Forward;
use serde_json::{Map, Value};

use crate::request::{Pairs, is_canonical, is_job};

/// Fields that are credentials wherever they stand.
pub const CREDENTIAL_FIELDS: [&str; 14] = [
    "access_token",
    "app_code",
    "app_secret",
    "bk_app_code",
    "bk_app_secret",
    "bk_nonce",
    "bk_signature",
    "bk_ticket",
    "bk_timestamp",
    "bk_token",
    "bk_username",
    "inner_jwt",
    "jwt",
    "username",
];

/// A header that goes on.
fn set<'a>(forward: &'a Forward, name: &str) -> Option<&'a str> {
    let mut values = forward.set.iter().filter(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    let value = values.next();
    assert!(values.next().is_none(), "{name} is set twice");
    value
}

/// Checks the headers: one path, in the only form and without a query; a token; nothing of the caller's that is a
/// credential or could pass for a word of the gate.
pub fn check_headers(pairs: &Pairs<'_>, forward: &Forward) {
    let path = set(forward, ":path").unwrap();
    assert!(is_canonical(path), "{path}");
    assert!(set(forward, "x-bkapi-jwt").is_some_and(|token| token.split('.').count() == 3));
    for (name, value) in &forward.set {
        assert!(value.bytes().all(|b| b.is_ascii_graphic()), "{name} goes on as {value:?}");
    }
    for (name, _) in pairs {
        // Proxies take no other names.
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let name = name.to_ascii_lowercase();
        let goes = !forward.remove.contains(&name);
        let replaced = forward.set.iter().any(|(set, _)| *set == name);
        let credential = ["authorization", "cookie", "proxy-authorization"].contains(&name.as_str());
        let ours = name.replace('_', "-").starts_with("x-bkapi-");
        assert!(!goes || !credential && (!ours || replaced), "{name} goes on");
    }
    let plain = |text: &str| !text.chars().any(char::is_control);
    assert!(forward.record.properties().iter().all(|(_, value)| plain(value)), "{:?}", forward.record);
    assert_eq!(forward.record.decision, "OK");
}

/// Checks the body and gives its fields: what goes on is an object without credentials, and its length and type are said.
/// About an upload that has begun nothing is said.
pub fn check_body(body: &[u8], forward: &Forward) -> Map<String, Value> {
    if set(forward, ":path").is_some_and(is_job) {
        assert!(body.is_empty() && forward.body.is_none() && forward.lease.is_none() && forward.set.len() <= 4);
        return Map::new();
    }
    let sent = forward.body.as_deref().unwrap_or(body);
    let fields: Map<String, Value> = serde_json::from_slice(sent).unwrap();
    for field in CREDENTIAL_FIELDS {
        assert!(!fields.contains_key(field), "{field} goes on");
    }
    let length = forward.body.as_ref().map(|body| body.len().to_string());
    assert_eq!(set(forward, "content-length"), length.as_deref());
    assert_eq!(set(forward, "content-type"), length.map(|_| "application/json"));
    fields
}
