//! From the document to something to decide by: every rule beyond the shape.

mod console;
pub(super) mod cors;
pub(super) mod identity;
mod people;
pub(super) mod rules;

use std::rc::Rc;

use linkgate_contract::PathPrefix;

use super::document::{Authentication as AuthenticationPart, Document, Place, Routes};
use super::fault::{Fault, Faults};
use super::{Authentication, Policy, Stage, Summary};

/// The version of the document that this code reads.
const VERSION: u64 = 1;
/// What Envoy is asked to buffer at the most in the reference wiring.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 256..=1 << 20;
/// Envoy itself takes 60 KiB of headers by default.
const URI_BYTES: std::ops::RangeInclusive<u64> = 256..=48 << 10;
/// Names of gateways, stages, grants and users.
const NAME_MAX: usize = 64;
/// The stage of the prefixes that stand directly under `routes`.
pub(super) const DEFAULT_STAGE: &str = "default";
/// The stage of `routes.console`.
pub(super) const CONSOLE_STAGE: &str = "console";
/// Stages: each has a counter of its own among the workers.
const MAX_STAGES: usize = 32;

pub(super) fn compile(document: &Document) -> Result<Policy, Vec<Fault>> {
    let mut faults = Faults::default();
    if document.version != VERSION {
        faults.add("version", format!("this version of linkgate reads version {VERSION}"));
    }
    let gateway = &document.gateway;
    if !is_name(gateway) {
        faults.add("gateway", NAME_RULE);
    }
    let stages = stages(&document.routes, &mut faults);
    let (services, jwt_keys) = identity::identity(&document.identity, &mut faults);
    let tenants = identity::tenants(&document.identity, &mut faults);
    let grants = rules::grants(&document.grants, &mut faults);
    let (client_ips, users) = rules::restrictions(&document.restrictions, &mut faults);
    let limits = &document.limits;
    let body_bytes = size("limits.body_bytes", limits.body_bytes, &BODY_BYTES, &mut faults);
    let uri_bytes = size("limits.uri_bytes", limits.uri_bytes, &URI_BYTES, &mut faults);
    let traffic = rules::traffic(limits, &mut faults);
    let packages = rules::packages(&document.packages, &mut faults);
    let url_keys = rules::url_keys(&document.signed_urls, &mut faults);
    let directory = people::directory(&document.clients, &document.users, &mut faults);
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let summary = Summary {
        prefixes: stages.iter().map(|stage| stage.prefixes.len()).sum(),
        clients: document.clients.len(),
        users: document.users.len(),
        grants: grants.0.len(),
        allowed_hosts: packages.hosts.len(),
        instances: limits.instances,
    };
    Ok(Policy {
        gateway: gateway.clone(),
        console: stages.iter().find(|stage| stage.console.is_some()).cloned(),
        stages,
        error_detail: document.routes.error_detail,
        body_bytes,
        uri_bytes,
        services,
        jwt_keys,
        tenants,
        grants,
        client_ips,
        users,
        traffic,
        packages,
        url_keys,
        directory,
        summary,
        version: String::new(),
    })
}

const NAME_RULE: &str = "must be 1 to 64 letters, digits, '-', '_' and '.'";

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn size(path: &str, bytes: u64, range: &std::ops::RangeInclusive<u64>, faults: &mut Faults) -> usize {
    if !range.contains(&bytes) {
        faults.add(path, format!("must be from {} to {} bytes", range.start(), range.end()));
    }
    usize::try_from(bytes).unwrap_or_default()
}

fn stages(routes: &Routes, faults: &mut Faults) -> Vec<Rc<Stage>> {
    if routes.prefixes.is_empty() && routes.stages.is_empty() && routes.console.is_none() {
        faults.add("routes.prefixes", "lists no prefix, so nothing would be served; use \"\" for none");
    }
    faults.check_length("routes.stages", &routes.stages, MAX_STAGES);
    let mut seen = Vec::new();
    let mut stages: Vec<Rc<Stage>> = Vec::new();
    if !routes.prefixes.is_empty() {
        let prefixes = prefixes("routes.prefixes", &routes.prefixes, &mut seen, faults);
        let authentication = authentication("routes.authentication", &routes.authentication, faults);
        let cors = cors::cors("routes", routes.cors.as_ref(), faults);
        stages.push(Rc::new(Stage { name: DEFAULT_STAGE.to_owned(), prefixes, authentication, cors, console: None }));
    }
    for (n, stage) in routes.stages.iter().enumerate() {
        let path = format!("routes.stages[{n}]");
        if !is_name(&stage.name) {
            faults.add(format!("{path}.name"), NAME_RULE);
        }
        if stages.iter().any(|other| other.name == stage.name) {
            faults.add(format!("{path}.name"), "is the name of another stage");
        }
        if stage.prefixes.is_empty() {
            faults.add(format!("{path}.prefixes"), "lists no prefix, so the stage would serve nothing");
        }
        let prefixes = prefixes(&format!("{path}.prefixes"), &stage.prefixes, &mut seen, faults);
        let authentication = authentication(&format!("{path}.authentication"), &stage.authentication, faults);
        let cors = cors::cors(&path, stage.cors.as_ref(), faults);
        if stage.name == CONSOLE_STAGE && routes.console.is_some() {
            faults.add(format!("{path}.name"), "is the name of the stage of routes.console");
        }
        stages.push(Rc::new(Stage { name: stage.name.clone(), prefixes, authentication, cors, console: None }));
    }
    stages.extend(routes.console.as_ref().map(|part| Rc::new(console::stage(part, &mut seen, faults))));
    stages
}

/// A prefix belongs to one stage.
fn prefixes(path: &str, texts: &[String], seen: &mut Vec<PathPrefix>, faults: &mut Faults) -> Vec<PathPrefix> {
    let mut list = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let at = format!("{path}[{n}]");
        match faults.take_ok(&at, PathPrefix::new(text)) {
            Some(prefix) if seen.contains(&prefix) => faults.add(at, "is listed twice"),
            Some(prefix) => {
                seen.push(prefix.clone());
                list.push(prefix);
            }
            None => {}
        }
    }
    list
}

fn authentication(path: &str, part: &AuthenticationPart, faults: &mut Faults) -> Authentication {
    if !part.verified_app_required && !part.verified_user_required {
        faults.add(path, "requires neither a verified app nor a verified user, so nobody would be known");
    }
    if !part.credentials_from.contains(&Place::Header) {
        faults.add(
            format!("{path}.credentials_from"),
            "must list `header`, which takes precedence over every other place",
        );
    }
    let exempted =
        rules::patterns(&format!("{path}.verified_user_exempted_apps"), &part.verified_user_exempted_apps, faults);
    Authentication {
        app_required: part.verified_app_required,
        user_required: part.verified_user_required,
        exempted_apps: exempted,
        from_query: part.credentials_from.contains(&Place::Query),
        from_body: part.credentials_from.contains(&Place::Body),
        only_cookies: false,
    }
}
