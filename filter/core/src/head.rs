//! The head of a request: its headers as bytes, for HTTP admits octets that are not UTF-8.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::time::Time;

/// Headers and pseudo-headers (`:method`, `:path`) in their order, borrowed from the host's buffer.
pub struct Head<'a> {
    pub(crate) pairs: &'a [(&'a [u8], &'a [u8])],
    pub(crate) end_of_stream: bool,
    pub(crate) now: Time,
    pub(crate) client_ip: Option<IpAddr>,
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
        let mut head = Self { pairs, end_of_stream, now, client_ip: None, request_id: Cow::Borrowed("") };
        head.request_id = head.given_id().map_or_else(|| Cow::Owned(hex::encode(entropy())), Cow::Borrowed);
        head
    }

    /// Adds the client's address: `address:port`, as the proxy says it.
    #[must_use]
    pub fn with_client_address(mut self, address: &[u8]) -> Self {
        self.client_ip = parse_client_address(address);
        self
    }

    /// The id that the proxy gave the request, or a fresh one.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Every value of a header.
    pub fn header_values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
    }

    /// The first value of a header, if it is text.
    #[must_use]
    pub fn header_text(&self, name: &'static str) -> Option<&'a str> {
        self.header_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The origin of the page for which a browser sends the request, if it says one.
    pub(crate) fn origin(&self) -> Option<&'a str> {
        let mut copies = self.header_values(linkgate_contract::headers::ORIGIN);
        let origin = copies.next().filter(|_| copies.next().is_none())?;
        std::str::from_utf8(origin).ok()
    }

    /// Only an id that could not break a header or a log line.
    fn given_id(&self) -> Option<&'a str> {
        let plain =
            |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        self.header_text(linkgate_contract::headers::X_REQUEST_ID).filter(plain)
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
    fn a_header_is_found_in_any_case_and_every_copy_of_it() {
        let pairs: [(&[u8], &[u8]); 3] = [(b"X-A", b"1"), (b"b", b"\xff"), (b"x-a", b"2")];
        assert_eq!(head(&pairs).header_values("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(head(&pairs).header_text("x-a"), Some("1"));
        assert_eq!(head(&pairs).header_text("b"), None);
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
