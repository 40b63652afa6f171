//! A request's way through the gate: one straight reading that stops where something is missing, the body or the answer of
//! a service. The shell brings what is missing, and the reading goes on.
//!
//! The order is part of the contract: size of the target, route, source, app, user, permission, limits, announced size of
//! the body, body. A caller who may not know the route learns nothing about credentials, and one who is not known learns
//! nothing about the body; but one that grows beyond the limit ends a request at once, whatever it waits for.

mod authentication;
mod bearer;
mod console;
mod cross_site;
mod decision;
mod forward;
mod preflight;
mod reader;
mod request;
mod source_access;
mod verdict;

use std::borrow::Cow;
use std::rc::Rc;

use linkgate_contract::{
    Action, BodyKind, CREDENTIAL_NAMES, Fields, Operation, Origin, Problem, Sha256, UploadByLinkRequest, headers,
};

use self::authentication::Authentication;
use self::decision::record_decision;
use self::forward::{Admitted, Binding, build_forward, issue_token};
use self::reader::Reader;
use self::request::Request;
use self::source_access::SourceAccess;
use self::verdict::FORWARDED;
pub use self::verdict::{Denial, Forward};
use crate::caller_cache::Caller;
use crate::context::Context;
use crate::denied::{DenialReason, Denied};
use crate::head::{Head, parse_client_address};
use crate::held::{Hold, Owner};
use crate::identity::Outcome;
use crate::interrupt::{BODY_TIME, IDENTITY, Interrupt};
use crate::limit::Lease;
use crate::metrics::Metric;
use crate::record::Record;
use crate::reply::{GatewayError, Reply};
use crate::rules::cors::ReplyHeaders;
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

impl Verdict {
    /// Notes the size of the head of a stranger's request that waits.
    fn with_head(mut self, head: &Head<'_>) -> Self {
        let flow = match &mut self {
            Self::NeedBody(Pending(flow)) | Self::NeedAnswer(Waiter { flow, .. }) if flow.caller.is_none() => flow,
            _ => return self,
        };
        flow.head_bytes = head.pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self
    }
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

/// Asks the proxy for the client's address, `address:port`; done only where it matters.
pub trait ClientAddress: FnOnce() -> Vec<u8> {}

impl<F: FnOnce() -> Vec<u8>> ClientAddress for F {}

/// A request, and what is known of it by now.
struct Flow {
    request: Request,
    authentication: Authentication,
    /// Authenticated and authorized.
    caller: Option<Rc<Caller>>,
    /// The bytes that a signed URL was made for.
    expected_sha256: Option<Sha256>,
    body: Option<Vec<u8>>,
    /// The bytes of the head of a stranger's request, or of one that is silent, and what it holds while it waits.
    head_bytes: usize,
    hold: Option<Hold>,
    record: Record,
}

/// Judges the head of a request.
pub(crate) fn judge_head(context: &Context, head: &Head<'_>) -> Verdict {
    if preflight::may_be_one(head)
        && let Some(answer) = preflight::answer(context, head)
    {
        return Verdict::Deny(answer);
    }
    if context.policy.console.is_some()
        && let Some(verdict) = judge_for_everybody(context, head)
    {
        return verdict;
    }
    let (mut record, mut reply_headers) = (Record::default(), ReplyHeaders::new());
    match Request::from_head(context, head, &mut record, &mut reply_headers) {
        Ok(request) => {
            let body = head.end_of_stream.then(Vec::new);
            let authentication = Authentication::default();
            let (caller, expected_sha256) = (None, None);
            let flow =
                Flow { request, authentication, caller, expected_sha256, body, head_bytes: 0, hold: None, record };
            Box::new(flow).advance(context, head.now).with_head(head)
        }
        // What the head alone tells is answered by the gateway, which has no languages but on the console.
        Err(denied) => {
            let reader = Reader::of_head(context, head, None);
            let mut denial = deny(context, *denied, &reader, head.request_id(), record);
            denial.reply.headers.append(&mut reply_headers);
            Verdict::Deny(denial)
        }
    }
}

/// What of the console needs nobody to be known. Apart, so that it takes no stack of other requests.
#[cold]
fn judge_for_everybody(context: &Context, head: &Head<'_>) -> Option<Verdict> {
    let end = console::judge_for_everybody(context, head)?;
    Some(end.map_or_else(Verdict::Deny, Verdict::Allow))
}

/// The denial when the gate or its host failed; nothing else is known of the request.
pub(crate) fn deny_failed(request_id: &str) -> Denial {
    let error = GatewayError::Internal { reason: None };
    let record = Record { decision: error.code_name(), ..Record::default() };
    Denial { reply: Reply::gateway(&error, request_id, true), record }
}

fn deny(context: &Context, denied: Denied, reader: &Reader, request_id: &str, mut record: Record) -> Denial {
    let (reply, code) = match &denied.reason {
        DenialReason::Gateway(error) => {
            record.reason = error.own_reason();
            (Reply::gateway(error, request_id, context.policy.error_detail), error.code_name())
        }
        DenialReason::Request(problem) => (Reply::problem(problem, reader.language, request_id), problem.code().name()),
    };
    let reply = if reader.is_program() { reply } else { reader.suit(&denied, reply, &record.user, request_id) };
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

    /// See `Flow::hold`. The head alone of a known caller is not counted at first: its body follows at once, or see
    /// [`Self::hold_silent_in`].
    pub(crate) fn hold_in(
        &mut self,
        context: &Context,
        received: usize,
        address: impl ClientAddress,
    ) -> Option<Denial> {
        let is_counted = received > 0 || self.0.caller.is_none();
        if is_counted { self.0.hold(context, received, address) } else { None }
    }

    /// Holds a request of which nothing but the head came for a while, unless it is held.
    pub(crate) fn hold_silent_in(
        &mut self,
        context: &Context,
        head_bytes: impl FnOnce() -> usize,
        address: impl ClientAddress,
    ) -> Option<Denial> {
        if self.0.hold.is_some() {
            return None;
        }
        self.0.head_bytes = head_bytes();
        self.0.hold(context, 0, address)
    }

    pub(crate) fn deny_large_body(&self, context: &Context, received: usize) -> Option<Denial> {
        self.0.deny_large_body(context, received)
    }

    pub(crate) fn deny_slow_body_in(&self, context: &Context) -> Denial {
        self.0.deny_early(context, Denied::enforced(BODY_TIME, GatewayError::NotInTime))
    }
}

impl Waiter {
    /// Whether nothing of its body is to be read meanwhile: it goes on as it comes, or not at all.
    #[must_use]
    pub fn holds_body_back(&self) -> bool {
        self.flow.request.is_streamed()
    }

    /// Which kind of credential it is about.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.question.kind()
    }

    /// See `Flow::hold`.
    pub(crate) fn hold_in(
        &mut self,
        context: &Context,
        received: usize,
        address: impl ClientAddress,
    ) -> Option<Denial> {
        self.flow.hold(context, received, address)
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.flow.request.id
    }

    /// Goes on with what came of the call.
    pub(crate) fn resume(mut self, context: &Context, outcome: Outcome, now: Time) -> Verdict {
        self.flow.authentication.learned.add_outcome(self.key, outcome);
        self.flow.advance(context, now)
    }
}

impl Flow {
    fn advance(mut self: Box<Self>, context: &Context, now: Time) -> Verdict {
        let step = self.judge(context, now);
        match step {
            Ok(forward) => Verdict::Allow(forward),
            Err(Interrupt::NeedsBody) => match self.deny_announced_body(context) {
                Some(denied) => self.deny(context, denied),
                None => Verdict::NeedBody(Pending(self)),
            },
            Err(Interrupt::NeedsAnswer(question)) => match question.cache_key(&context.policy.services) {
                Some(key) => Verdict::NeedAnswer(Waiter { flow: self, question, key }),
                None => self.deny(context, Denied::enforced(IDENTITY, GatewayError::Internal { reason: None })),
            },
            Err(Interrupt::Denied(denied)) => self.deny(context, denied),
        }
    }

    fn deny(mut self, context: &Context, denied: Denied) -> Verdict {
        let record = std::mem::take(&mut self.record);
        Verdict::Deny(self.deny_with(context, denied, record))
    }

    /// Holds what came of a request that waits, or says why not: the body is over the limit, or there is no space.
    fn hold(&mut self, context: &Context, received: usize, address: impl ClientAddress) -> Option<Denial> {
        if let Some(denial) = self.deny_large_body(context, received) {
            return Some(denial);
        }
        let owner = self.owner(address);
        // The proxy holds a body that was read as well.
        let read = self.body.as_ref().map_or(0, Vec::len);
        let bytes = self.head_bytes.saturating_add(received).saturating_add(read);
        let bytes = bytes.saturating_add(self.request.proxy_bytes());
        match context.worker.held.hold(self.hold.take(), owner, bytes) {
            Ok(hold) => {
                self.hold = Some(hold);
                None
            }
            Err(denied) => {
                context.worker.metrics.count(Metric::Limited { rule: denied.rule.clone() });
                Some(self.deny_early(context, denied))
            }
        }
    }

    fn deny_large_body(&self, context: &Context, received: usize) -> Option<Denial> {
        self.request.deny_large_body(&context.policy, received).map(|denied| self.deny_early(context, denied))
    }

    /// Denies a request that waits.
    fn deny_early(&self, context: &Context, denied: Denied) -> Denial {
        self.deny_with(context, denied, self.record.clone())
    }

    fn deny_with(&self, context: &Context, denied: Denied, record: Record) -> Denial {
        let mut denial = deny(context, denied, &self.request.reader, &self.request.id, record);
        denial.reply.headers.extend_from_slice(&self.request.reply_headers);
        denial
    }

    fn owner(&self, address: impl ClientAddress) -> Owner {
        match (&self.caller, self.hold.as_ref().map(Hold::owner)) {
            (Some(caller), _) => Owner::App(caller.rate_bucket().into()),
            (None, Some(owner)) => owner.clone(),
            (None, None) => Owner::of_address(parse_client_address(&address())),
        }
    }

    /// The denial where the head alone says that the body, which has to be read, will be too large.
    fn deny_announced_body(&self, context: &Context) -> Option<Denied> {
        let announced = self.request.announced_bytes.filter(|_| self.body.is_none())?;
        self.request.deny_large_body(&context.policy, usize::try_from(announced).unwrap_or(usize::MAX))
    }

    fn judge(&mut self, context: &Context, now: Time) -> Result<Forward, Interrupt> {
        if self.caller.is_none() && self.is_by_signed_url() {
            self.authenticate_bearer(context, now)?;
        } else if self.caller.is_none() {
            let Self { request, authentication, body, record, .. } = self;
            request.read_body_credentials(body.as_deref())?;
            let caller = authentication.authenticate(context, request, body.as_deref(), record, now)?;
            self.request.judge_site(&caller)?;
            self.judge_tenant(context, &caller)?;
            self.authorize(context, &caller, now)?;
            self.caller = Some(caller);
        }
        let mut admitted = self.admit(context, now)?;
        if self.is_counted_by_service(context) {
            admitted.limit_headers = self.limit_headers();
        }
        let (access, binding) = (&admitted.access, self.token_binding());
        let issue = |caller| issue_token(context, caller, &self.request, access, binding, now);
        match self.caller.as_deref().and_then(issue) {
            Some(token) => {
                record_decision(&context.worker.metrics, FORWARDED, &mut self.record);
                let record = std::mem::take(&mut self.record);
                Ok(build_forward(&mut self.request, &token, admitted, record))
            }
            None => {
                // Nothing was begun: the lease is released, or it ends by itself.
                admitted.lease.iter().for_each(|lease| context.release_lease(lease));
                Err(Interrupt::failed(None))
            }
        }
    }

    /// What only reads may be sent to another proxy again: it changes nothing, and the store need not remember it.
    fn token_binding(&self) -> Binding {
        let changes_something = !self.request.route.method.is_safe();
        let nonce = self.authentication.learned.nonce.filter(|_| changes_something);
        Binding { expected_sha256: self.expected_sha256, nonce }
    }

    /// Judges the tenant that the caller asks for; what is left in its place goes on.
    fn judge_tenant(&mut self, context: &Context, caller: &Caller) -> Result<(), Interrupt> {
        if let Some(tenants) = &context.policy.tenants {
            let requested = self.request.tenant.take();
            self.request.tenant = tenants.judge(&caller.app, &caller.user, requested)?;
        }
        Ok(())
    }

    fn authorize(&mut self, context: &Context, caller: &Caller, now: Time) -> Result<(), Interrupt> {
        let policy = &context.policy;
        let user = &caller.user;
        if user.verified {
            self.enforce(policy.users.judge(&user.username))?;
        }
        for action in self.request.actions() {
            self.judge_grant(context, caller, action, now)?;
        }
        if !self.is_counted_by_service(context) {
            let (bucket, stage) = (caller.rate_bucket(), &self.request.stage.name);
            for denied in policy.traffic.count_request(context.slots(), &bucket, stage, now)? {
                self.enforce_limit(context, denied)?;
            }
        }
        self.deny_announced_body(context).map_or(Ok(()), |denied| Err(denied.into()))
    }

    fn is_counted_by_service(&self, context: &Context) -> bool {
        context.policy.traffic.service_counts_uploads && self.request.route.endpoint.operation.is_upload()
    }

    /// What the proxy tells the service that counts uploads. Apart, so that it takes no stack of other requests.
    #[cold]
    fn limit_headers(&self) -> Vec<(&'static str, String)> {
        let bucket = self.caller.as_deref().map(Caller::rate_bucket).unwrap_or_default();
        vec![(headers::LIMIT_APP, bucket.into_owned()), (headers::LIMIT_STAGE, self.request.stage.name.clone())]
    }

    fn judge_grant(&mut self, context: &Context, caller: &Caller, action: Action, now: Time) -> Result<(), Interrupt> {
        match context.policy.grants.judge(&self.request.access(caller, action), now.seconds()) {
            Ok(name) => {
                name.clone_into(&mut self.record.rule);
                Ok(())
            }
            Err(denied) => self.enforce(Some(denied)),
        }
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

    /// Judges what the endpoint asks for.
    fn admit(&mut self, context: &Context, now: Time) -> Result<Admitted, Interrupt> {
        let endpoint = self.request.route.endpoint;
        if endpoint.operation == Operation::UploadSourcePackageViaLink {
            return self.admit_upload(context, now);
        }
        let (body, lease) = match endpoint.body {
            BodyKind::None => (self.require_body(context).map(|_| None)?, None),
            BodyKind::Json => (self.parse_body_fields(context, |_| Ok(()))?.1, None),
            // A file that comes is an upload in progress, as one by link is.
            BodyKind::Stream => (None, self.acquire_lease(context, now)?),
        };
        Ok(Admitted { body, lease, ..Admitted::default() })
    }

    /// Judges a new upload and acquires a lease for it.
    fn admit_upload(&mut self, context: &Context, now: Time) -> Result<Admitted, Interrupt> {
        let (link, body) = self.read_link_request(context)?;
        let access = SourceAccess::judge(&self.request, self.package_rules(context)?, &link.package_url)?;
        self.judge_package(context, &link)?;
        Ok(Admitted { body, lease: self.acquire_lease(context, now)?, access, ..Admitted::default() })
    }

    fn require_body(&self, context: &Context) -> Result<&[u8], Interrupt> {
        let body = self.body.as_deref().ok_or(Interrupt::NeedsBody)?;
        if body.len() > self.request.body_limit(&context.policy) { Err(Interrupt::body_too_large()) } else { Ok(body) }
    }

    /// The checked request and, where it may not go on as it came, another body.
    fn read_link_request(
        &self,
        context: &Context,
    ) -> Result<(UploadByLinkRequest<Origin>, Option<Vec<u8>>), Interrupt> {
        let rules = self.package_rules(context)?;
        self.parse_body_fields(context, |fields| UploadByLinkRequest::from_fields(fields, &rules))
    }

    /// Reads the fields of the body; gives another body where the caller's is a form or holds credentials.
    fn parse_body_fields<T>(
        &self,
        context: &Context,
        read: impl FnOnce(&Fields<'_>) -> Result<T, Problem>,
    ) -> Result<(T, Option<Vec<u8>>), Interrupt> {
        let body = self.require_body(context)?;
        let fields = self.request.body_fields(body)?;
        let value = read(&fields)?;
        // Where nothing came there is nothing to replace, and a host may end the VM of whoever tries.
        let changed = !body.is_empty() && (self.request.is_form() || fields.has_any(&CREDENTIAL_NAMES));
        Ok((value, changed.then(|| fields.json_without(&CREDENTIAL_NAMES).into_bytes())))
    }

    /// The rules for packages of the module; what is about none has no package to judge.
    fn package_rules<'a>(&'a self, context: &'a Context) -> Result<TargetRules<'a>, Interrupt> {
        let target = self.request.route.target.as_ref().ok_or_else(|| Interrupt::failed(None))?;
        Ok(context.policy.packages.for_target(target.app.as_str()))
    }

    /// Judges a package by the report-only rules; reading the request was a judgement by the others.
    fn judge_package(&mut self, context: &Context, link: &UploadByLinkRequest<Origin>) -> Result<(), Interrupt> {
        if self.package_rules(context)?.is_report_only(&link.package_url) {
            self.record.add_reported("packages.hosts");
        }
        if context.policy.packages.checksum == Checksum::Report && link.sha256.is_none() {
            self.record.add_reported("packages.sha256");
        }
        Ok(())
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

#[cfg(test)]
mod tests;
