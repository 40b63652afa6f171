//! From the document to something to decide by: every rule beyond the shape.

use std::fmt::Display;

use linkgate_contract::{AllowList, AppCode, HostRule, PathPrefix};

use super::document::{App, Document, User};
use super::{Fault, Limits, Policy, Summary};
use crate::directory::{Listed, LoginKind};
use crate::secret::Digest;

/// The version of the document that this code reads.
const VERSION: u64 = 1;
/// What Envoy is asked to buffer at the most in the reference wiring.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 256..=1 << 20;
/// Envoy itself takes 60 KiB of headers by default.
const URI_BYTES: std::ops::RangeInclusive<u64> = 256..=48 << 10;
/// Names of gateways and users.
const NAME_MAX: usize = 64;

/// Collects faults, so that an operator meets all of them in one run.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, path: impl Into<String>, message: impl Display) {
        self.0.push(Fault { path: path.into(), message: message.to_string() });
    }

    /// Keeps what was read, or notes why it was not.
    fn keep<T, E: Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.add(path, e)).ok()
    }
}

pub(super) fn compile(document: &Document) -> Result<Policy, Vec<Fault>> {
    let mut faults = Faults::default();
    if document.version != VERSION {
        faults.add("version", format!("this version of linkgate reads version {VERSION}"));
    }
    let gateway = &document.gateway;
    if !is_name(gateway) {
        faults.add("gateway", format!("must be 1 to {NAME_MAX} letters, digits, '-', '_' and '.'"));
    }
    let prefixes = prefixes(&document.routes.prefixes, &mut faults);
    let limits = Limits {
        body_bytes: size("limits.body_bytes", document.limits.body_bytes, &BODY_BYTES, &mut faults),
        uri_bytes: size("limits.uri_bytes", document.limits.uri_bytes, &URI_BYTES, &mut faults),
    };
    let allowed_hosts = hosts(&document.packages.allowed_hosts, &mut faults);
    let mut directory = Listed::default();
    for (n, app) in document.apps.iter().enumerate() {
        list_app(&format!("apps[{n}]"), app, &mut directory, &mut faults);
    }
    for (n, user) in document.users.iter().enumerate() {
        list_user(&format!("users[{n}]"), user, &mut directory, &mut faults);
    }
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let summary = Summary {
        prefixes: prefixes.len(),
        apps: document.apps.len(),
        users: document.users.len(),
        allowed_hosts: document.packages.allowed_hosts.len(),
    };
    Ok(Policy { gateway: gateway.clone(), prefixes, limits, allowed_hosts, directory, summary })
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn prefixes(texts: &[String], faults: &mut Faults) -> Vec<PathPrefix> {
    if texts.is_empty() {
        faults.add("routes.prefixes", "lists no prefix, so nothing would be served; use \"\" for none");
    }
    let mut list: Vec<PathPrefix> = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let path = format!("routes.prefixes[{n}]");
        match faults.keep(&path, PathPrefix::new(text)) {
            Some(prefix) if list.contains(&prefix) => faults.add(path, "is listed twice"),
            Some(prefix) => list.push(prefix),
            None => {}
        }
    }
    list
}

fn size(path: &str, bytes: u64, range: &std::ops::RangeInclusive<u64>, faults: &mut Faults) -> usize {
    if !range.contains(&bytes) {
        faults.add(path, format!("must be from {} to {} bytes", range.start(), range.end()));
    }
    usize::try_from(bytes).unwrap_or_default()
}

fn hosts(entries: &[String], faults: &mut Faults) -> AllowList {
    let rules = entries.iter().enumerate();
    let rules = rules.filter_map(|(n, e)| faults.keep(format!("packages.allowed_hosts[{n}]"), HostRule::new(e)));
    AllowList::new(rules.collect())
}

fn digests(path: &str, texts: &[String], faults: &mut Faults) -> Vec<(String, Digest)> {
    let texts = texts.iter().enumerate().map(|(n, text)| (format!("{path}[{n}]"), text));
    texts.filter_map(|(at, text)| Some((at.clone(), faults.keep(at, Digest::from_hex(text))?))).collect()
}

fn list_app(path: &str, app: &App, directory: &mut Listed, faults: &mut Faults) {
    faults.keep(format!("{path}.app_code"), AppCode::new(app.app_code.as_str()));
    let secrets_path = format!("{path}.secret_sha256");
    let secrets = digests(&secrets_path, &app.secret_sha256, faults);
    if !directory.add_app(&app.app_code, secrets.into_iter().map(|(_, digest)| digest).collect()) {
        faults.add(format!("{path}.app_code"), "is listed twice; one app may have several secrets");
    }
    if app.secret_sha256.is_empty() {
        faults.add(secrets_path, "lists no secret, so the app could never call; remove the app or add a digest");
    }
}

fn list_user(path: &str, user: &User, directory: &mut Listed, faults: &mut Faults) {
    let length = user.username.chars().count();
    if !(1..=NAME_MAX).contains(&length) || user.username.chars().any(char::is_control) {
        faults.add(format!("{path}.username"), format!("must be 1 to {NAME_MAX} characters, no control characters"));
    }
    if user.bk_token_sha256.is_empty() && user.bk_ticket_sha256.is_empty() {
        faults.add(path, "lists neither bk_token_sha256 nor bk_ticket_sha256, so the user could never log in");
    }
    let kinds = [
        (LoginKind::Token, "bk_token_sha256", &user.bk_token_sha256),
        (LoginKind::Ticket, "bk_ticket_sha256", &user.bk_ticket_sha256),
    ];
    for (kind, key, texts) in kinds {
        for (at, digest) in digests(&format!("{path}.{key}"), texts, faults) {
            if !directory.add_login(kind, digest, &user.username) {
                faults.add(at, "is listed already, and one login belongs to one user");
            }
        }
    }
}
