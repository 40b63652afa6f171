//! Where packages may come from, and what must be known of them.

use linkgate_contract::{CredentialName, HostRule, Origin, Patterns, SourceRules};

/// A host that links may point to.
#[derive(Debug)]
pub(crate) struct HostEntry {
    pub(crate) rule: HostRule,
    pub(crate) targets: Patterns,
    /// Its addresses may be private; the token tells the store so.
    pub(crate) allow_private_addresses: bool,
    /// The credential of the store that packages may be fetched with; the token tells the store so.
    pub(crate) credential: Option<CredentialName>,
    /// Callers may bring credentials of their own.
    pub(crate) allow_caller_credential: bool,
    /// Report-only: links that only this entry allows pass and are reported.
    pub(crate) report: bool,
}

impl HostEntry {
    /// One that only allows links.
    pub(crate) fn plain(rule: HostRule, targets: Patterns) -> Self {
        let (allow_private_addresses, credential, allow_caller_credential, report) = (false, None, false, false);
        Self { rule, targets, allow_private_addresses, credential, allow_caller_credential, report }
    }

    /// Whether tokens of the targets differ from those of others.
    fn goes_into_tokens(&self) -> bool {
        self.allow_private_addresses || self.has_credential() || self.allow_caller_credential
    }

    fn has_credential(&self) -> bool {
        self.credential.is_some()
    }
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
        !self.allow_unknown_formats.is_empty() || self.hosts.iter().any(HostEntry::goes_into_tokens)
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

    /// The credentials of the store that may be used there, as the token says it, the first entry's first.
    pub(crate) fn credentials(self, origin: &Origin) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.hosts_with(HostEntry::has_credential, origin).filter_map(|entry| entry.credential.as_ref()) {
            if !names.iter().any(|known| known == name.as_str()) {
                names.push(name.to_string());
            }
        }
        names
    }

    /// Whether callers may bring credentials of their own for it.
    pub(crate) fn allows_caller_credential(self, origin: &Origin) -> bool {
        self.hosts_with(|entry| entry.allow_caller_credential, origin).next().is_some()
    }

    /// The entries for the link that have something. What few have is looked at first: it costs least.
    fn hosts_with(self, has: fn(&HostEntry) -> bool, origin: &Origin) -> impl Iterator<Item = &'a HostEntry> {
        let having = self.rules.hosts.iter().filter(move |entry| has(entry));
        having.filter(move |entry| entry.rule.matches(origin) && entry.targets.matches(self.target))
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
        let (rule, targets) = (HostRule::new(host).unwrap(), Patterns::new(&[targets.to_owned()]));
        HostEntry::plain(rule, targets)
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
    fn a_credential_goes_with_the_links_and_the_targets_of_its_entry() {
        let with = |name: &str, targets: &str| {
            let credential = Some(CredentialName::new(name).unwrap());
            HostEntry { credential, ..entry("nexus.internal:8443", targets) }
        };
        let own = HostEntry { allow_caller_credential: true, ..entry("gitlab.internal", "shop-2") };
        let hosts = vec![with("shop", "shop-*"), with("all", "*"), with("shop", "shop-1"), own];
        let rules = PackageRules { hosts, ..PackageRules::default() };
        assert!(rules.go_into_tokens());
        let url = |text: &str| Origin::parse_link(text).unwrap();
        let (nexus, gitlab) = (url("https://nexus.internal:8443/a"), url("https://gitlab.internal/a"));
        assert_eq!(rules.for_target("shop-1").credentials(&nexus), ["shop", "all"]);
        assert_eq!(rules.for_target("other").credentials(&nexus), ["all"]);
        assert!(rules.for_target("shop-1").credentials(&gitlab).is_empty());
        assert!(rules.for_target("shop-1").credentials(&url("https://nexus.internal/a")).is_empty());
        assert!(rules.for_target("shop-2").allows_caller_credential(&gitlab));
        assert!(!rules.for_target("shop-1").allows_caller_credential(&gitlab));
        assert!(!rules.for_target("shop-2").allows_caller_credential(&nexus));
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
