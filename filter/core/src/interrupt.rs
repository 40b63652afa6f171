//! What stops the judgement of a request on its way.

use std::borrow::Cow;

use crate::denied::Denied;
use crate::reason::Reason;
use crate::reply::GatewayError;
use crate::services::question::Question;
use crate::shared::Unavailable;

/// The rule that says who calls.
pub(crate) const IDENTITY: &str = "identity";
/// The rule that bounds a body.
pub(crate) const BODY_BYTES: &str = "limits.body_bytes";
/// The rule that bounds how long one may take to come.
pub(crate) const BODY_TIME: &str = "held_requests.time";

/// Why the judgement of a request stops.
#[derive(Debug)]
pub(crate) enum Interrupt {
    /// The body is needed first.
    NeedsBody,
    /// A service has to be asked.
    NeedsAnswer(Question),
    /// It ends here.
    Denied(Denied),
}

impl Interrupt {
    /// The gate or a service that it needs failed.
    pub(crate) fn failed(reason: Option<String>) -> Self {
        Denied::enforced(IDENTITY, GatewayError::Internal { reason }).into()
    }

    pub(crate) fn body_too_large() -> Self {
        Denied::enforced(BODY_BYTES, GatewayError::BodyTooLarge).into()
    }

    /// Why the caller is not authenticated, if that is what stops it.
    pub(crate) fn authentication_reason(&self) -> Option<&Cow<'static, str>> {
        match self {
            Self::Denied(denied) => match denied.gateway_error()? {
                GatewayError::NotAuthenticated { reason } => Some(reason),
                _ => None,
            },
            Self::NeedsBody | Self::NeedsAnswer(_) => None,
        }
    }
}

impl<T: Into<Denied>> From<T> for Interrupt {
    fn from(denied: T) -> Self {
        Self::Denied(denied.into())
    }
}

impl From<Reason> for Denied {
    fn from(Reason(reason): Reason) -> Self {
        Self::enforced(IDENTITY, GatewayError::NotAuthenticated { reason })
    }
}

impl From<Unavailable> for Denied {
    /// What cannot be counted is denied.
    fn from(_: Unavailable) -> Self {
        Self::enforced("limits", GatewayError::Internal { reason: None })
    }
}
