//! The head of a request: its headers as bytes, for HTTP admits octets that are not UTF-8.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use linkgate_contract::headers;

use crate::signed_url::may_be_signed;
use crate::time::Time;

/// The headers that the gate reads; [`NAMES`] has their names in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderField {
    Method,
    Path,
    Authorization,
    ContentType,
    ContentLength,
    Cookie,
    Expect,
    RequestId,
    CallerRequestId,
    Language,
    AcceptLanguage,
    TenantId,
    Origin,
    RequestedMethod,
    SourceAuthorization,
}

const NAMES: [&str; 15] = [
    ":method",
    ":path",
    headers::AUTHORIZATION,
    headers::CONTENT_TYPE,
    "content-length",
    "cookie",
    "expect",
    headers::X_REQUEST_ID,
    headers::CALLER_REQUEST_ID,
    headers::LANGUAGE,
    headers::ACCEPT_LANGUAGE,
    headers::TENANT_ID,
    headers::ORIGIN,
    headers::REQUESTED_METHOD,
    headers::SOURCE_AUTHORIZATION,
];

/// Headers and pseudo-headers (`:method`, `:path`) in their order, borrowed from the host's buffer.
pub struct Head<'a> {
    pub(crate) pairs: &'a [(&'a [u8], &'a [u8])],
    pub(crate) end_of_stream: bool,
    pub(crate) now: Time,
    pub(crate) client_ip: Option<IpAddr>,
    /// The first value of each field, found in one pass: to look through all headers for each name costs more than the rest.
    first: [Option<&'a [u8]>; NAMES.len()],
    repeated: [bool; NAMES.len()],
    request_id: Cow<'a, str>,
}

impl<'a> Head<'a> {
    /// Takes the pairs as they came, whether no body follows, and the time. Random bytes are asked for only
    /// when the proxy gave the request no id.
    #[must_use]
    pub fn new(
        pairs: &'a [(&'a [u8], &'a [u8])],
        end_of_stream: bool,
        now: Time,
        entropy: impl FnOnce() -> [u8; 16],
    ) -> Self {
        let (first, repeated) = ([None; NAMES.len()], [false; NAMES.len()]);
        let request_id = Cow::Borrowed("");
        let mut head = Self { pairs, end_of_stream, now, client_ip: None, first, repeated, request_id };
        head.index_fields();
        head.request_id = head.given_id().map_or_else(|| Cow::Owned(hex::encode(entropy())), Cow::Borrowed);
        head
    }

    fn index_fields(&mut self) {
        for (name, value) in self.pairs {
            let is_it = |known: &&str| known.len() == name.len() && name.eq_ignore_ascii_case(known.as_bytes());
            let Some(at) = NAMES.iter().position(is_it) else { continue };
            match self.first.get_mut(at) {
                Some(first @ None) => *first = Some(value),
                _ => self.repeated.iter_mut().skip(at).take(1).for_each(|repeated| *repeated = true),
            }
        }
    }

    /// Adds the client's address: `address:port`, as the proxy says it.
    #[must_use]
    pub fn with_client_address(mut self, address: &[u8]) -> Self {
        self.client_ip = parse_client_address(address);
        self
    }

    /// Whether its target may have the token of a signed URL.
    pub(crate) fn may_be_signed(&self) -> bool {
        self.text(HeaderField::Path).is_some_and(may_be_signed)
    }

    /// The id that the proxy gave the request, or a fresh one.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The first value of a field.
    pub(crate) fn first(&self, field: HeaderField) -> Option<&'a [u8]> {
        self.first.get(field as usize).copied().flatten()
    }

    /// Whether it stands there more than once.
    pub(crate) fn is_repeated(&self, field: HeaderField) -> bool {
        self.repeated.get(field as usize).copied().unwrap_or_default()
    }

    /// The first value of a field, if it is text.
    pub(crate) fn text(&self, field: HeaderField) -> Option<&'a str> {
        self.first(field).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of a field.
    pub(crate) fn all(&self, field: HeaderField) -> impl Iterator<Item = &'a [u8]> {
        let name = NAMES.get(field as usize).copied().unwrap_or_default().as_bytes();
        let pairs = self.first(field).map_or(&[][..], |_| self.pairs);
        pairs.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Every value of a header that few requests are asked about; those that all are asked about are fields.
    pub(crate) fn named(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
    }

    /// The origin of the page for which a browser sends the request, if it says one.
    pub(crate) fn origin(&self) -> Option<&'a str> {
        self.text(HeaderField::Origin).filter(|_| !self.is_repeated(HeaderField::Origin))
    }

    /// Only an id that could not break a header or a log line.
    fn given_id(&self) -> Option<&'a str> {
        let plain =
            |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        self.text(HeaderField::RequestId).filter(plain)
    }
}

/// The address in `address:port`, or in an address alone.
pub(crate) fn parse_client_address(address: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(address).ok()?;
    text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head<'a>(pairs: &'a [(&'a [u8], &'a [u8])]) -> Head<'a> {
        Head::new(pairs, false, Time::default(), || [7; 16])
    }

    #[test]
    fn a_field_is_found_in_any_case_and_every_copy_of_it() {
        let pairs: [(&[u8], &[u8]); 4] = [(b"Cookie", b"1"), (b"expect", b"\xff"), (b"cookie", b"2"), (b"x-a", b"3")];
        let head = head(&pairs);
        assert_eq!(head.all(HeaderField::Cookie).collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!((head.text(HeaderField::Cookie), head.is_repeated(HeaderField::Cookie)), (Some("1"), true));
        assert_eq!((head.first(HeaderField::Expect), head.text(HeaderField::Expect)), (Some(&b"\xff"[..]), None));
        assert!(!head.is_repeated(HeaderField::Expect) && head.first(HeaderField::Path).is_none());
        assert_eq!(head.all(HeaderField::Path).count(), 0);
    }

    #[test]
    fn any_header_is_found_by_its_name() {
        let pairs: [(&[u8], &[u8]); 3] = [(b"Accept", b"1"), (b"accept-language", b"2"), (b"accept", b"3")];
        assert_eq!(head(&pairs).named("accept").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(head(&pairs).named(":scheme").count(), 0);
    }

    #[test]
    fn each_field_has_its_own_name() {
        let fields = [
            (HeaderField::Method, ":method"),
            (HeaderField::Path, ":path"),
            (HeaderField::Authorization, "x-bkapi-authorization"),
            (HeaderField::ContentType, "content-type"),
            (HeaderField::ContentLength, "content-length"),
            (HeaderField::Cookie, "cookie"),
            (HeaderField::Expect, "expect"),
            (HeaderField::RequestId, "x-request-id"),
            (HeaderField::CallerRequestId, "x-bkapi-caller-request-id"),
            (HeaderField::Language, "blueking-language"),
            (HeaderField::AcceptLanguage, "accept-language"),
            (HeaderField::TenantId, "x-bk-tenant-id"),
            (HeaderField::Origin, "origin"),
            (HeaderField::RequestedMethod, "access-control-request-method"),
            (HeaderField::SourceAuthorization, "x-linkgate-source-authorization"),
        ];
        assert_eq!(fields.len(), NAMES.len());
        for (field, name) in fields {
            let pairs: [(&[u8], &[u8]); 1] = [(name.as_bytes(), b"v")];
            assert_eq!(head(&pairs).first(field), Some(&b"v"[..]), "{name}");
        }
    }

    #[test]
    fn a_client_address_is_an_address_with_or_without_a_port() {
        let client_ip = |text: &[u8]| head(&[]).with_client_address(text).client_ip.map(|address| address.to_string());
        assert_eq!(client_ip(b"10.0.0.1:4711").as_deref(), Some("10.0.0.1"));
        assert_eq!(client_ip(b"[::1]:80").as_deref(), Some("::1"));
        assert_eq!(client_ip(b"2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(client_ip(b"/tmp/socket"), None);
        assert_eq!(client_ip(b"\xff"), None);
    }

    #[test]
    fn an_id_that_could_break_a_line_is_replaced() {
        let with = |id: &[u8]| head(&[(b"x-request-id", id)]).request_id().to_owned();
        assert_eq!(with(b"2f1c-AB"), "2f1c-AB");
        for bad in [&b""[..], b"a\r\nb", b"\xff", &[b'a'; 65]] {
            assert_eq!(with(bad), "07".repeat(16));
        }
        assert_eq!(head(&[]).request_id(), "07".repeat(16));
    }
}
