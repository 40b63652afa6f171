//! The host's calls, as results.
//!
//! Any status may come back from any call, and a trap takes down every request of a worker, so each status is checked
//! and handed on. Promises: no call traps; buffers that the host allocated are owned once and freed.

pub mod pairs;
mod sys;

use std::fmt;

use linkgate_gate::{Reply, Time};

/// A host call that did not succeed.
#[derive(Debug)]
pub struct HostError {
    /// Which.
    pub call: &'static str,
    /// The host's status.
    pub status: u32,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gave status {}", self.call, self.status)
    }
}

/// Log levels of the ABI.
#[derive(Clone, Copy)]
pub enum Level {
    /// For operators, when all is well.
    Info = 2,
    /// A refusal or failure that an operator should see.
    Error = 4,
    /// A trap.
    Critical = 5,
}

/// Buffers of the ABI.
#[derive(Clone, Copy)]
pub enum Buffer {
    /// The request's body, as far as it is held.
    RequestBody = 0,
    /// The body of the answer to an outside call, while its callback runs.
    HttpCallResponseBody = 4,
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

/// Kinds of metrics of the ABI.
#[derive(Clone, Copy)]
pub enum Metric {
    /// Only grows.
    Counter = 0,
    /// Goes up and down; one for all workers.
    Gauge = 1,
    /// A distribution of values.
    Histogram = 2,
}

const REQUEST_HEADERS: u32 = 0;
const HTTP_CALL_RESPONSE_HEADERS: u32 = 6;
const REQUEST_STREAM: u32 = 0;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

const NO_GRPC_STATUS: i32 = -1;
const REALTIME: i32 = 0;

/// The host's clock. The standard library's would trap if it failed.
pub fn now() -> Result<Time, HostError> {
    let mut nanoseconds = 0;
    // SAFETY: the out-pointer is live for the call.
    let status = unsafe { sys::clock_time_get(REALTIME, 1, &raw mut nanoseconds) };
    check("clock_time_get", u32::try_from(status).unwrap_or(u32::MAX))?;
    Ok(Time::from_nanos(nanoseconds))
}

fn check(call: &'static str, status: u32) -> Result<(), HostError> {
    if status == OK { Ok(()) } else { Err(HostError { call, status }) }
}

/// Runs a call that hands over a buffer, and owns what it gave.
fn owned(call: &'static str, run: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, HostError> {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    check(call, run(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host allocated these bytes through our exported `proxy_on_memory_allocate`, which allocates exactly
    // this size and gives up its ownership.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// What is not there is no failure.
fn if_found<T>(result: Result<T, HostError>) -> Result<Option<T>, HostError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(HostError { status: NOT_FOUND, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a line to the proxy's log. A host that cannot log is no reason to fail.
pub fn log(level: Level, message: &str) {
    // SAFETY: pointer and length are of one live string.
    let _ = unsafe { sys::proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Makes the calls that follow in this callback be about another context. An error if the host no longer has it.
pub fn set_effective_context(id: u32) -> Result<(), HostError> {
    // SAFETY: only a number crosses.
    check("set_effective_context", unsafe { sys::proxy_set_effective_context(id) })
}

/// Takes a step whose calls are about the context `id`, and goes back to `own`, whose callback runs. An error, and no
/// step, if the host no longer has it.
pub fn on_behalf_of<R>(id: u32, own: u32, step: impl FnOnce() -> R) -> Result<R, HostError> {
    set_effective_context(id)?;
    let answer = step();
    if let Err(error) = set_effective_context(own) {
        log(Level::Error, &format!("the host did not go back to the context whose callback runs: {error}"));
    }
    Ok(answer)
}

/// Has the root's `on_tick` called at this interval; 0 ends it.
pub fn set_tick_period(ms: u32) -> Result<(), HostError> {
    // SAFETY: only a number crosses.
    check("set_tick_period", unsafe { sys::proxy_set_tick_period_milliseconds(ms) })
}

/// At most `max` bytes of a buffer.
pub fn buffer(buffer: Buffer, max: usize) -> Result<Vec<u8>, HostError> {
    // SAFETY: both out-pointers are live for the call.
    owned("get_buffer_bytes", |data, size| unsafe { sys::proxy_get_buffer_bytes(buffer as u32, 0, max, data, size) })
}

/// Puts another body in place of all that is held of the request's. A `content-length` is not changed with it.
pub fn set_request_body(body: &[u8]) -> Result<(), HostError> {
    // Hosts replace a part only at an end, if at all; a length that no body has stands for the whole.
    // SAFETY: pointer and length are of one live slice.
    let status =
        unsafe { sys::proxy_set_buffer_bytes(Buffer::RequestBody as u32, 0, usize::MAX, body.as_ptr(), body.len()) };
    check("set_buffer_bytes", status)
}

/// The request's headers in the ABI's own form; read them with [`pairs::parse`].
pub fn request_headers() -> Result<Vec<u8>, HostError> {
    header_map(REQUEST_HEADERS)
}

/// The same of the answer to an outside call, while its callback runs. There are none if no answer came.
pub fn http_call_response_headers() -> Result<Vec<u8>, HostError> {
    header_map(HTTP_CALL_RESPONSE_HEADERS)
}

fn header_map(map: u32) -> Result<Vec<u8>, HostError> {
    // SAFETY: both out-pointers are live for the call.
    owned("get_header_map_pairs", |data, size| unsafe { sys::proxy_get_header_map_pairs(map, data, size) })
}

/// Drops every copy of a request header.
pub fn remove_request_header(name: &str) -> Result<(), HostError> {
    // SAFETY: pointer and length are of one live string.
    let status = unsafe { sys::proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) };
    check("remove_header_map_value", status)
}

/// Sets a request header, replacing the one that is there. Not after [`continue_request`]: they are gone then.
pub fn set_request_header(name: &str, value: &str) -> Result<(), HostError> {
    let (name_at, value_at) = (name.as_ptr(), value.as_ptr());
    // SAFETY: pointers and lengths are of live strings.
    let status =
        unsafe { sys::proxy_replace_header_map_value(REQUEST_HEADERS, name_at, name.len(), value_at, value.len()) };
    check("replace_header_map_value", status)
}

/// Answers the request here.
pub fn send_reply(reply: &Reply) -> Result<(), HostError> {
    let headers = pairs::serialize(&reply.headers);
    // SAFETY: pointers and lengths are of live buffers.
    let status = unsafe {
        sys::proxy_send_local_response(
            u32::from(reply.status),
            reply.details.as_ptr(),
            reply.details.len(),
            reply.body.as_ptr(),
            reply.body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    };
    check("send_local_response", status)
}

/// Sends a request on that a callback has paused.
pub fn continue_request() -> Result<(), HostError> {
    // SAFETY: only a number crosses.
    check("continue_stream", unsafe { sys::proxy_continue_stream(REQUEST_STREAM) })
}

/// Starts a call to another service and gives its token; the root is called with it when the call has ended, one way or
/// the other. The headers need `:method`, `:path` and `:authority`. A timeout of 0 would be none, and is taken as 1.
pub fn http_call(cluster: &str, headers: &[(&str, &str)], body: &[u8], timeout_ms: u32) -> Result<u32, HostError> {
    let headers = pairs::serialize(headers);
    let trailers = pairs::serialize::<&str, &str>(&[]);
    let mut token = 0;
    // SAFETY: pointers and lengths are of live buffers, and the out-pointer is live for the call.
    let status = unsafe {
        sys::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout_ms.max(1),
            &raw mut token,
        )
    };
    check("http_call", status)?;
    Ok(token)
}

/// What all VMs of this plugin share under a key, with its version for [`set_shared_data`].
pub fn get_shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, HostError> {
    let mut cas = 0;
    // SAFETY: pointer and length are of one live string, and the out-pointers are live for the call.
    let value = owned("get_shared_data", |data, size| unsafe {
        sys::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas)
    });
    Ok(if_found(value)?.map(|value| (value, cas)))
}

/// Shares a value; false if the one that is there has another version than `cas`. A `cas` of 0 is none, and a key that
/// is not there takes any. Keys are never freed, so they must be few.
pub fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<bool, HostError> {
    // SAFETY: pointers and lengths are of live buffers.
    let status = unsafe { sys::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
    if status == CAS_MISMATCH {
        return Ok(false);
    }
    check("set_shared_data", status).map(|()| true)
}

/// Names a metric and gives its id. Each call makes a new one, even for the same name: once in a VM is enough.
pub fn define_metric(kind: Metric, name: &str) -> Result<u32, HostError> {
    let mut id = 0;
    // SAFETY: pointer and length are of one live string, and the out-pointer is live for the call.
    let status = unsafe { sys::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    check("define_metric", status)?;
    Ok(id)
}

/// Adds to a counter, which takes no less than 1, or to a gauge.
pub fn increment_metric(id: u32, delta: i64) -> Result<(), HostError> {
    // SAFETY: only numbers cross.
    check("increment_metric", unsafe { sys::proxy_increment_metric(id, delta) })
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record_metric(id: u32, value: u64) -> Result<(), HostError> {
    // SAFETY: only numbers cross.
    check("record_metric", unsafe { sys::proxy_record_metric(id, value) })
}

/// What the host knows of the request under this path.
pub fn get_property(path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
    let path = path.join("\0");
    // SAFETY: pointer and length are of one live string, and the out-pointers are live for the call.
    if_found(owned("get_property", |data, size| unsafe {
        sys::proxy_get_property(path.as_ptr(), path.len(), data, size)
    }))
}

/// Whether a reply to the request has begun, also when all of it is over. (To be told of each reply would cost every request a
/// call.) A host that does not say counts as one that has not answered.
pub fn was_answered() -> bool {
    get_property(&["response", "code"]).is_ok_and(|code| code.is_some_and(|code| code.iter().any(|byte| *byte != 0)))
}

/// Leaves a value with the request, for its access log. A root has no request to leave it with.
pub fn set_property(path: &str, value: &[u8]) -> Result<(), HostError> {
    // SAFETY: pointers and lengths are of live buffers.
    check("set_property", unsafe { sys::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}
