//! A policy in force under one root, and the questions to other services that its requests wait for.
//!
//! The root asks for all of them, so that nobody who hangs up takes an answer from the others: the SDK gives an answer to
//! the context whose callback made the call. A request leaves its question here and rings the root. Promises: nobody waits
//! longer than the question's timeout and one tick, whoever hangs up, whatever the host loses, and whether or not the root
//! is still there.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Weak;
use std::time::Duration;

use linkgate_gate::{CallStep, Completion, Gate, InFlightCall, MAX_ANSWER, OutsideCall, ServiceReply, Time, Waiter};

use crate::host::{self, Level};
use crate::http::SharedRequest;

/// How often the root is called between requests.
pub const TICK: Duration = Duration::from_secs(1);
/// How long a body may take that is needed before its request goes on. (Envoy's own bound is that of files, which are not.)
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How soon it is called where its queue does not work.
const SOON: Duration = Duration::from_millis(1);

/// A question that was sent, and until when an answer may come.
struct Sent {
    in_flight: InFlightCall,
    until: u64,
}

/// What a root and its requests have in common.
pub struct Plugin {
    root_id: u32,
    /// Decides.
    pub gate: Gate,
    /// By which a request has the root called.
    queue: Option<u32>,
    /// Questions that the root is still to send.
    unsent: RefCell<VecDeque<(OutsideCall, InFlightCall)>>,
    /// Those that it has sent, by token.
    sent: RefCell<BTreeMap<u32, Sent>>,
    /// Requests that wait for an answer, by id.
    waiting: RefCell<BTreeMap<u32, Weak<SharedRequest>>>,
    /// Requests that wait for their bodies, by id, and until when.
    bodies: RefCell<BTreeMap<u32, (Weak<SharedRequest>, u64)>>,
    /// Whether the root is at work for this policy: it looks after what is left with it by itself.
    at_work: Cell<bool>,
    /// Whether the root was deleted: nobody can ask any more.
    is_orphan: Cell<bool>,
    /// Whether the ticks of the root were hurried.
    hurried: Cell<bool>,
    /// A proxy that will not send is complained of once; the metrics tell how often.
    complained: Cell<bool>,
}

impl Plugin {
    /// Puts a gate into force under a root, which receives this queue.
    pub fn new(root_id: u32, gate: Gate, queue: Option<u32>) -> Self {
        Self {
            root_id,
            gate,
            queue,
            unsent: RefCell::default(),
            sent: RefCell::default(),
            waiting: RefCell::default(),
            bodies: RefCell::default(),
            at_work: Cell::new(false),
            is_orphan: Cell::new(false),
            hurried: Cell::new(false),
            complained: Cell::new(false),
        }
    }

    /// Has a question answered for a request: `None` once it waits, or at once what came of it.
    pub fn ask(&self, waiter: &Waiter, id: u32, request: &Weak<SharedRequest>, now: Time) -> Option<Completion> {
        match self.gate.start_call(waiter, id, now) {
            CallStep::Completed(completion) => return Some(completion),
            CallStep::Wait => {}
            CallStep::Send(_, in_flight) if self.is_orphan.get() => return Some(self.gate.fail_call(&in_flight)),
            CallStep::Send(call, in_flight) => self.leave_with_root(call, in_flight, id),
        }
        self.waiting.borrow_mut().insert(id, Weak::clone(request));
        None
    }

    /// Takes back that a request waits.
    pub fn leave(&self, waiter: &Waiter, id: u32) {
        self.gate.remove_waiter(waiter, id);
        self.waiting.borrow_mut().remove(&id);
    }

    /// A request begins to wait for its body.
    pub fn time_body(&self, id: u32, request: &Weak<SharedRequest>, now: Time) {
        let until = now.nanos().saturating_add(nanos(BODY_TIMEOUT));
        self.bodies.borrow_mut().insert(id, (Weak::clone(request), until));
    }

    /// It waits for it no more.
    pub fn end_timing(&self, id: u32) {
        self.bodies.borrow_mut().remove(&id);
    }

    /// `own` is the request whose callback runs.
    fn leave_with_root(&self, call: OutsideCall, in_flight: InFlightCall, own: u32) {
        let is_first = {
            let mut unsent = self.unsent.borrow_mut();
            unsent.push_back((call, in_flight));
            unsent.len() == 1
        };
        if !is_first || self.at_work.get() {
            return;
        }
        if self.queue.is_none_or(|queue| host::ring(queue).is_err()) {
            self.hurried.set(true);
            let _ = host::on_behalf_of(self.root_id, own, || host::restart_ticks(SOON));
        }
    }

    /// A request has rung.
    pub fn on_ring(&self) {
        self.work(host::now(), || {});
    }

    /// What is done between requests.
    pub fn on_tick(&self, now: Time) {
        if self.hurried.replace(false) {
            host::restart_ticks(TICK);
        }
        self.work(now, || {
            self.gate.tick(now);
            self.unsent.borrow_mut().extend(self.gate.take_refreshes(now));
            self.give_up_overdue(now);
            self.give_up_slow_bodies(now);
            self.hold_silent_requests();
        });
    }

    /// An outside call has ended: every request that waited for it goes on. `false`: it was not made here.
    pub fn on_answer(&self, token: u32, num_headers: usize) -> bool {
        let Some(Sent { in_flight, .. }) = self.sent.borrow_mut().remove(&token) else { return false };
        let now = host::now();
        self.work(now, || self.end(&in_flight, read_answer(num_headers), now));
        true
    }

    /// The root is deleted, and the host ends its calls without a word: who waits goes on without an answer.
    pub fn on_root_deleted(&self) {
        self.is_orphan.set(true);
        let now = host::now();
        let unsent = self.unsent.take().into_iter().map(|(_, in_flight)| in_flight);
        let calls: Vec<_> = unsent.chain(self.sent.take().into_values().map(|sent| sent.in_flight)).collect();
        for in_flight in calls {
            self.wake(&self.gate.fail_call(&in_flight), now);
        }
    }

    /// Does the root's work in a callback of its own, and then sends what was left with it meanwhile.
    fn work(&self, now: Time, work: impl FnOnce()) {
        self.at_work.set(true);
        work();
        loop {
            let next = self.unsent.borrow_mut().pop_front();
            let Some((call, in_flight)) = next else { break };
            self.send(&call, in_flight, now);
        }
        self.at_work.set(false);
    }

    /// Sends a question, for as long as whoever asked it may still wait.
    fn send(&self, call: &OutsideCall, in_flight: InFlightCall, now: Time) {
        let timeout = Duration::from_millis(u64::from(call.timeout_ms));
        let left = timeout.saturating_sub(in_flight.waited(now));
        let sent = if left.is_zero() { None } else { Some(host::dispatch_http_call(call, left)) };
        match sent {
            Some(Ok(token)) => {
                let until = now.nanos().saturating_add(nanos(left + TICK));
                self.sent.borrow_mut().insert(token, Sent { in_flight, until });
                return;
            }
            Some(Err(status)) if !self.complained.replace(true) => {
                host::log(
                    Level::Error,
                    &format!(
                        "Cannot call cluster `{}`: {status:?}; answering requests that need it with 500 (said once)",
                        call.cluster
                    ),
                );
            }
            Some(Err(_)) | None => {}
        }
        self.wake(&self.gate.fail_call(&in_flight), now);
    }

    /// Ends the questions for which the host had to call back by now.
    fn give_up_overdue(&self, now: Time) {
        let is_overdue = |_: &u32, sent: &mut Sent| sent.until < now.nanos();
        let overdue: Vec<_> = self.sent.borrow_mut().extract_if(.., is_overdue).collect();
        for (token, Sent { in_flight, .. }) in overdue {
            host::log(Level::Error, &format!("The proxy did not end call {token}; treating it as not answered"));
            self.end(&in_flight, None, now);
        }
    }

    /// Answers requests whose bodies had to be there by now.
    fn give_up_slow_bodies(&self, now: Time) {
        let is_late = |_: &u32, (_, until): &mut (Weak<SharedRequest>, u64)| *until <= now.nanos();
        let late: Vec<_> = self.bodies.borrow_mut().extract_if(.., is_late).collect();
        for (id, (request, _)) in late {
            if let Some(request) = request.upgrade()
                && let Ok(mut request) = request.try_borrow_mut()
            {
                let _ = host::on_behalf_of(id, self.root_id, || request.on_slow_body());
            }
        }
    }

    /// Holds requests whose bodies have not begun since the last tick or a little later.
    fn hold_silent_requests(&self) {
        let waiting: Vec<_> =
            self.bodies.borrow().iter().map(|(id, (request, _))| (*id, Weak::clone(request))).collect();
        for (id, request) in waiting {
            if let Some(request) = request.upgrade()
                && let Ok(mut request) = request.try_borrow_mut()
                && request.is_silent()
            {
                let _ = host::on_behalf_of(id, self.root_id, || request.on_silence());
            }
        }
    }

    fn end(&self, in_flight: &InFlightCall, answer: Option<(u16, Vec<u8>)>, now: Time) {
        let reply = answer.as_ref().map(|(status, body)| ServiceReply { status: *status, body });
        self.wake(&self.gate.complete_call(in_flight, reply, now), now);
    }

    /// Lets those go on who waited for this.
    fn wake(&self, completion: &Completion, now: Time) {
        for id in &completion.waiters {
            let request = self.waiting.borrow_mut().remove(id).and_then(|request| request.upgrade());
            // One that is gone, for the host or for us, waits for nothing any more.
            if let Some(request) = request
                && let Ok(mut request) = request.try_borrow_mut()
            {
                let _ = host::on_behalf_of(*id, self.root_id, || request.on_answer(completion, now));
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Status and body; `None` if the call did not end in an answer.
fn read_answer(num_headers: usize) -> Option<(u16, Vec<u8>)> {
    if num_headers == 0 {
        return None;
    }
    host::http_call_answer(MAX_ANSWER + 1).ok().flatten()
}
