//! A policy in force under one root, and the outside calls that its requests wait for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use linkgate_gate::{CallStep, Completion, Gate, InFlightCall, MAX_ANSWER, OutsideCall, ServiceReply, Time, Waiter};

use crate::abi;
use crate::host::{self, Buffer, HostError, Level, pairs};

/// What a root and its requests have in common.
pub struct Plugin {
    root_id: u32,
    /// Decides.
    pub gate: Gate,
    calls: RefCell<BTreeMap<u32, InFlightCall>>,
    /// A proxy that will not send is complained of once; the metrics tell how often.
    complained: Cell<bool>,
}

impl Plugin {
    /// Puts a gate into force.
    pub fn new(root_id: u32, gate: Gate) -> Self {
        Self { root_id, gate, calls: RefCell::default(), complained: Cell::new(false) }
    }

    /// Has a question answered for a request: `None` once it waits, or at once what came of it.
    pub fn ask(&self, waiter: &Waiter, request_id: u32, now: Time) -> Option<Completion> {
        match self.gate.start_call(waiter, request_id, now) {
            CallStep::Wait => None,
            CallStep::Completed(completion) => Some(completion),
            CallStep::Send(call, call_in_flight) => self.send(&call, call_in_flight, request_id),
        }
    }

    /// What is done between requests.
    pub fn on_tick(&self, now: Time) {
        self.gate.tick(now);
        for (call, call_in_flight) in self.gate.take_refreshes(now) {
            // Who joins it meanwhile is woken by its end, and nobody waits for it yet.
            let _completion = self.send(&call, call_in_flight, self.root_id);
        }
    }

    /// The call is the root's, so that no request's end takes it from the others; `own` is whose callback runs.
    fn send(&self, call: &OutsideCall, call_in_flight: InFlightCall, own: u32) -> Option<Completion> {
        let headers: Vec<_> = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let send = || host::http_call(&call.cluster, &headers, &call.body, call.timeout_ms);
        let sent = host::on_behalf_of(self.root_id, own, send).and_then(|sent| sent);
        match (sent, self.calls.try_borrow_mut()) {
            (Ok(token), Ok(mut calls)) => {
                calls.insert(token, call_in_flight);
                None
            }
            (sent, _) => {
                if let (Err(error), false) = (sent, self.complained.replace(true)) {
                    host::log(Level::Error, &format!("cluster `{}` could not be asked: {error}", call.cluster));
                }
                Some(self.gate.fail_call(&call_in_flight))
            }
        }
    }

    /// An outside call has ended: every request that waited for it goes on. `false`: it was not made here.
    pub fn on_answer(&self, token: u32, num_headers: usize) -> bool {
        let call_in_flight = self.calls.try_borrow_mut().ok().and_then(|mut calls| calls.remove(&token));
        let Some(call_in_flight) = call_in_flight else { return false };
        // Nothing that is missing here may leave the others waiting: no answer is an answer too, and a clock that failed
        // stands still.
        let now = host::now().unwrap_or(call_in_flight.sent());
        let answer = read_answer(num_headers).unwrap_or_else(|error| {
            host::log(Level::Error, &format!("the answer of a service could not be read: {error}"));
            None
        });
        let reply = answer.as_ref().map(|(status, body)| ServiceReply { status: *status, body });
        let completion = self.gate.complete_call(&call_in_flight, reply, now);
        for id in &completion.waiters {
            // One that is gone, for the host or for us, waits for nothing any more.
            abi::with_request(*id, |request| {
                host::on_behalf_of(*id, self.root_id, || request.on_answer(&completion, now)).ok()
            });
        }
        true
    }
}

/// Status and body; `None` if the call did not end in an answer.
fn read_answer(num_headers: usize) -> Result<Option<(u16, Vec<u8>)>, HostError> {
    if num_headers == 0 {
        return Ok(None);
    }
    let raw = host::http_call_response_headers()?;
    let headers = pairs::parse(&raw).unwrap_or_default();
    let status = headers
        .iter()
        .find(|(name, _)| *name == b":status")
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
    let Some(status) = status else { return Ok(None) };
    Ok(Some((status, host::buffer(Buffer::HttpCallResponseBody, MAX_ANSWER + 1)?)))
}
