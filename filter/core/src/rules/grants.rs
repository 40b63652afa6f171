//! Who may do what for whom. Nothing is allowed that no grant allows.

use linkgate_contract::{Action, GrantClaim, GrantsClaim, ModuleRef, Patterns};

use crate::denied::Denied;
use crate::reply::GatewayError;
use crate::rules::actions::Actions;

/// The rule's name where no grant matched.
const NO_GRANT: &str = "grants";

/// Lets callers act on packages of targets.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) name: String,
    pub(crate) callers: Patterns,
    pub(crate) users: Patterns,
    pub(crate) targets: Patterns,
    pub(crate) modules: Patterns,
    pub(crate) actions: Actions,
    /// The second from which it is void.
    pub(crate) until: Option<i64>,
    /// Report-only: what only this grant allows passes and is reported.
    pub(crate) report: bool,
}

/// Who wants to do what for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) caller: &'a str,
    pub(crate) user: &'a str,
    /// The module; `None` for what is about no single one, which takes a grant for any.
    pub(crate) target: Option<&'a ModuleRef>,
    pub(crate) action: Action,
}

impl Grant {
    fn covers(&self, access: &Access<'_>) -> bool {
        self.actions.contains(access.action)
            && self.callers.matches(access.caller)
            && access.target.is_none_or(|target| self.is_for(target))
            && self.users.matches(access.user)
    }

    fn is_for(&self, target: &ModuleRef) -> bool {
        self.targets.matches(target.app.as_str()) && self.modules.matches(target.module.as_str())
    }

    fn is_over(&self, now: i64) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// How much of a token its grants may take, about: 8 KiB of JSON. Proxies and servers take heads of 60 KiB and more.
const CLAIM_BYTES: usize = 8 << 10;

/// Adds grants to a claim for as long as there is space.
struct ClaimWriter {
    claim: GrantsClaim,
    bytes: usize,
}

impl ClaimWriter {
    /// Takes what fits of a grant: fewer names than it has give less than it gives.
    fn add(&mut self, grant: &Grant) {
        if self.claim.list.len() == GrantsClaim::MAX_GRANTS {
            self.claim.more = true;
            return;
        }
        // Modules first: there are few, and without them the applications say nothing.
        let (modules, targets) = (self.take(&grant.modules), self.take(&grant.targets));
        if !targets.is_empty() && !modules.is_empty() {
            self.claim.list.push(GrantClaim { targets, modules, actions: grant.actions.iter().collect() });
        }
    }

    fn take(&mut self, patterns: &Patterns) -> Vec<String> {
        let mut taken = Vec::new();
        for text in patterns.texts() {
            // With its quotes and comma.
            let bytes = self.bytes + text.len() + 3;
            if bytes > CLAIM_BYTES {
                self.claim.more = true;
                break;
            }
            self.bytes = bytes;
            taken.push(text.into_owned());
        }
        taken
    }
}

/// Every grant of a policy.
#[derive(Debug, Default)]
pub(crate) struct Grants(pub(crate) Vec<Grant>);

impl Grants {
    /// The name of the grant that allows it, or what there is against it. An enforced grant goes before a report-only one.
    pub(crate) fn judge(&self, access: &Access<'_>, now: i64) -> Result<&str, Denied> {
        let mut over = false;
        let mut report_only = None;
        for grant in self.0.iter().filter(|grant| grant.covers(access)) {
            match (grant.is_over(now), grant.report) {
                (true, _) => over = true,
                (false, false) => return Ok(&grant.name),
                (false, true) => report_only = report_only.or(Some(grant)),
            }
        }
        let what = if over { "permission has expired" } else { "no permission" };
        let error = GatewayError::AppNoPermission { reason: format!("{what}, bk_app_code={}", access.caller) };
        Err(match report_only {
            Some(grant) => Denied::new(grant.name.clone(), true, error),
            None => Denied::new(NO_GRANT, false, error),
        })
    }

    /// What the enforced grants of a caller and user are for, the first ones first.
    pub(crate) fn visible(&self, caller: &str, user: &str, now: i64) -> GrantsClaim {
        let mut writer = ClaimWriter { claim: GrantsClaim::default(), bytes: 0 };
        let in_force = self.0.iter().filter(|grant| !grant.report && !grant.is_over(now));
        for grant in in_force.filter(|grant| grant.callers.matches(caller) && grant.users.matches(user)) {
            writer.add(grant);
        }
        writer.claim
    }

    /// All that enforced grants let a caller and user do to a module.
    pub(crate) fn actions_on(&self, access: &Access<'_>, now: i64) -> Vec<Action> {
        let allows = |action: &Action| self.judge(&Access { action: *action, ..*access }, now).is_ok();
        Action::ALL.iter().copied().filter(allows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, callers: &str, targets: &str) -> Grant {
        let one = |text: &str| Patterns::new(&[text.to_owned()]);
        let (users, modules) = (one("*"), one("*"));
        let (name, callers, targets, actions) = (name.to_owned(), one(callers), one(targets), Actions::default());
        Grant { name, callers, users, targets, modules, actions, until: None, report: false }
    }

    fn target() -> ModuleRef {
        "shop/web".parse().unwrap()
    }

    fn access(target: &ModuleRef) -> Access<'_> {
        Access { caller: "ci", user: "admin", target: Some(target), action: Action::Upload }
    }

    fn reason(grants: Vec<Grant>, now: i64) -> String {
        let denied = Grants(grants).judge(&access(&target()), now).unwrap_err();
        assert_eq!((denied.rule.as_str(), denied.report_only), ("grants", false));
        match denied.gateway_error() {
            Some(GatewayError::AppNoPermission { reason }) => reason.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_allowed_without_a_grant() {
        assert_eq!(reason(vec![], 0), "no permission, bk_app_code=ci");
        assert_eq!(
            reason(vec![grant("a", "other", "*"), grant("b", "*", "other")], 0),
            "no permission, bk_app_code=ci"
        );
        let narrow = |change: fn(&mut Grant)| {
            let mut grant = grant("a", "*", "*");
            change(&mut grant);
            grant
        };
        let users = narrow(|g| g.users = Patterns::new(&["root".to_owned()]));
        let modules = narrow(|g| g.modules = Patterns::new(&["default".to_owned()]));
        assert_eq!(reason(vec![users, modules], 0), "no permission, bk_app_code=ci");
        let read_only = narrow(|g| g.actions = [Action::Read].into_iter().collect());
        assert_eq!(reason(vec![read_only], 0), "no permission, bk_app_code=ci");
    }

    #[test]
    fn a_grant_allows_its_actions_and_no_other() {
        let judge = |actions: Actions, action| {
            let mut grant = grant("a", "ci", "shop");
            grant.actions = actions;
            Grants(vec![grant]).judge(&Access { action, ..access(&target()) }, 0).is_ok()
        };
        assert!(judge(Actions::default(), Action::Read) && !judge(Actions::default(), Action::Delete));
        assert!(judge(Actions::all(), Action::ForceDelete));
        assert!(!judge([Action::Delete].into_iter().collect(), Action::ForceDelete));
    }

    #[test]
    fn a_grant_ends_in_the_second_that_it_names() {
        let ending = || {
            let mut grant = grant("a", "ci", "sh*");
            grant.until = Some(100);
            grant
        };
        assert_eq!(Grants(vec![ending()]).judge(&access(&target()), 99).unwrap(), "a");
        assert_eq!(reason(vec![ending()], 100), "permission has expired, bk_app_code=ci");
        assert_eq!(Grants(vec![ending(), grant("b", "ci", "shop")]).judge(&access(&target()), 100).unwrap(), "b");
    }

    #[test]
    fn a_report_only_grant_counts_only_where_no_other_allows() {
        let report_only = || {
            let mut grant = grant("wide", "*", "*");
            grant.report = true;
            grant
        };
        let denied = Grants(vec![report_only()]).judge(&access(&target()), 0).unwrap_err();
        assert_eq!((denied.rule.as_str(), denied.report_only), ("wide", true));
        assert_eq!(
            Grants(vec![report_only(), grant("narrow", "ci", "shop")]).judge(&access(&target()), 0).unwrap(),
            "narrow"
        );
    }

    #[test]
    fn what_is_about_no_module_takes_a_grant_for_any() {
        let judge = |grant: Grant, action| {
            let access = Access { target: None, caller: "ci", user: "admin", action };
            Grants(vec![grant]).judge(&access, 0).is_ok()
        };
        assert!(judge(grant("a", "ci", "nowhere"), Action::Read));
        assert!(!judge(grant("a", "ci", "nowhere"), Action::Delete) && !judge(grant("a", "other", "*"), Action::Read));
    }

    #[test]
    fn a_caller_sees_its_own_grants_that_are_in_force() {
        let with = |name: &str, callers: &str, change: fn(&mut Grant)| {
            let mut grant = grant(name, callers, &format!("{name}-*"));
            change(&mut grant);
            grant
        };
        let all = Grants(vec![
            with("mine", "ci", |_| ()),
            with("everybodys", "*", |grant| grant.actions = Actions::all()),
            with("others", "other", |_| ()),
            with("of-another-user", "ci", |grant| grant.users = Patterns::new(&["root".to_owned()])),
            with("over", "ci", |grant| grant.until = Some(100)),
            with("report", "ci", |grant| grant.report = true),
        ]);
        let targets = |now| {
            let claim = all.visible("ci", "admin", now);
            assert!(!claim.more);
            claim.list.into_iter().flat_map(|grant| grant.targets).collect::<Vec<_>>()
        };
        assert_eq!(targets(99), ["mine-*", "everybodys-*", "over-*"]);
        assert_eq!(targets(100), ["mine-*", "everybodys-*"]);
        let claim = all.visible("", "admin", 0);
        let everything = vec![GrantClaim {
            targets: vec!["everybodys-*".to_owned()],
            modules: vec!["*".to_owned()],
            actions: Action::ALL.to_vec(),
        }];
        assert_eq!(claim, GrantsClaim { list: everything, more: false });
        assert_eq!(Grants::default().visible("ci", "admin", 0), GrantsClaim::default());
    }

    #[test]
    fn a_claim_says_that_it_leaves_out_what_is_too_much() {
        let max = GrantsClaim::MAX_GRANTS;
        let many = |count: usize| Grants((0..count).map(|n| grant(&n.to_string(), "ci", &n.to_string())).collect());
        let claim = many(max).visible("ci", "admin", 0);
        assert_eq!((claim.list.len(), claim.more), (max, false));
        let claim = many(max + 1).visible("ci", "admin", 0);
        assert_eq!((claim.list.len(), claim.more), (max, true));
        let mut wide = grant("wide", "ci", "x");
        wide.targets = Patterns::new(&(0..1_000).map(|n| format!("application-{n}")).collect::<Vec<_>>());
        let claim = Grants(vec![wide, grant("b", "ci", "shop")]).visible("ci", "admin", 0);
        let json = serde_json::to_string(&claim).unwrap();
        assert!(claim.more && json.len() < CLAIM_BYTES + 200, "{}", json.len());
        let [wide] = claim.list.as_slice() else { panic!("{claim:?}") };
        assert!(wide.targets.len() > 400 && wide.targets.len() < 1_000 && wide.modules == ["*"]);
    }

    #[test]
    fn the_actions_on_a_module_are_those_of_all_its_grants() {
        let mut pins = grant("b", "ci", "shop");
        pins.actions = [Action::Pin].into_iter().collect();
        let mut report_only = grant("c", "ci", "shop");
        (report_only.actions, report_only.report) = (Actions::all(), true);
        let all = Grants(vec![grant("a", "*", "sh*"), pins, report_only]);
        let target = target();
        let expected = [Action::Upload, Action::Read, Action::Pin];
        assert_eq!(all.actions_on(&access(&target), 0), expected);
        let elsewhere: ModuleRef = "other/web".parse().unwrap();
        assert!(all.actions_on(&access(&elsewhere), 0).is_empty());
    }
}
