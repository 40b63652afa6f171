//! A policy in force, and the calls to identity services that its requests wait for.

use std::rc::Rc;

use crate::caller_cache::CallerCache;
use crate::flow::{self, Verdict, Waiter};
use crate::head::Head;
use crate::identity::Outcome;
use crate::identity::cache::CacheKey;
use crate::identity::service::{OutsideCall, OwnCredentials, Question, ServiceReply};
use crate::identity::singleflight::{Role, Singleflight};
use crate::keys::SigningKey;
use crate::limit::{Lease, release_lease};
use crate::metrics::Metric;
use crate::policy::Policy;
use crate::reply::{GatewayError, Reply};
use crate::shared::Slots;
use crate::time::Time;
use crate::worker::Worker;

/// Tokens signed anew in one tick: with RSA each takes milliseconds in which no request moves.
const TOKENS_PER_TICK: usize = 4;

/// The request id of a call that refreshes the cache.
const REFRESH_REQUEST_ID: &str = "linkgate-renewal";
/// Refreshes sent in one tick.
const REFRESHES_PER_TICK: usize = 16;

/// What the gate itself knows of secrets, from the proxy's environment.
pub struct Keys {
    /// What tokens for the store are signed with.
    pub signing: SigningKey,
    /// What the gate presents to the identity services.
    pub own: OwnCredentials,
}

/// A policy in force.
pub struct Gate {
    pub(crate) policy: Policy,
    pub(crate) keys: Keys,
    pub(crate) worker: Rc<Worker>,
    singleflight: Singleflight,
    pub(crate) caller_cache: CallerCache,
    /// What callers cannot know and all workers have in common.
    salt: u64,
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
    /// When it was sent.
    #[must_use]
    pub fn sent(&self) -> Time {
        self.sent
    }
}

impl Gate {
    /// Puts a policy into force, with what the worker has cached.
    #[must_use]
    pub fn new(policy: Policy, keys: Keys, worker: Rc<Worker>) -> Self {
        let (salt, caller_cache) = (keys.signing.salt(), CallerCache::new(worker.random_key()));
        Self { policy, keys, worker, singleflight: Singleflight::default(), caller_cache, salt }
    }

    pub(crate) fn slots(&self) -> Slots<'_> {
        Slots { data: self.worker.shared.as_ref(), salt: self.salt }
    }

    /// The policy's version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.policy.version()
    }

    /// Whether requests are judged by their client's address, so that [`Head::with_client_address`] is needed.
    #[must_use]
    pub fn needs_client_address(&self) -> bool {
        !self.policy.client_ips.is_empty()
    }

    /// Judges the head of a request.
    #[must_use]
    pub fn on_headers(&self, head: &Head<'_>) -> Verdict {
        flow::judge_head(self, head)
    }

    /// The refusal when the gate or its host failed; an id that is not known yet is empty.
    #[must_use]
    pub fn failed(request_id: &str) -> Reply {
        Reply::gateway(&GatewayError::Internal { reason: None }, request_id)
    }

    /// Says what to do about a request that waits for an answer; by `waiter_id` the shell finds it again.
    #[must_use]
    pub fn start_call(&self, waiter: &Waiter, waiter_id: u32, now: Time) -> CallStep {
        match self.singleflight.add_waiter(waiter.key, waiter_id) {
            Role::Follower => CallStep::Wait,
            Role::Rejected => CallStep::Completed(self.reject_call(&waiter.question)),
            Role::Leader => {
                match waiter.question.build_call(&self.policy.services, &self.keys.own, waiter.request_id()) {
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
        let services = &self.policy.services;
        let due = self.worker.refreshes.take_due(REFRESHES_PER_TICK).into_iter();
        // Another policy may have left some for services that are not this one's.
        let due = due.filter(|(key, question)| question.cache_key(services) == Some(*key));
        due.filter_map(|(key, question)| {
            let call = question.build_call(services, &self.keys.own, REFRESH_REQUEST_ID)?;
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
        self.worker.metrics.count(Metric::Call { service, answered: answer.is_ok() });
        self.worker.metrics.record_duration(service, now.nanos().saturating_sub(call.sent.nanos()) / 1_000_000);
        let is_down = answer.as_ref().is_err_and(|failure| failure.is_down);
        self.worker.identity_cache.record_call(service, is_down, now.seconds());
        let outcome = match answer {
            Ok(answer) => {
                self.worker.identity_cache.insert(call.key, &answer, now.seconds());
                Outcome::Answered(answer)
            }
            Err(failure) => Outcome::Failed(failure),
        };
        Completion { outcome, waiters: self.singleflight.complete(&call.key) }
    }

    fn reject_call(&self, question: &Question) -> Completion {
        self.worker.metrics.count(Metric::Call { service: question.service(), answered: false });
        Completion { outcome: Outcome::Failed(question.overload_failure()), waiters: Vec::new() }
    }

    /// Ends a call that the proxy would not send.
    #[must_use]
    pub fn fail_call(&self, call: &InFlightCall) -> Completion {
        Completion { waiters: self.singleflight.complete(&call.key), ..self.reject_call(&call.question) }
    }

    /// Goes on with a request whose answer came.
    #[must_use]
    pub fn resume(&self, waiter: Waiter, completion: &Completion, now: Time) -> Verdict {
        waiter.resume(self, completion.outcome.clone(), now)
    }

    /// Releases the lease of an upload that is over.
    pub fn release_lease(&self, lease: &Lease) {
        // A lease that could not be released ends by itself.
        let _ = release_lease(self.slots(), lease);
    }

    /// What is done between requests: tokens in use are signed before they run out.
    pub fn tick(&self, now: Time) {
        let renewed = self.worker.tokens.renew_in_use(&self.keys.signing, TOKENS_PER_TICK, now.seconds());
        (0..renewed).for_each(|_| self.worker.metrics.count(Metric::TokenSigned));
    }
}
