//! The policy's rules at work: each looks at one thing and says whether it would refuse.
//!
//! A report-only rule decides like any other; what it would have denied is counted, logged and let through.

pub(crate) mod actions;
pub(crate) mod grants;
pub(crate) mod packages;
pub(crate) mod pattern;
pub(crate) mod restrictions;

use crate::reply::GatewayError;

/// What a rule has against a request.
#[derive(Debug)]
pub(crate) struct Denied {
    /// Its name, as in the policy.
    pub(crate) rule: String,
    /// Whether it is report-only.
    pub(crate) report_only: bool,
    /// Why, as the caller reads it.
    pub(crate) error: GatewayError,
}

impl Denied {
    pub(crate) fn new(rule: impl Into<String>, report_only: bool, error: GatewayError) -> Self {
        Self { rule: rule.into(), report_only, error }
    }
}
