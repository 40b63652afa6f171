//! What a request comes to, and what stops its judgement on the way.

use linkgate_contract::Problem;

use crate::identity::Halt;
use crate::limit::Lease;
use crate::record::Record;
use crate::reply::{GatewayError, Reply};
use crate::rules::Denied;
use crate::services::question::Question;
use crate::shared::Unavailable;

/// The rule that bounds a body.
pub(super) const BODY_BYTES: &str = "limits.body_bytes";
/// The decision of a request that is sent on.
pub(super) const FORWARDED: &str = "OK";

/// How the request is changed before it goes on. It holds the token, so nothing prints it.
pub struct Forward {
    /// Headers to drop first, every copy.
    pub remove: Vec<String>,
    /// Headers to set then, pseudo-headers among them.
    pub set: Vec<(&'static str, String)>,
    /// A body to send in the place of the caller's.
    pub body: Option<Vec<u8>>,
    /// For the access log.
    pub record: Record,
    /// To be released with [`crate::Gate::release_lease`] when the request is over.
    pub lease: Option<Lease>,
}

/// A request that ends here.
#[derive(Debug)]
pub struct Denial {
    /// The answer.
    pub reply: Reply,
    /// For the access log.
    pub record: Record,
}

/// Why the reading stops.
pub(super) enum Stop {
    NeedsBody,
    NeedsAnswer(Question),
    Denied { error: GatewayError, rule: String },
    Problem(Problem),
}

impl Stop {
    pub(super) fn body_too_large() -> Self {
        Self::Denied { error: GatewayError::BodyTooLarge, rule: BODY_BYTES.to_owned() }
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NeedsBody => Self::NeedsBody,
            Halt::NeedsAnswer(question) => Self::NeedsAnswer(question),
            Halt::Denied(error) => Self::Denied { error, rule: "identity".to_owned() },
        }
    }
}

impl From<Unavailable> for Stop {
    /// What cannot be counted is denied.
    fn from(_: Unavailable) -> Self {
        Self::Denied { error: GatewayError::Internal { reason: None }, rule: "limits".to_owned() }
    }
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        Self::Denied { error: denied.error, rule: denied.rule }
    }
}
