//! What a request comes to, and what stops the reading of it on the way.

use linkgate_contract::Problem;

use super::{Asking, Pending};
use crate::identity::Halt;
use crate::identity::service::Question;
use crate::limit::Lease;
use crate::record::Record;
use crate::reply::{GatewayError, Reply};
use crate::rules::Violation;
use crate::shared::Unavailable;

/// The rule that bounds a body.
pub(super) const BODY_BYTES: &str = "limits.body_bytes";
/// The decision of a request that is sent on.
pub(super) const FORWARDED: &str = "OK";

/// What the proxy is to do next.
pub enum Verdict {
    /// Hold the headers and hand over the body.
    NeedBody(Pending),
    /// Hold the request until a service answered.
    Ask(Asking),
    /// Send the request on, changed.
    Forward(Forward),
    /// Answer here.
    Refuse(Refusal),
}

/// How the request is changed before it goes on. It holds the token, so nothing shows it.
pub struct Forward {
    /// Headers to drop first, every copy.
    pub remove: Vec<String>,
    /// Headers to set then, pseudo-headers among them.
    pub set: Vec<(&'static str, String)>,
    /// A body to send in the place of the caller's.
    pub body: Option<Vec<u8>>,
    /// For the access log.
    pub record: Record,
    /// To be given back with [`crate::Gate::release`] when the request is over.
    pub lease: Option<Lease>,
}

/// A request that ends here.
#[derive(Debug)]
pub struct Refusal {
    /// The answer.
    pub reply: Reply,
    /// For the access log.
    pub record: Record,
}

/// Why the reading stops.
pub(super) enum Stop {
    Body,
    Ask(Question),
    Refuse { error: GatewayError, rule: String },
    Problem(Problem),
}

impl Stop {
    pub(super) fn body_too_large() -> Self {
        Self::Refuse { error: GatewayError::BodyTooLarge, rule: BODY_BYTES.to_owned() }
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Body => Self::Body,
            Halt::Ask(question) => Self::Ask(question),
            Halt::Refuse(error) => Self::Refuse { error, rule: "identity".to_owned() },
        }
    }
}

impl From<Unavailable> for Stop {
    /// What cannot be counted is not let through.
    fn from(_: Unavailable) -> Self {
        Self::Refuse { error: GatewayError::Internal { reason: None }, rule: "limits".to_owned() }
    }
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Refuse { error: violation.error, rule: violation.rule }
    }
}
