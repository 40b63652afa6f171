//! Who may upload for whom. Nothing is allowed that no grant allows.

use crate::reply::GatewayError;
use crate::rules::Violation;
use crate::rules::pattern::Patterns;

/// The rule's name where no grant matched.
const NO_GRANT: &str = "grants";

/// Lets apps upload for applications.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) name: String,
    pub(crate) apps: Patterns,
    pub(crate) users: Patterns,
    pub(crate) applications: Patterns,
    pub(crate) modules: Patterns,
    /// The second from which it is void.
    pub(crate) until: Option<i64>,
    /// On trial for removal: what only this grant allows is reported.
    pub(crate) report: bool,
}

/// Who wants to upload what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) app: &'a str,
    pub(crate) user: &'a str,
    pub(crate) application: &'a str,
    pub(crate) module: &'a str,
}

impl Grant {
    fn covers(&self, wish: &Wish<'_>) -> bool {
        self.apps.matches(wish.app)
            && self.applications.matches(wish.application)
            && self.modules.matches(wish.module)
            && self.users.matches(wish.user)
    }

    fn is_over(&self, now: i64) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// Every grant of a policy.
#[derive(Debug, Default)]
pub(crate) struct Grants(pub(crate) Vec<Grant>);

impl Grants {
    /// The name of the grant that allows it, or what there is against it. A grant that counts goes before one on trial.
    pub(crate) fn judge(&self, wish: &Wish<'_>, now: i64) -> Result<&str, Violation> {
        let mut over = false;
        let mut on_trial = None;
        for grant in self.0.iter().filter(|grant| grant.covers(wish)) {
            match (grant.is_over(now), grant.report) {
                (true, _) => over = true,
                (false, false) => return Ok(&grant.name),
                (false, true) => on_trial = on_trial.or(Some(grant)),
            }
        }
        let what = if over { "permission has expired" } else { "no permission" };
        let error = GatewayError::AppNoPermission { reason: format!("{what}, bk_app_code={}", wish.app) };
        Err(match on_trial {
            Some(grant) => Violation::new(grant.name.clone(), true, error),
            None => Violation::new(NO_GRANT, false, error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, apps: &str, applications: &str) -> Grant {
        let one = |text: &str| Patterns::new(&[text.to_owned()]);
        let (users, modules) = (one("*"), one("*"));
        let (apps, applications) = (one(apps), one(applications));
        Grant { name: name.to_owned(), apps, users, applications, modules, until: None, report: false }
    }

    const WISH: Wish<'_> = Wish { app: "ci", user: "admin", application: "shop", module: "web" };

    fn reason(grants: Vec<Grant>, now: i64) -> String {
        match Grants(grants).judge(&WISH, now) {
            Err(Violation { rule, report: false, error: GatewayError::AppNoPermission { reason } }) => {
                assert_eq!(rule, "grants");
                reason
            }
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
    }

    #[test]
    fn a_grant_ends_in_the_second_that_it_names() {
        let ending = || {
            let mut grant = grant("a", "ci", "sh*");
            grant.until = Some(100);
            grant
        };
        assert_eq!(Grants(vec![ending()]).judge(&WISH, 99).unwrap(), "a");
        assert_eq!(reason(vec![ending()], 100), "permission has expired, bk_app_code=ci");
        assert_eq!(Grants(vec![ending(), grant("b", "ci", "shop")]).judge(&WISH, 100).unwrap(), "b");
    }

    #[test]
    fn a_grant_on_trial_is_reported_only_where_no_other_allows() {
        let trial = || {
            let mut grant = grant("wide", "*", "*");
            grant.report = true;
            grant
        };
        let violation = Grants(vec![trial()]).judge(&WISH, 0).unwrap_err();
        assert_eq!((violation.rule.as_str(), violation.report), ("wide", true));
        assert_eq!(Grants(vec![trial(), grant("narrow", "ci", "shop")]).judge(&WISH, 0).unwrap(), "narrow");
    }
}
