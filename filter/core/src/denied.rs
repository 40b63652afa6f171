//! The denial of a request: by which rule, and why.
//!
//! The names of rules, in the order in which they are judged, as far as they have one; docs/reference/LOGS.md lists them:
//!
//! - `limits.uri_bytes` (414): the length of path and query.
//! - `routes` (404): method and path: no such route.
//! - `restrictions.client_ips` (403): the address that the request comes from.
//! - `identity` (400, or 500 if a service failed): who calls: the application, then the user. On the console 401.
//! - `identity.unseen_tokens` (429): tokens of other gateways, or signatures, that come faster than the worker may
//!   verify those that it has not seen.
//! - `identity.login.multi_tenant` (403): tenants that do not fit.
//! - `cross_site` (403): a browser that sends a change for a page of another site, where a cookie alone names the
//!   user.
//! - `restrictions.users` (403): the user.
//! - `grants` (403): no grant covers the request. Where one does, the rule is `grants.` and the grant's name, or its
//!   number from 0.
//! - `limits.requests_per_app`, `limits.requests_per_stage`, `limits.requests` (429): rates, in this order.
//! - `limits.body_bytes` (413): the length of the body; 0 where an operation takes none.
//! - `request` (400 and others): the body: its type, fields, checksum, and the host of the link.
//! - `limits.uploads_per_app` (429): uploads of the application that are in progress.
//! - `held_requests.address`, `held_requests.app` (429): so many requests of this address or application wait in the
//!   worker already.
//! - `held_requests.total` (503): the same of all.
//! - `held_requests.time` (408): the body that the gate needs did not come within 30 s.
//! - `signed_urls` (403): the signed URL is not for this request, or has ended.
//! - `signed_urls.unverified` (429): signed URLs that come faster than the worker may verify them.
//! - `limits` (500): shared data cannot be used, so nothing can be counted.

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
