//! What identity services answer, or what it says of them that they do not.

use std::rc::Rc;

use linkgate_contract::TenantId;

use crate::jwt::JwtFacts;
use crate::reason::Reason;
use crate::secret::Secret;

/// What an access token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenFacts {
    pub(crate) app_code: String,
    /// Empty: the token is the app's own.
    pub(crate) username: String,
    pub(crate) expires_at: i64,
}

/// A user, as a service knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// Where the service has tenants and says so.
    pub(crate) tenant: Option<TenantId>,
}

/// Where an app belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppTenant {
    /// To every tenant.
    Global,
    Single(TenantId),
    /// bkauth does not know the app.
    Unknown,
}

/// What a service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    AppVerified,
    Keys(Rc<[Secret]>),
    Token(TokenFacts),
    User(User),
    AppTenant(AppTenant),
    Jwt(Rc<JwtFacts>),
    Refused(Reason),
}

impl Answer {
    /// The second from which it is void, wherever it is stored.
    pub(super) fn expires_at(&self) -> Option<i64> {
        match self {
            Self::Token(facts) => Some(facts.expires_at),
            Self::Jwt(facts) => Some(facts.expires_at),
            _ => None,
        }
    }
}

/// What a failure says of the service. What a caller could bring about by an odd credential says nothing: else it could make a
/// revoked one count again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// It is down: it does not answer, or what stands before it says so.
    Down,
    /// It answered what it should not. That may be the credential's doing; for several of them it is not.
    Unclear,
    /// It may be well.
    Refused,
}
