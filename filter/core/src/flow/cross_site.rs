//! Whether a page of another site has a browser send a request (cross-site request forgery).
//!
//! Browsers add cookies by themselves, whichever page sends the request. Promises: where a cookie alone says who calls, nothing is
//! changed for a page of another host, subdomain, port or scheme, unless the stage's `cors` lets its origin act with its visitors'
//! logins. What browsers say of the page (`Sec-Fetch-Site`, `Origin`) is believed, for no page can change it; who is no browser
//! has no visitor to deceive.

use crate::head::{Head, HeaderField};
use crate::policy::Stage;
use crate::rules::cors::Cors;

const ANOTHER_SITE: &str =
    "the page that sends this request is of another origin, please send it from a page of this host";
const UNKNOWN_SITE: &str = "neither Origin nor Sec-Fetch-Site says which page sends this request, please use a current browser, or the \
                            request header X-Bkapi-Authorization with another prefix";

/// What there is against a request that changes something on behalf of whom a cookie names. Only a stage that reads cookies alone
/// needs the word of a browser: elsewhere they count beside a header that no page of another site can send without being asked
/// about by a preflight.
#[cold]
pub(super) fn find_fault(head: &Head<'_>, stage: &Stage) -> Option<&'static str> {
    let origins: Vec<&[u8]> = head.all(HeaderField::Origin).collect();
    let sites: Vec<&[u8]> = head.named("sec-fetch-site").collect();
    if stage.cors.as_ref().is_some_and(|cors| is_let_in(cors, head)) {
        return None;
    }
    let is_own = |origin: &[u8]| std::str::from_utf8(origin).is_ok_and(|origin| is_own_origin(head, origin));
    let is_fine = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    match (origins.as_slice(), sites.as_slice()) {
        ([], []) => stage.console.is_some().then_some(UNKNOWN_SITE),
        ([], [site]) if is_fine(site) => None,
        ([origin], []) if is_own(origin) => None,
        ([origin], [site]) if is_own(origin) && is_fine(site) => None,
        _ => Some(ANOTHER_SITE),
    }
}

/// Whether the policy lets the page act with its visitors' logins.
fn is_let_in(cors: &Cors, head: &Head<'_>) -> bool {
    cors.allow_credentials && head.origin().is_some_and(|origin| cors.allows(origin))
}

/// Whether an origin is that of the request. A proxy that ends TLS may leave us with `http`, so only `https` says anything.
fn is_own_origin(head: &Head<'_>, origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let Some(default_port) = default_port(scheme) else { return false };
    let is_downgraded = scheme != "https" && head.named(":scheme").any(|scheme| scheme == b"https");
    let mut authorities = head.named(":authority");
    match (authorities.next().map(std::str::from_utf8), authorities.next()) {
        (Some(Ok(own)), None) if !own.is_empty() && !is_downgraded => {
            without(own, default_port).eq_ignore_ascii_case(without(host, default_port))
        }
        _ => false,
    }
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some(":80"),
        "https" => Some(":443"),
        _ => None,
    }
}

fn without<'a>(host: &'a str, default_port: &str) -> &'a str {
    host.strip_suffix(default_port).unwrap_or(host)
}
