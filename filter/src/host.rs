//! The host's calls, through the SDK, and with bytes wherever a client, a service or a source has a say.
//!
//! Never the methods of the SDK's traits: those unwrap what the host says, and turn bytes into text. The functions of
//! `hostcalls` panic on a status that the ABI does not list for a call; only a host that breaks the ABI gives one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use linkgate_gate::{OutsideCall, Reply, Time};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType};
pub use proxy_wasm::types::{LogLevel as Level, MetricType as Metric, Status};

/// The host's clock.
pub fn now() -> Time {
    let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    Time::from_nanos(nanoseconds(now))
}

fn nanoseconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

/// Writes a line to the proxy's log.
pub fn log(level: Level, message: &str) {
    let _ = hostcalls::log(level, message);
}

/// Takes a step whose calls are about the context `id`, and goes back to `own`, whose callback runs. An error, and no
/// step, if the host no longer has it.
pub fn on_behalf_of<R>(id: u32, own: u32, step: impl FnOnce() -> R) -> Result<R, Status> {
    hostcalls::set_effective_context(id)?;
    let answer = step();
    // Only while the host deletes it, and then no call follows.
    let _ = hostcalls::set_effective_context(own);
    Ok(answer)
}

/// Has the root's `on_tick` called at this interval. A timer that runs is left to end by most hosts, so it is stopped first.
pub fn restart_ticks(interval: Duration) {
    let _ = hostcalls::set_tick_period(Duration::ZERO);
    let _ = hostcalls::set_tick_period(interval);
}

/// The request's headers.
pub fn request_headers() -> Result<Vec<(String, Bytes)>, Status> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders)
}

/// At most `max` bytes of what is held of the request's body.
pub fn request_body(max: usize) -> Result<Bytes, Status> {
    buffer(BufferType::HttpRequestBody, max)
}

/// The plugin's configuration, while its root is configured.
pub fn configuration(size: usize) -> Result<Bytes, Status> {
    buffer(BufferType::PluginConfiguration, size)
}

fn buffer(buffer: BufferType, max: usize) -> Result<Bytes, Status> {
    Ok(hostcalls::get_buffer(buffer, 0, max)?.unwrap_or_default())
}

/// Status and at most `max` bytes of the body of the answer to an outside call, while its callback runs; `None` where there
/// is no status to be read. There must be headers.
pub fn http_call_answer(max: usize) -> Result<Option<(u16, Bytes)>, Status> {
    // One header of the map, for a service may name its headers as it likes.
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status")?;
    let Some(status) = status.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()) else { return Ok(None) };
    Ok(Some((status, buffer(BufferType::HttpCallResponseBody, max)?)))
}

/// Puts another body in place of all that is held of the request's. A `content-length` is not changed with it.
pub fn set_request_body(body: &[u8]) -> Result<(), Status> {
    // Hosts replace a part only at an end, if at all; a length that no body has stands for the whole.
    hostcalls::set_buffer(BufferType::HttpRequestBody, 0, usize::MAX, body)
}

/// Drops every copy of a request header.
pub fn remove_request_header(name: &str) -> Result<(), Status> {
    hostcalls::remove_map_value(MapType::HttpRequestHeaders, name)
}

/// Sets a request header, replacing the one that is there. Not after [`resume_request`]: they are gone then.
pub fn set_request_header(name: &str, value: &str) -> Result<(), Status> {
    hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value))
}

/// Answers the request here.
pub fn send_reply(reply: &Reply) -> Result<(), Status> {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    hostcalls::send_http_response(u32::from(reply.status), headers, Some(reply.body.as_bytes()))
}

/// Sends a request on that a callback has paused.
pub fn resume_request() -> Result<(), Status> {
    hostcalls::resume_http_request()
}

/// Starts a call to another service and gives its token. To be made in a callback of the root, which is called with the
/// token when the call has ended, one way or the other: the SDK gives an answer to the context whose callback asked. A
/// timeout of 0 would be none, and is taken as 1 ms.
pub fn dispatch_http_call(call: &OutsideCall, timeout: Duration) -> Result<u32, Status> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let timeout = timeout.max(Duration::from_millis(1));
    hostcalls::dispatch_http_call(&call.cluster, headers, Some(&call.body), Vec::new(), timeout)
}

/// Registers a queue whose receiver is the root whose callback runs.
pub fn register_queue(name: &str) -> Result<u32, Status> {
    hostcalls::register_shared_queue(name)
}

/// Has the receiver of a queue called back, soon and outside of this callback.
pub fn ring(queue: u32) -> Result<(), Status> {
    hostcalls::enqueue_shared_queue(queue, Some(&[0]))
}

/// Takes everything out of a queue.
pub fn empty(queue: u32) {
    while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {}
}

/// What all VMs of this plugin share under a key, with its version for [`set_shared_data`].
pub fn get_shared_data(key: &str) -> Result<Option<(Bytes, u32)>, Status> {
    Ok(match hostcalls::get_shared_data(key)? {
        (None, None) => None,
        // An empty value has a version and no bytes.
        (value, version) => Some((value.unwrap_or_default(), version.unwrap_or_default())),
    })
}

/// Shares a value; false if the one that is there has another version than `cas`. A `cas` of 0 is none, and a key that
/// is not there takes any. Keys are never freed, so they must be few.
pub fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<bool, Status> {
    match hostcalls::set_shared_data(key, Some(value), Some(cas)) {
        Err(Status::CasMismatch) => Ok(false),
        set => set.map(|()| true),
    }
}

/// Whether a reply to the request has begun, also when all of it is over. (To be told of each reply would cost every request a
/// call.) A host that does not say counts as one that has not answered.
pub fn was_answered() -> bool {
    let code = get_property(vec!["response", "code"]);
    code.is_some_and(|code| code.iter().any(|byte| *byte != 0))
}

/// Where the request comes from, as the host writes it; empty if it does not know.
pub fn client_address() -> Bytes {
    get_property(vec!["source", "address"]).unwrap_or_default()
}

fn get_property(path: Vec<&str>) -> Option<Bytes> {
    hostcalls::get_property(path).ok().flatten()
}

/// Leaves a value with the request, for its access log. A root has no request to leave it with.
pub fn set_property(name: &str, value: &[u8]) {
    let _ = hostcalls::set_property(vec![name], Some(value));
}

/// Names a metric and gives its id. Each call makes a new one, even for the same name: once in a VM is enough.
pub fn define_metric(kind: Metric, name: &str) -> Result<u32, Status> {
    hostcalls::define_metric(kind, name)
}

/// Adds to a counter, which takes no less than 1, or to a gauge.
pub fn increment_metric(id: u32, delta: i64) -> Result<(), Status> {
    hostcalls::increment_metric(id, delta)
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    hostcalls::record_metric(id, value)
}
