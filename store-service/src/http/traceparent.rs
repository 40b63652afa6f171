//! Reads from the headers of a request in which trace it belongs.

use linkgate_store_core::trace::TRACEPARENT;
use warp::http::HeaderMap;

/// The value of the one `traceparent`.
pub(super) fn read_traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    // The standard: several are none.
    let first = all.next().filter(|_| all.next().is_none())?;
    first.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_none_and_no_other_header_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert("tracestate", "vendor=secret".parse().unwrap());
        assert_eq!(read_traceparent(&headers), None);
        headers.append(TRACEPARENT, "one".parse().unwrap());
        assert_eq!(read_traceparent(&headers), Some("one"));
        headers.append(TRACEPARENT, "one".parse().unwrap());
        assert_eq!(read_traceparent(&headers), None);
    }
}
