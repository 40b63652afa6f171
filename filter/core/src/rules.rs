//! The policy's rules at work: each looks at one thing and says whether it would refuse.
//!
//! A rule in report mode decides like any other; what it would have refused is counted, logged and let through.

pub(crate) mod actions;
pub(crate) mod grants;
pub(crate) mod packages;
pub(crate) mod pattern;
pub(crate) mod restrictions;

use crate::reply::GatewayError;

/// What a rule has against a request.
#[derive(Debug)]
pub(crate) struct Violation {
    /// Its name, as in the policy.
    pub(crate) rule: String,
    /// Whether it only says so.
    pub(crate) report: bool,
    /// The refusal.
    pub(crate) error: GatewayError,
}

impl Violation {
    pub(crate) fn new(rule: impl Into<String>, report: bool, error: GatewayError) -> Self {
        Self { rule: rule.into(), report, error }
    }
}
