//! Signs requests as BlueKing's clients do: HMAC-SHA1 over method, path, query and body.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded::{Serializer, parse};

/// The target of a POST of this body, signed with an app's secret. What the target's query has is signed too.
#[must_use]
pub fn signed_target(target: &str, nonce: u64, timestamp: i64, body: &str, secret: &str) -> String {
    signed("POST", target, nonce, timestamp, Some(body), secret)
}

/// The target of a request of another method, which has no body.
#[must_use]
pub fn signed_target_of(method: &str, target: &str, nonce: u64, timestamp: i64, secret: &str) -> String {
    signed(method, target, nonce, timestamp, None, secret)
}

fn signed(method: &str, target: &str, nonce: u64, timestamp: i64, body: Option<&str>, secret: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs: Vec<(String, String)> = parse(query.as_bytes()).into_owned().collect();
    pairs.push(("bk_nonce".to_owned(), nonce.to_string()));
    pairs.push(("bk_timestamp".to_owned(), timestamp.to_string()));
    let mut signed = pairs.clone();
    signed.extend(body.map(|body| ("data".to_owned(), body.to_owned())));
    signed.sort_unstable();
    let signed: Vec<_> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let content = format!("{method}{path}?{}", signed.join("&"));
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes()), content.as_bytes());
    let start = path.len() + 1;
    let mut query = Serializer::for_suffix(format!("{path}?"), start);
    query.extend_pairs(pairs).append_pair("bk_signature", &STANDARD.encode(tag)).finish()
}
