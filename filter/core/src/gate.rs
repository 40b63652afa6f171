//! A policy at work, and its questions under way.

use std::rc::Rc;

use crate::flow::{self, Asking, Verdict};
use crate::head::Head;
use crate::identity::Outcome;
use crate::identity::answer::Key;
use crate::identity::flights::{Flights, Joined};
use crate::identity::service::{OutsideCall, OwnCredentials, Question, ServiceReply};
use crate::keys::SigningKey;
use crate::limit::{Lease, release};
use crate::metrics::Metric;
use crate::policy::Policy;
use crate::recent::Recent;
use crate::reply::{GatewayError, Reply};
use crate::shared::Slots;
use crate::time::Time;
use crate::worker::Worker;

/// Tokens signed anew in one tick: with RSA each takes milliseconds in which no request moves.
const RENEWED_PER_TICK: usize = 4;

/// How a question is named that no request asked.
const RENEWAL_ID: &str = "linkgate-renewal";
/// Questions asked in one tick for nobody in particular.
const ASKED_PER_TICK: usize = 16;

/// What the gate itself knows of secrets, from the proxy's environment.
pub struct Keys {
    /// What tokens for the store are signed with.
    pub signing: SigningKey,
    /// What the identity services are shown.
    pub own: OwnCredentials,
}

/// A policy at work.
pub struct Gate {
    pub(crate) policy: Policy,
    pub(crate) keys: Keys,
    pub(crate) worker: Rc<Worker>,
    flights: Flights,
    pub(crate) recent: Recent,
    /// What callers cannot know and all workers have in common.
    salt: u64,
}

/// A question that was sent.
pub struct Flight {
    key: Key,
    question: Question,
    sent: Time,
}

/// What the shell does about a request that asks.
pub enum Errand {
    /// Send this; the answer goes to [`Gate::land`].
    Send(OutsideCall, Flight),
    /// Wait: another request sent it already.
    Wait,
    /// Too much is under way: go on at once, as if the service had not answered.
    GoOn(Landed),
}

/// An answer for all who waited.
pub struct Landed {
    outcome: Outcome,
    /// Who waited, by the number that they joined with.
    pub waiters: Vec<u32>,
}

impl Flight {
    /// When it was sent.
    #[must_use]
    pub fn sent(&self) -> Time {
        self.sent
    }
}

impl Gate {
    /// Puts a policy to work, with what the worker remembers.
    #[must_use]
    pub fn new(policy: Policy, keys: Keys, worker: Rc<Worker>) -> Self {
        let (salt, recent) = (keys.signing.salt(), Recent::new(worker.key()));
        Self { policy, keys, worker, flights: Flights::default(), recent, salt }
    }

    pub(crate) fn slots(&self) -> Slots<'_> {
        Slots { data: self.worker.shared.as_ref(), salt: self.salt }
    }

    /// The policy's version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.policy.version()
    }

    /// Whether requests are judged by where they come from, so that [`Head::from_source`] is needed.
    #[must_use]
    pub fn wants_source(&self) -> bool {
        !self.policy.client_ips.is_empty()
    }

    /// Judges the head of a request.
    #[must_use]
    pub fn on_headers(&self, head: &Head<'_>) -> Verdict {
        flow::begin(self, head)
    }

    /// The refusal when the gate or its host failed; an id that is not known yet is empty.
    #[must_use]
    pub fn failed(request_id: &str) -> Reply {
        Reply::gateway(&GatewayError::Internal { reason: None }, request_id)
    }

    /// Says what is to be done about a request that asks; `waiter` is how the shell finds it again.
    #[must_use]
    pub fn join(&self, asking: &Asking, waiter: u32, now: Time) -> Errand {
        match self.flights.join(asking.key, waiter) {
            Joined::Waiting => Errand::Wait,
            Joined::Full => Errand::GoOn(self.not_sent(&asking.question)),
            Joined::First => match asking.question.call(&self.policy.services, &self.keys.own, asking.request_id()) {
                Some(call) => {
                    let question = asking.question.clone();
                    Errand::Send(call, Flight { key: asking.key, question, sent: now })
                }
                None => {
                    self.flights.land(&asking.key);
                    Errand::GoOn(self.not_sent(&asking.question))
                }
            },
        }
    }

    /// Questions whose answers are in use and about to end, to be sent between requests.
    #[must_use]
    pub fn due(&self, now: Time) -> Vec<(OutsideCall, Flight)> {
        let services = &self.policy.services;
        let due = self.worker.ageing.take(ASKED_PER_TICK).into_iter();
        // Another policy may have left some for services that are not this one's.
        let due = due.filter(|(key, question)| question.key(services) == Some(*key));
        due.filter_map(|(key, question)| {
            let call = question.call(services, &self.keys.own, RENEWAL_ID)?;
            self.flights.begin(key).then_some((call, Flight { key, question, sent: now }))
        })
        .collect()
    }

    /// Forgets a request that went away while it waited.
    pub fn leave(&self, asking: &Asking, waiter: u32) {
        self.flights.leave(&asking.key, waiter);
    }

    /// Takes what a service answered, or that it did not.
    #[must_use]
    pub fn land(&self, flight: &Flight, reply: Option<ServiceReply<'_>>, now: Time) -> Landed {
        let service = flight.question.service();
        let read = flight.question.read(reply, now.seconds());
        self.worker.metrics.count(Metric::Call { service, answered: read.is_ok() });
        self.worker.metrics.time(service, now.nanos().saturating_sub(flight.sent.nanos()) / 1_000_000);
        let is_down = read.as_ref().is_err_and(|failure| failure.is_down);
        self.worker.answers.note(service, is_down, now.seconds());
        let outcome = match read {
            Ok(answer) => {
                self.worker.answers.keep(flight.key, &answer, now.seconds());
                Outcome::Answered(answer)
            }
            Err(failure) => Outcome::Failed(failure),
        };
        Landed { outcome, waiters: self.flights.land(&flight.key) }
    }

    fn not_sent(&self, question: &Question) -> Landed {
        self.worker.metrics.count(Metric::Call { service: question.service(), answered: false });
        Landed { outcome: Outcome::Failed(question.not_sent()), waiters: Vec::new() }
    }

    /// Takes back a question that the proxy would not send.
    #[must_use]
    pub fn unsent(&self, flight: &Flight) -> Landed {
        Landed { waiters: self.flights.land(&flight.key), ..self.not_sent(&flight.question) }
    }

    /// Goes on with a request whose answer came.
    #[must_use]
    pub fn resume(&self, asking: Asking, landed: &Landed, now: Time) -> Verdict {
        asking.on_outcome(self, landed.outcome.clone(), now)
    }

    /// Gives back the place of an upload that is over.
    pub fn release(&self, lease: &Lease) {
        // A place that could not be given back becomes free by itself.
        let _ = release(self.slots(), lease);
    }

    /// What is done between requests: tokens in use are signed before they run out.
    pub fn tick(&self, now: Time) {
        let renewed = self.worker.tokens.renew(&self.keys.signing, RENEWED_PER_TICK, now.seconds());
        (0..renewed).for_each(|_| self.worker.metrics.count(Metric::TokenSigned));
    }
}
