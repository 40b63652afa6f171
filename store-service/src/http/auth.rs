//! Who is calling, by the gate's word.
//!
//! Promises: the signature is checked before any claim is believed, and with the one algorithm of the key's kind, so a
//! token cannot pick a weaker one or pass a public key off as a shared secret. Refuses a second token beside the first.
//! A caller learns whether its token is expired or invalid and nothing more; the log has the reason.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use linkgate_contract::{Claims, headers};
use warp::http::HeaderMap;

use crate::config::{AuthConfig, TrustedKey};

/// A name goes into the books and the log: bounded, and nothing that could break a line.
const MAX_NAME_BYTES: usize = 256;
/// How far the gate's clock may be off.
const SKEW_S: u64 = 60;

/// Checks tokens.
pub struct Verifier {
    keys: Vec<TrustedKey>,
}

/// Whom the gate vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) app_code: String,
    pub(super) username: String,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AuthError {
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
    #[error("the application is not verified")]
    App,
    #[error("the user is not verified")]
    User,
}

impl Verifier {
    /// Takes the keys.
    #[must_use]
    pub fn new(config: AuthConfig) -> Self {
        Self { keys: config.keys }
    }

    pub(super) fn caller(&self, request_headers: &HeaderMap) -> Result<Caller, AuthError> {
        let mut tokens = request_headers.get_all(headers::JWT).iter();
        let token = match (tokens.next(), tokens.next()) {
            (None, _) => return Err(AuthError::Missing),
            (Some(token), None) => token.as_bytes(),
            (Some(_), Some(_)) => return Err(AuthError::Several),
        };
        vouched_for(self.claims(token)?)
    }

    fn claims(&self, token: &[u8]) -> Result<Claims, AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::Unreadable)?;
        if header.crit.is_some() {
            return Err(AuthError::Critical);
        }
        let kid = header.kid.as_deref().unwrap_or_default();
        let keys = self.keys.iter().filter(|key| key.kid() == kid && key.algorithm() == header.alg);
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
    if !claims.app.verified || claims.app.app_code.trim().is_empty() {
        return Err(AuthError::App);
    }
    let name = claims.user.username.as_str();
    let is_name = !name.trim().is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control);
    if !claims.user.verified || !is_name {
        return Err(AuthError::User);
    }
    Ok(Caller { app_code: claims.app.app_code, username: claims.user.username })
}
