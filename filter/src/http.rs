//! One request: callbacks in, host calls out.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use linkgate_gate::{Completion, Denial, Forward, Gate, Head, Lease, Pending, Record, Reply, Time, Verdict, Waiter};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, Level, Status};
use crate::memory;
use crate::plugin::Plugin;

/// The property that holds a request's record, for the access log. Those named after it, a dot and a header hold what the proxy is
/// to add to a reply that others make: to be told of each reply would cost every request a call.
pub const ACCESS_LOG: &str = "linkgate";

/// A request that its root can reach: while a callback runs, the SDK lends no context but the one that is called.
pub type SharedRequest = RefCell<Request>;

/// What the SDK calls about a request.
pub struct Stream(Rc<SharedRequest>);

impl Stream {
    /// A request for the gate that is in force; without one it will be refused.
    pub fn new(id: u32, plugin: Option<Rc<Plugin>>) -> Self {
        Self(Rc::new_cyclic(|own| RefCell::new(Request::new(id, Weak::clone(own), plugin))))
    }

    fn with(&self, step: impl FnOnce(&mut Request) -> Action) -> Action {
        self.0.try_borrow_mut().map_or(Action::Pause, |mut request| step(&mut request))
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        self.with(|request| request.on_request_headers(end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.with(|request| request.on_request_body(size, end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        self.with(Request::on_request_trailers)
    }

    /// No host calls this: `cargo xtask build-wasm` takes the export out, and has the filter ask itself by it, right after it has
    /// paused a request at its head, whether the body must not be read meanwhile. The SDK has no action that says so.
    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        let holds_body_back = self.0.try_borrow().is_ok_and(|request| request.holds_body_back());
        if holds_body_back { Action::Pause } else { Action::Continue }
    }
}

/// How far a request has come.
enum Stage {
    /// Nothing seen yet.
    Head,
    /// The headers are held, the body is coming.
    Body(Pending),
    /// The request is held, a service is asked.
    Waiting(Waiter),
    /// Sent on; what still comes passes.
    Forwarded,
    /// Answered here; nothing more may pass, and nothing more is answered.
    Refused,
}

/// A request on its way through the gate.
pub struct Request {
    id: u32,
    /// By which the root finds it.
    own: Weak<SharedRequest>,
    plugin: Option<Rc<Plugin>>,
    stage: Stage,
    /// Goes onto a refusal; empty until the head was read.
    name: String,
    /// How much of the body came, all of which is held while the request waits.
    received: usize,
    /// The size of the body, once all of it is held.
    whole: Option<usize>,
    lease: Option<Lease>,
    /// Whether the upload ends when its caller goes away.
    ends_with_caller: bool,
    /// Whether the plugin looks how long its body takes.
    is_timed: bool,
}

impl Request {
    fn new(id: u32, own: Weak<SharedRequest>, plugin: Option<Rc<Plugin>>) -> Self {
        let (stage, name) = (Stage::Head, String::new());
        Self {
            id,
            own,
            plugin,
            stage,
            name,
            received: 0,
            whole: None,
            lease: None,
            ends_with_caller: false,
            is_timed: false,
        }
    }

    fn reply(&mut self, reply: &Reply) -> Action {
        self.stage = Stage::Refused;
        if host::send_reply(reply).is_err() {
            self.complain("answer", "the proxy did not take the reply; the request stays held until it times out");
        }
        Action::Pause
    }

    /// Says in the proxy's log what could not be done with the request, and what happens to it.
    fn complain(&self, what: &str, why: &str) {
        let name = if self.name.is_empty() { "without an id" } else { &self.name };
        host::log(Level::Error, &format!("Cannot {what} request {name}: {why}"));
    }

    /// Something of ours or the host's failed: nothing passes.
    fn refuse_failed(&mut self) -> Action {
        self.deny(&Gate::failed(&self.name))
    }

    fn deny(&mut self, denial: &Denial) -> Action {
        note(&denial.record);
        self.reply(&denial.reply)
    }

    fn forward(&mut self, forward: Forward) -> Action {
        if forward.body.is_some() && self.whole.is_none() {
            // No body came, and the SDK ends the VM where a host says so.
            return self.refuse_failed();
        }
        note(&forward.record);
        (self.lease, self.ends_with_caller) = (forward.lease, forward.ends_with_caller);
        for (name, value) in &forward.reply_headers {
            host::set_property(&format!("{ACCESS_LOG}.{name}"), value.as_bytes());
        }
        match apply(&forward.remove, &forward.set, forward.body.as_deref()) {
            Ok(()) => {
                self.stage = Stage::Forwarded;
                Action::Continue
            }
            Err(error) => {
                self.complain("change", &format!("{error:?}; answering it with 500"));
                self.refuse_failed()
            }
        }
    }

    fn obey(&mut self, verdict: Verdict, now: Time) -> Action {
        match verdict {
            Verdict::NeedBody(pending) => match self.whole {
                Some(size) => self.judge_body(pending, size),
                None => self.wait_for_body(pending, now),
            },
            Verdict::NeedAnswer(waiter) => self.ask(waiter, now),
            Verdict::Allow(forward) => self.forward(forward),
            Verdict::Deny(denial) => self.deny(&denial),
        }
    }

    fn wait_for_body(&mut self, mut pending: Pending, now: Time) -> Action {
        let Some(plugin) = self.plugin.clone() else { return self.refuse_failed() };
        if !self.is_timed {
            plugin.time_body(self.id, &self.own, now);
            self.is_timed = true;
        }
        if let Some(denial) = pending.hold(&plugin.gate, self.received, host::client_address) {
            return self.deny(&denial);
        }
        self.stage = Stage::Body(pending);
        Action::Pause
    }

    /// Whether it waits, and its body is none of those that are read to be judged.
    fn holds_body_back(&self) -> bool {
        matches!(&self.stage, Stage::Waiting(waiter) if waiter.holds_body_back())
    }

    /// A request asks a handful of questions at the most, so this comes to an end.
    fn ask(&mut self, mut waiter: Waiter, now: Time) -> Action {
        let Some(plugin) = self.plugin.clone() else { return self.refuse_failed() };
        if let Some(denial) = waiter.hold(&plugin.gate, self.received, host::client_address) {
            return self.deny(&denial);
        }
        match plugin.ask(&waiter, self.id, &self.own, now) {
            None => {
                self.stage = Stage::Waiting(waiter);
                Action::Pause
            }
            Some(completion) => self.obey(plugin.gate.resume(waiter, &completion, now), now),
        }
    }

    /// The answer that this request waits for; called on its behalf while another context's callback runs.
    pub fn on_answer(&mut self, completion: &Completion, now: Time) {
        let Some(plugin) = self.plugin.clone() else { return };
        let waiter = match std::mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Waiting(waiter) => waiter,
            other => return self.stage = other,
        };
        let action = self.obey(plugin.gate.resume(waiter, completion, now), now);
        if matches!(action, Action::Continue) && host::resume_request().is_err() {
            self.complain("send on", "the proxy did not take it; the request stays held until it times out");
        }
    }

    fn judge_head(&mut self, end_of_stream: bool) -> Result<Action, Status> {
        let Some(plugin) = self.plugin.clone() else { return Ok(self.refuse_failed()) };
        let headers = host::request_headers()?;
        let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        let now = host::now();
        let mut head = Head::new(&pairs, end_of_stream, now, memory::entropy);
        if plugin.gate.needs_client_address_of(&head) {
            head = head.with_client_address(&host::client_address());
        }
        head.request_id().clone_into(&mut self.name);
        Ok(self.obey(plugin.gate.on_headers(&head), now))
    }

    /// The head is there; it is held until the request was judged.
    fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        if !matches!(self.stage, Stage::Head) {
            return self.refuse_failed();
        }
        self.judge_head(end_of_stream).unwrap_or_else(|error| {
            self.complain("read the headers of", &format!("{error:?}; answering it with 500"));
            self.refuse_failed()
        })
    }

    /// While the body is held, `size` is the total so far, not the latest part.
    fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.received = size;
        let denial = match (&mut self.stage, &self.plugin) {
            // What is whole is judged at once.
            (Stage::Body(pending), Some(plugin)) if end_of_stream => pending.check_body_size(&plugin.gate, size),
            (Stage::Body(pending), Some(plugin)) => pending.hold(&plugin.gate, size, host::client_address),
            (Stage::Waiting(waiter), Some(plugin)) => waiter.hold(&plugin.gate, size, host::client_address),
            _ => None,
        };
        match (denial, end_of_stream) {
            (Some(denial), _) => {
                self.leave();
                self.deny(&denial)
            }
            (None, true) => self.on_whole_body(size),
            (None, false) => self.on_more_body(),
        }
    }

    /// Trailers end a body that was not marked as ended.
    fn on_request_trailers(&mut self) -> Action {
        self.on_whole_body(usize::MAX)
    }

    fn on_more_body(&mut self) -> Action {
        match self.stage {
            Stage::Body(_) | Stage::Waiting(_) | Stage::Refused => Action::Pause,
            Stage::Forwarded => Action::Continue,
            Stage::Head => self.refuse_failed(),
        }
    }

    /// `size` is what the host says it holds. It goes on holding it while a service is asked.
    fn on_whole_body(&mut self, size: usize) -> Action {
        self.whole = Some(size);
        self.end_timing();
        match std::mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Body(pending) => self.judge_body(pending, size),
            other => {
                self.stage = other;
                self.on_more_body()
            }
        }
    }

    fn judge_body(&mut self, pending: Pending, size: usize) -> Action {
        let Some(plugin) = self.plugin.clone() else { return self.refuse_failed() };
        match host::request_body(size) {
            Ok(body) => {
                let now = host::now();
                self.obey(pending.on_body(&plugin.gate, body, now), now)
            }
            Err(error) => {
                self.complain("read the body of", &format!("{error:?}; answering it with 500"));
                self.refuse_failed()
            }
        }
    }

    /// Its body takes too long; called on its behalf while the root's callback runs.
    pub fn on_slow_body(&mut self) {
        if let (Stage::Body(pending), Some(plugin)) = (&self.stage, &self.plugin) {
            let denial = pending.deny_slow_body(&plugin.gate);
            self.deny(&denial);
        }
    }

    /// Whether it waits for its body, and nothing of that came.
    pub fn is_silent(&self) -> bool {
        self.received == 0 && matches!(self.stage, Stage::Body(_))
    }

    /// Nothing of its body came for a while; called on its behalf while the root's callback runs.
    pub fn on_silence(&mut self) {
        let head_bytes = || {
            let headers = host::request_headers().unwrap_or_default();
            headers.iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        if let (Stage::Body(pending), Some(plugin)) = (&mut self.stage, &self.plugin)
            && let Some(denial) = pending.hold_silent(&plugin.gate, head_bytes, host::client_address)
        {
            self.deny(&denial);
        }
    }

    /// Its body is there, or waited for no more.
    fn end_timing(&mut self) {
        if let (true, Some(plugin)) = (std::mem::take(&mut self.is_timed), &self.plugin) {
            plugin.end_timing(self.id);
        }
    }

    /// Waits for nothing any more.
    fn leave(&self) {
        if let (Stage::Waiting(waiter), Some(plugin)) = (&self.stage, &self.plugin) {
            plugin.leave(waiter, self.id);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.leave();
        self.end_timing();
        // The store goes on when a caller hangs up who gave a link, so that upload keeps its place until the lease ends by itself.
        if let (Some(lease), Some(plugin)) = (self.lease.take(), &self.plugin)
            && (!matches!(self.stage, Stage::Forwarded) || self.ends_with_caller || host::was_answered())
        {
            plugin.gate.release_lease(&lease);
        }
    }
}

fn apply<'a>(
    remove: impl IntoIterator<Item = &'a String>,
    set: &[(&'static str, String)],
    body: Option<&[u8]>,
) -> Result<(), Status> {
    remove.into_iter().try_for_each(|name| host::remove_request_header(name))?;
    set.iter().try_for_each(|(name, value)| host::set_request_header(name, value))?;
    body.map_or(Ok(()), host::set_request_body)
}

/// Tells the proxy's access log.
fn note(record: &Record) {
    host::set_property(ACCESS_LOG, record.to_json().as_bytes());
}
