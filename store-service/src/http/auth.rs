//! Who is calling, by the gate's word.
//!
//! Promises: the signature is checked before any claim is believed, and with the one algorithm of the key's kind, so a
//! token cannot pick a weaker one or pass a public key off as a shared secret. An application is always verified; a user
//! too, unless the gate says that this application needs none. Refuses a second token beside the first.
//! A caller learns whether its token is expired or invalid and nothing more; the log has the reason.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use linkgate_contract::{
    Action, AllowList, AppClaim, CallerApp, Claims, ConsoleClaim, CredentialName, Extension, GrantsClaim, HostRule,
    InvalidCredentialName, InvalidHostRule, ModuleRef, Operator, Route, Sha256, SignedNonce, TenantId, UserClaim,
    headers,
};
use linkgate_store_core::budget::Owner;
use linkgate_store_core::ingest::Allowance;
use warp::http::HeaderMap;

use crate::config::{AuthConfig, TrustedKeys};

/// How far the gate's clock may be off.
const SKEW_S: u64 = 60;

/// Checks tokens.
pub struct Verifier {
    keys: TrustedKeys,
}

/// Whom the gate vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The application, if one was verified.
    pub(super) app: Option<CallerApp>,
    /// Who is recorded: the user, or the application where it needs none.
    pub(super) operator: Operator,
    /// Whether that is a user.
    pub(super) is_user: bool,
    /// The only bytes that it may have of a package, if a signed URL speaks for it.
    pub(super) expected_sha256: Option<Sha256>,
    /// The nonce that the request uses up, if it is signed and may change something.
    pub(super) nonce: Option<SignedNonce>,
    /// The tenant that the request is for, where there are tenants.
    pub(super) tenant: Option<TenantId>,
    /// What its uploads may do.
    pub(super) allowance: Allowance,
    /// Whether the gate judged a credential of the caller's own that comes with the request.
    pub(super) may_bring_credential: bool,
    /// What its grants are for, where the request is about no module.
    pub(super) grants: Option<GrantsClaim>,
    /// What pages need to know of it, where the request comes from one.
    pub(super) console: Option<ConsoleClaim>,
}

impl Caller {
    /// On whose account its requests are.
    pub(super) fn owner(&self) -> Owner {
        Owner::of(self.app.as_ref(), &self.operator)
    }
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AuthError {
    #[error("the connection shows no client certificate")]
    NoCertificate,
    #[error("there is no token")]
    Missing,
    #[error("there are several tokens")]
    Several,
    #[error("the token cannot be read")]
    Unreadable,
    #[error("the token has critical extensions")]
    Critical,
    #[error("no key has the token's kid and algorithm")]
    NoKey,
    #[error("the token is expired")]
    Expired,
    #[error("the token is not believed: {0:?}")]
    Invalid(ErrorKind),
    #[error("the token has {count} private hosts, the limit is {max}", max = Extension::MAX_PRIVATE_HOSTS)]
    TooManyPrivateHosts { count: usize },
    #[error("a private host of the token {0}")]
    PrivateHost(InvalidHostRule),
    #[error("the token names {count} credentials, the limit is {max}", max = Extension::MAX_CREDENTIALS)]
    TooManyCredentials { count: usize },
    #[error("a credential that the token names {0}")]
    CredentialName(InvalidCredentialName),
    #[error("the token has {count} grants, the limit is {max}", max = GrantsClaim::MAX_GRANTS)]
    TooManyGrants { count: usize },
    #[error("the application is not verified")]
    App,
    #[error("the user is not verified")]
    User,
    #[error("the token is not good for `{action}` on `{target}`")]
    Uncovered { target: ModuleRef, action: Action },
    #[error("the token is not good for `{action}` on all that its caller may")]
    NoListing { action: Action },
}

impl Verifier {
    /// Takes the keys.
    #[must_use]
    pub fn new(config: AuthConfig) -> Self {
        Self { keys: config.keys }
    }

    /// Whom the gate vouches for, if its token is good for this route, and for what the query asks for besides.
    pub(super) fn caller(&self, request_headers: &HeaderMap, route: &Route, query: &str) -> Result<Caller, AuthError> {
        let mut tokens = request_headers.get_all(headers::JWT).iter();
        let token = match (tokens.next(), tokens.next()) {
            (None, _) => return Err(AuthError::Missing),
            (Some(token), None) => token.as_bytes(),
            (Some(_), Some(_)) => return Err(AuthError::Several),
        };
        let claims = self.claims(token)?;
        let action = route.endpoint.token_action(query);
        if !claims.linkgate.covers(route.target.as_ref(), action) {
            return Err(AuthError::uncovered(route.target.clone(), action));
        }
        vouched_for(claims)
    }

    fn claims(&self, token: &[u8]) -> Result<Claims, AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::Unreadable)?;
        if header.crit.is_some() {
            return Err(AuthError::Critical);
        }
        let kid = header.kid.as_deref().unwrap_or_default();
        let trusted = self.keys.now();
        let keys = trusted.iter().filter(|key| key.kid() == kid && key.algorithm() == header.alg);
        let mut refused = AuthError::NoKey;
        for key in keys {
            match decode::<Claims>(token, key.key(), &validation(key.algorithm())) {
                Ok(data) => return Ok(data.claims),
                Err(e) => refused = AuthError::from(e.into_kind()),
            }
            // Another key of the same kid may be the one that signed; every other fault is final.
            if refused != AuthError::Invalid(ErrorKind::InvalidSignature) {
                break;
            }
        }
        Err(refused)
    }
}

impl AuthError {
    fn uncovered(target: Option<ModuleRef>, action: Action) -> Self {
        match target {
            Some(target) => Self::Uncovered { target, action },
            None => Self::NoListing { action },
        }
    }
}

impl From<ErrorKind> for AuthError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ExpiredSignature => Self::Expired,
            other => Self::Invalid(other),
        }
    }
}

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = SKEW_S;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp", "nbf"]);
    validation
}

fn vouched_for(claims: Claims) -> Result<Caller, AuthError> {
    let tenant = claims.tenant();
    let Claims { app, user, linkgate, .. } = claims;
    let (private_hosts, credentials) = (private_hosts(&linkgate)?, credentials(&linkgate)?);
    check_grants(linkgate.grants.as_ref())?;
    let allowance = Allowance { private_hosts, opaque: linkgate.opaque, credentials };
    let app = verified_app(&app, &user, &linkgate)?;
    let operator = verified_operator(app.as_ref(), &user, &linkgate)?;
    Ok(Caller {
        app,
        operator,
        is_user: user.verified,
        expected_sha256: linkgate.expected_sha256,
        nonce: linkgate.nonce,
        tenant,
        allowance,
        may_bring_credential: linkgate.caller_credential,
        grants: linkgate.grants,
        console: linkgate.console,
    })
}

fn private_hosts(said: &Extension) -> Result<AllowList, AuthError> {
    let count = said.private_hosts.len();
    if count > Extension::MAX_PRIVATE_HOSTS {
        return Err(AuthError::TooManyPrivateHosts { count });
    }
    let rules: Result<_, _> = said.private_hosts.iter().map(|entry| HostRule::new(entry)).collect();
    rules.map(AllowList::new).map_err(AuthError::PrivateHost)
}

fn check_grants(said: Option<&GrantsClaim>) -> Result<(), AuthError> {
    let count = said.map_or(0, |grants| grants.list.len());
    if count > GrantsClaim::MAX_GRANTS { Err(AuthError::TooManyGrants { count }) } else { Ok(()) }
}

fn credentials(said: &Extension) -> Result<Vec<CredentialName>, AuthError> {
    let count = said.credentials.len();
    if count > Extension::MAX_CREDENTIALS {
        return Err(AuthError::TooManyCredentials { count });
    }
    let names: Result<_, _> = said.credentials.iter().map(|name| CredentialName::new(name.as_str())).collect();
    names.map_err(AuthError::CredentialName)
}

/// `None` where the gate lets a verified user call through an application that is not.
fn verified_app(app: &AppClaim, user: &UserClaim, said: &Extension) -> Result<Option<CallerApp>, AuthError> {
    match app.verified {
        true => CallerApp::new(app.app_code.as_str()).map(Some).map_err(|_| AuthError::App),
        false if said.app_optional && user.verified => Ok(None),
        false => Err(AuthError::App),
    }
}

/// Who is not verified never becomes the operator, whatever name the token has for them; somebody must be.
fn verified_operator(app: Option<&CallerApp>, user: &UserClaim, said: &Extension) -> Result<Operator, AuthError> {
    match (user.verified, app) {
        (true, _) => Operator::new(user.username.as_str()).map_err(|_| AuthError::User),
        (false, Some(app)) if said.user_optional => Ok(app.clone().into()),
        (false, _) => Err(AuthError::User),
    }
}

#[cfg(test)]
mod tests {
    use linkgate_contract::{GrantClaim, MAX_NAME_BYTES};

    use super::*;

    fn claims(app: AppClaim, user: UserClaim, user_optional: bool) -> Claims {
        let mut claims = Claims::new(app, user, 0, 0);
        claims.linkgate.user_optional = user_optional;
        claims
    }

    fn operator_of(claims: Claims) -> Result<String, AuthError> {
        vouched_for(claims).map(|caller| caller.operator.to_string())
    }

    #[test]
    fn an_application_may_be_lacking_only_where_the_gate_says_so_and_a_user_is_known() {
        let lacking = |user: UserClaim, app_optional: bool, user_optional: bool| {
            let mut claims = claims(AppClaim::unverified("", "none"), user, user_optional);
            claims.linkgate.app_optional = app_optional;
            operator_of(claims)
        };
        let (admin, nobody) = (UserClaim::verified("admin"), UserClaim::unverified("", "none"));
        assert_eq!(lacking(admin.clone(), true, false).as_deref(), Ok("admin"));
        assert_eq!(lacking(admin, false, true), Err(AuthError::App));
        assert_eq!(lacking(nobody, true, true), Err(AuthError::App));
    }

    #[test]
    fn the_operator_is_the_user_and_without_one_the_application_that_needs_none() {
        let app = || AppClaim::verified("app");
        let named = || UserClaim::unverified("root", "not verified");
        for optional in [false, true] {
            let user = UserClaim::verified("admin");
            assert_eq!(operator_of(claims(app(), user, optional)).as_deref(), Ok("admin"), "{optional}");
        }
        assert_eq!(operator_of(claims(app(), named(), true)).as_deref(), Ok("app"));
        assert_eq!(operator_of(claims(app(), UserClaim::unverified("", "none"), true)).as_deref(), Ok("app"));
        assert_eq!(operator_of(claims(app(), named(), false)), Err(AuthError::User));
    }

    #[test]
    fn an_application_is_always_verified_and_every_name_fit_for_the_catalog() {
        let nobody = || UserClaim::unverified("", "none");
        for optional in [false, true] {
            let app = AppClaim::unverified("app", "no secret");
            assert_eq!(operator_of(claims(app.clone(), nobody(), optional)), Err(AuthError::App));
            assert_eq!(operator_of(claims(app, UserClaim::verified("admin"), optional)), Err(AuthError::App));
        }
        for bad in ["", " ", "a\nb", &"a".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(operator_of(claims(AppClaim::verified(bad), nobody(), true)), Err(AuthError::App), "{bad:?}");
            let user = UserClaim::verified(bad);
            assert_eq!(operator_of(claims(AppClaim::verified("app"), user, true)), Err(AuthError::User), "{bad:?}");
        }
    }

    #[test]
    fn credentials_are_few_and_well_named_or_the_token_is_not_believed() {
        let named = |names: Vec<String>| {
            let mut claims = Claims::verified("app", "admin", 0, 0);
            claims.linkgate.credentials = names;
            vouched_for(claims).map(|caller| caller.allowance.credentials.len())
        };
        let (max, name) = (Extension::MAX_CREDENTIALS, "nexus".to_owned());
        assert_eq!(named(vec![name.clone(); max]), Ok(max));
        assert_eq!(named(vec![name.clone(); max + 1]), Err(AuthError::TooManyCredentials { count: max + 1 }));
        assert_eq!(named(vec![name, "a b".into()]), Err(AuthError::CredentialName(InvalidCredentialName)));
    }

    #[test]
    fn grants_are_few_or_the_token_is_not_believed() {
        let with = |count: usize| {
            let mut claims = Claims::verified("app", "admin", 0, 0);
            let grant =
                GrantClaim { targets: vec!["*".into()], modules: vec!["*".into()], actions: vec![Action::Read] };
            claims.linkgate.grants = Some(GrantsClaim { list: vec![grant; count], more: false });
            vouched_for(claims).map(|caller| caller.grants.map(|grants| grants.list.len()))
        };
        let max = GrantsClaim::MAX_GRANTS;
        assert_eq!((with(0), with(max)), (Ok(Some(0)), Ok(Some(max))));
        assert_eq!(with(max + 1), Err(AuthError::TooManyGrants { count: max + 1 }));
        let none = vouched_for(Claims::verified("app", "admin", 0, 0)).map(|caller| (caller.grants, caller.console));
        assert_eq!(none, Ok((None, None)));
    }

    fn with_hosts(hosts: Vec<String>) -> Result<AllowList, AuthError> {
        let mut claims = Claims::verified("app", "admin", 0, 0);
        claims.linkgate.private_hosts = hosts;
        vouched_for(claims).map(|caller| caller.allowance.private_hosts)
    }

    #[test]
    fn private_hosts_are_few_and_well_formed_or_the_token_is_not_believed() {
        let hosts = |count: usize| (0..count).map(|i| format!("10.0.0.1:{}", i + 1)).collect::<Vec<_>>();
        let max = Extension::MAX_PRIVATE_HOSTS;
        assert!(with_hosts(hosts(0)).unwrap().is_empty());
        assert!(!with_hosts(hosts(max)).unwrap().is_empty());
        assert_eq!(with_hosts(hosts(max + 1)), Err(AuthError::TooManyPrivateHosts { count: max + 1 }));
        let good_and_bad = vec!["10.0.0.1".to_owned(), "10.0.0.0/8".to_owned()];
        assert_eq!(with_hosts(good_and_bad), Err(AuthError::PrivateHost(InvalidHostRule::NotHostPort)));
    }
}
