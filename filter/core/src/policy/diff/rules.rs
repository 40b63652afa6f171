//! Grants, restrictions and hosts.

use std::collections::BTreeSet;

use linkgate_contract::HostRule;

use super::{Difference, beyond, is_anybody, quoted};
use crate::keys::PublicKey;
use crate::policy::compile::rules::moment_of;
use crate::policy::document::{Checksum, Grant, Mode, Packages, Restriction, Restrictions, SignedUrls};

/// A grant in words, as it decides.
fn describe(grant: &Grant) -> String {
    let (callers, targets) = (quoted(&grant.callers), quoted(&grant.targets));
    let mut words = format!("callers {callers} may {} for targets {targets}", grant.actions);
    for (what, list) in [("modules", &grant.modules), ("users", &grant.users)] {
        if !is_anybody(list) {
            words += &format!(", {what} {}", quoted(list));
        }
    }
    if let Some(until) = &grant.until {
        words += &format!(", until {until}");
    }
    if grant.mode == Mode::Report {
        words += ", report-only";
    }
    words
}

pub(super) fn grants(old: &[Grant], new: &[Grant], found: &mut Difference) {
    // Who has no name is known by what it says; a number would change with the order.
    let id = |grant: &Grant| grant.name.clone().map_or_else(|| (false, describe(grant)), |name| (true, name));
    let sentence = |grant: &Grant| match &grant.name {
        Some(name) => format!("grant `{name}`: {}", describe(grant)),
        None => format!("a grant: {}", describe(grant)),
    };
    for grant in new {
        match old.iter().find(|other| id(other) == id(grant)) {
            None => found.gain(sentence(grant)),
            Some(other) => changed_grant(other, grant, found),
        }
    }
    for grant in old.iter().filter(|grant| !new.iter().any(|other| id(other) == id(grant))) {
        found.lose(sentence(grant));
    }
}

pub(super) fn url_keys(old: &SignedUrls, new: &SignedUrls, found: &mut Difference) {
    // By their names, for the same key can be written in two ways.
    let names = |part: &SignedUrls| -> BTreeSet<String> {
        part.keys.iter().filter_map(|pem| PublicKey::parse(pem).ok()?.ed25519_id()).collect()
    };
    let (old, new) = (names(old), names(new));
    for id in new.difference(&old) {
        found.gain(format!("URLs that the key `{id}` signed are trusted"));
    }
    for id in old.difference(&new) {
        found.lose(format!("URLs that the key `{id}` signed are no longer trusted"));
    }
}

fn changed_grant(old: &Grant, new: &Grant, found: &mut Difference) {
    let Some(name) = &new.name else { return };
    let lists = [
        ("callers", &old.callers, &new.callers),
        ("targets", &old.targets, &new.targets),
        ("modules", &old.modules, &new.modules),
        ("users", &old.users, &new.users),
    ];
    for (what, was, is) in lists {
        if let Some(names) = beyond(is, was) {
            found.gain(format!("grant `{name}` covers {what} {names}"));
        }
        if let Some(names) = beyond(was, is) {
            found.lose(format!("grant `{name}` does not cover {what} {names} any more"));
        }
    }
    let (was, is) = (old.actions, new.actions);
    if !is.beyond(was).is_empty() {
        found.gain(format!("grant `{name}` lets its callers {}", is.beyond(was)));
    }
    if !was.beyond(is).is_empty() {
        found.lose(format!("grant `{name}` does not let its callers {} any more", was.beyond(is)));
    }
    let end = |grant: &Grant| grant.until.as_deref().and_then(moment_of).unwrap_or(i64::MAX);
    let [was, is] = [old, new].map(|grant| grant.until.as_deref().unwrap_or("never"));
    match end(new).cmp(&end(old)) {
        std::cmp::Ordering::Greater => found.gain(format!("grant `{name}` ends {is} instead of {was}")),
        std::cmp::Ordering::Less => found.lose(format!("grant `{name}` ends {is} instead of {was}")),
        std::cmp::Ordering::Equal => {}
    }
    match (old.mode, new.mode) {
        (Mode::Enforce, Mode::Report) => {
            found.change(format!("grant `{name}` is report-only: what only it allows still passes and is reported"))
        }
        (Mode::Report, Mode::Enforce) => found.change(format!("grant `{name}` is not report-only any more")),
        _ => {}
    }
}

pub(super) fn restrictions(old: &Restrictions, new: &Restrictions, found: &mut Difference) {
    restriction("client addresses", &old.client_ips, &new.client_ips, found);
    restriction("users", &old.users, &new.users, found);
}

fn restriction(what: &str, old: &Restriction, new: &Restriction, found: &mut Difference) {
    match (old.allow.is_empty(), new.allow.is_empty()) {
        (true, false) => found.lose(format!("{what} other than {} are refused", quoted(&new.allow))),
        (false, true) => found.gain(format!("{what} other than {} are allowed", quoted(&old.allow))),
        _ => {
            if let Some(names) = beyond(&new.allow, &old.allow) {
                found.gain(format!("{what} {names} are allowed"));
            }
            if let Some(names) = beyond(&old.allow, &new.allow) {
                found.lose(format!("{what} {names} are not allowed any more"));
            }
        }
    }
    if let Some(names) = beyond(&new.deny, &old.deny) {
        found.lose(format!("{what} {names} are denied"));
    }
    if let Some(names) = beyond(&old.deny, &new.deny) {
        found.gain(format!("{what} {names} are not denied any more"));
    }
    let restricts = |part: &Restriction| !part.allow.is_empty() || !part.deny.is_empty();
    match (old.mode, new.mode) {
        (Mode::Enforce, Mode::Report) if restricts(old) && restricts(new) => {
            found.gain(format!("restrictions on {what} are only reported"));
        }
        (Mode::Report, Mode::Enforce) if restricts(old) && restricts(new) => {
            found.lose(format!("restrictions on {what} are enforced, not only reported"));
        }
        (_, Mode::Report) if restricts(new) && !restricts(old) => {
            found.change(format!("restrictions on {what} are only reported for now"));
        }
        _ => {}
    }
}

/// A host with its conditions, from either list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Host {
    host: String,
    targets: Vec<String>,
    allow_private_addresses: bool,
    credential: Option<String>,
    allow_caller_credential: bool,
    report: bool,
}

impl Host {
    fn all(part: &Packages) -> BTreeSet<Self> {
        let text = |host: &str| HostRule::new(host).map_or_else(|_| host.to_owned(), |rule| rule.to_string());
        let plain = part.allowed_hosts.iter().map(|host| Self {
            host: text(host),
            targets: vec!["*".to_owned()],
            allow_private_addresses: false,
            credential: None,
            allow_caller_credential: false,
            report: false,
        });
        let conditional = part.hosts.iter().map(|entry| {
            let mut targets = entry.targets.clone();
            targets.sort();
            targets.dedup();
            let (allow_private_addresses, report) = (entry.allow_private_addresses, entry.mode == Mode::Report);
            let (credential, allow_caller_credential) = (entry.credential.clone(), entry.allow_caller_credential);
            let host = text(&entry.host);
            Self { host, targets, allow_private_addresses, credential, allow_caller_credential, report }
        });
        plain.chain(conditional).collect()
    }

    fn describe(&self) -> String {
        let mut words = format!("links to `{}`", self.host);
        if !is_anybody(&self.targets) {
            words += &format!(", for targets {}", quoted(&self.targets));
        }
        words += if self.allow_private_addresses { ", at private addresses too" } else { "" };
        if let Some(name) = &self.credential {
            words += &format!(", with the credential `{name}`");
        }
        words += if self.allow_caller_credential { ", with credentials of callers" } else { "" };
        words + if self.report { ", report-only" } else { "" }
    }
}

pub(super) fn packages(old: &Packages, new: &Packages, found: &mut Difference) {
    let (was, is) = (Host::all(old), Host::all(new));
    let (gone, come): (Vec<_>, Vec<_>) = (was.difference(&is).collect(), is.difference(&was).collect());
    fn only<'a>(list: &[&'a Host], host: &str) -> Option<&'a Host> {
        let mut same = list.iter().filter(|entry| entry.host == host);
        same.next().copied().filter(|_| same.next().is_none())
    }
    for entry in &come {
        match (only(&gone, &entry.host), only(&come, &entry.host)) {
            (Some(before), Some(_)) => changed_host(before, entry, found),
            _ => found.gain(entry.describe()),
        }
    }
    for entry in &gone {
        if only(&gone, &entry.host).is_none() || only(&come, &entry.host).is_none() {
            found.lose(entry.describe());
        }
    }
    if let Some(names) = beyond(&new.allow_unknown_formats, &old.allow_unknown_formats) {
        found.gain(format!("targets {names} may have packages of unknown formats"));
    }
    if let Some(names) = beyond(&old.allow_unknown_formats, &new.allow_unknown_formats) {
        found.lose(format!("targets {names} may not have packages of unknown formats any more"));
    }
    match (old.sha256, new.sha256) {
        (was, is) if was == is => {}
        (_, Checksum::Required) => found.lose("packages without `sha256` are refused"),
        (Checksum::Required, Checksum::Optional) => found.gain("packages without `sha256` are taken"),
        (Checksum::Required, _) => found.gain("packages without `sha256` are taken, and reported"),
        (_, Checksum::Report) => found.change("packages without `sha256` are reported"),
        (_, Checksum::Optional) => found.change("packages without `sha256` are not reported any more"),
    }
}

fn changed_host(old: &Host, new: &Host, found: &mut Difference) {
    let host = &new.host;
    if let Some(names) = beyond(&new.targets, &old.targets) {
        found.gain(format!("links to `{host}` for targets {names}"));
    }
    if let Some(names) = beyond(&old.targets, &new.targets) {
        found.lose(format!("links to `{host}` for targets {names}"));
    }
    match (old.allow_private_addresses, new.allow_private_addresses) {
        (false, true) => found.gain(format!("links to `{host}` at private addresses")),
        (true, false) => found.lose(format!("links to `{host}` at private addresses")),
        _ => {}
    }
    if old.credential != new.credential {
        let with = |name: &String| format!("links to `{host}` with the credential `{name}`");
        new.credential.iter().for_each(|name| found.gain(with(name)));
        old.credential.iter().for_each(|name| found.lose(with(name)));
    }
    match (old.allow_caller_credential, new.allow_caller_credential) {
        (false, true) => found.gain(format!("links to `{host}` with credentials of callers")),
        (true, false) => found.lose(format!("links to `{host}` with credentials of callers")),
        _ => {}
    }
    match (old.report, new.report) {
        (false, true) => found.change(format!("links to `{host}` are report-only: they pass and are reported")),
        (true, false) => found.change(format!("links to `{host}` are not report-only any more")),
        _ => {}
    }
}
