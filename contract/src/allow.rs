//! The host allow-list, read the same way by the gate, the store and the command line.
//!
//! Promises: an empty list refuses everything; hosts are compared in their parsed form. Refuses entries that could mean
//! two things: a scheme, a path, user-info, wildcards, IPv6 without brackets, numbers that are addresses in disguise.

use std::fmt;

use url::{Host, Url};

use crate::Origin;
use crate::url::{is_plain_host, is_plain_port};

/// One entry: `host` or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostRule {
    host: Host<String>,
    port: Option<u16>,
}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostRule {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than a host and a port.
    #[error("must be `host` or `host:port`, without scheme, path, user or wildcard")]
    NotHostPort,
    /// `::1` instead of `[::1]`.
    #[error("IPv6 addresses need brackets, like `[2001:db8::1]:8080`")]
    NeedsBrackets,
    /// Not 1 to 65535.
    #[error("the port must be a number from 1 to 65535, without leading zeros")]
    Port,
    /// No link could name it.
    #[error("must be in ASCII (international names in their `xn--` form), with at most 63 characters in each label")]
    NotPlain,
    /// `0x7f.1` and the like.
    #[error("is an address in disguise, write `{canonical}`")]
    Disguised {
        /// The form to write instead.
        canonical: String,
    },
}

impl HostRule {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`InvalidHostRule`] says what is wrong with it.
    pub fn new(entry: &str) -> Result<Self, InvalidHostRule> {
        let entry = entry.trim();
        if entry.is_empty() {
            return Err(InvalidHostRule::Empty);
        }
        let (host_text, port) = split_port(entry)?;
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "/\\@?#*%".contains(c);
        if host_text.is_empty() || host_text.contains(forbidden) {
            return Err(InvalidHostRule::NotHostPort);
        }
        if !host_text.starts_with('[') && !is_plain_host(host_text) {
            return Err(InvalidHostRule::NotPlain);
        }
        let url = Url::parse(&format!("http://{host_text}/")).map_err(|_| InvalidHostRule::NotHostPort)?;
        let host = url.host().ok_or(InvalidHostRule::NotHostPort)?.to_owned();
        if let Host::Ipv4(address) = &host
            && address.to_string() != host_text
        {
            return Err(InvalidHostRule::Disguised { canonical: address.to_string() });
        }
        Ok(Self { host, port })
    }

    /// Whether a link goes to this host and port. Without a port the entry means the default one of the link's scheme.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        self.host == origin.host && origin.port == self.port.unwrap_or(origin.default_port)
    }
}

/// Splits `host:port`; a colon inside brackets belongs to the host.
fn split_port(entry: &str) -> Result<(&str, Option<u16>), InvalidHostRule> {
    let after_host = if entry.starts_with('[') {
        entry.find(']').map(|at| at + 1).ok_or(InvalidHostRule::NeedsBrackets)?
    } else if entry.matches(':').count() > 1 {
        return Err(if entry.contains('/') { InvalidHostRule::NotHostPort } else { InvalidHostRule::NeedsBrackets });
    } else {
        entry.find(':').unwrap_or(entry.len())
    };
    let (host, rest) = entry.split_at(after_host);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err(InvalidHostRule::NotHostPort),
        Some(digits) if is_plain_port(digits) => {
            digits.parse().map(|port| (host, Some(port))).map_err(|_| InvalidHostRule::Port)
        }
        Some(other) if other.contains('/') => Err(InvalidHostRule::NotHostPort),
        Some(_) => Err(InvalidHostRule::Port),
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

/// The hosts that links may point to. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllowList(Vec<HostRule>);

impl AllowList {
    /// Takes checked entries.
    #[must_use]
    pub fn new(rules: Vec<HostRule>) -> Self {
        Self(rules)
    }

    /// Whether any entry allows the link.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        self.0.iter().any(|rule| rule.matches(origin))
    }

    /// The entries, each in the form in which it would be read again.
    pub fn rules(&self) -> impl Iterator<Item = &HostRule> {
        self.0.iter()
    }

    /// Whether every link is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::new(entries.iter().map(|e| HostRule::new(e).unwrap()).collect())
    }

    #[test]
    fn entries_and_links_meet_by_host_and_port() {
        let cases = [
            ("example.com", "http://example.com/", true),
            ("example.com", "https://example.com/", true),
            ("EXAMPLE.com", "https://example.COM:443/", true),
            ("example.com", "https://example.com:80/", false),
            ("example.com", "http://example.com:8080/", false),
            ("example.com:443", "https://example.com/", true),
            ("example.com:443", "http://example.com/", false),
            ("example.com:80", "https://example.com:80/", true),
            ("example.com:8080", "http://example.com:8080/", true),
            ("example.com", "http://sub.example.com/", false),
            ("example.com", "http://example.com.evil.net/", false),
            ("example.com", "http://example.com./", false),
            ("127.0.0.1:9000", "http://127.1:9000/", true),
            ("[2001:db8::1]:8080", "http://[2001:DB8:0::1]:8080/", true),
            ("[2001:db8::1]", "https://[2001:db8::1]/", true),
            (" example.com ", "https://example.com/", true),
        ];
        for (entry, link, want) in cases {
            assert_eq!(list(&[entry]).allows(&Origin::parse_link(link).unwrap()), want, "{entry} {link}");
        }
    }

    #[test]
    fn an_empty_list_refuses_everything() {
        assert!(!list(&[]).allows(&Origin::parse_link("https://example.com/").unwrap()));
    }

    #[test]
    fn entries_that_could_mean_two_things_are_refused() {
        use InvalidHostRule as E;
        let cases = [
            ("", E::Empty),
            ("https://example.com", E::NotHostPort),
            ("http://example.com:80", E::NotHostPort),
            ("example.com/path", E::NotHostPort),
            ("user@example.com", E::NotHostPort),
            ("*.example.com", E::NotHostPort),
            ("exa mple.com", E::NotHostPort),
            ("ｅxample.com", E::NotPlain),
            ("example.com:080", E::Port),
            (":80", E::NotHostPort),
            ("::1", E::NeedsBrackets),
            ("2001:db8::1:8080", E::NeedsBrackets),
            ("[::1", E::NeedsBrackets),
            ("[::1]x", E::NotHostPort),
            ("example.com:", E::Port),
            ("example.com:0", E::Port),
            ("example.com:65536", E::Port),
            ("example.com:+80", E::Port),
            ("0x7f.1", E::Disguised { canonical: "127.0.0.1".into() }),
        ];
        for (entry, want) in cases {
            assert_eq!(HostRule::new(entry), Err(want), "{entry:?}");
        }
    }
}
