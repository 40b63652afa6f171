//! The link itself: its origin parsed once, its path and query kept as they were written.
//!
//! Promises: what the allow-list judged is what is connected to, for both read the same [`Origin`]. What follows the
//! authority goes to the source byte for byte, for it may be signed; only what HTTP cannot carry is percent-encoded: octets
//! beyond ASCII. Refuses every form in which parsers are known to disagree about the host: user-info, backslashes, control
//! characters and white space, missing or extra slashes after the scheme, port 0.

use std::fmt;

use percent_encoding::{AsciiSet, utf8_percent_encode};
use url::{Host, Url};

use crate::{Origin, Text};

/// A package's link, checked: absolute `http` or `https`, a host, no user-info, at most [`PackageUrl::MAX_BYTES`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PackageUrl {
    origin: Origin,
    /// Scheme and authority as parsed, path and query as written; no fragment.
    text: String,
    /// Where in it the authority begins.
    authority_at: usize,
    /// Where in it the path begins.
    target_at: usize,
}

/// Why a text is no link that we fetch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Nothing but white space.
    #[error("is blank")]
    Blank,
    /// Over [`PackageUrl::MAX_BYTES`].
    #[error("is longer than {max} bytes", max = PackageUrl::MAX_BYTES)]
    TooLong,
    /// Not an absolute URL with a host.
    #[error("is not a valid URL")]
    Malformed,
    /// A scheme other than `http` and `https`.
    #[error("has a scheme that is not http or https")]
    Scheme,
    /// `user:password@`.
    #[error("carries user information")]
    UserInfo,
    /// White space, a control character or a backslash.
    #[error("has white space, a control character or a backslash")]
    ForbiddenCharacter,
    /// `:0`.
    #[error("has port 0")]
    PortZero,
    /// An empty port, or one with leading zeros or over 65535.
    #[error("has a port that is no number from 1 to 65535")]
    Port,
    /// A host that is not written as it is dialled: percent-encoded, not in ASCII, or longer than a name can be.
    #[error("has a host that is not written as a plain name or address")]
    Host,
}

impl PackageUrl {
    /// Enough for the longest presigned links seen (about 4 KiB), twice.
    pub const MAX_BYTES: usize = 8192;

    /// Trims, checks and takes a link.
    ///
    /// # Errors
    /// [`InvalidUrl`] says which rule it breaks.
    pub fn new(link: &str) -> Result<Self, InvalidUrl> {
        let link = link.trim();
        if link.is_empty() {
            return Err(InvalidUrl::Blank);
        }
        if link.len() > Self::MAX_BYTES {
            return Err(InvalidUrl::TooLong);
        }
        refuse_forbidden_characters(link)?;
        let authority = authority(link)?;
        if authority.contains('@') {
            return Err(InvalidUrl::UserInfo);
        }
        let url = Url::parse(link).map_err(|_| InvalidUrl::Malformed)?;
        judge_authority(authority)?;
        let origin = judge_origin(&url)?;
        let after_authority = link.split_once("://").and_then(|(_, rest)| rest.get(authority.len()..));
        Ok(Self::assemble(url.scheme(), origin, after_authority.unwrap_or_default()))
    }

    /// Takes the target of a redirect, which may be relative to this link.
    ///
    /// # Errors
    /// [`InvalidUrl`] says which rule the target breaks.
    pub fn join(&self, location: &str) -> Result<Self, InvalidUrl> {
        // A colon before any other separator ends a scheme; one in a path or a query means nothing.
        let before_any_path = location.split(['/', '?', '#']).next().unwrap_or_default();
        if before_any_path.contains(':') {
            return Self::new(location);
        }
        let scheme = self.scheme();
        if location.starts_with("//") {
            return Self::new(&format!("{scheme}:{location}"));
        }
        refuse_forbidden_characters(location)?;
        let joined = Self::assemble(scheme, self.origin.clone(), &self.resolve(without_fragment(location)));
        if joined.text.len() > Self::MAX_BYTES { Err(InvalidUrl::TooLong) } else { Ok(joined) }
    }

    /// Path and query of a relative reference (RFC 3986, 5.2). Dot segments mean something only where they are relative to
    /// this link; whoever writes a path from its root means it as it stands.
    fn resolve(&self, reference: &str) -> String {
        let base = self.path();
        if reference.is_empty() {
            return self.request_target().to_owned();
        }
        if reference.starts_with('/') {
            return reference.to_owned();
        }
        let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
        if path.is_empty() {
            return format!("{base}{query}");
        }
        let folder = base.rfind('/').and_then(|last| base.get(..=last)).unwrap_or("/");
        format!("{}{query}", without_dot_segments(&format!("{folder}{path}")))
    }

    fn assemble(scheme: &str, origin: Origin, after_authority: &str) -> Self {
        let mut text = format!("{scheme}://");
        let authority_at = text.len();
        text.push_str(&origin.host.to_string());
        if origin.port != origin.default_port {
            text.push_str(&format!(":{}", origin.port));
        }
        let target_at = text.len();
        let target = without_fragment(after_authority);
        if !target.starts_with('/') {
            text.push('/');
        }
        text.extend(utf8_percent_encode(target, &AsciiSet::EMPTY));
        Self { origin, text, authority_at, target_at }
    }

    /// The whole of it, as it would be read again.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_https() { "https" } else { "http" }
    }

    /// Whether the source must prove who it is.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.default_port == HTTPS_PORT
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.get(self.authority_at..self.target_at).unwrap_or_default()
    }

    /// Path and query, as they are asked for: visible ASCII that begins with a slash.
    #[must_use]
    pub fn request_target(&self) -> &str {
        self.text.get(self.target_at..).unwrap_or("/")
    }

    /// The path, as it is asked for. Dot segments stand in it as they were written.
    #[must_use]
    pub fn path(&self) -> &str {
        without_query(self.request_target())
    }

    /// The host, judged in its parsed form and never as text.
    #[must_use]
    pub fn host(&self) -> Host<&str> {
        match &self.origin.host {
            Host::Domain(name) => Host::Domain(name),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        }
    }

    /// The port, given or implied by the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.origin.port
    }

    /// The port that the scheme implies.
    #[must_use]
    pub fn default_port(&self) -> u16 {
        self.origin.default_port
    }

    /// Where it points to, in the allow-list's terms.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// The last path segment that is not empty, as it stands in the link.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path().rsplit('/').find(|segment| !segment.is_empty()).unwrap_or_default()
    }
}

const HTTPS_PORT: u16 = 443;

fn judge_origin(url: &Url) -> Result<Origin, InvalidUrl> {
    let default_port = match url.scheme() {
        "https" => HTTPS_PORT,
        "http" => 80,
        _ => return Err(InvalidUrl::Scheme),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUrl::UserInfo);
    }
    let host = url.host().ok_or(InvalidUrl::Malformed)?.to_owned();
    match url.port() {
        Some(0) => Err(InvalidUrl::PortZero),
        port => Ok(Origin { host, port: port.unwrap_or(default_port), default_port }),
    }
}

fn without_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default()
}

fn without_query(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

/// `/a/./b/../c` is `/a/c`.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                kept.truncate(kept.len().saturating_sub(segment.len() - 1));
                // What a last one names is a folder.
                kept.extend(segments.peek().is_none().then_some(""));
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Visible ASCII without a backslash: nothing that parsers could read in two ways or that has to be decoded first.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// `http://evil.example\@good.example/` is evil.example to one parser and good.example to another.
fn refuse_forbidden_characters(text: &str) -> Result<(), InvalidUrl> {
    let forbidden = |c: char| c == '\\' || c.is_control() || c.is_whitespace();
    // Nearly every link is plain, and bytes are looked at faster than characters.
    if !is_plain(text) && text.contains(forbidden) { Err(InvalidUrl::ForbiddenCharacter) } else { Ok(()) }
}

/// What stands between `scheme://` and the first `/`, `?` or `#`.
fn authority(link: &str) -> Result<&str, InvalidUrl> {
    let (scheme, rest) = link.split_once(':').ok_or(InvalidUrl::Malformed)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(InvalidUrl::Scheme);
    }
    // The parser would also read `http:host`, `http:/host` and `http:///host`; others would not.
    let rest = rest.strip_prefix("//").ok_or(InvalidUrl::Malformed)?;
    match rest.split(['/', '?', '#']).next() {
        Some(authority) if !authority.is_empty() => Ok(authority),
        _ => Err(InvalidUrl::Malformed),
    }
}

/// The parser would decode, map and shorten: what is dialled then is not what somebody read in the link.
fn judge_authority(authority: &str) -> Result<(), InvalidUrl> {
    let end_of_host = authority.find(']').map_or_else(|| authority.find(':').unwrap_or(authority.len()), |at| at + 1);
    let (host, port) = authority.split_at(end_of_host);
    if !host.starts_with('[') && !is_plain_host(host) {
        return Err(InvalidUrl::Host);
    }
    match port.strip_prefix(':') {
        None => Ok(()),
        Some("0") => Err(InvalidUrl::PortZero),
        Some(digits) if is_plain_port(digits) => Ok(()),
        Some(_) => Err(InvalidUrl::Port),
    }
}

/// Whether a port is written as it is meant: in at most five digits, and without leading zeros.
pub(crate) fn is_plain_port(digits: &str) -> bool {
    (1..=5).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a host is written as it is dialled, and no longer than a name of the DNS and its labels can be.
pub(crate) fn is_plain_host(host: &str) -> bool {
    const LONGEST_NAME: usize = 253;
    const LONGEST_LABEL: usize = 63;
    let name = host.strip_suffix('.').unwrap_or(host);
    host.is_ascii()
        && !host.contains('%')
        && name.len() <= LONGEST_NAME
        && name.split('.').all(|label| label.len() <= LONGEST_LABEL)
}

/// Without the query: it is where signed links carry their secrets.
impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(without_query(&self.text))
    }
}

impl fmt::Debug for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackageUrl({self})")
    }
}

impl InvalidUrl {
    /// The caller's sentence.
    #[must_use]
    pub fn caller_message(&self) -> Text {
        match self {
            Self::Blank => Text::fixed("该字段不能为空。", "This field may not be blank."),
            Self::TooLong => {
                Text::fixed("请确保该字段不超过 8192 个字符。", "Ensure this field has no more than 8192 characters.")
            }
            Self::Malformed => Text::fixed("请输入有效的 URL。", "Enter a valid URL."),
            Self::Scheme => Text::fixed("仅支持 http 和 https 协议的 URL。", "Only http and https URLs are supported."),
            Self::UserInfo => Text::fixed(
                "URL 中不允许包含用户名或密码；请改用请求头 X-Linkgate-Source-Authorization，或由管理员为该主机配置凭证。",
                "The URL may not contain a user name or password; send them in the header X-Linkgate-Source-Authorization, or let the operator set up a credential for the host.",
            ),
            Self::ForbiddenCharacter => Text::fixed(
                "URL 中不允许包含空白字符、控制字符或反斜杠。",
                "The URL may not contain white space, control characters or backslashes.",
            ),
            Self::PortZero => Text::fixed("URL 的端口不能为 0。", "The port of the URL may not be 0."),
            Self::Port => Text::fixed(
                "URL 的端口必须是 1 到 65535 之间的数字，且不带前导零。",
                "The port of the URL must be a number from 1 to 65535, without leading zeros.",
            ),
            Self::Host => Text::fixed(
                "URL 的主机名必须是不含百分号编码的 ASCII 名称（国际化域名请使用 xn-- 形式），总长不超过 253 个字符，每段不超过 63 个字符。",
                "The host of the URL must be in ASCII and not percent-encoded (write international names in their xn-- form), with at most 253 characters in all and 63 in each label.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(link: &str) -> InvalidUrl {
        PackageUrl::new(link).expect_err(link)
    }

    #[test]
    fn a_link_keeps_its_host_port_and_file_name() {
        let url = PackageUrl::new(" https://Example.com/generic/example.tar.gz?sign=s3cret#top ").unwrap();
        assert_eq!(url.host(), Host::Domain("example.com"));
        assert_eq!((url.port(), url.default_port()), (443, 443));
        assert_eq!(url.file_name(), "example.tar.gz");
    }

    #[test]
    fn a_query_is_neither_shown_nor_debugged() {
        let url = PackageUrl::new("https://example.com:8443/a.zip?sign=s3cret").unwrap();
        assert_eq!(url.to_string(), "https://example.com:8443/a.zip");
        assert!(!format!("{url:?}").contains("s3cret"));
    }

    #[test]
    fn links_that_parsers_disagree_about_are_refused() {
        assert_eq!(refused(r"http://evil.com\@example.com/"), InvalidUrl::ForbiddenCharacter);
        assert_eq!(refused("http://user@example.com/"), InvalidUrl::UserInfo);
        assert_eq!(refused("http://@example.com/"), InvalidUrl::UserInfo);
        assert_eq!(refused("http://user:pass@example.com/"), InvalidUrl::UserInfo);
        assert_eq!(refused("http://exa\tmple.com/"), InvalidUrl::ForbiddenCharacter);
        assert_eq!(refused("http://example.com/a b"), InvalidUrl::ForbiddenCharacter);
        assert_eq!(refused("http://example.com/\u{a0}x"), InvalidUrl::ForbiddenCharacter);
        for malformed in ["http:example.com", "http:/example.com", "http:///example.com", "example.com", "http://"] {
            assert_eq!(refused(malformed), InvalidUrl::Malformed, "{malformed}");
        }
        for malformed in ["http://[::1/", "http://example.com:99999/", "http://%00/", "http://?a", "http://a:b/"] {
            assert_eq!(refused(malformed), InvalidUrl::Malformed, "{malformed}");
        }
        assert_eq!(refused("http://example.com:0/"), InvalidUrl::PortZero);
        assert_eq!(refused("ftp://example.com/"), InvalidUrl::Scheme);
        assert_eq!(refused("file:///etc/passwd"), InvalidUrl::Scheme);
        assert_eq!(refused("   "), InvalidUrl::Blank);
        assert_eq!(refused(&format!("http://example.com/{}", "a".repeat(8192))), InvalidUrl::TooLong);
    }

    #[test]
    fn a_host_or_port_that_is_not_written_as_it_is_dialled_is_refused() {
        let long_label = format!("http://{}.example/", "a".repeat(64));
        let long_name = format!("http://{}example/", "a.".repeat(124));
        for link in ["http://example%2ecom/", "http://ex%61mple.com/", "http://ｅxample.com/", "http://a。example/"] {
            assert_eq!(refused(link), InvalidUrl::Host, "{link}");
        }
        assert_eq!(refused(&long_label), InvalidUrl::Host);
        assert_eq!(refused(&long_name), InvalidUrl::Host);
        for port in ["", "080", "00443", &"0".repeat(3_000), &format!("{}80", "0".repeat(3_000))] {
            assert_eq!(refused(&format!("http://example.com:{port}/")), InvalidUrl::Port, "{port}");
        }
        for taken in [
            format!("http://{}.example:65535/", "a".repeat(63)),
            format!("http://{}example/", "a.".repeat(123)),
            "https://[2001:db8::1]:8443/".to_owned(),
            "http://xn--fiqs8s.example./%E4%B8%AD?%".to_owned(),
        ] {
            assert!(PackageUrl::new(&taken).is_ok(), "{taken}");
        }
        let base = PackageUrl::new("https://example.com/a").unwrap();
        assert_eq!(base.join("//ex%61mple.com/b"), Err(InvalidUrl::Host));
        assert_eq!(base.join("//example.com:/b"), Err(InvalidUrl::Port));
    }

    #[test]
    fn an_at_sign_outside_the_authority_is_harmless() {
        assert!(PackageUrl::new("http://example.com/@scope/pkg.tgz?mail=a@b").is_ok());
    }

    #[test]
    fn numeric_hosts_are_judged_as_addresses() {
        for link in ["http://2130706433/", "http://0x7f.1/", "http://127.1/"] {
            let url = PackageUrl::new(link).unwrap();
            assert_eq!(url.host(), Host::<&str>::Ipv4(std::net::Ipv4Addr::LOCALHOST), "{link}");
        }
    }

    #[test]
    fn a_redirect_may_be_relative_but_not_sly() {
        let base = PackageUrl::new("https://example.com/a/b.tgz?k=v").unwrap();
        assert_eq!(base.join("../c.tgz").unwrap().to_string(), "https://example.com/c.tgz");
        assert_eq!(base.join("//other.example/c").unwrap().to_string(), "https://other.example/c");
        assert_eq!(base.join("http://other.example/c").unwrap().to_string(), "http://other.example/c");
        let with_link = base.join("/ok?u=https://x.example/y").unwrap();
        assert_eq!(with_link.as_str(), "https://example.com/ok?u=https://x.example/y");
        assert_eq!(base.join(r"\\evil.example/c"), Err(InvalidUrl::ForbiddenCharacter));
        assert_eq!(base.join("//user@other.example/"), Err(InvalidUrl::UserInfo));
        assert_eq!(base.join("ftp://other.example/"), Err(InvalidUrl::Scheme));
        assert_eq!(base.join("data:text/plain,x"), Err(InvalidUrl::Scheme));
    }

    #[test]
    fn path_and_query_stay_as_they_were_written() {
        for (written, asked) in [
            ("/a?sign='x'", "/a?sign='x'"),
            ("/a|b^c{d}`e\"f<g>?h|i^j{k}`l\"m<n>", "/a|b^c{d}`e\"f<g>?h|i^j{k}`l\"m<n>"),
            ("/%7e%7E/%zz/%?%&+=+", "/%7e%7E/%zz/%?%&+=+"),
            ("/a/../b/./%2e%2e//c/..", "/a/../b/./%2e%2e//c/.."),
            ("/a?", "/a?"),
            ("/a?#top?#", "/a?"),
            ("/a#top", "/a"),
            ("?a=/b?c", "/?a=/b?c"),
            ("", "/"),
            ("#top", "/"),
            ("/中?n=é", "/%E4%B8%AD?n=%C3%A9"),
            ("/a;b=c,d:e@f!$&()*?[x]=~", "/a;b=c,d:e@f!$&()*?[x]=~"),
        ] {
            let url = PackageUrl::new(&format!("HTTPS://Example.com:443{written}")).unwrap();
            assert_eq!((url.authority(), url.request_target()), ("example.com", asked), "{written}");
            assert_eq!(url.as_str(), format!("https://example.com{asked}"));
            assert_eq!(PackageUrl::new(url.as_str()), Ok(url), "{written}");
        }
        let url = PackageUrl::new("http://[::FFFF:127.0.0.1]:8080/x").unwrap();
        assert_eq!((url.authority(), url.request_target()), ("[::ffff:7f00:1]:8080", "/x"));
    }

    #[test]
    fn a_redirect_keeps_what_it_says_too() {
        let base = PackageUrl::new("http://example.com/a|b/c?sign='1'").unwrap();
        for (location, asked) in [
            ("https://example.com/'?'=`", "/'?'=`"),
            ("//example.com/x/../'", "/x/../'"),
            ("/x/../y?a='b'|c", "/x/../y?a='b'|c"),
            ("d'?e=\"", "/a|b/d'?e=\""),
            ("../d?../e", "/d?../e"),
            ("./..//.", "//"),
            ("../../../d/", "/d/"),
            ("?new='2'", "/a|b/c?new='2'"),
            ("", "/a|b/c?sign='1'"),
            ("#top", "/a|b/c?sign='1'"),
            ("é", "/a|b/%C3%A9"),
        ] {
            assert_eq!(base.join(location).unwrap().request_target(), asked, "{location}");
        }
        assert_eq!(base.join(&"x".repeat(PackageUrl::MAX_BYTES)), Err(InvalidUrl::TooLong));
        assert_eq!(base.join("///x"), Err(InvalidUrl::Malformed));
    }
}
