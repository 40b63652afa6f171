//! Which pages of other sites may have browsers call.

use std::collections::BTreeSet;

use super::{Difference, beyond};
use crate::policy::compile::cors::{ALLOW_HEADERS, EXPOSE_HEADERS};
use crate::policy::document::Cors;

pub(super) fn compare(what: &str, old: Option<&Cors>, new: Option<&Cors>, found: &mut Difference) {
    let origins = |part: Option<&Cors>| part.map(|cors| cors.allow_origins.clone()).unwrap_or_default();
    let (was, is) = (origins(old), origins(new));
    if let Some(more) = beyond(&is, &was) {
        found.gain(format!("{what} lets pages of {more} call"));
    }
    if let Some(less) = beyond(&was, &is) {
        found.lose(format!("{what} no longer lets pages of {less} call"));
    }
    let (Some(old), Some(new)) = (old, new) else { return };
    match (old.allow_credentials, new.allow_credentials) {
        (false, true) => found.gain(format!("{what} takes cookies with calls of other sites' pages")),
        (true, false) => found.lose(format!("{what} takes no cookies with calls of other sites' pages any more")),
        _ => {}
    }
    let told = |cors: &Cors| {
        let (allow, expose) = (cors.allow_headers.as_deref(), cors.expose_headers.as_deref());
        (names(allow, ALLOW_HEADERS), names(expose, EXPOSE_HEADERS), cors.max_age_s)
    };
    if told(old) != told(new) {
        found.change(format!("{what} tells browsers of other headers, or for another time"));
    }
}

/// Names of headers, in any order and case.
fn names(list: Option<&[String]>, default: &str) -> BTreeSet<String> {
    let lower = |name: &str| name.trim().to_ascii_lowercase();
    list.map_or_else(|| default.split(',').map(lower).collect(), |list| list.iter().map(|name| lower(name)).collect())
}
