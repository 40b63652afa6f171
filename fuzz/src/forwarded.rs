//! What must hold of every request that is sent on, whoever sent it.

use linkgate_contract::{BodyKind, CREDENTIAL_NAMES, Endpoint, Operation};
use linkgate_gate::Forward;
use serde_json::{Map, Value};

use crate::request::{Pairs, json, route, text};

/// A header that goes on.
fn set<'a>(forward: &'a Forward, name: &str) -> Option<&'a str> {
    let mut values = forward.set.iter().filter(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    let value = values.next();
    assert!(values.next().is_none(), "{name} is set twice");
    value
}

/// Path and query that go on.
pub fn split_target(forward: &Forward) -> (&str, &str) {
    let target = set(forward, ":path").unwrap();
    target.split_once('?').unwrap_or((target, ""))
}

/// The path in its only form, and its row.
fn served(pairs: &Pairs<'_>, forward: &Forward) -> (String, &'static Endpoint) {
    let (path, _) = split_target(forward);
    let served = route(text(pairs, ":method"), Some(path));
    served.map(|(_, canonical, endpoint)| (canonical, endpoint)).unwrap_or_else(|| panic!("{path} is no endpoint"))
}

/// Checks the headers: one path, in the only form, with no more of the query than the endpoint reads; a token; nothing of the caller's that is a
/// credential or could pass for a word of the gate.
pub fn check_headers(pairs: &Pairs<'_>, forward: &Forward) {
    let (path, query) = split_target(forward);
    let (canonical, endpoint) = served(pairs, forward);
    assert_eq!((path, forward.record.operation), (canonical.as_str(), endpoint.operation.id()));
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        assert!(endpoint.query.contains(&&*name) && !CREDENTIAL_NAMES.contains(&&*name), "{name} goes on");
    }
    assert!(set(forward, "x-bkapi-jwt").is_some_and(|token| token.split('.').count() == 3));
    for (name, value) in &forward.set {
        // The value of a caller's own credential has words.
        let blank = *name == "x-bkapi-source-authorization";
        assert!(value.bytes().all(|b| b.is_ascii_graphic() || blank && b == b' '), "{name} goes on as {value:?}");
    }
    for (name, _) in pairs {
        // Proxies take no other names.
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let name = name.to_ascii_lowercase();
        let goes = !forward.remove.contains(&name);
        let replaced = forward.set.iter().any(|(set, _)| *set == name);
        let credential = ["authorization", "cookie", "proxy-authorization", "x-bk-tenant-id"].contains(&name.as_str());
        let plain = name.replace('_', "-");
        let (ours, own) = (plain.starts_with("x-bkapi-"), plain == "x-linkgate-source-authorization");
        assert!(!goes || !credential && !own && (!ours || replaced), "{name} goes on");
    }
    let plain = |text: &str| !text.chars().any(char::is_control);
    assert!(forward.record.fields().iter().all(|(_, value)| plain(value)), "{:?}", forward.record);
    assert_eq!(forward.record.decision, "OK");
}

/// Checks the body and gives its fields: what goes on is an object without credentials, and its length and type are said.
/// Where the endpoint takes no body, none goes on; where it takes a file, that goes on as it comes.
pub fn check_body(pairs: &Pairs<'_>, body: &[u8], forward: &Forward) -> Map<String, Value> {
    let (_, endpoint) = served(pairs, forward);
    assert_eq!(forward.ends_with_caller, endpoint.body == BodyKind::Stream);
    let length = forward.body.as_ref().map(|body| body.len().to_string());
    assert_eq!(set(forward, "content-length"), length.as_deref());
    assert_eq!(set(forward, "content-type"), length.map(|_| "application/json"));
    match endpoint.body {
        BodyKind::None => assert!(body.is_empty() && forward.body.is_none() && forward.lease.is_none()),
        BodyKind::Stream => assert!(forward.body.is_none()),
        BodyKind::Json if body.is_empty() => {
            assert!(forward.body.is_none() && endpoint.operation != Operation::UploadSourcePackageViaLink);
        }
        BodyKind::Json => return check_fields(forward.body.as_deref().unwrap_or(body)),
    }
    Map::new()
}

fn check_fields(sent: &[u8]) -> Map<String, Value> {
    let Some(Value::Object(fields)) = json(sent) else { panic!("no object goes on") };
    for field in CREDENTIAL_NAMES {
        assert!(!fields.contains_key(field), "{field} goes on");
    }
    fields
}
