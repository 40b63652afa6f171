//! A policy in force, and the calls to identity services that its requests wait for.

use std::rc::Rc;
use std::time::Duration;

use crate::context::{Context, Keys};
use crate::flow::{self, ClientAddress, Denial, Pending, Verdict, Waiter};
use crate::head::Head;
use crate::identity::Outcome;
use crate::limit::Lease;
use crate::metrics::Metric;
use crate::policy::Policy;
use crate::services::cache::CacheKey;
use crate::services::question::{Failure, OutsideCall, Question, ServiceReply};
use crate::services::singleflight::{Role, Singleflight};
use crate::time::Time;
use crate::worker::Worker;

/// Tokens signed anew in one tick: with RSA each takes milliseconds in which no request moves.
const TOKENS_PER_TICK: usize = 4;

/// The request id of a call that refreshes the cache.
const REFRESH_REQUEST_ID: &str = "linkgate-renewal";
/// Refreshes sent in one tick.
const REFRESHES_PER_TICK: usize = 16;

/// A policy in force.
pub struct Gate {
    pub(crate) context: Context,
    singleflight: Singleflight,
}

/// A call to a service that was sent.
pub struct InFlightCall {
    key: CacheKey,
    question: Question,
    sent: Time,
}

/// What the shell does about a request that waits for an answer.
pub enum CallStep {
    /// Send this; the answer goes to [`Gate::complete_call`].
    Send(OutsideCall, InFlightCall),
    /// Wait: the call is in flight already.
    Wait,
    /// Too many calls are in flight: go on at once, as if the service had not answered.
    Completed(Completion),
}

/// The end of a call, for all who waited.
pub struct Completion {
    outcome: Outcome,
    /// The ids of those who waited.
    pub waiters: Vec<u32>,
}

impl InFlightCall {
    /// How long whoever asked it waits by now.
    #[must_use]
    pub fn waited(&self, now: Time) -> Duration {
        Duration::from_nanos(now.nanos().saturating_sub(self.sent.nanos()))
    }
}

impl Pending {
    /// The whole body is there.
    #[must_use]
    pub fn on_body(self, gate: &Gate, body: Vec<u8>, now: Time) -> Verdict {
        self.resume(&gate.context, body, now)
    }

    /// The denial of a whole body that is over the limit; the length is what the host says.
    #[must_use]
    pub fn check_body_size(&self, gate: &Gate, received: usize) -> Option<Denial> {
        self.deny_large_body(&gate.context, received)
    }

    /// The denial of a request whose body did not come in time.
    #[must_use]
    pub fn deny_slow_body(&self, gate: &Gate) -> Denial {
        self.deny_slow_body_in(&gate.context)
    }

    /// Holds the request, of whose body so many bytes came by now; to be said when it begins to wait and with each part of
    /// the body. The denial, if the body is over the limit before it ended or there is no space to hold it.
    #[must_use]
    pub fn hold(&mut self, gate: &Gate, received: usize, address: impl ClientAddress) -> Option<Denial> {
        self.hold_in(&gate.context, received, address)
    }

    /// Holds the request though none of its body has come for a while, if nothing else has held it: whoever says nothing takes
    /// a place as well. The denial, if there is none.
    #[must_use]
    pub fn hold_silent(
        &mut self,
        gate: &Gate,
        head_bytes: impl FnOnce() -> usize,
        address: impl ClientAddress,
    ) -> Option<Denial> {
        self.hold_silent_in(&gate.context, head_bytes, address)
    }
}

impl Waiter {
    /// See [`Pending::hold`].
    #[must_use]
    pub fn hold(&mut self, gate: &Gate, received: usize, address: impl ClientAddress) -> Option<Denial> {
        self.hold_in(&gate.context, received, address)
    }
}

impl Gate {
    /// Puts a policy into force, with what the worker has cached.
    #[must_use]
    pub fn new(policy: Policy, keys: Keys, worker: Rc<Worker>) -> Self {
        Self { context: Context::new(policy, keys, worker), singleflight: Singleflight::default() }
    }

    /// The policy's version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.context.policy.version()
    }

    /// Whether every request is judged by its client's address, so that [`Head::with_client_address`] is needed.
    #[must_use]
    pub fn needs_client_address(&self) -> bool {
        !self.context.policy.client_ips.is_empty()
    }

    /// Whether this request is judged by its client's address.
    #[must_use]
    pub fn needs_client_address_of(&self, head: &Head<'_>) -> bool {
        self.needs_client_address() || !self.context.policy.url_keys.0.is_empty() && head.may_be_signed()
    }

    /// Judges the head of a request.
    #[must_use]
    pub fn on_headers(&self, head: &Head<'_>) -> Verdict {
        flow::judge_head(&self.context, head)
    }

    /// The refusal when the gate or its host failed; an id that is not known yet is empty.
    #[must_use]
    pub fn failed(request_id: &str) -> Denial {
        flow::deny_failed(request_id)
    }

    /// Says what to do about a request that waits for an answer; by `waiter_id` the shell finds it again.
    #[must_use]
    pub fn start_call(&self, waiter: &Waiter, waiter_id: u32, now: Time) -> CallStep {
        match self.singleflight.add_waiter(waiter.key, waiter_id) {
            Role::Follower => CallStep::Wait,
            Role::Rejected => CallStep::Completed(self.reject_call(&waiter.question)),
            Role::Leader => {
                match waiter.question.build_call(
                    &self.context.policy.services,
                    &self.context.keys.own,
                    waiter.request_id(),
                ) {
                    Some(call) => {
                        let question = waiter.question.clone();
                        CallStep::Send(call, InFlightCall { key: waiter.key, question, sent: now })
                    }
                    None => {
                        self.singleflight.complete(&waiter.key);
                        CallStep::Completed(self.reject_call(&waiter.question))
                    }
                }
            }
        }
    }

    /// Calls for cached answers that are in use and about to end, to be sent between requests.
    #[must_use]
    pub fn take_refreshes(&self, now: Time) -> Vec<(OutsideCall, InFlightCall)> {
        let services = &self.context.policy.services;
        let due = self.context.worker.refreshes.take_due(REFRESHES_PER_TICK).into_iter();
        // Another policy may have left some for services that are not this one's.
        let due = due.filter(|(key, question)| question.cache_key(services) == Some(*key));
        due.filter_map(|(key, question)| {
            let call = question.build_call(services, &self.context.keys.own, REFRESH_REQUEST_ID)?;
            self.singleflight.start_refresh(key).then_some((call, InFlightCall { key, question, sent: now }))
        })
        .collect()
    }

    /// Forgets a request that went away while it waited.
    pub fn remove_waiter(&self, waiter: &Waiter, waiter_id: u32) {
        self.singleflight.remove_waiter(&waiter.key, waiter_id);
    }

    /// Takes what a service answered, or that it did not.
    #[must_use]
    pub fn complete_call(&self, call: &InFlightCall, reply: Option<ServiceReply<'_>>, now: Time) -> Completion {
        let service = call.question.service();
        let answer = call.question.read_reply(reply, now.seconds());
        self.context.worker.metrics.count(Metric::Call { service, answered: answer.is_ok() });
        self.context.worker.metrics.record_duration(service, now.nanos().saturating_sub(call.sent.nanos()) / 1_000_000);
        let cache = &self.context.worker.identity_cache;
        let outcome = match answer {
            Ok(answer) => {
                cache.record_success(service);
                cache.insert(call.key, &answer, now.seconds());
                Outcome::Answered(answer)
            }
            Err(Failure { reason, kind }) => {
                let is_down = cache.record_failure(service, call.key, kind, now.seconds());
                Outcome::Failed { reason, is_down }
            }
        };
        Completion { outcome, waiters: self.singleflight.complete(&call.key) }
    }

    fn reject_call(&self, question: &Question) -> Completion {
        self.context.worker.metrics.count(Metric::Call { service: question.service(), answered: false });
        let Failure { reason, .. } = question.overload_failure();
        Completion { outcome: Outcome::Failed { reason, is_down: false }, waiters: Vec::new() }
    }

    /// Ends a call that the proxy would not send.
    #[must_use]
    pub fn fail_call(&self, call: &InFlightCall) -> Completion {
        Completion { waiters: self.singleflight.complete(&call.key), ..self.reject_call(&call.question) }
    }

    /// Goes on with a request whose answer came.
    #[must_use]
    pub fn resume(&self, waiter: Waiter, completion: &Completion, now: Time) -> Verdict {
        waiter.resume(&self.context, completion.outcome.clone(), now)
    }

    /// Releases the lease of an upload that is over.
    pub fn release_lease(&self, lease: &Lease) {
        self.context.release_lease(lease);
    }

    /// What is done between requests: tokens in use are signed before they run out.
    pub fn tick(&self, now: Time) {
        let renewed =
            self.context.worker.tokens.renew_in_use(&self.context.keys.signing, TOKENS_PER_TICK, now.seconds());
        (0..renewed).for_each(|_| self.context.worker.metrics.count(Metric::TokenSigned));
    }
}
