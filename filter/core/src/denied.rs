//! The denial of a request: by which rule, and why.

use linkgate_contract::Problem;

use crate::reply::GatewayError;

/// What a rule has against a request. A report-only rule denies like any other; its denial is counted, logged and let
/// through.
#[derive(Debug)]
pub(crate) struct Denied {
    /// The rule's name, as in the policy.
    pub(crate) rule: String,
    /// Whether the rule is report-only.
    pub(crate) report_only: bool,
    pub(crate) reason: DenialReason,
}

/// Why a request is denied; who asks and the gateway are answered in the gateway's envelope, what is wrong with the request
/// in the store's form.
#[derive(Debug)]
pub(crate) enum DenialReason {
    Gateway(GatewayError),
    Request(Problem),
}

impl Denied {
    /// A denial by a rule of the policy.
    pub(crate) fn new(rule: impl Into<String>, report_only: bool, error: GatewayError) -> Self {
        Self { rule: rule.into(), report_only, reason: DenialReason::Gateway(error) }
    }

    /// A denial that no mode of a rule lets through.
    pub(crate) fn enforced(rule: &str, error: GatewayError) -> Self {
        Self::new(rule, false, error)
    }

    /// The error in the gateway's envelope, if that is the reason.
    pub(crate) fn gateway_error(&self) -> Option<&GatewayError> {
        match &self.reason {
            DenialReason::Gateway(error) => Some(error),
            DenialReason::Request(_) => None,
        }
    }
}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Self {
        Self { rule: "request".to_owned(), report_only: false, reason: DenialReason::Request(problem) }
    }
}
