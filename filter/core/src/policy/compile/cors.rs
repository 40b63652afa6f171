//! Cross-origin rules of a stage.

use std::borrow::Cow;

use crate::policy::document::Cors as CorsPart;
use crate::policy::fault::Faults;
use crate::rules::cors::{Cors, OriginRule};

/// What a page may send unless the policy says otherwise: what this API reads.
pub(in crate::policy) const ALLOW_HEADERS: &str =
    "content-type, x-bkapi-authorization, prefer, idempotency-key, blueking-language, x-bk-tenant-id, x-request-id";
/// What a page may read unless the policy says otherwise: what this API says in headers.
pub(in crate::policy) const EXPOSE_HEADERS: &str = "bkapi-error-code, bkapi-error-code-num, location, preference-applied, retry-after, \
                              x-bkapi-error-code, x-bkapi-error-message, x-bkapi-request-id, x-request-id";
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE_S: std::ops::RangeInclusive<u32> = 0..=86_400;
const MAX_ENTRIES: usize = 64;
/// Names of headers.
const MAX_NAME: usize = 64;

pub(super) fn cors(path: &str, part: Option<&CorsPart>, faults: &mut Faults) -> Option<Cors> {
    let part = part?;
    let path = format!("{path}.cors");
    let origins = origins(&format!("{path}.allow_origins"), part, faults);
    if !MAX_AGE_S.contains(&part.max_age_s) {
        faults.add(format!("{path}.max_age_s"), "must be from 0 to 86400 seconds");
    }
    let mut names = |key: &str, list: Option<&[String]>, default: &str| {
        list.map_or_else(|| default.to_owned(), |list| names(&format!("{path}.{key}"), list, faults))
    };
    let allow_headers = names("allow_headers", part.allow_headers.as_deref(), ALLOW_HEADERS);
    let expose_headers = names("expose_headers", part.expose_headers.as_deref(), EXPOSE_HEADERS);
    let (max_age_s, allow_credentials) = (part.max_age_s, part.allow_credentials);
    Some(Cors { origins, allow_headers, expose_headers, max_age_s, allow_credentials })
}

fn origins(path: &str, part: &CorsPart, faults: &mut Faults) -> Vec<OriginRule> {
    faults.check_length(path, &part.allow_origins, MAX_ENTRIES);
    if part.allow_origins.is_empty() {
        faults.add(path, "is empty: leave `cors` out to allow no origin");
    }
    let mut rules = Vec::new();
    for (n, text) in part.allow_origins.iter().enumerate() {
        let at = format!("{path}[{n}]");
        match origin(text) {
            Ok(OriginRule::Any) if part.allow_credentials => faults.add(
                at,
                "is every site, and with `allow_credentials` each could act with its visitors' logins: list the origins",
            ),
            Ok(rule) if rules.contains(&rule) => faults.add(at, "is listed twice"),
            Ok(rule) => rules.push(rule),
            Err(fault) => faults.add(at, fault),
        }
    }
    rules
}

/// Reads an origin as browsers write it, so that it can be compared as text.
fn origin(text: &str) -> Result<OriginRule, Cow<'static, str>> {
    if text == "*" {
        return Ok(OriginRule::Any);
    }
    if text == "null" {
        return Err(
            "is the origin of every sandboxed page and local file: serve the page from a host of its own".into()
        );
    }
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    if !["http://", "https://"].contains(&scheme) {
        return Err("must be `*` or begin with `https://` or `http://`".into());
    }
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let (is_wild, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
    check_host(host, is_wild)?;
    check_port(scheme, port)?;
    if !is_wild {
        return Ok(OriginRule::Exact(text.to_owned()));
    }
    let suffix = rest.trim_start_matches('*').to_owned();
    Ok(OriginRule::Subdomains { scheme: scheme.to_owned(), suffix })
}

fn check_host(host: &str, is_wild: bool) -> Result<(), &'static str> {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    match host.split('.').all(is_label) {
        false => Err("must be an origin as browsers send it: scheme, host in lower case and port, without a path"),
        true if is_wild && !host.contains('.') => {
            Err("allows every host below a top-level domain: name a domain of yours")
        }
        true => Ok(()),
    }
}

fn check_port(scheme: &str, port: Option<&str>) -> Result<(), &'static str> {
    match (scheme, port) {
        (_, None) => Ok(()),
        ("https://", Some("443")) | ("http://", Some("80")) => {
            Err("never matches: browsers leave the scheme's own port out, so leave it out here")
        }
        (_, Some(port)) => match port.parse::<u16>() {
            Ok(number) if number > 0 && number.to_string() == port => Ok(()),
            _ => Err("must have a port from 1 to 65535, without leading zeros, or none"),
        },
    }
}

fn names(path: &str, list: &[String], faults: &mut Faults) -> String {
    faults.check_length(path, list, MAX_ENTRIES);
    let is_name = |name: &str| {
        (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    for (n, name) in list.iter().enumerate().filter(|(_, name)| !is_name(name)) {
        faults.add(format!("{path}[{n}]"), format!("`{name}` is no header's name: letters, digits, '-' and '_'"));
    }
    list.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::policy::Policy;

    fn faults(cors: &Value) -> Vec<String> {
        let document = json!({
            "version": 1, "gateway": "g",
            "routes": {"prefixes": [""], "stages": [{"name": "web", "prefixes": ["/web"], "cors": cors}]},
        });
        Policy::from_value(&document).map_or_else(|f| f.iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        for good in [
            "*",
            "https://example.com",
            "http://localhost:8000",
            "https://*.example.com",
            "https://*.example.com:8443",
            "http://10.0.0.1",
        ] {
            assert!(faults(&json!({"allow_origins": [good]})).is_empty(), "{good}");
        }
        let bad = [
            ("null", "is the origin of every sandboxed page"),
            ("example.com", "must be `*` or begin with"),
            ("ftp://example.com", "must be `*` or begin with"),
            ("https://", "must be an origin as browsers send it"),
            ("https://Example.com", "must be an origin as browsers send it"),
            ("https://example.com/", "must be an origin as browsers send it"),
            ("https://a@example.com", "must be an origin as browsers send it"),
            ("https://*", "must be an origin as browsers send it"),
            ("https://a.*.com", "must be an origin as browsers send it"),
            ("https://*.com", "allows every host below a top-level domain"),
            ("https://example.com:443", "never matches"),
            ("http://example.com:80", "never matches"),
            ("https://example.com:0443", "must have a port"),
            ("https://example.com:", "must have a port"),
            ("https://example.com:65536", "must have a port"),
        ];
        for (text, fault) in bad {
            let found = faults(&json!({"allow_origins": [text]}));
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(&format!("routes.stages[0].cors.allow_origins[0]: {fault}")), "{found:?}");
        }
    }

    #[test]
    fn every_site_may_not_act_with_its_visitors_logins() {
        let found = faults(&json!({"allow_origins": ["*"], "allow_credentials": true}));
        assert!(found[0].contains("allow_origins[0]: is every site, and with `allow_credentials`"), "{found:?}");
        assert!(faults(&json!({"allow_origins": ["https://a.example"], "allow_credentials": true})).is_empty());
    }

    #[test]
    fn every_other_fault_is_named_at_once() {
        let found = faults(&json!({
            "allow_origins": ["https://a.example", "https://a.example"],
            "allow_headers": ["*", "a b"], "expose_headers": [""], "max_age_s": 86_401,
        }));
        let paths: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        let at = |key: &str| format!("routes.stages[0].cors.{key}");
        let keys = ["allow_origins[1]", "max_age_s", "allow_headers[0]", "allow_headers[1]", "expose_headers[0]"];
        assert_eq!(paths, keys.map(at));
        assert_eq!(faults(&json!({"allow_origins": []})).len(), 1);
        assert_eq!(faults(&json!({})).len(), 1);
        assert_eq!(faults(&json!({"allow_origins": ["*"], "allow_methods": ["GET"]})).len(), 1);
    }
}
