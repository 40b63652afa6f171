//! Which tenant a request is for, and whether its application and user may act there.
//!
//! As BlueKing's gateway judges it, in its words. Promises: the tenant that goes on to the store is one that this judged; a
//! caller who is not known to belong anywhere gets none.
//!
//! Reasons end in a mark, which docs/reference/REASONS.md explains:
//!
//! - `[AH1]`: an application of all tenants that does not say in `X-Bk-Tenant-Id` for which one it calls; it may name any.
//! - `[AH2]`: an application that names another tenant than its own, or names one although it belongs to none that is known.
//! - `[UH]`: a user without a verified application who names another tenant than the own one.
//! - `[AU]`: an application of one tenant with a user of another one, or of none that is known.
//! - `[GA]`, `[GU]`, `[GH]`: application, user or header of another tenant than that of the gateway (`identity.tenant_id`).

use linkgate_contract::{AppClaim, TenantId, UserClaim};

use crate::denied::Denied;
use crate::reply::GatewayError;

/// The rule's name.
const RULE: &str = "identity.login.multi_tenant";

/// The rules of a platform with tenants.
#[derive(Debug)]
pub(crate) struct Tenants {
    /// The one tenant that the gateway belongs to, if it does not belong to all.
    pub(crate) gateway: Option<TenantId>,
}

impl Tenants {
    /// The tenant that a request is for: what its caller asks for, or else where the caller belongs. An application of all
    /// tenants has to say.
    pub(crate) fn judge(
        &self,
        app: &AppClaim,
        user: &UserClaim,
        requested: Option<TenantId>,
    ) -> Result<Option<TenantId>, Denied> {
        let own = if app.verified { &app.tenant_id } else { &user.tenant_id };
        let own = own.as_deref().and_then(|own| TenantId::new(own).ok()).filter(|_| !app.is_global());
        let tenant = requested.or_else(|| own.clone());
        match app.verified {
            true => self.judge_app(app, own.as_ref(), tenant.as_ref())?,
            // Nobody but the user can say whose the request is.
            false if tenant != own => return Err(foreign_header(tenant.as_ref(), &user_text(user), "[UH]")),
            false => {}
        }
        if user.verified {
            self.judge_user(app, user)?;
        }
        match (&self.gateway, &tenant) {
            (Some(gateway), Some(tenant)) if gateway != tenant => {
                Err(forbidden(format!("gateway belongs to tenant {gateway}, header tenant_id is {tenant}. [GH]")))
            }
            _ => Ok(tenant),
        }
    }

    /// Judges the tenant that a signed URL was made for, whose maker was judged then.
    pub(crate) fn judge_made_for(&self, tenant: Option<&TenantId>) -> Result<(), Denied> {
        self.judge_gateway(tenant, || format!("the URL was made for tenant {}", name(tenant)), "[GH]")
    }

    fn judge_app(&self, app: &AppClaim, own: Option<&TenantId>, tenant: Option<&TenantId>) -> Result<(), Denied> {
        let code = &app.app_code;
        if app.is_global() {
            return match tenant {
                Some(_) => Ok(()),
                None => Err(forbidden(format!(
                    "header X-Bk-Tenant-Id is required and should not be empty. the app {code} tenant_mode={}. [AH1]",
                    AppClaim::GLOBAL
                ))),
            };
        }
        if tenant != own {
            let mode = app.tenant_mode.as_deref().unwrap_or("nil");
            let belongs = format!("app {code} belongs to tenant {}(tenant_mode={mode})", name(own));
            return Err(foreign_header(tenant, &belongs, "[AH2]"));
        }
        self.judge_gateway(own, || format!("app {code} belongs to tenant {}", name(own)), "[GA]")
    }

    fn judge_user(&self, app: &AppClaim, user: &UserClaim) -> Result<(), Denied> {
        let own = user.tenant_id.as_deref().and_then(|own| TenantId::new(own).ok());
        self.judge_gateway(own.as_ref(), || user_text(user), "[GU]")?;
        // An application that belongs nowhere says nothing of its users.
        if app.tenant_mode.is_none() || app.is_global() || (own.is_some() && app.tenant_id == user.tenant_id) {
            return Ok(());
        }
        let (code, tenant) = (&app.app_code, app.tenant_id.as_deref().unwrap_or("nil"));
        Err(forbidden(format!("app {code} belongs to tenant {tenant}, {}. [AU]", user_text(user))))
    }

    fn judge_gateway(&self, own: Option<&TenantId>, who: impl FnOnce() -> String, mark: &str) -> Result<(), Denied> {
        match &self.gateway {
            Some(gateway) if Some(gateway) != own => {
                Err(forbidden(format!("gateway belongs to tenant {gateway}, {}. {mark}", who())))
            }
            _ => Ok(()),
        }
    }
}

fn forbidden(what: String) -> Denied {
    let reason = format!("Cross-tenant calls are not allowed: {what}");
    Denied::enforced(RULE, GatewayError::CrossTenantForbidden { reason })
}

fn foreign_header(tenant: Option<&TenantId>, belongs: &str, mark: &str) -> Denied {
    forbidden(format!("current header X-Bk-Tenant-Id={}, {belongs}. {mark}", name(tenant)))
}

fn user_text(user: &UserClaim) -> String {
    format!("user {} belongs to tenant {}", user.username, user.tenant_id.as_deref().unwrap_or("nil"))
}

/// As BlueKing's gateway writes a tenant that nobody knows.
fn name(tenant: Option<&TenantId>) -> &str {
    tenant.map_or("nil", TenantId::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(mode: &str, tenant: &str) -> AppClaim {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        AppClaim { tenant_mode: some(mode), tenant_id: some(tenant), ..AppClaim::verified("ci") }
    }

    fn user(tenant: &str) -> UserClaim {
        UserClaim { tenant_id: (!tenant.is_empty()).then(|| tenant.to_owned()), ..UserClaim::verified("anna") }
    }

    fn nobody() -> UserClaim {
        UserClaim::unverified("", "none")
    }

    /// The tenant that goes on, or why none does.
    fn judge(gateway: &str, app: &AppClaim, user: &UserClaim, header: &str) -> Result<String, String> {
        let tenants = Tenants { gateway: TenantId::new(gateway).ok() };
        match tenants.judge(app, user, TenantId::new(header).ok()) {
            Ok(tenant) => Ok(tenant.map(|tenant| tenant.to_string()).unwrap_or_default()),
            Err(denied) => match denied.gateway_error() {
                Some(GatewayError::CrossTenantForbidden { reason }) => {
                    Err(reason.strip_prefix("Cross-tenant calls are not allowed: ").unwrap().to_owned())
                }
                other => panic!("{other:?}"),
            },
        }
    }

    #[test]
    fn an_application_of_one_tenant_acts_there_and_nowhere_else() {
        let single = app("single", "a");
        assert_eq!(judge("", &single, &user("a"), "").as_deref(), Ok("a"), "it need not say");
        assert_eq!(judge("", &single, &user("a"), "a").as_deref(), Ok("a"));
        assert_eq!(judge("", &single, &nobody(), "").as_deref(), Ok("a"));
        assert_eq!(
            judge("", &single, &user("a"), "b").unwrap_err(),
            "current header X-Bk-Tenant-Id=b, app ci belongs to tenant a(tenant_mode=single). [AH2]"
        );
        for (tenant, shown) in [("b", "b"), ("", "nil")] {
            assert_eq!(
                judge("", &single, &user(tenant), "").unwrap_err(),
                format!("app ci belongs to tenant a, user anna belongs to tenant {shown}. [AU]")
            );
        }
    }

    #[test]
    fn an_application_of_all_tenants_says_for_which_one_it_acts() {
        let global = app("global", "");
        for tenant in ["a", "b"] {
            assert_eq!(judge("", &global, &user("a"), tenant).as_deref(), Ok(tenant));
        }
        assert_eq!(
            judge("", &global, &user("a"), "").unwrap_err(),
            "header X-Bk-Tenant-Id is required and should not be empty. the app ci tenant_mode=global. [AH1]"
        );
    }

    #[test]
    fn a_gateway_of_one_tenant_serves_its_own_alone() {
        assert_eq!(judge("a", &app("single", "a"), &user("a"), "a").as_deref(), Ok("a"));
        let refused = [
            (app("single", "b"), user("b"), "", "gateway belongs to tenant a, app ci belongs to tenant b. [GA]"),
            (app("global", ""), user("b"), "a", "gateway belongs to tenant a, user anna belongs to tenant b. [GU]"),
            (app("global", ""), user("a"), "b", "gateway belongs to tenant a, header tenant_id is b. [GH]"),
            (app("", ""), user("a"), "", "gateway belongs to tenant a, app ci belongs to tenant nil. [GA]"),
        ];
        for (app, user, header, reason) in refused {
            assert_eq!(judge("a", &app, &user, header).unwrap_err(), reason);
        }
    }

    #[test]
    fn an_application_that_belongs_nowhere_speaks_for_no_tenant() {
        let unknown = app("", "");
        assert_eq!(judge("", &unknown, &user("b"), "").as_deref(), Ok(""));
        assert_eq!(
            judge("", &unknown, &user("b"), "b").unwrap_err(),
            "current header X-Bk-Tenant-Id=b, app ci belongs to tenant nil(tenant_mode=nil). [AH2]"
        );
    }

    #[test]
    fn without_a_verified_application_the_user_decides() {
        let none = AppClaim::unverified("ci", "none");
        assert_eq!(judge("", &none, &user("b"), "").as_deref(), Ok("b"));
        assert_eq!(judge("", &none, &user("b"), "b").as_deref(), Ok("b"));
        assert_eq!(
            judge("", &none, &user("b"), "a").unwrap_err(),
            "current header X-Bk-Tenant-Id=a, user anna belongs to tenant b. [UH]"
        );
        assert!(judge("", &none, &user(""), "a").is_err());
    }
}
