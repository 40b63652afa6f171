//! What a request's headers ask for besides its body: not to be waited for, to be watched, to be done once.

use linkgate_contract::{
    CallerApp, Origin, Problem, Sha256, Text, caller_credential_refused, headers, is_of_type, read_caller_credential,
};
use linkgate_store_core::ingest::Upload;
use linkgate_store_core::ingest::ports::JobKey;
use secrecy::SecretString;
use warp::http::header::ACCEPT;
use warp::http::{HeaderMap, HeaderValue};

use super::auth::Caller;

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longer than any UUID, and what other services take.
const MAX_KEY_BYTES: usize = 255;

/// `Prefer: respond-async` (RFC 7240), in any of the header's lines. An empty value is none, and of several the first counts.
pub(super) fn responds_async(headers: &HeaderMap) -> bool {
    preference(headers, "respond-async").is_some_and(|value| value.is_empty() || value == "\"\"")
}

/// `Prefer: return=existing`: a package that is there already with these very bytes is as good as a new one.
pub(super) fn returns_existing(headers: &HeaderMap) -> bool {
    preference(headers, "return").is_some_and(|value| value.trim_matches('"').eq_ignore_ascii_case("existing"))
}

/// `Prefer: handling=strict`: the caller wants to be told of what would be ignored.
pub(super) fn is_strict(headers: &HeaderMap) -> bool {
    let handling = preference(headers, "handling");
    handling.is_some_and(|value| value.trim_matches('"').eq_ignore_ascii_case("strict"))
}

/// Whether a page can be shown: browsers name its type when they go somewhere, and scripts do not.
pub(super) fn accepts_pages(headers: &HeaderMap) -> bool {
    items(headers, ACCEPT.as_str()).any(|item| is_of_type(Some(item.as_bytes()), "text/html"))
}

/// The value of a preference.
fn preference<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    items(headers, "prefer").find_map(|item| {
        let preference = split_unquoted(item, ';').next()?;
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
    })
}

/// Whether an event stream is asked for by name, and JSON is not liked better.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let weight = |media_type: &str| {
        let named = items(headers, ACCEPT.as_str()).filter_map(|item| weigh(item, media_type));
        named.fold(0.0, f32::max)
    };
    let events = weight("text/event-stream");
    events > 0.0 && events >= weight("application/json")
}

/// How much an item of `Accept` likes a media type that it names, from 0 to 1.
fn weigh(item: &str, media_type: &str) -> Option<f32> {
    let mut parts = split_unquoted(item, ';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(media_type) {
        return None;
    }
    let is_weight = |name: &str| name.trim().eq_ignore_ascii_case("q");
    let weight = parts.find_map(|part| part.split_once('=').filter(|(name, _)| is_weight(name)));
    weight.map_or(Some(1.0), |(_, value)| value.trim().parse().ok())
}

/// The items of a header that holds a list, in one line or several.
pub(super) fn items<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| split_unquoted(line, ','))
}

/// Splits where the separator does not stand in quotes.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = is_quoted && c == '\\' && !is_escaped;
        !is_quoted && c == separator
    })
}

/// The caller's own credential for a source, where the gate judged it. One that another gateway merely passed on is refused:
/// left out, it would have its caller wonder.
pub(super) fn read_callers_own(
    request_headers: &HeaderMap,
    caller: &Caller,
    source: &Origin,
) -> Result<Option<SecretString>, Problem> {
    let judged = request_headers.get_all(headers::JUDGED_SOURCE_AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    match read_caller_credential(judged)? {
        Some(value) if caller.may_bring_credential => Ok(Some(value.into())),
        None if !request_headers.contains_key(headers::SOURCE_AUTHORIZATION) => Ok(None),
        _ => Err(caller_credential_refused(source)),
    }
}

/// The caller's `Idempotency-Key`, and what it stands for.
pub(super) fn read_idempotency_key(
    headers: &HeaderMap,
    caller: &Caller,
    upload: &Upload,
) -> Result<Option<JobKey>, Problem> {
    Ok(read_key(headers, caller)?.map(|key| JobKey { key, fingerprint: fingerprint(upload) }))
}

/// The caller's `Idempotency-Key`. It is its caller's own: nobody meets another one's.
pub(super) fn read_key(headers: &HeaderMap, caller: &Caller) -> Result<Option<Sha256>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let key = value.as_bytes().trim_ascii();
    let is_plain = key.iter().all(u8::is_ascii_graphic);
    if given.next().is_some() || key.is_empty() || key.len() > MAX_KEY_BYTES || !is_plain {
        let text = Text::fixed(
            "请提供一个 Idempotency-Key，由 1 至 255 个可见 ASCII 字符组成。",
            "Give one key of 1 to 255 visible ASCII characters.",
        );
        return Err(Problem::field("Idempotency-Key", text));
    }
    let (app, operator) = (caller.app.as_ref().map_or("", CallerApp::as_str), caller.operator.as_str());
    Ok(Some(Sha256::digest_parts([app.as_bytes(), operator.as_bytes(), key])))
}

/// A caller's own credential makes another request of it.
fn fingerprint(upload: &Upload) -> Sha256 {
    let (target, request) = (upload.target.path(), upload.request.to_json());
    let own = upload.callers_own.as_ref().map(|own| own.fingerprint);
    let parts = [target.as_bytes(), request.as_bytes()];
    Sha256::digest_parts(parts.into_iter().chain(own.as_ref().map(|own| &own.as_bytes()[..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn preferences_are_read_as_the_standard_has_them() {
        for yes in [
            &["respond-async"][..],
            &["wait=10, Respond-Async; x=1"],
            &["wait=10", "respond-async"],
            &["respond-async="],
            &["respond-async = \"\""],
            &["x=\"a\\\", b\", respond-async, respond-async=1"],
        ] {
            assert!(responds_async(&headers("prefer", yes)), "{yes:?}");
        }
        for no in [
            &[][..],
            &["respond-asynchronously"],
            &["wait=10"],
            &["x=respond-async"],
            &["respond-async=1"],
            &["respond-async=no, respond-async"],
            &["x=\"a, respond-async, b\""],
        ] {
            assert!(!responds_async(&headers("prefer", no)), "{no:?}");
        }
    }

    #[test]
    fn what_is_there_already_is_returned_to_those_who_say_so() {
        for yes in ["return=existing", "respond-async, Return=\"Existing\"; x"] {
            assert!(returns_existing(&headers("prefer", &[yes])), "{yes}");
        }
        for no in ["return=minimal", "return", "existing", "return=minimal, return=existing"] {
            assert!(!returns_existing(&headers("prefer", &[no])), "{no}");
        }
    }

    #[test]
    fn handling_is_strict_for_those_who_say_so_first() {
        for yes in ["handling=strict", "Handling = \"Strict\"", "wait=10, handling=strict; x=1"] {
            assert!(is_strict(&headers("prefer", &[yes])), "{yes}");
        }
        for no in
            ["handling=lenient", "handling", "strict", "handling=lenient, handling=strict", "x=\"handling=strict\""]
        {
            assert!(!is_strict(&headers("prefer", &[no])), "{no}");
        }
    }

    #[test]
    fn events_are_sent_to_those_who_name_them() {
        assert!(wants_events(&headers("accept", &["text/event-stream"])));
        assert!(wants_events(&headers("accept", &["application/json;q=0.5, text/event-stream;q=1"])));
        assert!(wants_events(&headers("accept", &["application/json, text/event-stream"])));
        for no in [
            "*/*",
            "text/event-stream;q=0",
            "text/event-stream; q=0.4, application/json;q=0.5",
            "text/event-stream;q=x",
        ] {
            assert!(!wants_events(&headers("accept", &[no])), "{no}");
        }
    }
}
