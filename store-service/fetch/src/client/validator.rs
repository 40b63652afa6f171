//! What tells the versions of a file apart (RFC 9110, 8.8): a strong `ETag`, or a `Last-Modified` that is as good as one.
//!
//! Refuses to guess: a weak tag, a date that is too young, and whatever is there twice count as nothing.

use std::time::Duration;

use http::header::{ACCEPT_RANGES, DATE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::retry::parse_http_date;

/// What a date of change must be older than to be a strong validator: a file may change twice in its second, and the
/// clocks of a server and its disk may differ.
const SETTLED: Duration = Duration::from_secs(60);

/// A strong validator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Validator {
    name: HeaderName,
    value: HeaderValue,
}

impl Validator {
    /// The `ETag`, if it is strong; without any, a `Last-Modified` that is old enough to be strong.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        if headers.get(ACCEPT_RANGES).is_some_and(|units| units.as_bytes().eq_ignore_ascii_case(b"none")) {
            return None;
        }
        if headers.contains_key(ETAG) {
            let etag = single_value(headers, &ETAG)?;
            let quoted = etag.as_bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            return (!quoted.contains(&b'"')).then(|| Self { name: ETAG, value: etag.clone() });
        }
        let modified = single_value(headers, &LAST_MODIFIED)?;
        let age = parse_http_date(single_value(headers, &DATE)?)?.duration_since(parse_http_date(modified)?);
        let is_settled = Duration::try_from(age).ok()? >= SETTLED;
        is_settled.then(|| Self { name: LAST_MODIFIED, value: modified.clone() })
    }

    /// Its value, for `If-Range`.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// Whether another reply shows the same one, once.
    pub(super) fn is_repeated_in(&self, headers: &HeaderMap) -> bool {
        single_value(headers, &self.name).is_some_and(|value| *value == self.value)
    }
}

/// The value of a header that stands once.
pub(super) fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const A_MINUTE_LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_strong_validators_count() {
        let value_of = |list: &[(HeaderName, &str)]| Validator::from_headers(&headers(list)).map(|found| found.value);
        assert_eq!(value_of(&[(ETAG, "\"a\"")]).unwrap(), "\"a\"");
        assert_eq!(value_of(&[(ETAG, "\"\""), (ACCEPT_RANGES, "bytes")]).unwrap(), "\"\"");
        assert_eq!(value_of(&[(LAST_MODIFIED, THEN), (DATE, A_MINUTE_LATER)]).unwrap(), THEN);
        for none in [
            &[][..],
            &[(ETAG, "W/\"a\"")],
            &[(ETAG, "a")],
            &[(ETAG, "\"")],
            &[(ETAG, "\"a\", \"b\"")],
            &[(ETAG, "\"a\""), (ACCEPT_RANGES, "none")],
            // A weak tag says that the file may differ although it was not touched, so the date proves nothing either.
            &[(ETAG, "W/\"a\""), (LAST_MODIFIED, THEN), (DATE, A_MINUTE_LATER)],
            &[(LAST_MODIFIED, THEN)],
            &[(LAST_MODIFIED, THEN), (DATE, "Sun, 06 Nov 1994 08:50:36 GMT")],
            &[(LAST_MODIFIED, A_MINUTE_LATER), (DATE, THEN)],
            &[(LAST_MODIFIED, "yesterday"), (DATE, A_MINUTE_LATER)],
        ] {
            assert_eq!(value_of(none), None, "{none:?}");
        }
        let mut twice = headers(&[(ETAG, "\"a\"")]);
        twice.append(ETAG, HeaderValue::from_static("\"b\""));
        assert_eq!(Validator::from_headers(&twice), None);
    }
}
