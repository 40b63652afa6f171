//! What the gate's token says, in the shape of BlueKing's gateway.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Action, ModuleRef, Patterns, Sha256, SignedNonce, TenantId};

/// The claims of `X-Bkapi-JWT`. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token; BlueKing's gateway writes `APIGW`, others what they like.
    pub iss: String,
    /// Not valid before.
    pub nbf: i64,
    /// Not valid after.
    pub exp: i64,
    /// The calling application.
    pub app: AppClaim,
    /// The user on whose behalf it calls.
    pub user: UserClaim,
    /// What only our gate says.
    #[serde(default, skip_serializing_if = "Extension::is_empty")]
    pub linkgate: Extension,
}

/// What the gate adds to BlueKing's claims; absent in the tokens of other gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extension {
    /// The one module that the token is good for, as `app_code/module`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ModuleRef>,
    /// The one action that the token is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Whether the gate lets this user call through an application that is not verified.
    #[serde(default, skip_serializing_if = "is_false")]
    pub app_optional: bool,
    /// Whether the gate lets this application call without a user.
    #[serde(default, skip_serializing_if = "is_false")]
    pub user_optional: bool,
    /// `host` or `host:port` entries that may have addresses which are not public, for this request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private_hosts: Vec<String>,
    /// Whether the package may be a file that is no archive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub opaque: bool,
    /// The tenant that the request is for, which the gate has judged.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub tenant_id: Option<String>,
    /// The credentials of the store that this request may use for its source, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
    /// Whether the caller's own credential, which goes with this request, was judged and may be sent to its source.
    #[serde(default, skip_serializing_if = "is_false")]
    pub caller_credential: bool,
    /// The digest that the package must have, where a signed URL speaks for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_sha256: Option<Sha256>,
    /// The nonce that this request uses up, if it is signed and may change something: the token is for it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<SignedNonce>,
    /// What the caller's grants are for, where the request is about no module: the token is good for that alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<GrantsClaim>,
    /// What pages for people need to know, where the request comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<ConsoleClaim>,
}

/// The grants that give a caller anything, by pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantsClaim {
    /// Each of them.
    pub list: Vec<GrantClaim>,
    /// Whether there are more, which the token leaves out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

/// What a grant gives, and for which modules. Names match as [`Patterns`] do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantClaim {
    /// Patterns of applications.
    pub targets: Vec<String>,
    /// Patterns of their modules.
    pub modules: Vec<String>,
    /// What it gives.
    pub actions: Vec<Action>,
}

/// What the console shows beside the API's reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConsoleClaim {
    /// All that the caller may do to the module's packages; nothing where the request is about no module.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// Whom to ask for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

impl GrantsClaim {
    /// More grants than this make a token that is not believed.
    pub const MAX_GRANTS: usize = 64;

    /// Whether one of them lets the caller do this to that module's packages. A list of modules is held against
    /// [`Patterns`] that are made once.
    #[must_use]
    pub fn give(&self, target: &ModuleRef, action: Action) -> bool {
        self.list.iter().any(|grant| {
            grant.actions.contains(&action)
                && Patterns::new(&grant.targets).matches(target.app.as_str())
                && Patterns::new(&grant.modules).matches(target.module.as_str())
        })
    }
}

impl Extension {
    /// More private hosts than any policy needs make a token that is not believed.
    pub const MAX_PRIVATE_HOSTS: usize = 64;
    /// The same of credentials.
    pub const MAX_CREDENTIALS: usize = 64;

    /// Whether a token is good for doing this to that module's packages. One that names no action, as those of other gateways
    /// do not, is good for what a grant gives that names none: no gateway learns to delete by an upgrade of the store.
    ///
    /// A request about no module takes a token with grants, and such a token is for nothing else: that it names no module does
    /// not make it good for every one.
    #[must_use]
    pub fn covers(&self, target: Option<&ModuleRef>, action: Action) -> bool {
        let is_action = self.action.map_or_else(|| Action::DEFAULT.contains(&action), |named| named == action);
        let is_target = match target {
            Some(target) => self.grants.is_none() && self.target.as_ref().is_none_or(|named| named == target),
            None => self.grants.is_some() && self.target.is_none(),
        };
        is_target && is_action
    }

    /// Whether it says nothing, so that the token is one of BlueKing's.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A text, if it is one and says anything: what gateways write for no tenant differs.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// Serde hands fields over by reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The calling application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppClaim {
    /// Version of this claim's shape.
    pub version: u8,
    /// Its code.
    pub app_code: String,
    /// Whether its secret was checked.
    pub verified: bool,
    /// Why it was not, else empty.
    #[serde(default)]
    pub valid_error_message: String,
    /// Whether it belongs to every tenant, [`AppClaim::GLOBAL`], or to one; absent where tenants play no part.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub tenant_mode: Option<String>,
    /// The one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub tenant_id: Option<String>,
}

/// The user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserClaim {
    /// Version of this claim's shape.
    pub version: u8,
    /// The name.
    pub username: String,
    /// Whether the user's login was checked.
    pub verified: bool,
    /// Why it was not, else empty.
    #[serde(default)]
    pub valid_error_message: String,
    /// The tenant that the user belongs to; absent where tenants play no part.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub tenant_id: Option<String>,
}

/// Of the claims on the application and on the user, whichever gateway wrote them.
const CLAIM_VERSION: u8 = 1;

impl AppClaim {
    /// [`tenant_mode`](Self::tenant_mode) of an application that belongs to every tenant.
    pub const GLOBAL: &'static str = "global";
    /// That of one that belongs to a single tenant.
    pub const SINGLE: &'static str = "single";

    fn new(app_code: String, verified: bool, valid_error_message: String) -> Self {
        let (tenant_mode, tenant_id) = (None, None);
        Self { version: CLAIM_VERSION, app_code, verified, valid_error_message, tenant_mode, tenant_id }
    }

    /// An application whose secret was checked.
    #[must_use]
    pub fn verified(app_code: impl Into<String>) -> Self {
        Self::new(app_code.into(), true, String::new())
    }

    /// An application that only gave its name, and why that is all.
    #[must_use]
    pub fn unverified(app_code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(app_code.into(), false, reason.into())
    }

    /// The code, if it was verified; else empty, like that of no application.
    #[must_use]
    pub fn verified_code(&self) -> &str {
        if self.verified { &self.app_code } else { "" }
    }

    /// Whether it belongs to every tenant.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.tenant_mode.as_deref() == Some(Self::GLOBAL)
    }
}

impl UserClaim {
    fn new(username: String, verified: bool, valid_error_message: String) -> Self {
        Self { version: CLAIM_VERSION, username, verified, valid_error_message, tenant_id: None }
    }

    /// A user whose login was checked.
    #[must_use]
    pub fn verified(username: impl Into<String>) -> Self {
        Self::new(username.into(), true, String::new())
    }

    /// A user who is only named, or not even that, and why.
    #[must_use]
    pub fn unverified(username: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(username.into(), false, reason.into())
    }
}

impl Claims {
    /// `iss` of the tokens of BlueKing's gateway, and of ours.
    pub const ISSUER: &'static str = "APIGW";

    /// A token of ours that says no more than BlueKing's does.
    #[must_use]
    pub fn new(app: AppClaim, user: UserClaim, nbf: i64, exp: i64) -> Self {
        Self { iss: Self::ISSUER.into(), nbf, exp, app, user, linkgate: Extension::default() }
    }

    /// A token for a verified application and user.
    #[must_use]
    pub fn verified(app_code: &str, username: &str, nbf: i64, exp: i64) -> Self {
        Self::new(AppClaim::verified(app_code), UserClaim::verified(username), nbf, exp)
    }

    /// The tenant that the request is for: as the gate judged it, else the one of the application, else the user's. A gateway
    /// may call a tenant what it likes; a name that is none of ours says nothing.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        let said = [&self.linkgate.tenant_id, &self.app.tenant_id, &self.user.tenant_id];
        said.into_iter().flatten().next().and_then(|name| TenantId::new(name.as_str()).ok())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn blueking() -> Value {
        json!({
            "iss": "APIGW",
            "nbf": 1,
            "exp": 2,
            "app": {"version": 1, "app_code": "app", "verified": true, "valid_error_message": ""},
            "user": {"version": 1, "username": "", "verified": false, "valid_error_message": "no user"},
        })
    }

    #[test]
    fn a_token_without_the_extension_is_one_of_bluekings() {
        let claims = Claims::new(AppClaim::verified("app"), UserClaim::unverified("", "no user"), 1, 2);
        assert_eq!(serde_json::to_value(&claims).unwrap(), blueking());
        assert_eq!(serde_json::from_value::<Claims>(blueking()).unwrap(), claims);
    }

    #[test]
    fn the_extension_says_only_what_is_there() {
        let mut claims = Claims::verified("app", "admin", 1, 2);
        claims.linkgate.user_optional = true;
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written["linkgate"], json!({"user_optional": true}));
        assert_eq!(serde_json::from_value::<Claims>(written).unwrap(), claims);
        claims.linkgate = Extension { private_hosts: vec!["10.0.0.1:8080".into()], ..Extension::default() };
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written["linkgate"], json!({"private_hosts": ["10.0.0.1:8080"]}));
        assert_eq!(serde_json::from_value::<Claims>(written).unwrap(), claims);
        let (credentials, caller_credential) = (vec!["nexus".into()], true);
        claims.linkgate = Extension { credentials, caller_credential, ..Extension::default() };
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written["linkgate"], json!({"credentials": ["nexus"], "caller_credential": true}));
        assert_eq!(serde_json::from_value::<Claims>(written).unwrap(), claims);
        let expected_sha256 = Some(Sha256::from_bytes([0xab; 32]));
        claims.linkgate = Extension { expected_sha256, ..Extension::default() };
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written["linkgate"], json!({"expected_sha256": "ab".repeat(32)}));
        assert_eq!(serde_json::from_value::<Claims>(written).unwrap(), claims);
        let nonce = Some(SignedNonce { digest: Sha256::from_bytes([0xab; 32]), until: 7 });
        claims.linkgate = Extension { nonce, ..Extension::default() };
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written["linkgate"], json!({"nonce": {"digest": "ab".repeat(32), "until": 7}}));
        assert_eq!(serde_json::from_value::<Claims>(written).unwrap(), claims);
    }

    #[test]
    fn a_token_is_good_for_what_it_names_and_one_that_names_nothing_for_little() {
        let module = |text: &str| text.parse::<ModuleRef>().unwrap();
        let extension =
            |target: Option<&str>, action| Extension { target: target.map(module), action, ..Extension::default() };
        let (here, there) = (module("app/default"), module("app/other"));
        let named = extension(Some("app/default"), Some(Action::Delete));
        assert!(named.covers(Some(&here), Action::Delete));
        assert!(!named.covers(Some(&there), Action::Delete) && !named.covers(Some(&here), Action::Upload));
        let unnamed = extension(None, None);
        for &action in Action::ALL {
            assert_eq!(unnamed.covers(Some(&there), action), Action::DEFAULT.contains(&action), "{action}");
        }
        let written = serde_json::to_value(&named).unwrap();
        assert_eq!(written, json!({"target": "app/default", "action": "delete"}));
        assert_eq!(serde_json::from_value::<Extension>(written).unwrap(), named);
        for bad in [json!({"target": "app"}), json!({"target": "a b/c"}), json!({"action": "all"})] {
            assert!(serde_json::from_value::<Extension>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_with_grants_is_for_no_module_and_only_such_a_token_is() {
        let module: ModuleRef = "app/default".parse().unwrap();
        let grants = Some(GrantsClaim::default());
        let listing = Extension { action: Some(Action::Read), grants: grants.clone(), ..Extension::default() };
        assert!(listing.covers(None, Action::Read) && !listing.covers(None, Action::Delete));
        let of_another_gateway = Extension::default();
        let of_a_module = Extension { target: Some(module.clone()), ..listing.clone() };
        for &action in Action::ALL {
            assert!(!listing.covers(Some(&module), action), "{action}");
            let nameless = Extension { action: None, ..listing.clone() };
            assert!(!nameless.covers(Some(&module), action), "{action}");
            for none in [&of_another_gateway, &of_a_module, &Extension { grants: None, ..of_a_module.clone() }] {
                assert!(!none.covers(None, action), "{action}");
            }
            assert!(!of_a_module.covers(Some(&module), action), "{action}: a token says one of the two");
        }
    }

    #[test]
    fn grants_give_what_their_patterns_match_and_nothing_else() {
        let list = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let grant =
            GrantClaim { targets: list(&["shop-*"]), modules: list(&["web", "a?"]), actions: vec![Action::Read] };
        let grants = GrantsClaim { list: vec![grant], more: true };
        let gives = |module: &str, action| grants.give(&module.parse().unwrap(), action);
        assert!(gives("shop-1/web", Action::Read) && gives("shop-/ab", Action::Read));
        assert!(!gives("shop-1/web", Action::Upload) && !gives("shop/web", Action::Read));
        assert!(!gives("shop-1/abc", Action::Read) && !gives("Shop-1/web", Action::Read));
        let written = serde_json::to_value(&grants).unwrap();
        let expected = json!({"targets": ["shop-*"], "modules": ["web", "a?"], "actions": ["read"]});
        assert_eq!(written, json!({"list": [expected], "more": true}));
        assert_eq!(serde_json::from_value::<GrantsClaim>(written).unwrap(), grants);
    }

    #[test]
    fn the_console_is_told_no_more_than_there_is() {
        let claim = ConsoleClaim { actions: vec![Action::Upload], contact: Some("ops@example.com".into()) };
        let extension = Extension { console: Some(claim), ..Extension::default() };
        let written = serde_json::to_value(&extension).unwrap();
        assert_eq!(written, json!({"console": {"actions": ["upload"], "contact": "ops@example.com"}}));
        assert_eq!(serde_json::from_value::<Extension>(written).unwrap(), extension);
        let empty = Extension { console: Some(ConsoleClaim::default()), ..Extension::default() };
        assert_eq!(serde_json::to_value(&empty).unwrap(), json!({"console": {}}));
    }

    #[test]
    fn the_tenant_is_the_gates_word_then_the_applications_then_the_users() {
        let mut token = blueking();
        let mut tenant = |change: &dyn Fn(&mut Value)| {
            change(&mut token);
            let claims = serde_json::from_value::<Claims>(token.clone()).unwrap();
            claims.tenant().map(|tenant| tenant.to_string())
        };
        assert_eq!(tenant(&|_| ()), None);
        assert_eq!(tenant(&|token| token["user"]["tenant_id"] = "c".into()).as_deref(), Some("c"));
        assert_eq!(tenant(&|token| token["app"]["tenant_id"] = "b".into()).as_deref(), Some("b"));
        assert_eq!(tenant(&|token| token["linkgate"] = json!({"tenant_id": "a"})).as_deref(), Some("a"));
        for odd in [json!(""), Value::Null, json!(7), json!(["a"])] {
            let with_odd = |token: &mut Value| {
                token["linkgate"]["tenant_id"] = odd.clone();
                token["app"]["tenant_mode"] = odd.clone();
            };
            assert_eq!(tenant(&with_odd).as_deref(), Some("b"), "{odd}: what another gateway writes for none");
        }
        assert_eq!(tenant(&|token| token["app"]["tenant_id"] = "a b".into()), None);
    }

    #[test]
    fn a_gateway_may_have_another_name_and_say_more() {
        let mut token = blueking();
        token["iss"] = "another".into();
        token["iat"] = 1.into();
        token["linkgate"] = json!({"later": 1});
        let claims: Claims = serde_json::from_value(token).unwrap();
        assert_eq!((claims.iss.as_str(), claims.linkgate.is_empty()), ("another", true));
    }
}
