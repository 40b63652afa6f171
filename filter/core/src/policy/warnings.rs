//! What a good policy says in vain: entries that never matter, grants that have ended, placeholders.
//!
//! Promises: what is warned about can be taken away, or is surely not what was meant; nothing here changes a verdict.
//! Says nothing of what only callers know, such as an application that nobody asks for.

use linkgate_contract::{HostRule, pattern_covers};

use super::compile::rules::{moment_of, network};
use super::document::{
    Authentication, Client, Document, Grant, Host, Limits, Mode, Packages, Restriction, UploadRates, User,
};
use super::fault::Fault;

/// The digest that a policy to start from holds.
const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

type Warnings = Vec<Fault>;

/// Everything that a document, which compiles, says in vain at this second.
pub(super) fn warnings(document: &Document, now: i64) -> Vec<Fault> {
    let mut found = Vec::new();
    authentications(document, &mut found);
    grants(&document.grants, now, &mut found);
    callers(document, now, &mut found);
    client_ips(&document.restrictions.client_ips, &mut found);
    users(&document.restrictions.users, &mut found);
    allowed_hosts(&document.packages, &mut found);
    hosts(&document.packages, &mut found);
    shares(&document.limits, &mut found);
    placeholders(&document.clients, &document.users, &mut found);
    found
}

fn warn(found: &mut Warnings, path: impl Into<String>, message: impl Into<String>) {
    found.push(Fault { path: path.into(), message: message.into() });
}

/// Whether the patterns of one list match all that those of the other do, as far as can be told from the texts.
fn cover(wide: &[String], narrow: &[String]) -> bool {
    narrow.iter().all(|narrow| wide.iter().any(|wide| pattern_covers(wide, narrow)))
}

fn authentications(document: &Document, found: &mut Warnings) {
    let routes = &document.routes;
    let mut all = vec![("routes.authentication".to_owned(), &routes.authentication)];
    let stages = routes.stages.iter().enumerate();
    all.extend(stages.map(|(n, stage)| (format!("routes.stages[{n}].authentication"), &stage.authentication)));
    for (path, Authentication { verified_user_required, verified_user_exempted_apps, .. }) in all {
        if !verified_user_required && !verified_user_exempted_apps.is_empty() {
            let path = format!("{path}.verified_user_exempted_apps");
            warn(found, path, "has no effect: no app needs a verified user here");
        }
    }
    let identity = &document.identity;
    let has_console = routes.console.is_some();
    if !has_console && document.clients.is_empty() && identity.bkauth.is_none() && identity.inner_jwt_kid.is_none() {
        warn(found, "clients", "lists no application and no identity service knows any, so no caller can be verified");
    }
}

fn grants(list: &[Grant], now: i64, found: &mut Warnings) {
    let is_over = |grant: &Grant| is_over(grant, now);
    if list.is_empty() {
        warn(found, "grants", "lists none, so every request is refused");
    } else if list.iter().all(is_over) {
        warn(found, "grants", "every one has ended, so every request is refused");
    }
    for (n, grant) in list.iter().enumerate() {
        if is_over(grant) {
            warn(found, format!("grants[{n}].until"), "has passed, so the grant allows nothing any more: remove it");
            continue;
        }
        // A report-only grant counts only where no other one allows, so their order does not matter.
        let end = if grant.mode == Mode::Report { list.len() } else { n };
        let wider = (0..end).find(|&other| other != n && list.get(other).is_some_and(|wide| outdoes(wide, grant)));
        if let Some(wider) = wider {
            let what = if grant.mode == Mode::Report { "is never reported" } else { "adds nothing" };
            warn(
                found,
                format!("grants[{n}]"),
                format!("{what}: all of it is allowed by grants[{wider}], without end"),
            );
        }
    }
}

/// Whom a grant lets in that its writer may not have thought of: who signs in to the console calls through no app.
fn callers(document: &Document, now: i64, found: &mut Warnings) {
    let routes = &document.routes;
    let needs_app = |authentication: &Authentication| authentication.verified_app_required;
    let is_reached = routes.console.is_some()
        || !routes.prefixes.is_empty() && !needs_app(&routes.authentication)
        || routes.stages.iter().any(|stage| !needs_app(&stage.authentication));
    for (n, grant) in document.grants.iter().enumerate().filter(|(_, grant)| !is_over(grant, now)) {
        let path = format!("grants[{n}].callers");
        if !is_reached && grant.callers.iter().all(String::is_empty) {
            warn(found, path, "matches nobody: every stage needs a verified app, and there is no console");
        } else if routes.console.is_some() && is_open_to_people(grant) {
            let message =
                "is also everybody who signs in to the console: write `?*` for verified apps alone, or list `users`";
            warn(found, path, message);
        }
    }
}

/// Whether a grant is for everybody who calls through no app, without naming them.
fn is_open_to_people(grant: &Grant) -> bool {
    let (no_app, anybody) = (String::new(), "*".to_owned());
    let is_meant = grant.callers.contains(&no_app);
    !is_meant && cover(&grant.callers, &[no_app]) && cover(&grant.users, &[anybody])
}

fn is_over(grant: &Grant, now: i64) -> bool {
    grant.until.as_deref().and_then(moment_of).is_some_and(|until| now >= until)
}

fn outdoes(wide: &Grant, narrow: &Grant) -> bool {
    wide.until.is_none()
        && wide.mode == Mode::Enforce
        && cover(&wide.callers, &narrow.callers)
        && cover(&wide.users, &narrow.users)
        && cover(&wide.targets, &narrow.targets)
        && cover(&wide.modules, &narrow.modules)
        && narrow.actions.beyond(wide.actions).is_empty()
}

fn client_ips(part: &Restriction, found: &mut Warnings) {
    for (n, text) in part.allow.iter().enumerate() {
        let Some(allowed) = network(text) else { continue };
        let within = part.deny.iter().find(|deny| network(deny).is_some_and(|deny| deny.contains(&allowed)));
        denied("restrictions.client_ips", n, within, found);
    }
}

fn users(part: &Restriction, found: &mut Warnings) {
    for (n, text) in part.allow.iter().enumerate() {
        denied("restrictions.users", n, part.deny.iter().find(|deny| pattern_covers(deny, text)), found);
    }
}

fn denied(path: &str, n: usize, within: Option<&String>, found: &mut Warnings) {
    if let Some(deny) = within {
        let message = format!("allows nobody: all of it is within `{deny}` of {path}.deny, which takes precedence");
        warn(found, format!("{path}.allow[{n}]"), message);
    }
}

/// The default port of which scheme an entry without a port would mean, if this one names it.
fn default_port(rule: &str) -> Option<(&str, &'static str)> {
    let https = rule.strip_suffix(":443").map(|host| (host, "http links to port 443"));
    https.or_else(|| rule.strip_suffix(":80").map(|host| (host, "https links to port 80")))
}

fn allowed_hosts(part: &Packages, found: &mut Warnings) {
    if part.allowed_hosts.is_empty() && part.hosts.is_empty() {
        warn(found, "packages.allowed_hosts", "lists no host, so every link is refused");
    }
    let rules: Vec<String> = part.allowed_hosts.iter().map(|text| host_text(text)).collect();
    for (n, rule) in rules.iter().enumerate() {
        let path = format!("packages.allowed_hosts[{n}]");
        let at = |wanted: &str| rules.iter().position(|rule| rule == wanted);
        if let Some(first) = at(rule).filter(|first| *first < n) {
            warn(found, path, format!("is packages.allowed_hosts[{first}] again"));
        } else if let Some((host, only)) = default_port(rule)
            && let Some(wide) = at(host)
        {
            warn(found, path, format!("only adds {only}: packages.allowed_hosts[{wide}] allows the rest"));
        }
    }
}

/// An entry as the gate compares it; one that is none stands for itself.
fn host_text(text: &str) -> String {
    HostRule::new(text).map_or_else(|_| text.to_owned(), |rule| rule.to_string())
}

fn hosts(part: &Packages, found: &mut Warnings) {
    for (n, entry) in part.hosts.iter().enumerate() {
        let path = format!("packages.hosts[{n}]");
        if entry.credential.is_some() && cover(&entry.targets, &["*".to_owned()]) {
            let message =
                "is open to every target: whoever may upload for any application fetches with it; list `targets`";
            warn(found, format!("{path}.credential"), message);
        }
        let rule = host_text(&entry.host);
        let listed = part.allowed_hosts.iter().position(|text| host_text(text) == rule);
        let wide = listed.map(|at| format!("packages.allowed_hosts[{at}]")).or_else(|| wider_host(part, n, &rule));
        let Some(wide) = wide else { continue };
        // Whose addresses may be private, and which credentials go there, is another matter, and said by this entry alone.
        let is_needed = entry.credential.is_some() || entry.allow_caller_credential;
        let (path, message) = match (!is_needed && private_elsewhere(part, n, &rule), entry.mode) {
            (true, _) => (path, "adds nothing".to_owned()),
            (false, Mode::Report) => (format!("{path}.mode"), "never reports".to_owned()),
            (false, Mode::Enforce) => continue,
        };
        warn(found, path, format!("{message}: {wide} allows the host to the same targets anyway"));
    }
}

/// Another entry that allows all that this one does. Of two that do so for each other the first one stays.
fn wider_host(part: &Packages, n: usize, rule: &str) -> Option<String> {
    let narrow = part.hosts.get(n)?;
    let allows = |wide: &Host, narrow: &Host| {
        wide.mode == Mode::Enforce
            && host_text(&wide.host) == host_text(&narrow.host)
            && cover(&wide.targets, &narrow.targets)
    };
    let mut others =
        part.hosts.iter().enumerate().filter(|(other, entry)| *other != n && host_text(&entry.host) == rule);
    let (wide, _) = others.find(|(other, wide)| allows(wide, narrow) && (*other < n || !allows(narrow, wide)))?;
    Some(format!("packages.hosts[{wide}]"))
}

/// Whether nothing about private addresses hangs on this entry.
fn private_elsewhere(part: &Packages, n: usize, rule: &str) -> bool {
    let Some(entry) = part.hosts.get(n).filter(|entry| entry.allow_private_addresses) else { return true };
    part.hosts.iter().take(n).any(|other| {
        other.allow_private_addresses && host_text(&other.host) == rule && cover(&other.targets, &entry.targets)
    })
}

/// No share is less than one; so what is written for fewer than there are is not kept to.
fn shares(part: &Limits, found: &mut Warnings) {
    let (instances, rates) = (part.instances, part.rates());
    if part.upload_rates == UploadRates::Service && rates.iter().all(|(_, rate)| rate.is_none()) {
        warn(found, "limits.upload_rates", "has no effect: there is no rate that the service could count by");
    }
    let mut counts = Vec::new();
    for (name, rate) in rates.into_iter().filter_map(|(name, rate)| Some((name, rate?))) {
        let key = if rate.burst.is_some() { ".burst" } else { "" };
        counts.push((format!("limits.{name}{key}"), rate.burst(), "at once"));
    }
    let uploads = part.uploads_per_app.as_ref();
    counts.extend(
        uploads.map(|part| ("limits.uploads_per_app.concurrent".to_owned(), part.concurrent, "at the same time")),
    );
    for (path, count, when) in counts.into_iter().filter(|(_, count, _)| *count < instances) {
        let message = format!(
            "is less than limits.instances: no Envoy's share is below 1, so {instances} pass {when}, not {count}"
        );
        warn(found, path, message);
    }
}

fn placeholders(clients: &[Client], users: &[User], found: &mut Warnings) {
    let clients = clients.iter().enumerate();
    let clients = clients.map(|(n, client)| (format!("clients[{n}].secret_sha256"), &client.secret_sha256));
    let users = users.iter().enumerate().flat_map(|(n, user)| {
        let path = |key: &str| format!("users[{n}].{key}");
        [(path("bk_token_sha256"), &user.bk_token_sha256), (path("bk_ticket_sha256"), &user.bk_ticket_sha256)]
    });
    for (path, digests) in clients.chain(users) {
        for (n, _) in digests.iter().enumerate().filter(|(_, digest)| *digest == PLACEHOLDER) {
            let message = "is the placeholder, the digest of no secret: make one with `linkgate secret hash`";
            warn(found, format!("{path}[{n}]"), message);
        }
    }
}

#[cfg(test)]
mod tests;
