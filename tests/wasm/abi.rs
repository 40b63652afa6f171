//! The calls of proxy-wasm 0.2.1 about a stream, and a stub with a note for each that the host does not offer.

use wasmi::{Caller, Error, Extern, ExternType, Linker, Memory, Module, Val};

use crate::outside;
use crate::request::assert_clean;
use crate::world::{self, BAD_ARGUMENT, NOT_FOUND, OK, Pairs, Reply, UNIMPLEMENTED, World};

/// A call of the filter, on its way through the host.
pub type Guest<'a> = Caller<'a, World>;

const MAP_REQUEST_HEADERS: i32 = 0;
const MAP_HTTP_CALL_RESPONSE_HEADERS: i32 = 6;
const BUFFER_REQUEST_BODY: i32 = 0;
const BUFFER_HTTP_CALL_RESPONSE_BODY: i32 = 4;
const BUFFER_PLUGIN_CONFIGURATION: i32 = 7;
const STREAM_REQUEST: i32 = 0;

/// All calls of ABI 0.2.1.
#[rustfmt::skip]
pub const CALLS: [&str; 38] = [
    "proxy_log", "proxy_get_log_level", "proxy_get_current_time_nanoseconds", "proxy_set_tick_period_milliseconds",
    "proxy_get_buffer_bytes", "proxy_set_buffer_bytes",
    "proxy_get_header_map_size", "proxy_get_header_map_pairs", "proxy_set_header_map_pairs",
    "proxy_get_header_map_value", "proxy_add_header_map_value", "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_continue_stream", "proxy_close_stream", "proxy_send_local_response",
    "proxy_http_call", "proxy_grpc_call", "proxy_grpc_stream", "proxy_grpc_send", "proxy_grpc_cancel",
    "proxy_grpc_close", "proxy_get_status",
    "proxy_get_shared_data", "proxy_set_shared_data",
    "proxy_register_shared_queue", "proxy_resolve_shared_queue", "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
    "proxy_define_metric", "proxy_increment_metric", "proxy_record_metric", "proxy_get_metric",
    "proxy_get_property", "proxy_set_property", "proxy_call_foreign_function", "proxy_done",
    "proxy_set_effective_context",
];

/// Offers everything of `env` that the module asks for.
pub fn offer(linker: &mut Linker<World>, module: &Module) {
    linker.func_wrap("env", "proxy_log", log).unwrap();
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", get_current_time).unwrap();
    linker.func_wrap("env", "proxy_get_buffer_bytes", get_buffer_bytes).unwrap();
    linker.func_wrap("env", "proxy_set_buffer_bytes", set_buffer_bytes).unwrap();
    linker.func_wrap("env", "proxy_get_header_map_pairs", get_header_map_pairs).unwrap();
    linker.func_wrap("env", "proxy_get_header_map_value", get_header_map_value).unwrap();
    linker.func_wrap("env", "proxy_remove_header_map_value", remove_header_map_value).unwrap();
    linker.func_wrap("env", "proxy_replace_header_map_value", replace_header_map_value).unwrap();
    linker.func_wrap("env", "proxy_send_local_response", send_local_response).unwrap();
    linker.func_wrap("env", "proxy_continue_stream", continue_stream).unwrap();
    outside::offer(linker);
    for import in module.imports().filter(|import| import.module() == "env") {
        let (name, ExternType::Func(ty)) = (import.name().to_owned(), import.ty().clone()) else {
            panic!("the filter imports {}, which is no function", import.name());
        };
        let stub = move |mut guest: Guest<'_>, _: &[Val], results: &mut [Val]| {
            guest.data_mut().needless.push(name.clone());
            results.fill(Val::I32(UNIMPLEMENTED));
            Ok(())
        };
        // An error says that the call is offered above.
        let _offered_already = linker.func_new("env", import.name(), ty, stub);
    }
}

/// Pointers and lengths are unsigned, and wasm does not say so.
pub fn unsigned(number: i32) -> usize {
    usize::try_from(number.cast_unsigned()).unwrap()
}

fn memory(guest: &Guest<'_>) -> Memory {
    guest.get_export("memory").and_then(Extern::into_memory).expect("the filter exports its memory")
}

/// Bytes of the guest; a pointer past the end of its memory fails the test.
pub fn read(guest: &Guest<'_>, at: i32, len: i32) -> Vec<u8> {
    let (at, len) = (unsigned(at), unsigned(len));
    let bytes = memory(guest).data(guest).get(at..at + len);
    bytes.unwrap_or_else(|| panic!("the filter points at {len} bytes from {at}, outside of its memory")).to_vec()
}

/// The same as text.
pub fn read_text(guest: &Guest<'_>, at: i32, len: i32) -> String {
    String::from_utf8(read(guest, at, len)).expect("the filter speaks UTF-8")
}

/// Writes into the guest.
pub fn write(guest: &mut Guest<'_>, at: i32, bytes: &[u8]) {
    memory(guest).write(&mut *guest, unsigned(at), bytes).expect("the filter points into its memory");
}

/// Hands bytes over in memory that the guest allocates for it.
pub fn hand_over(guest: &mut Guest<'_>, bytes: &[u8], data_at: i32, size_at: i32) -> i32 {
    let len = i32::try_from(bytes.len()).unwrap();
    let mut data = 0;
    if len > 0 {
        let allocate = guest.get_export("proxy_on_memory_allocate").and_then(Extern::into_func).unwrap();
        data = allocate.typed::<i32, i32>(&mut *guest).unwrap().call(&mut *guest, len).expect("the filter has memory");
        write(guest, data, bytes);
    }
    write(guest, data_at, &data.to_le_bytes());
    write(guest, size_at, &len.to_le_bytes());
    OK
}

fn log(mut guest: Guest<'_>, level: i32, at: i32, len: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_log") {
        return status;
    }
    let message = read_text(&guest, at, len);
    guest.data_mut().log.push((level, message));
    OK
}

fn get_current_time(mut guest: Guest<'_>, time_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_get_current_time_nanoseconds") {
        return status;
    }
    let time = guest.data().now_ns();
    write(&mut guest, time_at, &time.to_le_bytes());
    OK
}

fn get_buffer_bytes(mut guest: Guest<'_>, buffer: i32, start: i32, max: i32, data_at: i32, size_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_get_buffer_bytes") {
        return status;
    }
    let world = guest.data_mut();
    let bytes = match buffer {
        BUFFER_REQUEST_BODY => world.stream().map(|stream| stream.body.clone()),
        BUFFER_HTTP_CALL_RESPONSE_BODY => world.outside.answer.as_ref().map(|answer| answer.body.clone()),
        BUFFER_PLUGIN_CONFIGURATION => Some(world.configuration.clone()),
        _ => return BAD_ARGUMENT,
    };
    let Some(bytes) = bytes else { return NOT_FOUND };
    let rest = bytes.get(unsigned(start)..).unwrap_or_default();
    let part = &rest[..rest.len().min(unsigned(max))];
    hand_over(&mut guest, part, data_at, size_at)
}

/// As the hosts do that have least: at the start, all or nothing is replaced.
fn set_buffer_bytes(mut guest: Guest<'_>, buffer: i32, start: i32, len: i32, at: i32, size: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_set_buffer_bytes") {
        return status;
    }
    let bytes = read(&guest, at, size);
    if buffer != BUFFER_REQUEST_BODY {
        return BAD_ARGUMENT;
    }
    let Some(stream) = guest.data_mut().stream() else { return NOT_FOUND };
    match (unsigned(start), unsigned(len)) {
        (0, 0) => drop(stream.body.splice(..0, bytes)),
        (0, len) if len >= stream.body.len() => stream.body = bytes,
        (start, _) if start > 0 && start >= stream.body.len() => stream.body.extend(bytes),
        _ => return BAD_ARGUMENT,
    }
    OK
}

fn get_header_map_pairs(mut guest: Guest<'_>, map: i32, data_at: i32, size_at: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_get_header_map_pairs") {
        return status;
    }
    let world = guest.data_mut();
    let raw = match map {
        // A map that is not there is an empty one, in fewer bytes than a count.
        MAP_HTTP_CALL_RESPONSE_HEADERS => {
            world.outside.answer.as_ref().map(|answer| world::serialize(&answer.headers)).unwrap_or_default()
        }
        MAP_REQUEST_HEADERS => match world.stream() {
            None => return NOT_FOUND,
            Some(stream) if stream.resumed => Vec::new(),
            Some(stream) => stream.raw_map.clone().unwrap_or_else(|| world::serialize(&stream.request_headers)),
        },
        _ => return BAD_ARGUMENT,
    };
    hand_over(&mut guest, &raw, data_at, size_at)
}

/// The first value of a header, as Envoy gives it; a map that is not there is a mistake.
fn get_header_map_value(
    mut guest: Guest<'_>,
    map: i32,
    name_at: i32,
    name_len: i32,
    value_at: i32,
    size_at: i32,
) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_get_header_map_value") {
        return status;
    }
    let name = read(&guest, name_at, name_len);
    let world = guest.data_mut();
    let headers = match map {
        MAP_HTTP_CALL_RESPONSE_HEADERS => world.outside.answer.as_ref().map(|answer| &answer.headers),
        // A value that comes twice would be read once.
        _ => None,
    };
    let Some(headers) = headers else { return BAD_ARGUMENT };
    let value = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, value)| value.clone());
    value.map_or(NOT_FOUND, |value| hand_over(&mut guest, &value, value_at, size_at))
}

/// The headers that a change is about; a map that is not there in this phase is none.
fn headers<'a>(guest: &'a mut Guest<'_>, map: i32) -> Option<&'a mut Pairs> {
    let stream = guest.data_mut().stream()?;
    match map {
        MAP_REQUEST_HEADERS if !stream.resumed => Some(&mut stream.request_headers),
        _ => None,
    }
}

fn remove_header_map_value(mut guest: Guest<'_>, map: i32, name_at: i32, name_len: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_remove_header_map_value") {
        return status;
    }
    let name = read(&guest, name_at, name_len);
    let Some(headers) = headers(&mut guest, map) else { return BAD_ARGUMENT };
    headers.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
    OK
}

fn replace_header_map_value(
    mut guest: Guest<'_>,
    map: i32,
    name_at: i32,
    name_len: i32,
    value_at: i32,
    value_len: i32,
) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_replace_header_map_value") {
        return status;
    }
    let (name, value) = (read(&guest, name_at, name_len), read(&guest, value_at, value_len));
    let Some(headers) = headers(&mut guest, map) else { return BAD_ARGUMENT };
    headers.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
    headers.push((name, value));
    OK
}

#[allow(clippy::too_many_arguments, reason = "the ABI has them")]
fn send_local_response(
    mut guest: Guest<'_>,
    status: i32,
    details_at: i32,
    details_len: i32,
    body_at: i32,
    body_len: i32,
    headers_at: i32,
    headers_len: i32,
    grpc_status: i32,
) -> Result<i32, Error> {
    if let Some(status) = guest.data_mut().called("proxy_send_local_response") {
        return Ok(status);
    }
    let details = read_text(&guest, details_at, details_len);
    let body = read_text(&guest, body_at, body_len);
    let headers = world::deserialize(&read(&guest, headers_at, headers_len));
    let Some(stream) = guest.data_mut().stream() else { return Ok(BAD_ARGUMENT) };
    stream.replies.push(Reply { status, details, body, headers, grpc_status });
    match guest.data_mut().reenter.take() {
        Some(callback) => reenter(&mut guest, callback).map(|()| OK),
        None => Ok(OK),
    }
}

/// Makes a callback about the context whose callback runs, with ones for all that it takes besides.
fn reenter(guest: &mut Guest<'_>, callback: &str) -> Result<(), Error> {
    let function = guest.get_export(callback).and_then(Extern::into_func).expect("the filter exports it");
    let ty = function.ty(&*guest);
    let mut params = vec![Val::I32(1); ty.params().len()];
    params[0] = Val::I32(guest.data().context.cast_signed());
    let mut results = vec![Val::I32(0); ty.results().len()];
    function.call(&mut *guest, &params, &mut results)
}

/// Sends a request on. What must hold when a callback lets it go must hold here.
fn continue_stream(mut guest: Guest<'_>, kind: i32) -> i32 {
    if let Some(status) = guest.data_mut().called("proxy_continue_stream") {
        return status;
    }
    let Some(stream) = guest.data_mut().stream().filter(|_| kind == STREAM_REQUEST) else { return BAD_ARGUMENT };
    assert!(!stream.resumed, "sent on twice");
    assert_eq!(stream.replies, [], "answered, and sent on");
    assert_clean(&stream.request_headers);
    stream.resumed = true;
    OK
}
