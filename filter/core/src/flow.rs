//! A request's way through the gate: one straight reading that stops where something is missing, the body or the answer of
//! a service. The shell brings what is missing, and the reading goes on.
//!
//! The order is part of the contract: size of the target, route, source, app, user, permission, limits, announced size of
//! the body, body. A caller who may not know the route learns nothing about credentials, and one who is not known learns
//! nothing about the body; but one that grows beyond the limit ends a request at once, whatever it waits for.

mod decision;
mod forward;
mod request;
mod verdict;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use linkgate_contract::{
    AppClaim, AppCode, BodyKind, CREDENTIAL_NAMES, Fields, Language, LinkRequest, Operation, Origin, Problem, UserClaim,
};

use self::decision::record_decision;
use self::forward::{build_forward, issue_token};
use self::request::{Presented, Request};
use self::verdict::FORWARDED;
pub use self::verdict::{Denial, Forward};
use crate::caller_cache::Caller;
use crate::context::Context;
use crate::credentials::{Cookies, CredentialKind, PresentedCredentials};
use crate::denied::{DenialReason, Denied};
use crate::head::Head;
use crate::identity::signature::Signed;
use crate::identity::{Authenticator, Basis, Learned, Outcome};
use crate::interrupt::{BODY_BYTES, IDENTITY, Interrupt};
use crate::limit::Lease;
use crate::metrics::Metric;
use crate::reason::Reason;
use crate::record::Record;
use crate::reply::{GatewayError, Reply};
use crate::rules::grants::Access;
use crate::rules::packages::{Checksum, TargetRules};
use crate::services::cache::CacheKey;
use crate::services::question::Question;
use crate::time::Time;

/// What the proxy is to do next.
pub enum Verdict {
    /// Hold the headers and hand over the body.
    NeedBody(Pending),
    /// Hold the request until a service answered.
    NeedAnswer(Waiter),
    /// Send the request on, changed.
    Allow(Forward),
    /// Answer here.
    Deny(Denial),
}

/// A request that waits for its body.
pub struct Pending(Box<Flow>);

/// A request that waits for a service.
pub struct Waiter {
    flow: Box<Flow>,
    pub(crate) question: Question,
    pub(crate) key: CacheKey,
}

impl Caller {
    /// The name under which its requests are counted; no app code has a colon.
    fn rate_bucket(&self) -> Cow<'_, str> {
        match self.app.verified_code() {
            "" => Cow::Owned(format!("user:{}", self.user.username)),
            code => Cow::Borrowed(code),
        }
    }
}

/// A request, and what is known of it by now.
struct Flow {
    request: Request,
    learned: Learned,
    /// The verified app, while the user is not verified yet.
    app: Option<AppClaim>,
    /// Authenticated and authorized.
    caller: Option<Rc<Caller>>,
    body: Option<Vec<u8>>,
    record: Record,
}

/// Judges the head of a request.
pub(crate) fn judge_head(context: &Context, head: &Head<'_>) -> Verdict {
    let mut record = Record::default();
    match Request::from_head(context, head, &mut record) {
        Ok(request) => {
            let body = head.end_of_stream.then(Vec::new);
            let learned = Learned::default();
            let flow = Flow { request, learned, app: None, caller: None, body, record };
            Box::new(flow).advance(context, head.now)
        }
        // What the head alone tells is answered by the gateway, which has no languages.
        Err(denied) => Verdict::Deny(deny(context, *denied, Language::default(), head.request_id(), record)),
    }
}

fn deny(context: &Context, denied: Denied, language: Language, request_id: &str, mut record: Record) -> Denial {
    let (reply, code) = match &denied.reason {
        DenialReason::Gateway(error) => (Reply::gateway(error, request_id), error.code_name()),
        DenialReason::Request(problem) => (Reply::problem(problem, language, request_id), problem.code().name()),
    };
    record.rule = denied.rule;
    record_decision(&context.worker.metrics, code, &mut record);
    Denial { reply, record }
}

impl Pending {
    /// Goes on with the whole body.
    pub(crate) fn resume(mut self, context: &Context, body: Vec<u8>, now: Time) -> Verdict {
        self.0.body = Some(body);
        self.0.advance(context, now)
    }

    pub(crate) fn deny_large_body(&self, context: &Context, received: usize) -> Option<Denial> {
        self.0.deny_large_body(context, received)
    }
}

impl Waiter {
    /// Which kind of credential it is about.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.question.kind()
    }

    pub(crate) fn deny_large_body(&self, context: &Context, received: usize) -> Option<Denial> {
        self.flow.deny_large_body(context, received)
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.flow.request.id
    }

    /// Goes on with what came of the call.
    pub(crate) fn resume(mut self, context: &Context, outcome: Outcome, now: Time) -> Verdict {
        self.flow.learned.add_outcome(self.key, outcome);
        self.flow.advance(context, now)
    }
}

impl Flow {
    fn advance(mut self: Box<Self>, context: &Context, now: Time) -> Verdict {
        let step = self.judge(context, now);
        match step {
            Ok(forward) => Verdict::Allow(forward),
            Err(Interrupt::NeedsBody) => Verdict::NeedBody(Pending(self)),
            Err(Interrupt::NeedsAnswer(question)) => match question.cache_key(&context.policy.services) {
                Some(key) => Verdict::NeedAnswer(Waiter { flow: self, question, key }),
                None => self.deny(context, Denied::enforced(IDENTITY, GatewayError::Internal { reason: None })),
            },
            Err(Interrupt::Denied(denied)) => self.deny(context, denied),
        }
    }

    fn deny(self, context: &Context, denied: Denied) -> Verdict {
        Verdict::Deny(deny(context, denied, self.request.language, &self.request.id, self.record))
    }

    fn deny_large_body(&self, context: &Context, received: usize) -> Option<Denial> {
        if received <= self.request.body_limit(&context.policy) {
            return None;
        }
        let denied = Denied::enforced(BODY_BYTES, GatewayError::BodyTooLarge);
        Some(deny(context, denied, self.request.language, &self.request.id, self.record.clone()))
    }

    fn judge(&mut self, context: &Context, now: Time) -> Result<Forward, Interrupt> {
        if self.caller.is_none() {
            let caller = self.authenticate(context, now)?;
            self.authorize(context, &caller, now)?;
            self.caller = Some(caller);
        }
        let (body, lease) = self.admit(context, now)?;
        let rules = self.package_rules(context);
        match self.caller.as_deref().and_then(|caller| issue_token(context, caller, rules, now)) {
            Some(token) => {
                record_decision(&context.worker.metrics, FORWARDED, &mut self.record);
                let record = std::mem::take(&mut self.record);
                Ok(build_forward(&mut self.request, &token, body, record, lease))
            }
            None => {
                // Nothing was begun: the lease is released, or it ends by itself.
                lease.iter().for_each(|lease| context.release_lease(lease));
                Err(Interrupt::failed(None))
            }
        }
    }

    /// The app first, then the user; the app is authenticated once, whatever has to be asked about the user.
    fn authenticate(&mut self, context: &Context, now: Time) -> Result<Rc<Caller>, Interrupt> {
        self.read_credentials()?;
        let Self { request, learned, app, body, record, .. } = self;
        let (credentials, fingerprint) = match &request.presented {
            Presented::Parsed(credentials, fingerprint) => (credentials, *fingerprint),
            Presented::Cached(caller) => return Ok(use_cached_caller(context, Rc::clone(caller), record)),
            Presented::InBody => return Err(Interrupt::NeedsBody),
        };
        let rules = &request.stage.authentication;
        let read_signature = || {
            if request.route.endpoint.body == BodyKind::Stream {
                return Err(Reason::STREAM_NOT_SIGNED.into());
            }
            let body = body.as_deref().ok_or(Interrupt::NeedsBody)?;
            Ok(Signed::from_parts(&request.signed_parts(body), now.seconds())?)
        };
        let signed = request.is_signed().then_some(&read_signature as &dyn Fn() -> Result<Signed, Interrupt>);
        let (policy, worker, slots) = (&context.policy, context.worker.as_ref(), context.slots());
        let mut authenticator = Authenticator { policy, worker, credentials, learned, slots, now };
        let app = match app.take() {
            Some(app) => app,
            None => {
                loggable_app_code(&credentials.app_code).clone_into(&mut record.app);
                match authenticator.authenticate_app(signed) {
                    Ok(app) => app,
                    Err(interrupt) => {
                        let reason = interrupt.authentication_reason().filter(|_| !rules.app_required);
                        let Some(reason) = reason else { return Err(interrupt) };
                        record.app.clear();
                        AppClaim::unverified("", fixed_reason(reason, "the app is not verified"))
                    }
                }
            }
        };
        if app.verified {
            record.app.clone_from(&app.app_code);
        }
        let exempted = !rules.user_required || (app.verified && rules.exempted_apps.matches(&app.app_code));
        let user = match authenticator.authenticate_user() {
            Ok(user) => user,
            Err(interrupt) => match interrupt.authentication_reason().filter(|_| exempted) {
                Some(reason) => UserClaim::unverified("", fixed_reason(reason, "the user is not verified")),
                None => {
                    record.identity = learned.basis.name();
                    self.app = Some(app);
                    return Err(interrupt);
                }
            },
        };
        record.identity = learned.basis.name();
        record.user.clone_from(&user.username);
        if !app.verified && !user.verified {
            return Err(Reason::NO_USER.into());
        }
        let kinds = std::mem::take(&mut learned.kinds);
        let is_listed = learned.basis == Basis::Listed;
        let caller = Rc::new(Caller { app, user, is_listed, kinds, token: RefCell::default() });
        let lasting =
            credentials.kind() == CredentialKind::Plain && learned.basis != Basis::Stale && !learned.needs_refresh;
        if let Some(fingerprint) = fingerprint.filter(|_| lasting && caller.app.verified && caller.user.verified) {
            context.caller_cache.insert_caller(fingerprint, &caller, now);
        }
        Ok(caller)
    }

    /// Reads the credentials from the body, if that is where they are.
    fn read_credentials(&mut self) -> Result<(), Interrupt> {
        let Presented::InBody = &self.request.presented else { return Ok(()) };
        let body = self.body.as_deref().ok_or(Interrupt::NeedsBody)?;
        let mut fields = self.request.query_fields();
        // A body that cannot be read presents nothing; what is wrong with it is for those to know who are known.
        fields.extend(self.request.body_fields(body).unwrap_or_default());
        let credentials = PresentedCredentials::from_fields(&fields, &Cookies::default())?;
        self.request.presented = Presented::Parsed(credentials, None);
        Ok(())
    }

    fn authorize(&mut self, context: &Context, caller: &Caller, now: Time) -> Result<(), Interrupt> {
        let policy = &context.policy;
        let Caller { app, user, .. } = caller;
        if user.verified {
            self.enforce(policy.users.judge(&user.username))?;
        }
        let route = &self.request.route;
        let access = Access {
            caller: app.verified_code(),
            user: &user.username,
            target: route.target.app.as_str(),
            module: route.target.module.as_str(),
            action: route.endpoint.action,
        };
        match policy.grants.judge(&access, now.seconds()) {
            Ok(name) => name.clone_into(&mut self.record.rule),
            Err(denied) => self.enforce(Some(denied))?,
        }
        let counted =
            policy.traffic.count_request(context.slots(), &caller.rate_bucket(), &self.request.stage.name, now)?;
        for denied in counted {
            self.enforce_limit(context, denied)?;
        }
        if self.request.announced_bytes.is_some_and(|length| length > self.request.body_limit(policy) as u64) {
            return Err(Interrupt::body_too_large());
        }
        Ok(())
    }

    /// A report-only denial is noted, any other one ends the request.
    fn enforce(&mut self, denied: Option<Denied>) -> Result<(), Interrupt> {
        match denied {
            None => Ok(()),
            Some(denied) if denied.report_only => {
                self.record.add_reported(&denied.rule);
                Ok(())
            }
            Some(denied) => Err(denied.into()),
        }
    }

    fn enforce_limit(&mut self, context: &Context, denied: Denied) -> Result<(), Interrupt> {
        if !denied.report_only {
            context.worker.metrics.count(Metric::Limited { rule: denied.rule.clone() });
        }
        self.enforce(Some(denied))
    }

    /// Judges what the endpoint asks for; a body where the caller's may not go on as it came, and the lease of an upload.
    fn admit(&mut self, context: &Context, now: Time) -> Result<(Option<Vec<u8>>, Option<Lease>), Interrupt> {
        let endpoint = self.request.route.endpoint;
        if endpoint.operation == Operation::UploadSourcePackageViaLink {
            return self.admit_upload(context, now);
        }
        let body = match endpoint.body {
            BodyKind::None => self.require_body(context).map(|_| None)?,
            BodyKind::Json => self.read_fields(context, |_| Ok(()))?.1,
            BodyKind::Stream => None,
        };
        Ok((body, None))
    }

    /// Judges a new upload and acquires a lease for it; a body where the caller's may not go on as it came.
    fn admit_upload(&mut self, context: &Context, now: Time) -> Result<(Option<Vec<u8>>, Option<Lease>), Interrupt> {
        let (link, body) = self.read_link_request(context)?;
        self.judge_package(context, &link);
        Ok((body, self.acquire_lease(context, now)?))
    }

    fn require_body(&self, context: &Context) -> Result<&[u8], Interrupt> {
        let body = self.body.as_deref().ok_or(Interrupt::NeedsBody)?;
        if body.len() > self.request.body_limit(&context.policy) { Err(Interrupt::body_too_large()) } else { Ok(body) }
    }

    /// The checked request and, where it may not go on as it came, another body.
    fn read_link_request(&self, context: &Context) -> Result<(LinkRequest<Origin>, Option<Vec<u8>>), Interrupt> {
        let rules = self.package_rules(context);
        self.read_fields(context, |fields| LinkRequest::from_fields(fields, &rules))
    }

    /// Reads the fields of the body; gives another body where the caller's is a form or holds credentials.
    fn read_fields<T>(
        &self,
        context: &Context,
        read: impl FnOnce(&Fields<'_>) -> Result<T, Problem>,
    ) -> Result<(T, Option<Vec<u8>>), Interrupt> {
        let body = self.require_body(context)?;
        let fields = self.request.body_fields(body)?;
        let value = read(&fields)?;
        let changed = self.request.is_form || fields.has_any(&CREDENTIAL_NAMES);
        Ok((value, changed.then(|| fields.json_without(&CREDENTIAL_NAMES).into_bytes())))
    }

    fn package_rules<'a>(&'a self, context: &'a Context) -> TargetRules<'a> {
        context.policy.packages.for_target(self.request.route.target.app.as_str())
    }

    /// Judges a package by the report-only rules; reading the request was a judgement by the others.
    fn judge_package(&mut self, context: &Context, link: &LinkRequest<Origin>) {
        if self.package_rules(context).is_report_only(&link.package_url) {
            self.record.add_reported("packages.hosts");
        }
        if context.policy.packages.checksum == Checksum::Report && link.sha256.is_none() {
            self.record.add_reported("packages.sha256");
        }
    }

    fn acquire_lease(&mut self, context: &Context, now: Time) -> Result<Option<Lease>, Interrupt> {
        let bucket = self.caller.as_deref().map(Caller::rate_bucket).unwrap_or_default();
        let (lease, denied) =
            context.policy.traffic.acquire_lease(context.slots(), &bucket, context.worker.next_lease_id(), now)?;
        if let Some(denied) = denied {
            self.enforce_limit(context, denied)?;
        }
        Ok(lease)
    }
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
fn fixed_reason(reason: &Cow<'static, str>, otherwise: &'static str) -> &'static str {
    match reason {
        Cow::Borrowed(reason) => reason,
        Cow::Owned(_) => otherwise,
    }
}

/// An app code that may stand in a log although nobody verified it.
fn loggable_app_code(app_code: &str) -> &str {
    if AppCode::new(app_code).is_ok() { app_code } else { "" }
}

#[cfg(test)]
mod tests;
