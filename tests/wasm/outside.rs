//! What the host has beside streams: calls to other services, data and queues shared by VMs, metrics, properties and ticks.
//!
//! Promises: the corners are Envoy's. A call belongs to the root; a version does not guard a key that is not there; each
//! definition of a metric makes a new id; a root has no properties; a timer that runs is left to end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use wasmi::Linker;

use crate::abi::{Guest, hand_over, read, read_text, write};
use crate::vm::{ROOT, Vm};
use crate::world::{self, BAD_ARGUMENT, CAS_MISMATCH, EMPTY, NOT_FOUND, OK, Pairs, World};

const COUNTER: i32 = 0;
const GAUGE: i32 = 1;
const HISTOGRAM: i32 = 2;

/// A call to another service that the filter started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// To whom its end will be told.
    pub root: u32,
    pub token: u32,
    pub cluster: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub timeout_ms: i32,
}

impl HttpCall {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What came back from a call.
#[derive(Clone, Default)]
pub struct Answer {
    pub headers: Pairs,
    pub body: Vec<u8>,
}

/// Values by key, each with its version.
struct Shared {
    values: BTreeMap<String, (Vec<u8>, u32)>,
    next_cas: u32,
    /// Names of queues.
    queues: Vec<String>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { values: BTreeMap::new(), next_cas: 1, queues: Vec::new() }
    }
}

/// The state of all that.
#[derive(Default)]
pub struct Outside {
    /// Every call, in order.
    calls: Vec<HttpCall>,
    /// What came back, while the filter is told.
    pub answer: Option<Answer>,
    shared: Rc<RefCell<Shared>>,
    /// Kind and name, by id.
    metrics: Vec<(i32, String)>,
    /// What was recorded, by name: the sum of a counter, the state of a gauge, the values of a histogram.
    recorded: BTreeMap<String, Vec<i64>>,
    /// What the host itself knows of every request, by path.
    properties: BTreeMap<String, Vec<u8>>,
    /// By root.
    ticks: BTreeMap<u32, Ticks>,
    /// Receivers of this VM's queues, by queue.
    receivers: BTreeMap<u32, u32>,
    /// Entries that were queued and not taken, by queue.
    queued: BTreeMap<u32, Vec<Vec<u8>>>,
    /// Queues whose receivers are to be told, once no callback runs.
    rung: Vec<u32>,
    /// Receivers are not told.
    pub deaf: bool,
}

/// The timer of a root, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Ticks {
    /// What it is set to; 0 for none.
    period: i32,
    /// When it ends next. One that runs is left to end, whatever it is set to meanwhile.
    next: i32,
}

impl Outside {
    /// That of another VM.
    pub fn beside(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), properties: self.properties.clone(), ..Self::default() }
    }

    /// A root that is gone has no ticks.
    pub fn forget(&mut self, context: u32) {
        self.ticks.remove(&context);
    }
}

impl World {
    /// Every call to another service so far.
    pub fn calls(&self) -> &[HttpCall] {
        &self.outside.calls
    }

    /// Whether a request was sent on outside of its callbacks.
    pub fn resumed(&self, context: u32) -> bool {
        self.streams.get(&context).is_some_and(|stream| stream.resumed)
    }

    /// A counter's sum.
    pub fn counter(&self, name: &str) -> i64 {
        self.recorded(name).iter().sum()
    }

    /// A gauge's state.
    pub fn gauge(&self, name: &str) -> i64 {
        self.recorded(name).last().copied().unwrap_or_default()
    }

    /// What was recorded of a metric.
    pub fn recorded(&self, name: &str) -> &[i64] {
        self.outside.recorded.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// How often a metric of that name was defined.
    pub fn defined(&self, name: &str) -> usize {
        self.outside.metrics.iter().filter(|(_, n)| n == name).count()
    }

    /// Lets the host know something about every request.
    pub fn set_property(&mut self, path: &[&str], value: impl Into<Vec<u8>>) {
        self.outside.properties.insert(path.join("\0"), value.into());
    }

    /// Takes that back.
    pub fn unset_property(&mut self, path: &[&str]) {
        self.outside.properties.remove(&path.join("\0"));
    }

    /// What the VMs share under a key, with its version.
    pub fn shared(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.outside.shared.borrow().values.get(key).cloned()
    }

    /// How many keys the VMs share.
    pub fn shared_keys(&self) -> usize {
        self.outside.shared.borrow().values.len()
    }

    /// Shares a value, as another VM would.
    pub fn share(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        share(&mut self.outside.shared.borrow_mut(), key.to_owned(), value.into(), 0);
    }

    /// How often a root is to be called.
    pub fn tick_ms(&self, root: u32) -> Option<i32> {
        self.outside.ticks.get(&root).map(|ticks| ticks.period)
    }

    /// When a root is called next.
    pub fn next_tick_ms(&self, root: u32) -> Option<i32> {
        self.outside.ticks.get(&root).map(|ticks| ticks.next)
    }

    /// How many entries wait in queues.
    pub fn queued(&self) -> usize {
        self.outside.queued.values().map(Vec::len).sum()
    }
}

impl Vm {
    /// A call has ended with this.
    pub fn answer_call(&mut self, token: u32, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let headers = headers.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        self.end_call(token, Some(Answer { headers, body: body.as_ref().to_vec() }));
    }

    /// A call has ended with nothing.
    pub fn fail_call(&mut self, token: u32) {
        self.end_call(token, None);
    }

    /// Tells the root about the end of a call, also of one that was not made or has ended before.
    fn end_call(&mut self, token: u32, answer: Option<Answer>) {
        let root = self.world().calls().iter().find(|call| call.token == token).map_or(ROOT, |call| call.root);
        let size = |n: usize| u32::try_from(n).unwrap();
        let (headers, body) = answer.as_ref().map_or((0, 0), |a| (size(a.headers.len()), size(a.body.len())));
        self.world().outside.answer = answer;
        self.enter(root);
        let params = (root, token, headers, body, 0_u32);
        self.call::<(u32, u32, u32, u32, u32), ()>("proxy_on_http_call_response", params);
        self.world().outside.answer = None;
        self.tell_receivers();
    }

    /// The time of a root has come.
    pub fn tick(&mut self, root: u32) {
        if let Some(ticks) = self.world().outside.ticks.get_mut(&root) {
            ticks.next = ticks.period;
        }
        self.enter(root);
        self.call::<u32, ()>("proxy_on_tick", root);
        self.tell_receivers();
    }

    /// No callback runs: the receivers of what was queued are told, once for each entry. Those that are gone are not.
    pub fn tell_receivers(&mut self) {
        for queue in std::mem::take(&mut self.world().outside.rung) {
            let receiver = self.world().outside.receivers.get(&queue).copied();
            let receiver = receiver.filter(|receiver| self.world().contexts.contains_key(receiver));
            if let (Some(receiver), false) = (receiver, self.world().outside.deaf) {
                self.enter(receiver);
                self.call::<(u32, u32), ()>("proxy_on_queue_ready", (receiver, queue));
            }
        }
    }
}

/// Offers the calls about all that.
pub fn offer(linker: &mut Linker<World>) {
    linker.func_wrap("env", "proxy_set_effective_context", set_effective_context).unwrap();
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", set_tick_period).unwrap();
    linker.func_wrap("env", "proxy_http_call", http_call).unwrap();
    linker.func_wrap("env", "proxy_get_shared_data", get_shared_data).unwrap();
    linker.func_wrap("env", "proxy_set_shared_data", set_shared_data).unwrap();
    linker.func_wrap("env", "proxy_register_shared_queue", register_queue).unwrap();
    linker.func_wrap("env", "proxy_enqueue_shared_queue", enqueue).unwrap();
    linker.func_wrap("env", "proxy_dequeue_shared_queue", dequeue).unwrap();
    linker.func_wrap("env", "proxy_define_metric", define_metric).unwrap();
    linker.func_wrap("env", "proxy_increment_metric", increment_metric).unwrap();
    linker.func_wrap("env", "proxy_record_metric", record_metric).unwrap();
    linker.func_wrap("env", "proxy_get_property", get_property).unwrap();
    linker.func_wrap("env", "proxy_set_property", set_property).unwrap();
}

fn set_effective_context(mut guest: Guest<'_>, context: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_set_effective_context") {
        return status;
    }
    let (world, context) = (guest.data_mut(), context.cast_unsigned());
    if !world.contexts.contains_key(&context) {
        return BAD_ARGUMENT;
    }
    world.effective = Some(context);
    OK
}

fn set_tick_period(mut guest: Guest<'_>, ms: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_set_tick_period_milliseconds") {
        return status;
    }
    let world = guest.data_mut();
    let root = world.root();
    let ticks = world.outside.ticks.entry(root).or_default();
    if ticks.period == 0 {
        ticks.next = ms;
    }
    ticks.period = ms;
    OK
}

/// As Envoy does it: one queue for each name, and its receiver is whoever registered it last.
fn register_queue(mut guest: Guest<'_>, at: i32, len: i32, queue_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_register_shared_queue") {
        return status;
    }
    let name = read_text(&guest, at, len);
    let world = guest.data_mut();
    let root = world.root();
    let queue = {
        let mut shared = world.outside.shared.borrow_mut();
        let known = shared.queues.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            shared.queues.push(name);
            shared.queues.len() - 1
        })
    };
    let queue = u32::try_from(queue + 1).unwrap();
    world.outside.receivers.insert(queue, root);
    write(&mut guest, queue_at, &queue.to_le_bytes());
    OK
}

fn enqueue(mut guest: Guest<'_>, queue: i32, at: i32, len: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_enqueue_shared_queue") {
        return status;
    }
    let (queue, entry) = (queue.cast_unsigned(), read(&guest, at, len));
    let outside = &mut guest.data_mut().outside;
    if !outside.receivers.contains_key(&queue) {
        return NOT_FOUND;
    }
    outside.queued.entry(queue).or_default().push(entry);
    outside.rung.push(queue);
    OK
}

fn dequeue(mut guest: Guest<'_>, queue: i32, data_at: i32, size_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_dequeue_shared_queue") {
        return status;
    }
    let queue = queue.cast_unsigned();
    let outside = &mut guest.data_mut().outside;
    if !outside.receivers.contains_key(&queue) {
        return NOT_FOUND;
    }
    match outside.queued.get_mut(&queue).filter(|entries| !entries.is_empty()).map(|entries| entries.remove(0)) {
        Some(entry) => hand_over(&mut guest, &entry, data_at, size_at),
        None => EMPTY,
    }
}

#[allow(clippy::too_many_arguments, reason = "the ABI has them")]
fn http_call(
    mut guest: Guest<'_>,
    cluster_at: i32,
    cluster_len: i32,
    headers_at: i32,
    headers_len: i32,
    body_at: i32,
    body_len: i32,
    trailers_at: i32,
    trailers_len: i32,
    timeout_ms: i32,
    token_at: i32,
) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_http_call") {
        return status;
    }
    let cluster = read_text(&guest, cluster_at, cluster_len);
    let headers = world::deserialize(&read(&guest, headers_at, headers_len));
    let body = read(&guest, body_at, body_len);
    assert_eq!(world::deserialize(&read(&guest, trailers_at, trailers_len)), [], "no call has trailers");
    assert_ne!(timeout_ms, 0, "a call without a timeout");
    let needed = [":method", ":path", ":authority"];
    if timeout_ms < 0 || !needed.iter().all(|name| headers.iter().any(|(n, _)| n == name)) {
        return BAD_ARGUMENT;
    }
    let world = guest.data_mut();
    let token = u32::try_from(world.calls().len() + 1).unwrap();
    let call = HttpCall { root: world.root(), token, cluster, headers, body, timeout_ms };
    world.outside.calls.push(call);
    write(&mut guest, token_at, &token.to_le_bytes());
    OK
}

fn get_shared_data(mut guest: Guest<'_>, at: i32, len: i32, data_at: i32, size_at: i32, cas_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_get_shared_data") {
        return status;
    }
    let key = read_text(&guest, at, len);
    let Some((value, cas)) = guest.data().shared(&key) else { return NOT_FOUND };
    write(&mut guest, cas_at, &cas.to_le_bytes());
    hand_over(&mut guest, &value, data_at, size_at)
}

fn set_shared_data(mut guest: Guest<'_>, at: i32, len: i32, value_at: i32, value_len: i32, cas: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_set_shared_data") {
        return status;
    }
    let (key, value) = (read_text(&guest, at, len), read(&guest, value_at, value_len));
    share(&mut guest.data().outside.shared.borrow_mut(), key, value, cas.cast_unsigned())
}

fn share(shared: &mut Shared, key: String, value: Vec<u8>, cas: u32) -> i32 {
    if shared.values.get(&key).is_some_and(|(_, now)| cas != 0 && cas != *now) {
        return CAS_MISMATCH;
    }
    shared.values.insert(key, (value, shared.next_cas));
    shared.next_cas += 1;
    OK
}

fn define_metric(mut guest: Guest<'_>, kind: i32, at: i32, len: i32, id_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_define_metric") {
        return status;
    }
    let name = read_text(&guest, at, len);
    if ![COUNTER, GAUGE, HISTOGRAM].contains(&kind) {
        return BAD_ARGUMENT;
    }
    let metrics = &mut guest.data_mut().outside.metrics;
    metrics.push((kind, name));
    let id = u32::try_from(metrics.len()).unwrap();
    write(&mut guest, id_at, &id.to_le_bytes());
    OK
}

/// Kind and values of a metric.
fn metric<'a>(guest: &'a mut Guest<'_>, id: i32) -> Option<(i32, &'a mut Vec<i64>)> {
    let outside = &mut guest.data_mut().outside;
    let (kind, name) = outside.metrics.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
    Some((*kind, outside.recorded.entry(name.clone()).or_default()))
}

fn increment_metric(mut guest: Guest<'_>, id: i32, delta: i64) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_increment_metric") {
        return status;
    }
    match metric(&mut guest, id) {
        None => return NOT_FOUND,
        Some((COUNTER, values)) if delta > 0 => values.push(delta),
        Some((GAUGE, values)) => values.push(values.last().copied().unwrap_or_default() + delta),
        Some(_) => return BAD_ARGUMENT,
    }
    OK
}

fn record_metric(mut guest: Guest<'_>, id: i32, value: i64) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_record_metric") {
        return status;
    }
    match metric(&mut guest, id) {
        None => NOT_FOUND,
        Some((_, values)) => {
            values.push(value);
            OK
        }
    }
}

fn get_property(mut guest: Guest<'_>, at: i32, len: i32, data_at: i32, size_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_get_property") {
        return status;
    }
    let path = read_text(&guest, at, len);
    let world = guest.data_mut();
    let known = world.outside.properties.get(&path).cloned();
    let Some(stream) = world.stream() else { return NOT_FOUND };
    let Some(value) = stream.properties.get(&path).cloned().or(known) else { return NOT_FOUND };
    hand_over(&mut guest, &value, data_at, size_at)
}

fn set_property(mut guest: Guest<'_>, at: i32, len: i32, value_at: i32, value_len: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_set_property") {
        return status;
    }
    let (path, value) = (read_text(&guest, at, len), read(&guest, value_at, value_len));
    let Some(stream) = guest.data_mut().stream() else { return NOT_FOUND };
    stream.properties.insert(path, value);
    OK
}
