//! What a request's headers ask for besides its body: not to be waited for, to be watched, to be done once.

use linkgate_contract::{CallerApp, Problem, Sha256, Text};
use linkgate_store_core::ingest::Upload;
use linkgate_store_core::ingest::ports::JobKey;
use warp::http::HeaderMap;
use warp::http::header::ACCEPT;

use super::auth::Caller;

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longer than any UUID, and what other services take.
const MAX_KEY_BYTES: usize = 255;

/// `Prefer: respond-async` (RFC 7240), in any of the header's lines.
pub(super) fn responds_async(headers: &HeaderMap) -> bool {
    lists(headers, "prefer", "respond-async")
}

/// Whether an event stream is asked for by name.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    lists(headers, ACCEPT.as_str(), "text/event-stream")
}

/// Whether a header that holds a list, in one line or several, has this item, with whatever parameters.
fn lists(headers: &HeaderMap, name: &str, item: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut items = lines.flat_map(|line| line.split(',')).map(|one| one.split(';').next().unwrap_or_default().trim());
    items.any(|one| one.eq_ignore_ascii_case(item))
}

/// The caller's `Idempotency-Key`, and what it stands for. A key is its caller's own: nobody meets another one's.
pub(super) fn read_idempotency_key(
    headers: &HeaderMap,
    caller: &Caller,
    upload: &Upload,
) -> Result<Option<JobKey>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let key = value.as_bytes().trim_ascii();
    let is_plain = key.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if given.next().is_some() || key.is_empty() || key.len() > MAX_KEY_BYTES || !is_plain {
        let text = Text::fixed(
            "请提供一个 Idempotency-Key，由 1 至 255 个可见 ASCII 字符组成。",
            "Give one key of 1 to 255 visible ASCII characters.",
        );
        return Err(Problem::field("Idempotency-Key", text));
    }
    let (app, operator) = (caller.app.as_ref().map_or("", CallerApp::as_str), caller.operator.as_str());
    Ok(Some(JobKey {
        key: Sha256::digest_parts([app.as_bytes(), operator.as_bytes(), key]),
        fingerprint: Sha256::digest_parts([upload.target.path().as_bytes(), upload.request.to_json().as_bytes()]),
    }))
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn preferences_are_read_as_the_standard_has_them() {
        for yes in [&["respond-async"][..], &["wait=10, Respond-Async; x=1"], &["wait=10", "respond-async"]] {
            assert!(responds_async(&headers("prefer", yes)), "{yes:?}");
        }
        for no in [&[][..], &["respond-asynchronously"], &["wait=10"], &["x=respond-async"]] {
            assert!(!responds_async(&headers("prefer", no)), "{no:?}");
        }
    }

    #[test]
    fn events_are_sent_to_those_who_name_them() {
        assert!(wants_events(&headers("accept", &["text/event-stream"])));
        assert!(wants_events(&headers("accept", &["application/json;q=0.5, text/event-stream;q=1"])));
        assert!(!wants_events(&headers("accept", &["*/*"])));
    }
}
