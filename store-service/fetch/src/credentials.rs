//! What the store may prove to a source, and to which requests of a download it goes.
//!
//! Promises: a credential goes to the host, the port and below the path for which it is, and to nothing else; once a
//! redirect led away from there, to another origin or out of the path, it does not come back in the same download. It goes
//! over plain HTTP only where the operator says so. A secret has no debug text and stands in no error. Refuses headers that
//! say how a request is to be read, or what of.

use std::fmt;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use linkgate_contract::{AllowList, CredentialName, HostRule, Origin, PackageUrl};
use percent_encoding::percent_decode;
use secrecy::{ExposeSecret as _, SecretString};

use crate::shared_list::SharedList;
use crate::source::{Access, CredentialError, SentCredential};

/// Where a credential goes: a host and port, and all that is below a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    host: HostRule,
    /// With a slash at the end.
    path: String,
}

/// Why a path is none below which a credential can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the beginning of a path as links have it, like `/repository/private/`: in ASCII, without `//`, `.`, `..`, `?`, `#`, `\\` and what these are when they are percent-encoded"
)]
pub struct InvalidScope;

/// The path that everything is below.
const ROOT: &str = "/";

impl Scope {
    /// Takes a host and a path, with or without a slash at the end.
    ///
    /// # Errors
    /// [`InvalidScope`], where links could never have such a path.
    pub fn new(host: HostRule, path: &str) -> Result<Self, InvalidScope> {
        let is_rooted = path.starts_with('/');
        let path = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
        let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b));
        // As it would stand in a link.
        let parsed = PackageUrl::new(&format!("https://h{path}")).map_err(|_| InvalidScope)?;
        let is_good = is_rooted && is_plain && parsed.path() == path && !path.contains("//");
        if is_good && !climbs(&path) { Ok(Self { host, path }) } else { Err(InvalidScope) }
    }

    /// Whether a link is within. Paths are compared as they are written, by whole segments; what some server would read as a
    /// way out of the path is not within.
    fn covers(&self, url: &PackageUrl) -> bool {
        let path = url.path();
        let is_below = path.starts_with(&self.path) || self.path.strip_suffix('/') == Some(path);
        self.host.matches(&url.origin()) && is_below && (self.path == ROOT || !climbs(path))
    }
}

/// How often a path is decoded. Servers behind servers decode it once more each.
const MAX_DECODINGS: usize = 4;

/// Whether any server could find `..` in a path: encoded, even several times, behind an encoded slash or a backslash, or with
/// the parameters that some put behind a `;`.
fn climbs(path: &str) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..MAX_DECODINGS {
        let decoded: Vec<u8> = percent_decode(&bytes).collect();
        if decoded == bytes {
            return bytes.split(|b| matches!(b, b'/' | b'\\')).any(is_dots);
        }
        bytes = decoded;
    }
    true
}

fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|b| matches!(b, b';' | 0)).next().unwrap_or_default().trim_ascii();
    matches!(name, b"." | b"..")
}

/// A header with a secret.
#[derive(Clone)]
pub struct SecretHeader {
    name: HeaderName,
    value: SecretString,
}

/// Why a header is none that can prove anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecretHeader {
    /// HTTP has no such names.
    #[error("is no name of a header")]
    NoName,
    /// It says something else, to the source or to a proxy on the way.
    #[error(
        "is a header that says something else than who asks; credentials stand in `Authorization`, `PRIVATE-TOKEN` and the like"
    )]
    Reserved,
    /// A header could not carry it.
    #[error("has a value that is empty, over 8192 bytes long or not of visible ASCII with single blanks within")]
    Value,
}

/// Headers by which requests are framed, routed, conditioned or described, and those that the store itself sends.
const RESERVED: [&str; 26] = [
    "age",
    "connection",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
];
/// The same by how they begin.
const RESERVED_PREFIXES: [&str; 10] = [
    "accept",
    "access-control-",
    "cache-",
    "content-",
    "if-",
    "proxy-",
    "sec-",
    "x-bkapi-",
    "x-forwarded",
    "x-http-method",
];

impl SecretHeader {
    /// Takes a header.
    ///
    /// # Errors
    /// [`InvalidSecretHeader`] says what is wrong with it.
    pub fn new(name: &str, value: SecretString) -> Result<Self, InvalidSecretHeader> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidSecretHeader::NoName)?;
        let text = name.as_str();
        if RESERVED.contains(&text) || RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            return Err(InvalidSecretHeader::Reserved);
        }
        let is_good = linkgate_contract::read_caller_credential([value.expose_secret().as_bytes()]).is_ok();
        if is_good { Ok(Self { name, value }) } else { Err(InvalidSecretHeader::Value) }
    }

    fn headers(&self) -> HeaderMap {
        // Checked when it was made.
        let value = HeaderValue::from_str(self.value.expose_secret()).ok();
        let sensitive = value.map(|mut value| {
            value.set_sensitive(true);
            (self.name.clone(), value)
        });
        sensitive.into_iter().collect()
    }
}

impl fmt::Debug for SecretHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHeader({})", self.name)
    }
}

/// A credential of the operator.
#[derive(Clone, Debug)]
pub struct Credential {
    /// By which the policy names it.
    pub name: CredentialName,
    /// Where it goes.
    pub scope: Scope,
    /// What it is.
    pub header: SecretHeader,
}

/// The operator's credentials.
pub type Credentials = SharedList<Credential>;

impl SharedList<Credential> {
    /// The credential for a link, of those that may be used for it: the one of the longest path, and of several such the
    /// first one that was named.
    fn choose(&self, names: &[CredentialName], url: &PackageUrl) -> Result<Option<Credential>, CredentialError> {
        let all = self.now();
        let mut best: Option<&Credential> = None;
        for name in names {
            let known = all.iter().find(|credential| credential.name == *name);
            let known = known.ok_or_else(|| CredentialError::Unknown { name: name.clone() })?;
            let is_better = best.is_none_or(|best| known.scope.path.len() > best.scope.path.len());
            if known.scope.covers(url) && is_better {
                best = Some(known);
            }
        }
        Ok(best.cloned())
    }
}

/// The credential of one download, as long as no redirect led away from where it goes.
#[derive(Clone, Debug)]
pub(crate) struct DownloadCredential {
    whose: SentCredential,
    origin: Origin,
    /// None for the whole origin.
    scope: Option<Scope>,
    header: SecretHeader,
}

impl DownloadCredential {
    /// The credential that goes to a link, if any does.
    ///
    /// # Errors
    /// If one is named that is not there, or one would go over plain HTTP.
    pub(crate) fn choose(
        known: &Credentials,
        over_http: &AllowList,
        access: Access<'_>,
        url: &PackageUrl,
    ) -> Result<Option<Arc<Self>>, CredentialError> {
        let origin = url.origin();
        let chosen = match access.callers_own {
            Some(value) => {
                let header = SecretHeader { name: http::header::AUTHORIZATION, value: value.clone() };
                Some(Self { whose: SentCredential::CallersOwn, origin: origin.clone(), scope: None, header })
            }
            None => known.choose(access.credentials, url)?.map(|Credential { name, scope, header }| {
                let whose = SentCredential::Named(name);
                Self { whose, origin: origin.clone(), scope: Some(scope), header }
            }),
        };
        if chosen.is_some() && !url.is_https() && !over_http.allows(&origin) {
            return Err(CredentialError::OverHttp);
        }
        Ok(chosen.map(Arc::new))
    }

    /// Whether it goes to this link.
    pub(crate) fn covers(&self, url: &PackageUrl) -> bool {
        url.origin() == self.origin && self.scope.as_ref().is_none_or(|scope| scope.covers(url))
    }

    /// The header that goes along.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.header.headers()
    }

    /// What to say if the source does not take it.
    pub(crate) fn refused(&self, status: u16) -> CredentialError {
        CredentialError::Refused { whose: self.whose.clone(), status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(host: &str, path: &str) -> Scope {
        Scope::new(HostRule::new(host).unwrap(), path).unwrap()
    }

    fn url(link: &str) -> PackageUrl {
        PackageUrl::new(link).unwrap()
    }

    #[test]
    fn a_path_ends_where_a_segment_does() {
        for path in ["/a/b", "/a/b/"] {
            let scope = scope("h:8443", path);
            for within in ["/a/b", "/a/b/", "/a/b/c.tgz?x=/../", "/a/b//c", "/a/b?x=/../"] {
                assert!(scope.covers(&url(&format!("https://h:8443{within}"))), "{within}");
            }
            for beyond in [
                "/",
                "/a",
                "/a/bc",
                "/A/b/c",
                "/a//b/c",
                "//a/b/c",
                "/a/b/../c",
                "/a/b/%2e%2E/c",
                "/a/%62/c",
                "/a/b/..",
                "/x/../a/b/c",
                "/a/./b/c",
                "/a/b/./c",
            ] {
                assert!(!scope.covers(&url(&format!("https://h:8443{beyond}"))), "{beyond}");
            }
        }
        let all = scope("h", "/");
        for within in ["", "/", "/a", "/..;/a", "/%2e%2e%2fa"] {
            assert!(all.covers(&url(&format!("https://h{within}"))), "{within}");
        }
    }

    #[test]
    fn what_some_server_would_read_as_a_way_out_is_beyond() {
        let scope = scope("h", "/a/");
        for out in [
            "/a/..%2fb",
            "/a/%2e%2e%2Fb",
            "/a/x%2f..%2f..%2fb",
            "/a/..%5cb",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a/%2e%2e;/b",
            "/a/..%3b/b",
            "/a/%252e%252e/b",
            "/a/%25252e%25252e%25252fb",
            "/a/%2525252525252e%2525252525252e/b",
            "/a/..%00/b",
            "/a/..%20/b",
            "/a/.%2e/b",
        ] {
            assert!(!scope.covers(&url(&format!("https://h{out}"))), "{out}");
        }
        for within in ["/a/b%2Fc/d.tgz", "/a/b;v=1/c", "/a/..b", "/a/%25/b", "/a/...", "/a/%e4%b8%ad"] {
            assert!(scope.covers(&url(&format!("https://h{within}"))), "{within}");
        }
    }

    #[test]
    fn a_host_is_a_host_with_its_port() {
        let scope = scope("nexus.example", "/");
        for within in ["https://NEXUS.example/a", "https://nexus.example:443/a", "http://nexus.example/a"] {
            assert!(scope.covers(&url(within)), "{within}");
        }
        for beyond in ["https://nexus.example:8443/a", "https://nexus.example.evil/a", "https://nexus.example./a"] {
            assert!(!scope.covers(&url(beyond)), "{beyond}");
        }
    }

    #[test]
    fn a_path_that_no_link_has_is_refused() {
        let host = || HostRule::new("h").unwrap();
        for good in ["/", "/a", "/a/", "/api/v4/projects/group%2Fproject/packages/", "/@scope/a;b"] {
            assert!(Scope::new(host(), good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "//",
            "/a//b",
            "/a/../b",
            "/a/.",
            "/a/%2e%2e/b",
            "/a/..%2f",
            "/a?b",
            "/a#b",
            "/a b",
            "/é",
            "/a\\b",
        ] {
            assert_eq!(Scope::new(host(), bad), Err(InvalidScope), "{bad}");
        }
    }

    #[test]
    fn a_header_that_says_something_else_is_refused() {
        let header = |name: &str, value: &str| SecretHeader::new(name, value.into()).map(|_| ());
        for good in ["Authorization", "PRIVATE-TOKEN", "X-JFrog-Art-Api", "x-api-key", "JOB-TOKEN"] {
            assert_eq!(header(good, "s3cret"), Ok(()), "{good}");
        }
        for reserved in [
            "Host",
            "Connection",
            "Transfer-Encoding",
            "TE",
            "Upgrade",
            "Proxy-Authorization",
            "Content-Length",
            "Range",
            "If-Range",
            "Accept-Encoding",
            "Cookie",
            "Expect",
            "X-Forwarded-For",
            "X-Bkapi-JWT",
            "User-Agent",
        ] {
            assert_eq!(header(reserved, "s3cret"), Err(InvalidSecretHeader::Reserved), "{reserved}");
        }
        for bad in ["", "a b", "a:", "é", "a\r\nb"] {
            assert_eq!(header(bad, "s3cret"), Err(InvalidSecretHeader::NoName), "{bad}");
        }
        for bad in ["", " x", "x ", "a\r\nb: c", "é"] {
            assert_eq!(header("x-token", bad), Err(InvalidSecretHeader::Value), "{bad:?}");
        }
    }

    fn known() -> Credentials {
        let one = |name: &str, path: &str| Credential {
            name: CredentialName::new(name).unwrap(),
            scope: scope("h", path),
            header: SecretHeader::new("x-token", format!("s3cret-{name}").into()).unwrap(),
        };
        vec![one("all", "/"), one("a", "/a/"), one("a-too", "/a"), one("b", "/b/")].into()
    }

    fn chosen(names: &[&str], link: &str) -> Option<String> {
        let names: Vec<CredentialName> = names.iter().map(|name| CredentialName::new(*name).unwrap()).collect();
        let access = Access { credentials: &names, callers_own: None };
        let chosen = DownloadCredential::choose(&known(), &AllowList::default(), access, &url(link)).unwrap()?;
        Some(chosen.headers()["x-token"].to_str().unwrap().to_owned())
    }

    #[test]
    fn of_the_credentials_that_may_be_used_the_one_of_the_longest_path_is() {
        assert_eq!(chosen(&["all", "a"], "https://h/a/x").as_deref(), Some("s3cret-a"));
        assert_eq!(chosen(&["a-too", "a"], "https://h/a/x").as_deref(), Some("s3cret-a-too"));
        assert_eq!(chosen(&["all", "a"], "https://h/b/x").as_deref(), Some("s3cret-all"));
        assert_eq!(chosen(&["a"], "https://h/b/x"), None);
        assert_eq!(chosen(&[], "https://h/b/x"), None);
    }

    #[test]
    fn one_that_is_not_there_or_would_go_in_clear_is_an_error() {
        let (known, name) = (known(), CredentialName::new("gone").unwrap());
        let choose = |access, over_http: &AllowList, link: &str| {
            DownloadCredential::choose(&known, over_http, access, &url(link)).map(|chosen| chosen.is_some())
        };
        let (none, names) = (AllowList::default(), [name]);
        let gone = choose(Access { credentials: &names, callers_own: None }, &none, "https://h/c").unwrap_err();
        assert!(matches!(&gone, CredentialError::Unknown { name } if name.as_str() == "gone"), "{gone}");
        let own: SecretString = "Bearer s3cret".into();
        let own = Access { credentials: &names, callers_own: Some(&own) };
        assert!(choose(own, &none, "https://h/c").unwrap(), "the caller's goes alone");
        assert!(matches!(choose(own, &none, "http://h/c"), Err(CredentialError::OverHttp)));
        let listed = AllowList::new(vec![HostRule::new("h").unwrap()]);
        assert!(choose(own, &listed, "http://h/c").unwrap());
        assert!(matches!(choose(own, &listed, "http://h:8080/c"), Err(CredentialError::OverHttp)));
    }

    #[test]
    fn no_secret_is_shown() {
        let own: SecretString = "Bearer s3cret".into();
        let access = Access { credentials: &[], callers_own: Some(&own) };
        let chosen = DownloadCredential::choose(&known(), &AllowList::default(), access, &url("https://h/")).unwrap();
        let shown = format!("{:?} {:?} {:?} {:?}", known(), access, chosen, chosen.as_ref().unwrap().headers());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
