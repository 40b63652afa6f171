//! A request's way through the gate, one straight reading that stops where something is missing: the body, or the answer
//! of a service. What stops it is taken from outside, and the reading goes on.
//!
//! The order is part of the contract: size of the target, route, source, app, user, permission, limits, announced size of
//! the body, body. A caller who may not know the route learns nothing about credentials, and one who is not known learns
//! nothing about the body; but one that grows beyond the limit ends a request at once, whatever it waits for.

mod onward;
mod request;
mod verdict;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use linkgate_contract::{AppClaim, AppCode, LinkRequest, Origin, UserClaim};

use self::request::{Request, Shown};
use self::verdict::{BODY_BYTES, Stop};
pub use self::verdict::{Forward, Refusal, Verdict};
use crate::credentials::{Cookies, Credentials, FIELDS, Kind, Reason};
use crate::gate::Gate;
use crate::head::Head;
use crate::identity::answer::Key;
use crate::identity::service::Question;
use crate::identity::signature::Signed;
use crate::identity::{Basis, Halt, Inquiry, Learned, Outcome};
use crate::limit::Lease;
use crate::metrics::Metric;
use crate::recent::Caller;
use crate::record::Record;
use crate::reply::{GatewayError, Reply};
use crate::rules::Violation;
use crate::rules::actions::Action;
use crate::rules::grants::Access;
use crate::rules::packages::{ApplicationRules, Checksum};
use crate::time::Time;

/// A request that waits for its body.
pub struct Pending(Box<Flow>);

/// A request that waits for a service.
pub struct Asking {
    flow: Box<Flow>,
    pub(crate) question: Question,
    pub(crate) key: Key,
}

impl Caller {
    /// Under which name its requests are counted; no app code has a colon.
    fn bucket(&self) -> Cow<'_, str> {
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
    /// Established, while the user is not.
    app: Option<AppClaim>,
    /// Established and permitted.
    caller: Option<Rc<Caller>>,
    body: Option<Vec<u8>>,
    record: Record,
}

/// Begins a request.
pub(crate) fn begin(gate: &Gate, head: &Head<'_>) -> Verdict {
    let mut record = Record::default();
    match Request::read(gate, head, &mut record) {
        Ok(request) => {
            let body = head.end_of_stream.then(Vec::new);
            let learned = Learned::default();
            let flow = Flow { request, learned, app: None, caller: None, body, record };
            Box::new(flow).advance(gate, head.now)
        }
        Err(violation) => {
            let Violation { error, rule, .. } = *violation;
            let reply = Reply::gateway(&error, head.request_id());
            Verdict::Refuse(refuse(gate, reply, error.code_name(), rule, record))
        }
    }
}

fn refuse(gate: &Gate, reply: Reply, code: &'static str, rule: String, mut record: Record) -> Refusal {
    record.rule = rule;
    decide(gate, code, &mut record);
    Refusal { reply, record }
}

/// Notes and counts how a request was decided.
fn decide(gate: &Gate, code: &'static str, record: &mut Record) {
    record.decision = code;
    gate.worker.metrics.count(Metric::Decision { code, rule: record.rule.clone() });
    for rule in record.reported.split(',').filter(|rule| !rule.is_empty()) {
        gate.worker.metrics.count(Metric::Reported { rule: rule.to_owned() });
    }
}

impl Pending {
    /// The whole body is there.
    #[must_use]
    pub fn on_body(mut self, gate: &Gate, body: Vec<u8>, now: Time) -> Verdict {
        self.0.body = Some(body);
        self.0.advance(gate, now)
    }

    /// The refusal of a body that is over the limit before it ended; the length is of all that came so far.
    #[must_use]
    pub fn over_limit(&self, gate: &Gate, received: usize) -> Option<Refusal> {
        self.0.over_limit(gate, received)
    }
}

impl Asking {
    /// Which kind of credential it is about.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.question.kind()
    }

    /// See [`Pending::over_limit`].
    #[must_use]
    pub fn over_limit(&self, gate: &Gate, received: usize) -> Option<Refusal> {
        self.flow.over_limit(gate, received)
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.flow.request.id
    }

    pub(crate) fn on_outcome(mut self, gate: &Gate, outcome: Outcome, now: Time) -> Verdict {
        self.flow.learned.add(self.key, outcome);
        self.flow.advance(gate, now)
    }
}

impl Flow {
    fn advance(mut self: Box<Self>, gate: &Gate, now: Time) -> Verdict {
        let step = self.step(gate, now);
        match step {
            Ok(forward) => Verdict::Forward(forward),
            Err(Stop::Body) => Verdict::NeedBody(Pending(self)),
            Err(Stop::Ask(question)) => match question.key(&gate.policy.services) {
                Some(key) => Verdict::Ask(Asking { flow: self, question, key }),
                None => self.refuse(gate, &GatewayError::Internal { reason: None }, "identity".to_owned()),
            },
            Err(Stop::Refuse { error, rule }) => self.refuse(gate, &error, rule),
            Err(Stop::Problem(problem)) => {
                let reply = Reply::problem(&problem, self.request.language, &self.request.id);
                Verdict::Refuse(refuse(gate, reply, problem.code().name(), "request".to_owned(), self.record))
            }
        }
    }

    fn refuse(self, gate: &Gate, error: &GatewayError, rule: String) -> Verdict {
        Verdict::Refuse(refuse(gate, Reply::gateway(error, &self.request.id), error.code_name(), rule, self.record))
    }

    fn over_limit(&self, gate: &Gate, received: usize) -> Option<Refusal> {
        if received <= self.request.body_limit(&gate.policy) {
            return None;
        }
        let error = GatewayError::BodyTooLarge;
        let reply = Reply::gateway(&error, &self.request.id);
        Some(refuse(gate, reply, error.code_name(), BODY_BYTES.to_owned(), self.record.clone()))
    }

    fn step(&mut self, gate: &Gate, now: Time) -> Result<Forward, Stop> {
        if self.caller.is_none() {
            let caller = self.identify(gate, now)?;
            self.permit(gate, &caller, now)?;
            self.caller = Some(caller);
        }
        let (body, lease) = match self.request.path.job {
            None => self.admit(gate, now)?,
            // It begins nothing, so there is nothing to judge or to count.
            Some(_) => self.whole_body(gate).map(|_| (None, None))?,
        };
        match self.sign(gate, now) {
            Some(token) => Ok(self.forward(gate, token, body, lease)),
            None => {
                // Nothing was begun: the place is free again, or its lease ends by itself.
                lease.iter().for_each(|lease| gate.release(lease));
                Err(Halt::failed().into())
            }
        }
    }

    /// The app first, then the user; the app is established once, whatever has to be asked about the user.
    fn identify(&mut self, gate: &Gate, now: Time) -> Result<Rc<Caller>, Stop> {
        self.read_credentials()?;
        let Self { request, learned, app, body, record, .. } = self;
        let (credentials, hash) = match &request.shown {
            Shown::Read(credentials, hash) => (credentials, *hash),
            Shown::Known(caller) => return Ok(recognise(gate, Rc::clone(caller), record)),
            Shown::InBody => return Err(Stop::Body),
        };
        let rules = &request.stage.authentication;
        let read_signature =
            || Ok(Signed::read(&request.signed_parts(body.as_deref().ok_or(Halt::Body)?), now.seconds())?);
        let signed = request.is_signed().then_some(&read_signature as &dyn Fn() -> Result<Signed, Halt>);
        let (policy, worker, slots) = (&gate.policy, gate.worker.as_ref(), gate.slots());
        let mut inquiry = Inquiry { policy, worker, credentials, learned, slots, now };
        let app = match app.take() {
            Some(app) => app,
            None => {
                well_formed(&credentials.app_code).clone_into(&mut record.app);
                match inquiry.app(signed) {
                    Err(Halt::Refuse(GatewayError::NotAuthenticated { reason })) if !rules.app_required => {
                        record.app.clear();
                        AppClaim::unverified("", own_words(reason, "the app is not verified"))
                    }
                    found => found?,
                }
            }
        };
        if app.verified {
            record.app.clone_from(&app.app_code);
        }
        let exempted = !rules.user_required || (app.verified && rules.exempted_apps.matches(&app.app_code));
        let user = match inquiry.user() {
            Err(Halt::Refuse(GatewayError::NotAuthenticated { reason })) if exempted => {
                UserClaim::unverified("", own_words(reason, "the user is not verified"))
            }
            Err(halt) => {
                record.identity = learned.basis.name();
                self.app = Some(app);
                return Err(halt.into());
            }
            Ok(user) => user,
        };
        record.identity = learned.basis.name();
        record.user.clone_from(&user.username);
        if !app.verified && !user.verified {
            return Err(Halt::from(Reason::NO_USER).into());
        }
        let kinds = std::mem::take(&mut learned.kinds);
        let is_listed = learned.basis == Basis::Listed;
        let caller = Rc::new(Caller { app, user, is_listed, kinds, token: RefCell::default() });
        let lasting = credentials.kind() == Kind::Plain && learned.basis != Basis::Stale && !learned.is_ageing;
        if let Some(hash) = hash.filter(|_| lasting && caller.app.verified && caller.user.verified) {
            gate.recent.keep(hash, &caller, now);
        }
        Ok(caller)
    }

    /// Reads the credentials from the body, if that is where they are.
    fn read_credentials(&mut self) -> Result<(), Stop> {
        let Shown::InBody = &self.request.shown else { return Ok(()) };
        let body = self.body.as_deref().ok_or(Stop::Body)?;
        let mut fields = self.request.query_fields();
        // A body that cannot be read shows nothing; what is wrong with it is for those to know who are known.
        fields.extend(self.request.body_fields(body).unwrap_or_default());
        let credentials = Credentials::from_fields(&fields, &Cookies::default()).map_err(Halt::from)?;
        self.request.shown = Shown::Read(credentials, None);
        Ok(())
    }

    fn permit(&mut self, gate: &Gate, caller: &Caller, now: Time) -> Result<(), Stop> {
        let policy = &gate.policy;
        let Caller { app, user, .. } = caller;
        if user.verified {
            self.hold(policy.users.judge(&user.username))?;
        }
        let upload = &self.request.path.upload;
        let (target, module) = (upload.app_code.as_str(), upload.module.as_str());
        let (code, user) = (app.verified_code(), user.username.as_str());
        let access = Access { caller: code, user, target, module, action: Action::Upload };
        match policy.grants.judge(&access, now.seconds()) {
            Ok(name) => name.clone_into(&mut self.record.rule),
            Err(violation) => self.hold(Some(violation))?,
        }
        let counted = policy.traffic.count(gate.slots(), &caller.bucket(), &self.request.stage.name, now)?;
        for violation in counted {
            self.limit(gate, violation)?;
        }
        if self.request.announced_bytes.is_some_and(|length| length > self.request.body_limit(policy) as u64) {
            return Err(Stop::body_too_large());
        }
        Ok(())
    }

    /// A rule on trial is noted, any other one ends the request.
    fn hold(&mut self, violation: Option<Violation>) -> Result<(), Stop> {
        match violation {
            None => Ok(()),
            Some(violation) if violation.report => {
                self.record.report(&violation.rule);
                Ok(())
            }
            Some(violation) => Err(violation.into()),
        }
    }

    fn limit(&mut self, gate: &Gate, violation: Violation) -> Result<(), Stop> {
        if !violation.report {
            gate.worker.metrics.count(Metric::Limited { rule: violation.rule.clone() });
        }
        self.hold(Some(violation))
    }

    /// Judges a new upload and takes a place for it; a body where the caller's may not go on as it came.
    fn admit(&mut self, gate: &Gate, now: Time) -> Result<(Option<Vec<u8>>, Option<Lease>), Stop> {
        let (link, body) = self.read_body(gate)?;
        self.judge_package(gate, &link);
        Ok((body, self.lease(gate, now)?))
    }

    fn whole_body(&self, gate: &Gate) -> Result<&[u8], Stop> {
        let body = self.body.as_deref().ok_or(Stop::Body)?;
        if body.len() > self.request.body_limit(&gate.policy) { Err(Stop::body_too_large()) } else { Ok(body) }
    }

    /// The checked request and, where it may not go on as it came, another body.
    fn read_body(&self, gate: &Gate) -> Result<(LinkRequest<Origin>, Option<Vec<u8>>), Stop> {
        let body = self.whole_body(gate)?;
        let fields = self.request.body_fields(body).map_err(Stop::Problem)?;
        let link = LinkRequest::from_fields(&fields, &self.package_rules(gate)).map_err(Stop::Problem)?;
        let changed = self.request.is_form || fields.has_any(&FIELDS);
        Ok((link, changed.then(|| fields.json_without(&FIELDS).into_bytes())))
    }

    fn package_rules<'a>(&'a self, gate: &'a Gate) -> ApplicationRules<'a> {
        gate.policy.packages.of(self.request.path.upload.app_code.as_str())
    }

    /// Judges a package by the report-only rules; reading the request was a judgement by the others.
    fn judge_package(&mut self, gate: &Gate, link: &LinkRequest<Origin>) {
        if self.package_rules(gate).is_report_only(&link.package_url) {
            self.record.report("packages.hosts");
        }
        if gate.policy.packages.checksum == Checksum::Report && link.sha256.is_none() {
            self.record.report("packages.sha256");
        }
    }

    fn lease(&mut self, gate: &Gate, now: Time) -> Result<Option<Lease>, Stop> {
        let bucket = self.caller.as_deref().map(Caller::bucket).unwrap_or_default();
        let (lease, violation) = gate.policy.traffic.lease(gate.slots(), &bucket, gate.worker.next(), now)?;
        if let Some(violation) = violation {
            self.limit(gate, violation)?;
        }
        Ok(lease)
    }
}

/// A caller who showed what it showed a moment ago.
fn recognise(gate: &Gate, caller: Rc<Caller>, record: &mut Record) -> Rc<Caller> {
    record.app.clone_from(&caller.app.app_code);
    record.user.clone_from(&caller.user.username);
    let basis = if caller.is_listed { Basis::Listed } else { Basis::Cached };
    record.identity = basis.name();
    for kind in &caller.kinds {
        gate.worker.metrics.count(Metric::Authentication { kind, outcome: "ok" });
        if basis == Basis::Cached {
            gate.worker.metrics.count(Metric::Cache { kind, result: "hit" });
        }
    }
    caller
}

/// A reason for the token, which is kept for each of them: only ours, for of a service's there is no end.
fn own_words(reason: Cow<'static, str>, otherwise: &'static str) -> &'static str {
    match reason {
        Cow::Borrowed(reason) => reason,
        Cow::Owned(_) => otherwise,
    }
}

/// An app code that may stand in a log although nobody verified it.
fn well_formed(app_code: &str) -> &str {
    if AppCode::new(app_code).is_ok() { app_code } else { "" }
}

#[cfg(test)]
mod tests;
