//! What must hold of every request that ends at the gate.

use linkgate_gate::Denial;
use serde_json::Value;

use crate::world::MARK;

const STATUSES: [u16; 8] = [400, 403, 404, 413, 414, 415, 429, 500];

/// Checks a refusal: JSON, a status that callers know, headers and log lines that nothing can break, and no secret.
/// `secrets` are those that were presented; only such with [`MARK`] can be told from the gate's own words.
pub fn check<'a>(refusal: &Denial, secrets: impl IntoIterator<Item = &'a str>) {
    let reply = &refusal.reply;
    assert!(STATUSES.contains(&reply.status), "{}", reply.status);
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert!(body.is_object());
    for (name, value) in &reply.headers {
        assert!(!value.chars().any(char::is_control), "{name}: {value:?}");
    }
    let plain = |text: &str| !text.chars().any(char::is_control);
    assert!(refusal.record.fields().iter().all(|(_, value)| plain(value)), "{:?}", refusal.record);
    // The host that a link names is told to the caller, whatever it is.
    let names_host = body["fields_detail"]["package_url"].is_array();
    for secret in secrets.into_iter().filter(|secret| secret.contains(MARK) && !names_host) {
        let told = reply.headers.iter().any(|(_, value)| value.contains(secret));
        assert!(!told && !contains(&body, secret), "{} tells {secret:?}", reply.body);
        assert!(!refusal.record.fields().iter().any(|(_, value)| value.contains(secret)), "{:?}", refusal.record);
    }
}

/// Whether a text in it tells the secret.
pub fn contains(value: &Value, secret: &str) -> bool {
    match value {
        Value::String(text) => text.contains(secret),
        Value::Array(list) => list.iter().any(|value| contains(value, secret)),
        Value::Object(fields) => fields.values().any(|value| contains(value, secret)),
        _ => false,
    }
}
