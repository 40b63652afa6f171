//! Who calls: what is known of it by now, for a request may stop to wait for an answer more than once.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use linkgate_contract::{AppClaim, AppCode, UserClaim};

use super::request::{Presented, Request};
use crate::caller_cache::{Caller, CredentialFingerprint};
use crate::context::Context;
use crate::credentials::{CredentialKind, PresentedCredentials};
use crate::identity::signature::SignedParts;
use crate::identity::{Authenticator, Basis, Learned};
use crate::interrupt::Interrupt;
use crate::metrics::Metric;
use crate::policy::Authentication as Rules;
use crate::reason::Reason;
use crate::record::Record;
use crate::time::Time;

/// The authentication of a request.
#[derive(Default)]
pub(super) struct Authentication {
    pub(super) learned: Learned,
    /// The app, once it is authenticated.
    app: Option<AppClaim>,
}

impl Authentication {
    /// The app first, then the user; the app is authenticated once, whatever has to be asked about the user.
    pub(super) fn authenticate(
        &mut self,
        context: &Context,
        request: &Request,
        body: Option<&[u8]>,
        record: &mut Record,
        now: Time,
    ) -> Result<Rc<Caller>, Interrupt> {
        let (credentials, fingerprint) = match &request.presented {
            Presented::Parsed(credentials, fingerprint) => (credentials, *fingerprint),
            Presented::Cached(caller) => return Ok(use_cached_caller(context, Rc::clone(caller), record)),
            Presented::InBody | Presented::Misplaced => return Err(Interrupt::NeedsBody),
            // Its maker was authenticated; see `bearer`.
            Presented::SignedUrl(..) => return Err(Interrupt::failed(None)),
        };
        let rules = &request.stage.authentication;
        let signed = request.is_signed().then(|| request.signed_parts(body));
        let (policy, worker, slots, learned) =
            (&context.policy, context.worker.as_ref(), context.slots(), &mut self.learned);
        let mut authenticator = Authenticator { policy, worker, credentials, learned, slots, now };
        let mut app = match self.app.take() {
            Some(app) => app,
            None => authenticate_app(&mut authenticator, rules, signed, record)?,
        };
        let user = authenticator.add_tenant(&mut app).and_then(|()| authenticate_user(&mut authenticator, rules, &app));
        record.identity = self.learned.basis.name();
        let user = match user {
            Ok(user) => user,
            Err(interrupt) => {
                self.app = Some(app);
                return Err(interrupt);
            }
        };
        record.user.clone_from(&user.username);
        if !app.verified && !user.verified {
            return Err(Reason::NO_USER.into());
        }
        Ok(self.cache_caller(context, (app, user), credentials, fingerprint, now))
    }

    /// A caller whose credentials say all there is is known the next time by their fingerprint.
    fn cache_caller(
        &mut self,
        context: &Context,
        (app, user): (AppClaim, UserClaim),
        credentials: &PresentedCredentials,
        fingerprint: Option<CredentialFingerprint>,
        now: Time,
    ) -> Rc<Caller> {
        let Learned { basis, needs_refresh, ref mut kinds, .. } = self.learned;
        let (kinds, is_listed) = (std::mem::take(kinds), basis == Basis::Listed);
        let caller = Rc::new(Caller { app, user, is_listed, kinds, token: RefCell::default() });
        let lasting = credentials.kind() == CredentialKind::Plain && basis != Basis::Stale && !needs_refresh;
        if let Some(fingerprint) = fingerprint.filter(|_| lasting && caller.app.verified && caller.user.verified) {
            context.caller_cache.insert_caller(fingerprint, &caller, now);
        }
        caller
    }
}

/// The app; one that is not verified where the stage lets such apps call.
fn authenticate_app(
    authenticator: &mut Authenticator<'_>,
    rules: &Rules,
    signed: Option<SignedParts<'_>>,
    record: &mut Record,
) -> Result<AppClaim, Interrupt> {
    if rules.only_cookies {
        return Ok(AppClaim::unverified("", "the console has no app"));
    }
    loggable_app_code(&authenticator.credentials.app_code).clone_into(&mut record.app);
    match authenticator.authenticate_app(signed) {
        Ok(app) => {
            record.app.clone_from(&app.app_code);
            Ok(app)
        }
        Err(interrupt) => {
            let reason = interrupt.authentication_reason().filter(|_| !rules.app_required);
            let Some(reason) = reason else { return Err(interrupt) };
            record.app.clear();
            Ok(AppClaim::unverified("", fixed_reason(reason.clone(), "the app is not verified")))
        }
    }
}

/// The user; one that is not verified where the stage lets the app call without one.
fn authenticate_user(
    authenticator: &mut Authenticator<'_>,
    rules: &Rules,
    app: &AppClaim,
) -> Result<UserClaim, Interrupt> {
    let exempted = !rules.user_required || (app.verified && rules.exempted_apps.matches(&app.app_code));
    authenticator.authenticate_user().or_else(|interrupt| {
        match interrupt.authentication_reason().filter(|_| exempted) {
            Some(reason) => Ok(UserClaim::unverified("", fixed_reason(reason.clone(), "the user is not verified"))),
            None => Err(interrupt),
        }
    })
}

/// A caller who presents the credentials of a moment ago.
fn use_cached_caller(context: &Context, caller: Rc<Caller>, record: &mut Record) -> Rc<Caller> {
    record.app.clone_from(&caller.app.app_code);
    record.user.clone_from(&caller.user.username);
    let basis = if caller.is_listed { Basis::Listed } else { Basis::Cached };
    record.identity = basis.name();
    for kind in &caller.kinds {
        context.worker.metrics.count(Metric::Authentication { kind, outcome: "ok" });
        if basis == Basis::Cached {
            context.worker.metrics.count(Metric::Cache { kind, result: "hit" });
        }
    }
    caller
}

/// A reason for the token, which is cached for each reason: only ours, for of a service's there is no end.
fn fixed_reason(reason: Cow<'static, str>, otherwise: &'static str) -> &'static str {
    match reason {
        Cow::Borrowed(reason) => reason,
        Cow::Owned(_) => otherwise,
    }
}

/// An app code that may stand in a log although nobody verified it.
fn loggable_app_code(app_code: &str) -> &str {
    if AppCode::new(app_code).is_ok() { app_code } else { "" }
}
