//! A good request: held to its end, then sent on with the gate's word in place of the caller's.

use crate::fixture::{self, NOW_S, claims, read_token};
use crate::request::{BODY, CANONICAL, CREDENTIALS, End, PATH, Request, texts};
use crate::vm::{Action, ROOT, Vm};
use crate::{abi, vm};

/// Everything that a caller may not send to the store.
fn with_what_must_go() -> Request {
    Request::good()
        .plus("Authorization", "Basic czNjcmV0")
        .plus("cookie", "bk_token=t0ken-of-guest")
        .plus("cookie", "bk_ticket=t1cket-of-admin")
        .plus("proxy-authorization", "Basic czNjcmV0")
        .plus("X-Bkapi-JWT", "forged")
        .plus("x_bkapi_jwt", "forged")
        .plus("x-bkapi-request-id", "forged")
        .plus("X_BKAPI-App", "forged")
        .plus("accept", "*/*")
}

#[test]
fn a_good_request_is_held_to_its_end_and_sent_on_with_exactly_these_headers() {
    let mut vm = Vm::configured();
    let request = with_what_must_go();
    let context = vm.open(&request);
    assert_eq!(vm.head(context, false), Action::Pause);
    for chunk in BODY.as_bytes().chunks(10) {
        assert_eq!(vm.chunk(context, chunk, false), Action::Pause);
        assert_eq!(vm.stream(context).request_headers, *request.headers(), "nothing is changed before the verdict");
    }
    assert_eq!(vm.chunk(context, b"", true), Action::Continue);
    let stream = vm.close(context);
    let mut headers = texts(&stream.request_headers);
    let token = headers.iter().position(|(name, _)| *name == "x-bkapi-jwt").unwrap();
    let (_, token) = headers.remove(token);
    assert_eq!(read_token(token), claims("apigw-api-test", "admin", NOW_S));
    headers.sort_unstable();
    let mut want = vec![
        (":method", "POST"),
        (":path", CANONICAL),
        (":authority", "gateway"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("x-bkapi-request-id", "id-1"),
        ("x-request-id", "id-1"),
    ];
    want.sort_unstable();
    assert_eq!(headers, want);
    assert_eq!(stream.body, BODY.as_bytes(), "the body is not touched");
}

#[test]
fn a_body_is_the_same_in_any_number_of_parts_and_with_any_end() {
    let mut vm = Vm::configured();
    for size in [1, 7, BODY.len()] {
        for end in [End::Body, End::Trailers] {
            let seen = vm.send(&Request::good().chunks(BODY.as_bytes().chunks(size)).ending_with(end));
            assert_eq!(seen.header(":path"), CANONICAL, "in parts of {size}, {end:?}");
            let held = seen.actions.len() - 1;
            assert_eq!(seen.actions[..held], vec![Action::Pause; held]);
        }
    }
}

#[test]
fn the_query_of_a_target_does_not_go_on() {
    let target = format!("{PATH}?bk_app_secret=s3cret-of-app");
    assert_eq!(Vm::configured().send(&Request::good().with(":path", target)).header(":path"), CANONICAL);
}

#[test]
fn what_follows_a_request_that_was_sent_on_passes() {
    let mut vm = Vm::configured();
    let context = vm.open(&Request::good());
    vm.head(context, false);
    assert_eq!(vm.chunk(context, BODY.as_bytes(), true), Action::Continue);
    let sent = vm.stream(context).request_headers.clone();
    assert_eq!(vm.chunk(context, b"", true), Action::Continue);
    assert_eq!(vm.trailers(context), Action::Continue);
    assert_eq!(vm.close(context).request_headers, sent);
}

#[test]
fn a_request_without_an_id_gets_a_fresh_one() {
    let mut vm = Vm::configured();
    let mut fresh = |request: &Request| {
        let seen = vm.send(request);
        let id = seen.header("x-request-id").to_owned();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        id
    };
    let unnamed = Request::good().without("x-request-id");
    let (first, second) = (fresh(&unnamed), fresh(&unnamed));
    assert_ne!(first, second);
    assert_ne!(fresh(&unnamed.plus("x-request-id", b"a\r\nb: c")), second);
}

#[test]
fn the_users_login_says_who_calls() {
    let guest = CREDENTIALS.replace("\"bk_ticket\": \"t1cket-of-admin\"", "\"bk_token\": \"t0ken-of-guest\"");
    let seen = Vm::configured().send(&Request::good().with("x-bkapi-authorization", guest));
    assert_eq!(read_token(seen.header("x-bkapi-jwt")), claims("apigw-api-test", "guest", NOW_S));
}

#[test]
fn a_token_is_made_anew_by_the_hosts_clock() {
    let mut vm = Vm::configured();
    let mut at = |now_s: u64| {
        vm.world().now_s = now_s;
        read_token(vm.send(&Request::good()).header("x-bkapi-jwt"))
    };
    assert_eq!(at(NOW_S), claims("apigw-api-test", "admin", NOW_S));
    assert_eq!(at(NOW_S + 599), claims("apigw-api-test", "admin", NOW_S));
    assert_eq!(at(NOW_S + 600), claims("apigw-api-test", "admin", NOW_S + 600));
}

#[test]
fn a_clock_at_either_end_of_its_range_does_no_harm() {
    let mut vm = Vm::configured();
    let last_s = u64::MAX / 1_000_000_000;
    for now_s in [0, last_s, 0] {
        vm.world().now_s = now_s;
        let (header, _) = read_token(vm.send(&Request::good()).header("x-bkapi-jwt"));
        assert_eq!(header["iat"], now_s);
    }
}

#[test]
fn a_request_needs_nine_calls_of_the_abi_and_one_of_wasi() {
    let mut vm = Vm::configured();
    vm.world().fail(|_| None);
    vm.send(&Request::good().without("x-request-id"));
    vm.send(&Request::good().body("not JSON"));
    assert!(vm.configure(ROOT, fixture::policy()));
    let mut calls = std::mem::take(&mut vm.world().made);
    calls.sort_unstable();
    calls.dedup();
    let abi = [
        "proxy_get_buffer_bytes",
        "proxy_get_current_time_nanoseconds",
        "proxy_get_header_map_pairs",
        "proxy_log",
        "proxy_remove_header_map_value",
        "proxy_replace_header_map_value",
        "proxy_send_local_response",
        "proxy_set_property",
        "proxy_set_tick_period_milliseconds",
        "random_get",
    ];
    assert_eq!(calls, abi);
}

#[test]
fn the_filter_says_that_it_speaks_abi_0_2_1_and_no_other() {
    let exports = vm::exports();
    let versions: Vec<_> = exports.iter().filter(|name| name.starts_with("proxy_abi_version_")).collect();
    assert_eq!(versions, [&"proxy_abi_version_0_2_1"]);
    // A host takes a module with a `_start` for a command, and runs it once.
    assert!(exports.contains(&"_initialize") && !exports.contains(&"_start"));
}

#[test]
fn the_filter_imports_nothing_that_the_abi_does_not_have() {
    let unknown: Vec<_> = vm::imports("env").into_iter().filter(|name| !abi::CALLS.contains(name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}
