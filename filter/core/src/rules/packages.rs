//! Where packages may come from, and what must be known of them.

use linkgate_contract::{HostRule, LinkRules, Origin};

use crate::rules::pattern::Patterns;

/// A host that links may point to.
#[derive(Debug)]
pub(crate) struct HostEntry {
    pub(crate) rule: HostRule,
    pub(crate) applications: Patterns,
    /// Its addresses may be private; the store is told so in the token.
    pub(crate) private: bool,
    /// On trial for removal: links to it pass and are reported.
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
    /// Applications whose packages may be files that are no archive; the store is told so in the token.
    pub(crate) opaque: Patterns,
}

impl PackageRules {
    /// Whether tokens differ from application to application.
    pub(crate) fn go_into_tokens(&self) -> bool {
        !self.opaque.is_empty() || self.hosts.iter().any(|entry| entry.private)
    }

    /// The rules for one application.
    pub(crate) fn of<'a>(&'a self, application: &'a str) -> ApplicationRules<'a> {
        ApplicationRules { rules: self, application }
    }
}

/// The rules as they concern one application.
#[derive(Clone, Copy)]
pub(crate) struct ApplicationRules<'a> {
    rules: &'a PackageRules,
    application: &'a str,
}

impl<'a> ApplicationRules<'a> {
    fn hosts(self) -> impl Iterator<Item = &'a HostEntry> {
        self.rules.hosts.iter().filter(move |entry| entry.applications.matches(self.application))
    }

    /// Whether only entries on trial allow the link.
    pub(crate) fn is_on_trial(self, origin: &Origin) -> bool {
        !self.hosts().any(|entry| !entry.report && entry.rule.matches(origin))
    }

    /// The hosts whose addresses may be private, as the token says it.
    pub(crate) fn private_hosts(self) -> Vec<String> {
        self.hosts().filter(|entry| entry.private).map(|entry| entry.rule.to_string()).collect()
    }

    /// Whether a package may be a file that is no archive.
    pub(crate) fn may_be_opaque(self) -> bool {
        self.rules.opaque.matches(self.application)
    }
}

impl LinkRules for ApplicationRules<'_> {
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

    fn entry(host: &str, applications: &str) -> HostEntry {
        let applications = Patterns::new(&[applications.to_owned()]);
        HostEntry { rule: HostRule::new(host).unwrap(), applications, private: false, report: false }
    }

    #[test]
    fn a_host_may_be_allowed_for_some_applications_only() {
        let mut private = entry("artifacts.internal:8443", "shop-*");
        private.private = true;
        let rules = PackageRules { hosts: vec![entry("example.com", "*"), private], ..PackageRules::default() };
        let url = |text: &str| Origin::read(text).unwrap();
        assert!(rules.of("any").allows(&url("https://example.com/a")));
        assert!(!rules.of("any").allows(&url("https://artifacts.internal:8443/a")));
        assert!(rules.of("shop-1").allows(&url("https://artifacts.internal:8443/a")));
        assert_eq!(rules.of("shop-1").private_hosts(), ["artifacts.internal:8443"]);
        assert!(rules.of("any").private_hosts().is_empty());
        assert!(PackageRules::default().of("any").allows_nothing());
    }

    #[test]
    fn a_host_on_trial_counts_only_where_no_other_entry_allows_it() {
        let mut trial = entry("example.com", "*");
        trial.report = true;
        let url = Origin::read("https://example.com/a").unwrap();
        let hosts = vec![trial, entry("example.com", "shop")];
        let rules = PackageRules { hosts, checksum: Checksum::Required, opaque: Patterns::default() };
        assert!(rules.of("other").is_on_trial(&url) && !rules.of("shop").is_on_trial(&url));
        assert!(rules.of("shop").requires_sha256(&url));
    }
}
