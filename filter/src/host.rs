//! The host's calls, as results.
//!
//! The SDK's own wrappers end in a trap on any status they do not list, and on header names that are not UTF-8. One such
//! trap takes down every request of a worker, so the few calls that a request needs are imported here and checked.
//! Promises: no call traps; buffers that the host allocated are owned once and freed.

use std::fmt;

use linkgate_gate::Reply;

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
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const OK: u32 = 0;
const NO_GRPC_STATUS: i32 = -1;

const REALTIME: i32 = 0;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: i32, precision: u64, nanoseconds: *mut u64) -> i32;
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// The host's clock in its simplest form: seconds since the epoch. The standard library's would trap if it failed.
pub fn now_s() -> Result<i64, HostError> {
    let mut nanoseconds: u64 = 0;
    // SAFETY: the out-pointer is live for the call.
    let status = unsafe { clock_time_get(REALTIME, 1_000_000_000, &raw mut nanoseconds) };
    check("clock_time_get", u32::try_from(status).unwrap_or(u32::MAX))?;
    i64::try_from(nanoseconds / 1_000_000_000).map_err(|_| HostError { call: "clock_time_get", status: 0 })
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
    // SAFETY: the host allocated these bytes through our exported `proxy_on_memory_allocate`, which boxes a slice of
    // exactly this size and gives up its ownership.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Writes a line to the proxy's log. A host that cannot log is no reason to fail.
pub fn log(level: Level, message: &str) {
    // SAFETY: pointer and length are of one live string.
    let _ = unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// At most `max` bytes of a buffer.
pub fn buffer(buffer: Buffer, max: usize) -> Result<Vec<u8>, HostError> {
    // SAFETY: both out-pointers are live for the call.
    owned("get_buffer_bytes", |data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, max, data, size) })
}

/// The request's headers in the ABI's own form; read them with [`parse_pairs`].
pub fn request_headers() -> Result<Vec<u8>, HostError> {
    // SAFETY: both out-pointers are live for the call.
    owned("get_header_map_pairs", |data, size| unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, data, size) })
}

/// Reads the ABI's header map: a count, then a pair of lengths for each header, then each name and value with a NUL
/// behind it; numbers are 32 bits, little endian. `None` if it is cut short.
pub fn parse_pairs(raw: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    if raw.is_empty() {
        return Some(Vec::new());
    }
    let (count, lengths) = take_u32(raw)?;
    let mut texts = lengths.get(count.checked_mul(8)?..)?;
    let mut lengths = lengths;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_len, rest) = take_u32(lengths)?;
        let (value_len, rest) = take_u32(rest)?;
        lengths = rest;
        let (name, rest) = take_text(texts, name_len)?;
        let (value, rest) = take_text(rest, value_len)?;
        texts = rest;
        pairs.push((name, value));
    }
    Some(pairs)
}

fn take_u32(raw: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = raw.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn take_text(raw: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let text = raw.get(..len)?;
    Some((text, raw.get(len.checked_add(1)?..)?))
}

/// Drops every copy of a request header.
pub fn remove_request_header(name: &str) -> Result<(), HostError> {
    // SAFETY: pointer and length are of one live string.
    let status = unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) };
    check("remove_header_map_value", status)
}

/// Sets a request header, replacing the one that is there.
pub fn set_request_header(name: &str, value: &str) -> Result<(), HostError> {
    set_header(REQUEST_HEADERS, name, value)
}

/// Sets a response header, replacing the one that is there.
pub fn set_response_header(name: &str, value: &str) -> Result<(), HostError> {
    set_header(RESPONSE_HEADERS, name, value)
}

fn set_header(map: u32, name: &str, value: &str) -> Result<(), HostError> {
    // SAFETY: pointers and lengths are of live strings.
    let status = unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    check("replace_header_map_value", status)
}

/// Answers the request here.
pub fn send_reply(reply: &Reply) -> Result<(), HostError> {
    let headers = serialize_pairs(&reply.headers);
    // SAFETY: pointers and lengths are of live buffers.
    let status = unsafe {
        proxy_send_local_response(
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

/// The reverse of [`parse_pairs`].
fn serialize_pairs(pairs: &[(&'static str, String)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut raw = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        raw.extend(number(name.len()));
        raw.extend(number(value.len()));
    }
    for (name, value) in pairs {
        raw.extend(name.bytes().chain([0]));
        raw.extend(value.bytes().chain([0]));
    }
    raw
}
