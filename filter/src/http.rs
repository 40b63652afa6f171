//! One request: callbacks in, host calls out.

use std::rc::Rc;

use linkgate_gate::{Forward, Gate, Head, Pending, Reply, Verdict};

use crate::abi::Action;
use crate::host::{self, Buffer, HostError, pairs};

/// How far a request has come.
enum Stage {
    /// Nothing seen yet.
    Head,
    /// The head was good, the headers are held, the body is coming.
    Body(Pending),
    /// Sent on; what still comes passes.
    Forwarded,
    /// Answered here; nothing more may pass, and nothing more is answered.
    Refused,
}

/// A request on its way through the gate.
pub struct Request {
    root_id: u32,
    gate: Option<Rc<Gate>>,
    stage: Stage,
    /// Goes onto every reply; empty until the head was read.
    id: String,
}

impl Request {
    /// A request for the gate that is in force; without one it will be refused.
    pub fn new(root_id: u32, gate: Option<Rc<Gate>>) -> Self {
        Self { root_id, gate, stage: Stage::Head, id: String::new() }
    }

    /// The root under which it came, and to which the answers of outside calls go.
    pub fn root_id(&self) -> u32 {
        self.root_id
    }

    fn refuse(&mut self, reply: &Reply) -> Action {
        self.stage = Stage::Refused;
        if host::send_reply(reply).is_err() {
            host::log(host::Level::Error, "the host did not take the refusal; the request stays held");
        }
        Action::Pause
    }

    /// Something of ours or the host's failed: nothing passes.
    fn refuse_failed(&mut self) -> Action {
        self.refuse(&Gate::failed(&self.id))
    }

    fn forward(&mut self, forward: &Forward) -> Action {
        match apply(forward) {
            Ok(()) => {
                self.stage = Stage::Forwarded;
                Action::Continue
            }
            Err(error) => {
                host::log(host::Level::Error, &format!("the request could not be changed: {error}"));
                self.refuse_failed()
            }
        }
    }

    fn obey(&mut self, verdict: Verdict) -> Action {
        match verdict {
            Verdict::NeedBody(pending) => {
                self.stage = Stage::Body(pending);
                Action::Pause
            }
            Verdict::Forward(forward) => self.forward(&forward),
            Verdict::Refuse(reply) => self.refuse(&reply),
        }
    }

    fn judge_head(&mut self, end_of_stream: bool) -> Result<Verdict, HostError> {
        let Some(gate) = self.gate.clone() else { return Ok(Verdict::Refuse(Gate::failed(&self.id))) };
        let raw = host::request_headers()?;
        let pairs = pairs::parse(&raw).ok_or(HostError { call: "parse_pairs", status: 0 })?;
        let head = Head::new(&pairs, end_of_stream, now_s()?, entropy);
        head.request_id().clone_into(&mut self.id);
        Ok(gate.on_headers(&head))
    }

    /// The request whose body is awaited, or what becomes of anything else that still comes.
    fn awaiting_body(&mut self) -> Result<Pending, Action> {
        match std::mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Body(pending) => Ok(pending),
            Stage::Forwarded => {
                self.stage = Stage::Forwarded;
                Err(Action::Continue)
            }
            Stage::Head => Err(self.refuse_failed()),
            Stage::Refused => Err(Action::Pause),
        }
    }

    /// The whole body is there; `size` is what the host says it holds.
    fn judge_body(&mut self, pending: Pending, size: usize) -> Action {
        let Some(gate) = self.gate.clone() else { return self.refuse_failed() };
        match host::buffer(Buffer::RequestBody, size).and_then(|body| Ok((body, now_s()?))) {
            Ok((body, now)) => self.obey(pending.on_body(&gate, &body, now)),
            Err(error) => {
                host::log(host::Level::Error, &format!("the body could not be read: {error}"));
                self.refuse_failed()
            }
        }
    }

    /// The head is there; it is held until the request was judged.
    pub fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        match self.judge_head(end_of_stream) {
            Ok(verdict) => self.obey(verdict),
            Err(error) => {
                host::log(host::Level::Error, &format!("the head could not be read: {error}"));
                self.refuse_failed()
            }
        }
    }

    /// While the body is held, `size` is the total so far, not the latest part.
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let pending = match self.awaiting_body() {
            Ok(pending) => pending,
            Err(action) => return action,
        };
        let refusal = self.gate.as_deref().and_then(|gate| pending.over_limit(gate, size));
        match (refusal, end_of_stream) {
            (Some(reply), _) => self.refuse(&reply),
            (None, true) => self.judge_body(pending, size),
            (None, false) => {
                self.stage = Stage::Body(pending);
                Action::Pause
            }
        }
    }

    /// Trailers end a body that was not marked as ended.
    pub fn on_request_trailers(&mut self) -> Action {
        match self.awaiting_body() {
            Ok(pending) => self.judge_body(pending, usize::MAX),
            Err(action) => action,
        }
    }

    /// Every reply names the request, whoever gave it: the store, the proxy or this gate.
    pub fn on_response_headers(&mut self) -> Action {
        if !self.id.is_empty() && host::set_response_header(Gate::REQUEST_ID_HEADER, &self.id).is_err() {
            host::log(host::Level::Error, "the reply could not be given its request id");
        }
        Action::Continue
    }
}

fn apply(forward: &Forward) -> Result<(), HostError> {
    forward.remove.iter().try_for_each(|name| host::remove_request_header(name))?;
    forward.set.iter().try_for_each(|(name, value)| host::set_request_header(name, value))
}

/// Seconds since the epoch by the host's clock.
fn now_s() -> Result<i64, HostError> {
    Ok(i64::try_from(host::now_ns()? / 1_000_000_000).unwrap_or(i64::MAX))
}

/// Only names a request that the proxy left unnamed: without randomness the id is zeros, not a trap.
fn entropy() -> [u8; 16] {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = [0; 16];
    }
    bytes
}
