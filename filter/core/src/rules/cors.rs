//! Which pages of other sites may have browsers call, and what the replies say of it (Cross-Origin Resource Sharing, as the Fetch
//! standard has it).
//!
//! Promises: an origin that is not listed gets no header that would let its page read anything. Refuses nothing: whoever is not
//! a browser is judged by its credentials, as ever.

/// Headers that a reply gets.
pub(crate) type ReplyHeaders = Vec<(&'static str, String)>;

/// The origins of a stage, and what their pages may do.
#[derive(Debug)]
pub(crate) struct Cors {
    pub(crate) origins: Vec<OriginRule>,
    /// Joined by comma, as the headers list them.
    pub(crate) allow_headers: String,
    pub(crate) expose_headers: String,
    pub(crate) max_age_s: u32,
    pub(crate) allow_credentials: bool,
}

/// An origin, or several.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OriginRule {
    /// Every one there is.
    Any,
    /// As browsers write it.
    Exact(String),
    /// Every subdomain: `https://`, and `.example.com` with a port or without.
    Subdomains { scheme: String, suffix: String },
}

impl OriginRule {
    fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == origin,
            Self::Subdomains { scheme, suffix } => {
                let labels = origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
                let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
                labels.is_some_and(|labels| !labels.is_empty() && labels.bytes().all(is_plain))
            }
        }
    }
}

impl Cors {
    /// What a reply says to this origin; to one that is not allowed, only that the answer depends on it.
    pub(crate) fn reply_headers(&self, origin: Option<&str>) -> ReplyHeaders {
        let mut headers = vec![("vary", "Origin".to_owned())];
        let Some(allowed) = origin.and_then(|origin| self.allowed(origin)) else { return headers };
        headers.push(("access-control-allow-origin", allowed));
        if self.allow_credentials {
            headers.push(("access-control-allow-credentials", "true".to_owned()));
        }
        if !self.expose_headers.is_empty() {
            headers.push(("access-control-expose-headers", self.expose_headers.clone()));
        }
        headers
    }

    /// What a preflight is answered with; `None` for an origin that is not allowed.
    pub(crate) fn preflight_headers(&self, origin: &str, methods: &str) -> Option<ReplyHeaders> {
        let mut headers = vec![
            ("access-control-allow-origin", self.allowed(origin)?),
            ("access-control-allow-methods", methods.to_owned()),
            ("access-control-max-age", self.max_age_s.to_string()),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".to_owned()),
        ];
        if !self.allow_headers.is_empty() {
            headers.push(("access-control-allow-headers", self.allow_headers.clone()));
        }
        if self.allow_credentials {
            headers.push(("access-control-allow-credentials", "true".to_owned()));
        }
        Some(headers)
    }

    /// Whether pages of an origin may read replies.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        self.allowed(origin).is_some()
    }

    /// The origin as the reply names it. The null origin of sandboxed pages and local files is anybody's, so it is allowed only
    /// where anybody is.
    fn allowed(&self, origin: &str) -> Option<String> {
        if self.origins.contains(&OriginRule::Any) {
            return Some("*".to_owned());
        }
        self.origins.iter().any(|rule| rule.allows(origin)).then(|| origin.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: Vec<OriginRule>, allow_credentials: bool) -> Cors {
        let (allow_headers, expose_headers) = ("content-type".to_owned(), "retry-after".to_owned());
        Cors { origins, allow_headers, expose_headers, max_age_s: 600, allow_credentials }
    }

    fn listed() -> Cors {
        let subdomains = |suffix: &str| OriginRule::Subdomains { scheme: "https://".into(), suffix: suffix.into() };
        let exact = OriginRule::Exact("http://localhost:8000".into());
        cors(vec![exact, subdomains(".example.com"), subdomains(".example.org:8443")], true)
    }

    #[test]
    fn an_origin_is_listed_or_gets_nothing() {
        let listed = listed();
        for good in [
            "http://localhost:8000",
            "https://a.example.com",
            "https://a.b-1.example.com",
            "https://a.example.org:8443",
        ] {
            assert_eq!(listed.allowed(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "null",
            "http://localhost",
            "https://localhost:8000",
            "http://localhost:8000/",
            "http://localhost:80001",
            "https://example.com",
            "https://.example.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.org",
            "https://evil.org/.example.com",
            "https://evil.org#.example.com",
            "https://evil.org:1.example.com",
            "https://u@a.example.com",
            "https://A.example.com",
            "https://evilexample.com",
        ] {
            assert_eq!(listed.allowed(bad), None, "{bad}");
            assert_eq!(listed.reply_headers(Some(bad)), [("vary", "Origin".to_owned())], "{bad}");
            assert_eq!(listed.preflight_headers(bad, "POST"), None, "{bad}");
        }
    }

    #[test]
    fn a_reply_names_the_origin_and_what_its_page_may_read() {
        let names = |headers: &ReplyHeaders| headers.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let all = [
            "vary",
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-expose-headers",
        ];
        assert_eq!(names(&listed().reply_headers(Some("https://a.example.com"))), all);
        assert_eq!(names(&listed().reply_headers(None)), ["vary"]);
        let any = cors(vec![OriginRule::Any], false);
        let headers = any.reply_headers(Some("null"));
        assert_eq!(headers[1], ("access-control-allow-origin", "*".to_owned()));
        assert_eq!(names(&headers), ["vary", "access-control-allow-origin", "access-control-expose-headers"]);
        let preflight = any.preflight_headers("https://x.example", "GET, HEAD, DELETE").unwrap();
        let value = |wanted: &str| preflight.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(value("access-control-allow-methods"), Some("GET, HEAD, DELETE"));
        assert_eq!(value("access-control-allow-headers"), Some("content-type"));
        assert_eq!((value("access-control-max-age"), value("access-control-allow-credentials")), (Some("600"), None));
    }
}
