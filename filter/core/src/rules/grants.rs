//! Who may do what for whom. Nothing is allowed that no grant allows.

use linkgate_contract::Action;

use crate::denied::Denied;
use crate::reply::GatewayError;
use crate::rules::actions::Actions;
use crate::rules::pattern::Patterns;

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
    pub(crate) target: &'a str,
    pub(crate) module: &'a str,
    pub(crate) action: Action,
}

impl Grant {
    fn covers(&self, access: &Access<'_>) -> bool {
        self.actions.contains(access.action)
            && self.callers.matches(access.caller)
            && self.targets.matches(access.target)
            && self.modules.matches(access.module)
            && self.users.matches(access.user)
    }

    fn is_over(&self, now: i64) -> bool {
        self.until.is_some_and(|until| now >= until)
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

    const ACCESS: Access<'_> =
        Access { caller: "ci", user: "admin", target: "shop", module: "web", action: Action::Upload };

    fn reason(grants: Vec<Grant>, now: i64) -> String {
        let denied = Grants(grants).judge(&ACCESS, now).unwrap_err();
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
            Grants(vec![grant]).judge(&Access { action, ..ACCESS }, 0).is_ok()
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
        assert_eq!(Grants(vec![ending()]).judge(&ACCESS, 99).unwrap(), "a");
        assert_eq!(reason(vec![ending()], 100), "permission has expired, bk_app_code=ci");
        assert_eq!(Grants(vec![ending(), grant("b", "ci", "shop")]).judge(&ACCESS, 100).unwrap(), "b");
    }

    #[test]
    fn a_report_only_grant_counts_only_where_no_other_allows() {
        let report_only = || {
            let mut grant = grant("wide", "*", "*");
            grant.report = true;
            grant
        };
        let denied = Grants(vec![report_only()]).judge(&ACCESS, 0).unwrap_err();
        assert_eq!((denied.rule.as_str(), denied.report_only), ("wide", true));
        assert_eq!(Grants(vec![report_only(), grant("narrow", "ci", "shop")]).judge(&ACCESS, 0).unwrap(), "narrow");
    }
}
