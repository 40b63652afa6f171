//! Whoever has a signed URL: its maker speaks for them, and is judged anew.
//!
//! Promises: the maker must still be let to download and to sign, by the same rules as in a request of its own; what goes on
//! to the store names the maker and the bytes that the URL was made for. Nobody is asked.

use std::cell::RefCell;
use std::rc::Rc;

use linkgate_contract::{Action, AppClaim, ErrorCode, SignedUrlClaims, TenantId, UserClaim};

use super::Flow;
use super::request::Presented;
use crate::caller_cache::Caller;
use crate::context::Context;
use crate::denied::Denied;
use crate::interrupt::Interrupt;
use crate::metrics::Metric;
use crate::signed_url::{LinkError, UNVERIFIED};
use crate::time::Time;

/// What it is called in the access log and in metrics.
const SIGNED_URL: &str = "signed_url";

impl Flow {
    pub(super) fn is_by_signed_url(&self) -> bool {
        matches!(self.request.presented, Presented::SignedUrl(..))
    }

    /// Checks the URL and authorizes its maker. Cold, for within its caller it would cost every other request some thousands of
    /// instructions.
    #[cold]
    pub(super) fn authenticate_bearer(&mut self, context: &Context, now: Time) -> Result<(), Interrupt> {
        let claims = self.read_signed_url(context, now);
        let outcome = if claims.is_ok() { "ok" } else { "refused" };
        context.worker.metrics.count(Metric::Authentication { kind: SIGNED_URL, outcome });
        let SignedUrlClaims { app, user, sha256, tenant, .. } = claims.map_err(Denied::from)?;
        self.record.identity = SIGNED_URL;
        self.record.app.clone_from(&app);
        self.record.user.clone_from(&user);
        if let Some(tenants) = &context.policy.tenants {
            self.request.tenant = tenant.and_then(|tenant| TenantId::new(tenant).ok());
            tenants.judge_made_for(self.request.tenant.as_ref())?;
        }
        let caller = Rc::new(maker(app, user));
        self.judge_grant(context, &caller, Action::Sign, now)?;
        self.authorize(context, &caller, now)?;
        (self.caller, self.expected_sha256) = (Some(caller), Some(sha256));
        Ok(())
    }

    fn read_signed_url(&self, context: &Context, now: Time) -> Result<SignedUrlClaims, LinkError> {
        let Presented::SignedUrl(token, client_ip) = &self.request.presented else {
            return Err(LinkError::Refused(ErrorCode::SignatureInvalid));
        };
        let (path, worker) = (self.request.route.canonical_path(), &context.worker);
        let spend = |work_us| worker.url_signatures.spend(work_us, now);
        let claims = context.policy.url_keys.verify(token.reveal(), &path, *client_ip, now.seconds(), spend);
        if claims == Err(LinkError::TooMany) {
            worker.metrics.count(Metric::Limited { rule: UNVERIFIED.to_owned() });
        }
        claims
    }
}

/// Whoever made it, of whom the store knew then which of the two were verified.
fn maker(app: String, user: String) -> Caller {
    let unverified = "the signed URL names none";
    let app = if app.is_empty() { AppClaim::unverified("", unverified) } else { AppClaim::verified(app) };
    let user = if user.is_empty() { UserClaim::unverified("", unverified) } else { UserClaim::verified(user) };
    Caller { app, user, is_listed: false, kinds: Vec::new(), token: RefCell::default() }
}
