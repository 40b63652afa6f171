//! The proxy through which the operator wants links to be read.
//!
//! Promises: its credentials show in no debug text. Refuses them in its address, where they would be logged, and every
//! exception that could mean two things.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ipnet::IpNet;
use linkgate_contract::{HostRule, InvalidHostRule, InvalidUrl, PackageUrl};
use url::Host;

/// A proxy, and for which hosts it is not used. Copies share its credentials.
#[derive(Clone, Debug)]
pub struct EgressProxy {
    address: PackageUrl,
    authorization: Option<HeaderValue>,
    exceptions: Arc<[ProxyException]>,
}

/// Why a text is no address or no credentials of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Not `http://host:port` or `https://host:port`.
    #[error("is no address of a proxy such as `http://proxy.example:3128`: it {0}")]
    Url(InvalidUrl),
    /// User and password would be logged with the address.
    #[error("has credentials in it; write `user:password` into the file of credentials")]
    UserInfo,
    /// More than an address.
    #[error("has something behind host and port")]
    Path,
    /// The credentials.
    #[error("does not hold `user:password` in one line of visible characters")]
    Credentials,
}

impl EgressProxy {
    /// Takes `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// [`InvalidProxy`] says what is wrong with it.
    pub fn new(address: &str) -> Result<Self, InvalidProxy> {
        let address = PackageUrl::new(address).map_err(|invalid| match invalid {
            InvalidUrl::UserInfo => InvalidProxy::UserInfo,
            other => InvalidProxy::Url(other),
        })?;
        if address.request_target() != "/" {
            return Err(InvalidProxy::Path);
        }
        Ok(Self { address, authorization: None, exceptions: Arc::default() })
    }

    /// The same proxy with `user:password`, for the scheme `Basic` (RFC 7617).
    ///
    /// # Errors
    /// [`InvalidProxy::Credentials`].
    pub fn with_credentials(self, credentials: &str) -> Result<Self, InvalidProxy> {
        let is_pair = credentials.split_once(':').is_some_and(|(user, _)| !user.is_empty());
        if !is_pair || credentials.contains(char::is_control) {
            return Err(InvalidProxy::Credentials);
        }
        let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)));
        let mut value = value.map_err(|_| InvalidProxy::Credentials)?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value), ..self })
    }

    /// The same proxy, not used for these.
    #[must_use]
    pub fn with_exceptions(self, exceptions: Vec<ProxyException>) -> Self {
        Self { exceptions: exceptions.into(), ..self }
    }

    /// Whether it is used for a link.
    #[must_use]
    pub fn is_for(&self, url: &PackageUrl) -> bool {
        !self.exceptions.iter().any(|exception| exception.matches(url.host()))
    }

    pub(crate) fn address(&self) -> &PackageUrl {
        &self.address
    }

    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

/// Its address.
impl fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.address.scheme(), self.address.authority())
    }
}

/// Hosts that are connected to without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyException {
    /// `host`: this name or address, at any port.
    Host(Host<String>),
    /// `.example.com`: every name below it, and not itself.
    Below(String),
    /// `10.0.0.0/8`: links whose host is such an address. Names are not resolved to find out.
    Network(IpNet),
}

/// Why a text is no exception.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidException {
    /// Neither of the three forms.
    #[error("must be `host`, `.suffix` or `address/bits`: it {0}")]
    Host(InvalidHostRule),
    /// Exceptions count for every port.
    #[error("must be a host without a port")]
    Port,
    /// Not `10.0.0.0/8` or `2001:db8::/32`.
    #[error("is no network such as `10.0.0.0/8`, with every bit behind its length at 0")]
    Network,
}

impl ProxyException {
    fn matches(&self, host: Host<&str>) -> bool {
        match (self, host) {
            (Self::Host(name), host) => *name == host.to_owned(),
            (Self::Below(suffix), Host::Domain(name)) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|n| !n.is_empty())
            }
            (Self::Network(network), Host::Ipv4(address)) => network.contains(&IpAddr::V4(address)),
            (Self::Network(network), Host::Ipv6(address)) => network.contains(&address.to_canonical()),
            (Self::Network(_), Host::Domain(_)) | (Self::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

impl FromStr for ProxyException {
    type Err = InvalidException;

    fn from_str(text: &str) -> Result<Self, InvalidException> {
        if text.contains('/') {
            let network: Option<IpNet> = text.parse().ok();
            return network.filter(|net| net.trunc() == *net).map(Self::Network).ok_or(InvalidException::Network);
        }
        let name = text.strip_prefix('.').unwrap_or(text);
        HostRule::new(name).map_err(InvalidException::Host)?;
        let url = PackageUrl::new(&format!("http://{name}/"));
        let host = url.map_err(|_| InvalidException::Port)?.host().to_owned();
        let has_port = name.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        match host {
            _ if has_port => Err(InvalidException::Port),
            Host::Domain(domain) if name != text => Ok(Self::Below(format!(".{domain}"))),
            _ if name != text => Err(InvalidException::Host(InvalidHostRule::NotHostPort)),
            host => Ok(Self::Host(host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceptions(list: &[&str]) -> EgressProxy {
        let parsed = list.iter().map(|text| text.parse().unwrap()).collect();
        EgressProxy::new("http://proxy.example:3128").unwrap().with_exceptions(parsed)
    }

    #[test]
    fn exceptions_are_hosts_suffixes_and_networks() {
        let proxy =
            exceptions(&["Direct.example", ".inner.example", "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "[::1]"]);
        for direct in [
            "https://direct.example/x",
            "http://direct.example:8080/x",
            "https://a.inner.example/",
            "https://a.b.inner.example/",
            "http://10.1.2.3/",
            "http://192.0.2.1:81/",
            "http://[2001:db8::7]/",
            "http://[::ffff:10.1.2.3]/",
            "http://[::1]:8080/",
        ] {
            assert!(!proxy.is_for(&PackageUrl::new(direct).unwrap()), "{direct}");
        }
        for through in [
            "https://other.example/",
            "https://a.direct.example/",
            "https://inner.example/",
            "https://notinner.example/",
            "http://11.1.2.3/",
            "http://192.0.2.2/",
            "http://[2001:db9::7]/",
        ] {
            assert!(proxy.is_for(&PackageUrl::new(through).unwrap()), "{through}");
        }
    }

    #[test]
    fn exceptions_that_could_mean_two_things_are_refused() {
        for bad in [
            "",
            ".",
            "*",
            "*.example",
            "a b",
            "http://a.example",
            "a.example:80",
            ".a.example:80",
            "[::1]:80",
            "::1",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "a.example/8",
            ".10.0.0.1",
            "127.1",
            "é.example",
        ] {
            assert!(bad.parse::<ProxyException>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        assert!(EgressProxy::new("https://proxy.example/").is_ok());
        for (bad, want) in [
            ("http://user:s3cret@proxy.example:3128", "file of credentials"),
            ("http://proxy.example:3128/path", "behind host and port"),
            ("http://proxy.example:3128?a", "behind host and port"),
            ("socks5://proxy.example:1080", "http"),
            ("proxy.example:3128", "http"),
            ("http://proxy.example:0", "port 0"),
        ] {
            let said = EgressProxy::new(bad).unwrap_err().to_string();
            assert!(said.contains(want) && !said.contains("s3cret"), "{bad}: {said}");
        }
    }

    #[test]
    fn credentials_are_a_pair_and_are_not_shown() {
        let proxy = || EgressProxy::new("http://proxy.example:3128").unwrap();
        let with = proxy().with_credentials("user:s3cret:é").unwrap();
        assert_eq!(with.authorization().unwrap(), "Basic dXNlcjpzM2NyZXQ6w6k=");
        assert!(!format!("{with:?}").contains("dXNl"), "{with:?}");
        for bad in ["", "user", ":password", "user:a\nb", "user:\0"] {
            assert_eq!(proxy().with_credentials(bad).unwrap_err(), InvalidProxy::Credentials, "{bad}");
        }
    }
}
