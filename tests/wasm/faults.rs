//! A host whose calls fail: the filter never traps, and a request that could not be made safe does not go on.

use crate::request::{BODY, End, Request, Seen};
use crate::vm::{ROOT, Vm};
use crate::wasi::EINVAL;
use crate::{fixture, world};

/// BadArgument, NotFound, InternalFailure, and one that the ABI does not know.
const STATUSES: [i32; 4] = [world::BAD_ARGUMENT, world::NOT_FOUND, 10, 99];
const ABI: [&str; 6] = [
    "proxy_log",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
];

/// A request with something to remove beside its credentials.
fn request() -> Request {
    Request::good().plus("cookie", "bk_token=t0ken-of-guest").plus("x-bkapi-app", "forged")
}

/// What must be when a call failed; that nothing goes on with its credentials is checked on the way.
#[track_caller]
fn assert_closed(call: &str, seen: &Seen) {
    match call {
        "proxy_log" => drop(seen.forwarded()),
        // Only the answer's own header: the request was sent on before.
        "proxy_send_local_response" => drop(seen.forwarded()),
        _ => {
            assert!(seen.stays_here(), "{call}: {:?}", seen.actions);
            assert_eq!(seen.status(), 500, "{call}");
            assert_eq!(seen.refused().details, "linkgate.INTERNAL_SERVER_ERROR");
        }
    }
}

#[test]
fn a_call_that_always_fails_ends_in_a_refusal() {
    for call in ABI {
        for status in STATUSES {
            let mut vm = Vm::configured();
            vm.world().fail(move |made| (made.name == call).then_some(status));
            assert_closed(call, &vm.send(&request()));
            assert_closed(call, &vm.send(&request().ending_with(End::Trailers)));
        }
    }
}

#[test]
fn each_single_call_may_fail_and_the_next_request_is_as_good_as_ever() {
    let mut vm = Vm::configured();
    vm.world().fail(|_| None);
    vm.send(&request()).forwarded();
    let calls = vm.world().made.clone();
    let headers_set = calls.iter().filter(|call| **call == "proxy_replace_header_map_value").count();
    assert_eq!(headers_set, 2, "the path and the token: {calls:?}");
    for (nth, call) in calls.iter().enumerate().filter(|(_, call)| ABI.contains(call)) {
        for status in STATUSES {
            vm.world().fail(move |made| (made.nth == nth).then_some(status));
            assert_closed(call, &vm.send(&request()));
        }
    }
    vm.world().fail(|_| None);
    vm.send(&request()).forwarded();
}

#[test]
fn a_host_that_does_nothing_right_gets_nothing_through() {
    for status in STATUSES {
        let mut vm = Vm::configured();
        vm.world().fail(move |made| made.name.starts_with("proxy_").then_some(status));
        for end in [End::Headers, End::Body, End::Trailers] {
            let seen = vm.send(&request().ending_with(end));
            assert!(seen.stays_here() && seen.stream.replies.is_empty());
        }
    }
}

#[test]
fn a_refusal_that_the_host_does_not_take_holds_the_request() {
    let refused = [
        request().with(":path", "/elsewhere"),
        request().without("x-bkapi-authorization"),
        request().plus("content-length", "9999"),
        request().chunks(["x".repeat(2_000).as_bytes(), BODY.as_bytes(), b""]),
        request().body("{}"),
    ];
    for status in STATUSES {
        let mut vm = Vm::configured();
        vm.world().fail(move |made| (made.name == "proxy_send_local_response").then_some(status));
        for request in &refused {
            let seen = vm.send(&request.clone().ending_with(End::Trailers));
            assert!(seen.stays_here() && seen.stream.replies.is_empty());
        }
        assert!(vm.world().log_text().contains("the host did not take the refusal"));
    }
}

#[test]
fn a_change_and_a_refusal_that_both_fail_hold_the_request() {
    for change in ["proxy_remove_header_map_value", "proxy_replace_header_map_value"] {
        let mut vm = Vm::configured();
        let fails = ["proxy_send_local_response", change];
        vm.world().fail(move |made| fails.contains(&made.name).then_some(10));
        let seen = vm.send(&request().chunks([BODY, "", ""]).ending_with(End::Trailers));
        assert!(seen.stays_here() && seen.stream.replies.is_empty());
    }
}

#[test]
fn a_configuration_that_cannot_be_had_is_refused() {
    for status in STATUSES {
        let mut vm = Vm::configured();
        vm.world().fail(move |made| (made.name == "proxy_get_buffer_bytes").then_some(status));
        assert!(!vm.configure(ROOT, fixture::policy()));
        let want = format!("the host did not hand it over: get_buffer_bytes gave status {status}");
        assert!(vm.world().log_text().contains(&want));
        vm.world().fail(|_| None);
        vm.send(&request()).forwarded();
    }
}

#[test]
fn without_randomness_a_request_is_named_by_zeros() {
    let mut vm = Vm::configured();
    for errno in [EINVAL, 6, 52, 76] {
        vm.world().fail(move |made| (made.name == "random_get").then_some(errno));
        let seen = vm.send(&request().without("x-request-id"));
        assert_eq!(seen.header("x-request-id"), "0".repeat(32));
    }
}

#[test]
fn without_randomness_a_policy_does_not_trap() {
    let mut vm = Vm::new(vec![fixture::key_variable(&fixture::key_text())]);
    vm.world().fail(|made| (made.name == "random_get").then_some(EINVAL));
    // Whether it takes is the filter's choice.
    vm.add_root(fixture::policy());
}

#[test]
fn without_a_clock_nothing_goes_on_and_nothing_traps() {
    let mut vm = Vm::configured();
    vm.world().fail(|made| (made.name == "clock_time_get").then_some(EINVAL));
    assert!(vm.send(&request()).stays_here());
}
