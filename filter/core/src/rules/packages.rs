//! Where packages may come from, and what must be known of them.

use linkgate_contract::{HostRule, Origin, SourceRules};

use crate::rules::pattern::Patterns;

/// A host that links may point to.
#[derive(Debug)]
pub(crate) struct HostEntry {
    pub(crate) rule: HostRule,
    pub(crate) targets: Patterns,
    /// Its addresses may be private; the token tells the store so.
    pub(crate) allow_private_addresses: bool,
    /// Report-only: links that only this entry allows pass and are reported.
    pub(crate) report: bool,
}

/// Whether the caller must say what a package hashes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Checksum {
    #[default]
    Optional,
    Report,
    Required,
}

/// Every rule about packages.
#[derive(Debug, Default)]
pub(crate) struct PackageRules {
    pub(crate) hosts: Vec<HostEntry>,
    pub(crate) checksum: Checksum,
    /// Applications whose packages may be files of an unknown format; the token tells the store so.
    pub(crate) allow_unknown_formats: Patterns,
}

impl PackageRules {
    /// Whether tokens differ from application to application.
    pub(crate) fn go_into_tokens(&self) -> bool {
        !self.allow_unknown_formats.is_empty() || self.hosts.iter().any(|entry| entry.allow_private_addresses)
    }

    /// The rules for the packages of one application.
    pub(crate) fn for_target<'a>(&'a self, target: &'a str) -> TargetRules<'a> {
        TargetRules { rules: self, target }
    }
}

/// The rules as they concern one application.
#[derive(Clone, Copy)]
pub(crate) struct TargetRules<'a> {
    rules: &'a PackageRules,
    target: &'a str,
}

impl<'a> TargetRules<'a> {
    fn hosts(self) -> impl Iterator<Item = &'a HostEntry> {
        self.rules.hosts.iter().filter(move |entry| entry.targets.matches(self.target))
    }

    /// Whether only report-only entries allow the link.
    pub(crate) fn is_report_only(self, origin: &Origin) -> bool {
        !self.hosts().any(|entry| !entry.report && entry.rule.matches(origin))
    }

    /// The hosts whose addresses may be private, as the token says it.
    pub(crate) fn private_hosts(self) -> Vec<String> {
        self.hosts().filter(|entry| entry.allow_private_addresses).map(|entry| entry.rule.to_string()).collect()
    }

    /// Whether a package may be a file of an unknown format.
    pub(crate) fn allows_unknown_formats(self) -> bool {
        self.rules.allow_unknown_formats.matches(self.target)
    }
}

impl SourceRules for TargetRules<'_> {
    fn allows(&self, origin: &Origin) -> bool {
        self.hosts().any(|entry| entry.rule.matches(origin))
    }

    fn allows_nothing(&self) -> bool {
        self.hosts().next().is_none()
    }

    fn requires_sha256(&self, _origin: &Origin) -> bool {
        self.rules.checksum == Checksum::Required
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(host: &str, targets: &str) -> HostEntry {
        let targets = Patterns::new(&[targets.to_owned()]);
        HostEntry { rule: HostRule::new(host).unwrap(), targets, allow_private_addresses: false, report: false }
    }

    #[test]
    fn a_host_may_be_allowed_for_some_applications_only() {
        let mut private = entry("artifacts.internal:8443", "shop-*");
        private.allow_private_addresses = true;
        let rules = PackageRules { hosts: vec![entry("example.com", "*"), private], ..PackageRules::default() };
        let url = |text: &str| Origin::parse_link(text).unwrap();
        assert!(rules.for_target("any").allows(&url("https://example.com/a")));
        assert!(!rules.for_target("any").allows(&url("https://artifacts.internal:8443/a")));
        assert!(rules.for_target("shop-1").allows(&url("https://artifacts.internal:8443/a")));
        assert_eq!(rules.for_target("shop-1").private_hosts(), ["artifacts.internal:8443"]);
        assert!(rules.for_target("any").private_hosts().is_empty());
        assert!(PackageRules::default().for_target("any").allows_nothing());
    }

    #[test]
    fn a_report_only_host_counts_only_where_no_other_entry_allows_it() {
        let mut report_only = entry("example.com", "*");
        report_only.report = true;
        let url = Origin::parse_link("https://example.com/a").unwrap();
        let hosts = vec![report_only, entry("example.com", "shop")];
        let rules = PackageRules { hosts, checksum: Checksum::Required, ..PackageRules::default() };
        assert!(rules.for_target("other").is_report_only(&url) && !rules.for_target("shop").is_report_only(&url));
        assert!(rules.for_target("shop").requires_sha256(&url));
    }
}
