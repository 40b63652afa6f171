//! One request: callbacks in, host calls out.

use std::rc::Rc;

use linkgate_gate::{Completion, Denial, Forward, Gate, Head, Lease, Pending, Record, Reply, Time, Verdict, Waiter};

use crate::abi::Action;
use crate::host::{self, Buffer, HostError, Level, pairs};
use crate::memory;
use crate::plugin::Plugin;

/// How far a request has come.
enum Stage {
    /// Nothing seen yet.
    Head,
    /// The headers are held, the body is coming.
    Body(Pending),
    /// The request is held, a service is asked.
    Waiter(Waiter),
    /// Sent on; what still comes passes.
    Forwarded,
    /// Answered here; nothing more may pass, and nothing more is answered.
    Refused,
}

/// A request on its way through the gate.
pub struct Request {
    id: u32,
    root_id: u32,
    plugin: Option<Rc<Plugin>>,
    stage: Stage,
    /// Goes onto a refusal; empty until the head was read.
    name: String,
    /// The size of the body, once all of it is held.
    whole: Option<usize>,
    lease: Option<Lease>,
}

impl Request {
    /// A request for the gate that is in force; without one it will be refused.
    pub fn new(id: u32, root_id: u32, plugin: Option<Rc<Plugin>>) -> Self {
        let (stage, name) = (Stage::Head, String::new());
        Self { id, root_id, plugin, stage, name, whole: None, lease: None }
    }

    /// The root under which it came, and to which the answers of outside calls go.
    pub fn root_id(&self) -> u32 {
        self.root_id
    }

    fn reply(&mut self, reply: &Reply) -> Action {
        self.stage = Stage::Refused;
        if host::send_reply(reply).is_err() {
            host::log(Level::Error, "the host did not take the refusal; the request stays held");
        }
        Action::Pause
    }

    /// Something of ours or the host's failed: nothing passes.
    fn refuse_failed(&mut self) -> Action {
        self.reply(&Gate::failed(&self.name))
    }

    fn refuse(&mut self, refusal: &Denial) -> Action {
        note(&refusal.record);
        self.reply(&refusal.reply)
    }

    fn forward(&mut self, forward: Forward) -> Action {
        note(&forward.record);
        self.lease = forward.lease;
        match apply(&forward.remove, &forward.set, forward.body.as_deref()) {
            Ok(()) => {
                self.stage = Stage::Forwarded;
                Action::Continue
            }
            Err(error) => {
                host::log(Level::Error, &format!("the request could not be changed: {error}"));
                self.refuse_failed()
            }
        }
    }

    fn obey(&mut self, verdict: Verdict, now: Time) -> Action {
        match verdict {
            Verdict::NeedBody(pending) => match self.whole {
                Some(size) => self.judge_body(pending, size),
                None => {
                    self.stage = Stage::Body(pending);
                    Action::Pause
                }
            },
            Verdict::NeedAnswer(waiter) => self.ask(waiter, now),
            Verdict::Allow(forward) => self.forward(forward),
            Verdict::Deny(refusal) => self.refuse(&refusal),
        }
    }

    /// A request asks a handful of questions at the most, so this comes to an end.
    fn ask(&mut self, waiter: Waiter, now: Time) -> Action {
        let Some(plugin) = self.plugin.clone() else { return self.refuse_failed() };
        match plugin.ask(&waiter, self.id, now) {
            None => {
                self.stage = Stage::Waiter(waiter);
                Action::Pause
            }
            Some(completion) => self.obey(plugin.gate.resume(waiter, &completion, now), now),
        }
    }

    /// The answer that this request waits for; called on its behalf while another context's callback runs.
    pub fn on_answer(&mut self, completion: &Completion, now: Time) {
        let Some(plugin) = self.plugin.clone() else { return };
        let waiter = match std::mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Waiter(waiter) => waiter,
            other => return self.stage = other,
        };
        let action = self.obey(plugin.gate.resume(waiter, completion, now), now);
        if matches!(action, Action::Continue) && host::continue_request().is_err() {
            host::log(Level::Error, "the host did not send the request on; it stays held");
        }
    }

    fn judge_head(&mut self, end_of_stream: bool) -> Result<Action, HostError> {
        let Some(plugin) = self.plugin.clone() else { return Ok(self.refuse_failed()) };
        let raw = host::request_headers()?;
        let pairs = pairs::parse(&raw).ok_or(HostError { call: "parse_pairs", status: 0 })?;
        let now = host::now()?;
        let mut head = Head::new(&pairs, end_of_stream, now, memory::entropy);
        if plugin.gate.needs_client_address() {
            head = head.with_client_address(&host::get_property(&["source", "address"])?.unwrap_or_default());
        }
        head.request_id().clone_into(&mut self.name);
        Ok(self.obey(plugin.gate.on_headers(&head), now))
    }

    /// The head is there; it is held until the request was judged.
    pub fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        if !matches!(self.stage, Stage::Head) {
            return self.refuse_failed();
        }
        self.judge_head(end_of_stream).unwrap_or_else(|error| {
            host::log(Level::Error, &format!("the head could not be read: {error}"));
            self.refuse_failed()
        })
    }

    /// While the body is held, `size` is the total so far, not the latest part.
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let refusal = match (&self.stage, &self.plugin) {
            (Stage::Body(pending), Some(plugin)) => pending.check_body_size(&plugin.gate, size),
            (Stage::Waiter(waiter), Some(plugin)) => waiter.check_body_size(&plugin.gate, size),
            _ => None,
        };
        match (refusal, end_of_stream) {
            (Some(refusal), _) => {
                self.leave();
                self.refuse(&refusal)
            }
            (None, true) => self.on_whole_body(size),
            (None, false) => self.on_more_body(),
        }
    }

    /// Trailers end a body that was not marked as ended.
    pub fn on_request_trailers(&mut self) -> Action {
        self.on_whole_body(usize::MAX)
    }

    fn on_more_body(&mut self) -> Action {
        match self.stage {
            Stage::Body(_) | Stage::Waiter(_) | Stage::Refused => Action::Pause,
            Stage::Forwarded => Action::Continue,
            Stage::Head => self.refuse_failed(),
        }
    }

    /// `size` is what the host says it holds. It goes on holding it while a service is asked.
    fn on_whole_body(&mut self, size: usize) -> Action {
        self.whole = Some(size);
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
        match host::buffer(Buffer::RequestBody, size).and_then(|body| Ok((body, host::now()?))) {
            Ok((body, now)) => self.obey(pending.on_body(&plugin.gate, body, now), now),
            Err(error) => {
                host::log(Level::Error, &format!("the body could not be read: {error}"));
                self.refuse_failed()
            }
        }
    }

    /// Waits for nothing any more.
    fn leave(&self) {
        if let (Stage::Waiter(waiter), Some(plugin)) = (&self.stage, &self.plugin) {
            plugin.gate.remove_waiter(waiter, self.id);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.leave();
        // The store goes on when a caller hangs up, so that upload keeps its place until the lease ends by itself.
        if let (Some(lease), Some(plugin)) = (self.lease.take(), &self.plugin)
            && (!matches!(self.stage, Stage::Forwarded) || host::was_answered())
        {
            plugin.gate.release_lease(&lease);
        }
    }
}

fn apply<'a>(
    remove: impl IntoIterator<Item = &'a String>,
    set: &[(&'static str, String)],
    body: Option<&[u8]>,
) -> Result<(), HostError> {
    remove.into_iter().try_for_each(|name| host::remove_request_header(name))?;
    set.iter().try_for_each(|(name, value)| host::set_request_header(name, value))?;
    body.map_or(Ok(()), host::set_request_body)
}

/// Tells the proxy's access log. A host that cannot hear it is no reason to fail.
fn note(record: &Record) {
    for (property, value) in record.told() {
        let _ = host::set_property(property, value.as_bytes());
    }
}
