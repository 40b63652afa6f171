//! Grants, restrictions, limits and package rules.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use ipnet::IpNet;
use linkgate_contract::{CredentialName, Extension, HostRule, Patterns};

use super::{NAME_RULE, is_name};
use crate::keys::PublicKey;
use crate::limit::{Rate, Share, Traffic, Uploads};
use crate::policy::document::{
    self, Checksum as ChecksumPart, Limits, Mode, Packages, Restrictions, SignedUrls, UploadRates,
};
use crate::policy::fault::Faults;
use crate::rules::grants::{Grant, Grants};
use crate::rules::packages::{Checksum, HostEntry, PackageRules};
use crate::rules::restrictions::{ClientIps, Users};
use crate::signed_url::{UrlKey, UrlKeys};

/// Every request is held against the lists one by one.
const MAX_ENTRIES: usize = 1_000;
const PER_SECOND: std::ops::RangeInclusive<f64> = 0.001..=1e6;
const BURST: std::ops::RangeInclusive<u64> = 1..=1_000_000;
const EMPTY: &str = "is empty, so the grant would allow nothing; use \"*\" for any";
const MAX_URL_KEYS: usize = 8;
const UPLOADS: std::ops::RangeInclusive<u64> = 1..=256;
const INSTANCES: std::ops::RangeInclusive<u64> = 1..=1_000;

/// Patterns of callers. The empty name is that of no verified app, as users of the console have none.
fn callers(path: &str, texts: &[String], faults: &mut Faults) -> Patterns {
    check_patterns(path, texts.iter().enumerate().filter(|(_, text)| !text.is_empty()), faults);
    faults.check_length(path, texts, MAX_ENTRIES);
    Patterns::new(texts)
}

pub(super) fn patterns(path: &str, texts: &[String], faults: &mut Faults) -> Patterns {
    faults.check_length(path, texts, MAX_ENTRIES);
    check_patterns(path, texts.iter().enumerate(), faults);
    Patterns::new(texts)
}

fn check_patterns<'a>(path: &str, texts: impl Iterator<Item = (usize, &'a String)>, faults: &mut Faults) {
    for (n, text) in texts {
        if !(1..=128).contains(&text.len()) || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            faults.add(format!("{path}[{n}]"), "must be a name or a pattern with `*` and `?`, without white space");
        }
    }
}

fn reports(mode: Mode) -> bool {
    mode == Mode::Report
}

pub(super) fn grants(list: &[document::Grant], faults: &mut Faults) -> Grants {
    faults.check_length("grants", list, MAX_ENTRIES);
    let mut grants: Vec<Grant> = Vec::new();
    for (n, part) in list.iter().enumerate() {
        let path = format!("grants[{n}]");
        let name = part.name.clone().unwrap_or_else(|| format!("{n}"));
        if !is_name(&name) {
            faults.add(format!("{path}.name"), NAME_RULE);
        }
        let name = format!("grants.{name}");
        if grants.iter().any(|other| other.name == name) {
            faults.add(format!("{path}.name"), "is the name of another grant");
        }
        for (key, list) in
            [("callers", &part.callers), ("users", &part.users), ("targets", &part.targets), ("modules", &part.modules)]
        {
            if list.is_empty() {
                faults.add(format!("{path}.{key}"), EMPTY);
            }
        }
        if part.actions.is_empty() {
            faults.add(format!("{path}.actions"), EMPTY);
        }
        let until = part.until.as_ref().and_then(|text| moment(&format!("{path}.until"), text, faults));
        grants.push(Grant {
            name,
            callers: callers(&format!("{path}.callers"), &part.callers, faults),
            users: patterns(&format!("{path}.users"), &part.users, faults),
            targets: patterns(&format!("{path}.targets"), &part.targets, faults),
            modules: patterns(&format!("{path}.modules"), &part.modules, faults),
            actions: part.actions,
            until,
            report: reports(part.mode),
        });
    }
    Grants(grants)
}

fn moment(path: &str, text: &str, faults: &mut Faults) -> Option<i64> {
    let seconds = moment_of(text);
    if seconds.is_none() {
        faults.add(path, "must be a moment in UTC like 2027-01-31T00:00:00Z");
    }
    seconds
}

/// The second that a text means.
pub(in crate::policy) fn moment_of(text: &str) -> Option<i64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

pub(super) fn restrictions(part: &Restrictions, faults: &mut Faults) -> (ClientIps, Users) {
    let client_ips = ClientIps {
        allow: networks("restrictions.client_ips.allow", &part.client_ips.allow, faults),
        deny: networks("restrictions.client_ips.deny", &part.client_ips.deny, faults),
        report: reports(part.client_ips.mode),
    };
    let users = Users {
        allow: patterns("restrictions.users.allow", &part.users.allow, faults),
        deny: patterns("restrictions.users.deny", &part.users.deny, faults),
        report: reports(part.users.mode),
    };
    (client_ips, users)
}

fn networks(path: &str, texts: &[String], faults: &mut Faults) -> Vec<IpNet> {
    faults.check_length(path, texts, MAX_ENTRIES);
    let mut networks = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        match network(text) {
            None => faults.add(format!("{path}[{n}]"), "must be an address or a network like 10.0.0.0/8"),
            // Addresses are judged in their own form, so such an entry would never match.
            Some(IpNet::V6(net)) if net.network().to_ipv4_mapped().is_some() => {
                faults.add(format!("{path}[{n}]"), "is IPv4 in an IPv6 form, write it as IPv4, like 10.0.0.0/8");
            }
            Some(net) if net != net.trunc() => {
                faults.add(format!("{path}[{n}]"), format!("has bits beyond its prefix, write `{}`", net.trunc()));
            }
            Some(net) => networks.push(net),
        }
    }
    networks
}

/// The network that a text means; an address is one of itself.
pub(in crate::policy) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// What this Envoy may let pass: its share of what the policy says for all of them.
pub(super) fn traffic(limits: &Limits, faults: &mut Faults) -> Traffic {
    if !INSTANCES.contains(&limits.instances) {
        faults.add("limits.instances", "must be from 1 to 1000, the number of Envoys under this policy");
    }
    let share = Share::new(limits.instances);
    let mut rate = |key: &str, part: Option<&document::Rate>| {
        part.map(|part| {
            let path = format!("limits.{key}");
            if !PER_SECOND.contains(&part.per_second) {
                faults.add(format!("{path}.per_second"), "must be from 0.001 to 1000000");
            }
            let burst = part.burst();
            if !BURST.contains(&burst) {
                faults.add(format!("{path}.burst"), "must be from 1 to 1000000");
            }
            Rate::new(share.of_rate(part.per_second), share.of_count(burst), reports(part.mode))
        })
    };
    let total = rate("requests", limits.requests.as_ref());
    let per_stage = rate("requests_per_stage", limits.requests_per_stage.as_ref());
    let per_app = rate("requests_per_app", limits.requests_per_app.as_ref());
    let uploads = limits.uploads_per_app.as_ref().map(|part| {
        if !UPLOADS.contains(&part.concurrent) {
            faults.add("limits.uploads_per_app.concurrent", "must be from 1 to 256");
        }
        let concurrent = usize::try_from(share.of_count(part.concurrent)).unwrap_or_default();
        Uploads { concurrent, report: reports(part.mode) }
    });
    let service_counts_uploads = limits.upload_rates == UploadRates::Service;
    Traffic { total, per_stage, per_app, uploads, service_counts_uploads }
}

pub(super) fn packages(part: &Packages, faults: &mut Faults) -> PackageRules {
    faults.check_length("packages.allowed_hosts", &part.allowed_hosts, MAX_ENTRIES);
    faults.check_length("packages.hosts", &part.hosts, MAX_ENTRIES);
    let mut hosts = Vec::new();
    for (n, text) in part.allowed_hosts.iter().enumerate() {
        let Some(rule) = faults.take_ok(format!("packages.allowed_hosts[{n}]"), HostRule::new(text)) else { continue };
        hosts.push(HostEntry::plain(rule, Patterns::new(&["*".to_owned()])));
    }
    for (n, entry) in part.hosts.iter().enumerate() {
        let path = format!("packages.hosts[{n}]");
        let targets = patterns(&format!("{path}.targets"), &entry.targets, faults);
        let name = entry.credential.as_deref().map(CredentialName::new);
        let credential = name.and_then(|name| faults.take_ok(format!("{path}.credential"), name));
        let Some(rule) = faults.take_ok(format!("{path}.host"), HostRule::new(&entry.host)) else { continue };
        let (allow_private_addresses, report) = (entry.allow_private_addresses, reports(entry.mode));
        let allow_caller_credential = entry.allow_caller_credential;
        hosts.push(HostEntry { rule, targets, allow_private_addresses, credential, allow_caller_credential, report });
    }
    let private = hosts.iter().filter(|entry| entry.allow_private_addresses).count();
    check_token_entries("allow_private_addresses", private, Extension::MAX_PRIVATE_HOSTS, faults);
    let with_credential = hosts.iter().filter(|entry| entry.credential.is_some()).count();
    check_token_entries("credential", with_credential, Extension::MAX_CREDENTIALS, faults);
    let checksum = match part.sha256 {
        ChecksumPart::Optional => Checksum::Optional,
        ChecksumPart::Report => Checksum::Report,
        ChecksumPart::Required => Checksum::Required,
    };
    let allow_unknown_formats = patterns("packages.allow_unknown_formats", &part.allow_unknown_formats, faults);
    PackageRules { hosts, checksum, allow_unknown_formats }
}

/// The key in use, the one that takes its place, and those of other stores behind the gateway.
pub(super) fn url_keys(part: &SignedUrls, faults: &mut Faults) -> UrlKeys {
    faults.check_length("signed_urls.keys", &part.keys, MAX_URL_KEYS);
    let mut keys: Vec<UrlKey> = Vec::new();
    for (n, pem) in part.keys.iter().enumerate() {
        let path = format!("signed_urls.keys[{n}]");
        let Some(key) = faults.take_ok(&path, PublicKey::parse(pem)) else { continue };
        match key.ed25519_id() {
            None => faults.add(path, "must be an Ed25519 key: stores sign URLs with no other"),
            Some(id) if keys.iter().any(|other| other.id == id) => faults.add(path, "is listed twice"),
            Some(id) => keys.push(UrlKey { id, key }),
        }
    }
    UrlKeys(keys)
}

/// The gate's tokens are headers, so what goes into them is bounded.
fn check_token_entries(key: &str, count: usize, most: usize, faults: &mut Faults) {
    if count > most {
        faults.add(
            "packages.hosts",
            format!("lists {count} hosts with `{key}`, the limit is {most}: they go into tokens"),
        );
    }
}
