//! Where a link points to: all that an allow-list looks at.
//!
//! The gate needs no more of a link, and reads most of them here, in a fraction of the time that the whole URL takes.
//! Promises: whatever is read here has the very origin that [`PackageUrl`] finds, and is no link that [`PackageUrl`]
//! would refuse. What is not plain beyond doubt is left to it.

use url::Host;

use crate::url::{is_plain, is_plain_host, is_plain_port};
use crate::{InvalidUrl, PackageUrl};

/// Scheme, host and port of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// As parsed: a name in lower case, or an address.
    pub host: Host<String>,
    /// The port, given or the scheme's own.
    pub port: u16,
    /// The scheme's own.
    pub default_port: u16,
}

impl Origin {
    /// Reads a link as far as its origin, and checks the rest.
    ///
    /// # Errors
    /// [`InvalidUrl`] says which rule it breaks.
    pub fn parse_link(link: &str) -> Result<Self, InvalidUrl> {
        let link = link.trim();
        Self::read_plain(link).map_or_else(|| PackageUrl::new(link).map(|url| url.origin()), Ok)
    }

    fn read_plain(link: &str) -> Option<Self> {
        if link.len() > PackageUrl::MAX_BYTES || !is_plain(link) {
            return None;
        }
        let (rest, default_port) = match link.strip_prefix("https://") {
            Some(rest) => (rest, 443),
            None => (link.strip_prefix("http://")?, 80),
        };
        let end = rest.bytes().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let authority = rest.get(..end)?;
        let (name, port) = match authority.split_once(':') {
            Some((name, digits)) => (name, plain_port(digits)?),
            None => (authority, default_port),
        };
        is_plain_name(name).then(|| Self { host: Host::Domain(name.to_owned()), port, default_port })
    }
}

fn plain_port(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|_| is_plain_port(digits))
}

/// Whether it can be nothing but a name: no address in any notation, nothing to be decoded, mapped or folded.
fn is_plain_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let mut last = "";
    for label in name.split('.') {
        if label.is_empty() || label.starts_with("xn--") || !label.bytes().all(is_letter) {
            return false;
        }
        last = label;
    }
    // A number as the last label makes an address of the whole, and numbers begin with a digit in every notation.
    is_plain_host(name) && last.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(link: &str) -> Option<(String, u16, u16)> {
        Origin::read_plain(link).map(|origin| (origin.host.to_string(), origin.port, origin.default_port))
    }

    #[test]
    fn the_links_that_callers_send_are_plain() {
        let cases = [
            ("https://example.com/generic/a.tar.gz", "example.com", 443, 443),
            ("http://example.com", "example.com", 80, 80),
            ("http://example.com:8080/a?sign=x%20y&t=1#top", "example.com", 8080, 80),
            ("https://a-1.b2.example:443?x=@/\"<>", "a-1.b2.example", 443, 443),
        ];
        for (link, host, port, default_port) in cases {
            assert_eq!(plain(link), Some((host.to_owned(), port, default_port)), "{link}");
            assert_eq!(Origin::parse_link(link), PackageUrl::new(link).map(|url| url.origin()), "{link}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_left_to_the_parser() {
        let hosts = [
            "EXAMPLE.com",
            "127.0.0.1",
            "127.1",
            "1.2.3.0x7f",
            "0x7f000001",
            "2130706433",
            "a.1",
            "[::1]",
            "a..b",
            ".a",
            "a.",
            "xn--nxasmq6b",
            "b.xn--a",
            "é.example",
            "ex%61mple.com",
            "user@example.com",
            "a_b.example",
            "example.com:",
            "example.com:0",
            "example.com:+80",
            "example.com:65536",
            "example.com:080000",
            "example.com:80:80",
            "a:b@c",
            "",
        ];
        for host in hosts {
            for link in [format!("http://{host}/x"), format!("https://{host}")] {
                assert_eq!(plain(&link), None, "{link}");
                assert_eq!(Origin::parse_link(&link), PackageUrl::new(&link).map(|url| url.origin()), "{link}");
            }
        }
        for link in
            ["http:/a/", "http:///a", "HTTP://a/", "ftp://a/", "http://a/\\b", "http://a/ b", "http://a/\u{a0}", ""]
        {
            assert_eq!(plain(link), None, "{link}");
        }
        assert_eq!(plain(&format!("http://a/{}", "x".repeat(PackageUrl::MAX_BYTES))), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn both_readers_always_agree(
            scheme in "(https?:/{1,3}|HTTPS://|[a-z:/]{0,9})",
            host in "([a-z0-9x.-]{0,12}|[a-z0-9.-]{1,5}\\.(xn--[a-z0-9]{0,4}|0x[0-9a-f]{0,3}|[0-9]{1,4})|[ -~é。]{0,8})",
            port in "(:[0-9]{0,6})?",
            rest in "([/?#][ -~é\t]{0,16})?",
        ) {
            let link = format!("{scheme}{host}{port}{rest}");
            prop_assert_eq!(Origin::parse_link(&link), PackageUrl::new(&link).map(|url| url.origin()));
        }
    }
}
