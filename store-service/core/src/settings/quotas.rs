//! How much a module and an application may keep.
//!
//! Promises: the judgement is a function of plain numbers, the same wherever it is made: early, by what a caller announces, and in
//! the transaction that records. Refuses nothing that leaves no more than there was: whoever is over a limit that was lowered may
//! still overwrite with less.

use linkgate_contract::ModuleRef;
use linkgate_fetch::SharedList;

use super::Patterns;

/// What a module or an application may keep; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Packages that are live.
    pub max_packages: Option<u64>,
    /// Bytes of packages that are not purged, deleted or not. Each package counts for itself, whoever has the same bytes.
    pub max_bytes: Option<u64>,
}

/// All limits that hold for a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Of the module.
    pub module: QuotaLimits,
    /// Of all modules of its application.
    pub application: QuotaLimits,
    /// Of each package.
    pub max_package_bytes: Option<u64>,
}

/// A quota for some modules.
#[derive(Clone, Debug)]
pub struct QuotaRule {
    /// Applications.
    pub targets: Patterns,
    /// Their modules.
    pub modules: Patterns,
    /// What holds for them, and nothing else.
    pub quota: Quota,
}

/// The operator's word on how much is kept. A copy shares the rules.
#[derive(Clone, Debug, Default)]
pub struct QuotaRules {
    /// Where no rule fits.
    pub general: Quota,
    /// The first that fits counts.
    pub rules: SharedList<QuotaRule>,
}

impl QuotaRules {
    /// What holds for a module.
    #[must_use]
    pub fn of_module(&self, target: &ModuleRef) -> Quota {
        let (app, module) = (target.app.as_str(), target.module.as_str());
        let rules = self.rules.now();
        let rule = rules.iter().find(|rule| rule.targets.matches(app) && rule.modules.matches(module));
        rule.map_or(self.general, |rule| rule.quota)
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Packages that are live.
    pub packages: u64,
    /// Bytes of packages that are not purged.
    pub bytes: u64,
}

/// What a module keeps, and all modules of its application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageOfTarget {
    /// The module.
    pub module: Usage,
    /// The application, with this module.
    pub application: Usage,
}

/// What a change would add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Packages: one, or none if it takes the place of another.
    pub packages: u64,
    /// Bytes beyond those of what it replaces.
    pub bytes: u64,
    /// The bytes of the package itself.
    pub package_bytes: u64,
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{scope} is {limit}, {used} are used, and {requested} more are requested")]
pub struct QuotaExceeded {
    /// Its name.
    pub scope: &'static str,
    /// What it says.
    pub limit: u64,
    /// How much of it is used.
    pub used: u64,
    /// How much more was wanted.
    pub requested: u64,
}

impl Demand {
    /// Of a package of this size, in the place of one of that size if there is one.
    #[must_use]
    pub fn of_package(package_bytes: u64, replaced_bytes: Option<u64>) -> Self {
        let bytes = package_bytes.saturating_sub(replaced_bytes.unwrap_or(0));
        Self { packages: u64::from(replaced_bytes.is_none()), bytes, package_bytes }
    }
}

impl std::ops::Add<Demand> for Usage {
    type Output = Self;

    fn add(self, more: Demand) -> Self {
        let (packages, bytes) = (self.packages.saturating_add(more.packages), self.bytes.saturating_add(more.bytes));
        Self { packages, bytes }
    }
}

impl Quota {
    /// Whether so much more may be kept.
    ///
    /// # Errors
    /// The first limit that does not let it: of the package, of the module, of the application.
    pub fn judge(&self, used: UsageOfTarget, more: Demand) -> Result<(), QuotaExceeded> {
        let UsageOfTarget { module, application } = used;
        let limits = [
            ("max_package_bytes", self.max_package_bytes, 0, more.package_bytes),
            ("module.max_packages", self.module.max_packages, module.packages, more.packages),
            ("module.max_bytes", self.module.max_bytes, module.bytes, more.bytes),
            ("application.max_packages", self.application.max_packages, application.packages, more.packages),
            ("application.max_bytes", self.application.max_bytes, application.bytes, more.bytes),
        ];
        for (scope, limit, used, requested) in limits {
            if let Some(limit) = limit
                && requested > 0
                && used.saturating_add(requested) > limit
            {
                return Err(QuotaExceeded { scope, limit, used, requested });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use linkgate_contract::{AppCode, ModuleName};

    use super::*;

    fn used(packages: u64, bytes: u64) -> UsageOfTarget {
        let module = Usage { packages, bytes };
        UsageOfTarget { module, application: Usage { packages: packages * 2, bytes: bytes * 2 } }
    }

    fn scope(quota: Quota, used: UsageOfTarget, more: Demand) -> Option<&'static str> {
        quota.judge(used, more).err().map(|exceeded| exceeded.scope)
    }

    #[test]
    fn a_limit_is_kept_to_the_byte() {
        let limits =
            |max_packages, max_bytes| QuotaLimits { max_packages: Some(max_packages), max_bytes: Some(max_bytes) };
        let quota = Quota { module: limits(3, 100), application: limits(5, 190), max_package_bytes: Some(60) };
        let package = |bytes| Demand::of_package(bytes, None);
        assert_eq!(scope(quota, used(2, 40), package(60)), None);
        assert_eq!(scope(quota, used(2, 40), package(61)), Some("max_package_bytes"));
        assert_eq!(scope(quota, used(3, 0), package(1)), Some("module.max_packages"));
        assert_eq!(scope(quota, used(0, 60), package(41)), Some("module.max_bytes"));
        assert_eq!(scope(quota, used(2, 95), package(1)), Some("application.max_bytes"));
        let full = UsageOfTarget { module: Usage::default(), application: Usage { packages: 5, bytes: 0 } };
        assert_eq!(scope(quota, full, package(1)), Some("application.max_packages"));
        let exceeded = quota.judge(used(0, 60), package(41)).unwrap_err();
        assert_eq!((exceeded.limit, exceeded.used, exceeded.requested), (100, 60, 41));
    }

    #[test]
    fn what_replaces_another_counts_the_difference() {
        let limits = QuotaLimits { max_packages: Some(1), max_bytes: Some(100) };
        let quota = Quota { module: limits, ..Quota::default() };
        assert_eq!(scope(quota, used(1, 100), Demand::of_package(40, Some(40))), None);
        assert_eq!(scope(quota, used(9, 900), Demand::of_package(30, Some(40))), None, "over a limit that was lowered");
        assert_eq!(scope(quota, used(1, 100), Demand::of_package(41, Some(40))), Some("module.max_bytes"));
        assert_eq!(scope(quota, used(1, 0), Demand::of_package(0, None)), Some("module.max_packages"));
        assert_eq!(scope(Quota::default(), used(9, u64::MAX / 2), Demand::of_package(u64::MAX, None)), None);
    }

    #[test]
    fn the_first_rule_that_fits_counts_alone() {
        let quota = |bytes| Quota { max_package_bytes: Some(bytes), ..Quota::default() };
        let rule = |targets, modules, bytes| QuotaRule {
            targets: Patterns::new([targets]),
            modules: Patterns::new([modules]),
            quota: quota(bytes),
        };
        let list = vec![rule("shop", "web*", 1), rule("shop", "*", 2), rule("*", "api", 3)];
        let rules = QuotaRules { general: quota(4), rules: list.into() };
        for (app, module, bytes) in [("shop", "web-1", 1), ("shop", "api", 2), ("other", "api", 3), ("other", "web", 4)]
        {
            let target = ModuleRef { app: AppCode::new(app).unwrap(), module: ModuleName::new(module).unwrap() };
            assert_eq!(rules.of_module(&target), quota(bytes), "{app}/{module}");
        }
    }
}
