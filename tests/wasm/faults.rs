//! A host whose calls fail, as the ABI does not have it: that may end the VM, a request that could not be made safe does not
//! go on by it, and the next one is served by a new VM.

use crate::fixture;
use crate::request::{BODY, End, Request, Seen};
use crate::vm::{ROOT, Vm};
use crate::wasi::EINVAL;
use crate::world;

/// BadArgument, NotFound, InternalFailure. (One that the ABI does not know is no value of the SDK's type.)
const STATUSES: [i32; 3] = [world::BAD_ARGUMENT, world::NOT_FOUND, 10];
const ABI: [&str; 8] = [
    "proxy_log",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_property",
];

/// A request with something to remove beside its credentials.
fn request() -> Request {
    Request::good().plus("cookie", "bk_token=t0ken-of-guest").plus("x-bkapi-app", "forged")
}

impl Vm {
    /// Sends a request to a host that fails, as far as the VM lives; that nothing goes on with its credentials is checked on
    /// the way.
    #[track_caller]
    fn send_failing(&mut self, request: &Request) -> Option<Seen> {
        self.until_trap(|vm| vm.send(request))
    }
}

/// What must be when a call failed.
#[track_caller]
fn assert_closed(call: &str, seen: Option<&Seen>) {
    match (call, seen) {
        // Not called for a good request.
        ("proxy_log" | "proxy_send_local_response", Some(seen)) => drop(seen.forwarded()),
        (_, Some(seen)) => assert!(seen.stays_here(), "{call}: {:?}", seen.actions),
        // The VM has ended, and Envoy ends its requests.
        (_, None) => {}
    }
}

#[test]
fn a_call_that_always_fails_lets_nothing_go_on() {
    for call in ABI {
        for status in STATUSES {
            for end in [End::Body, End::Trailers] {
                let mut vm = Vm::configured();
                vm.world().fail(move |made| (made.name == call).then_some(status));
                let seen = vm.send_failing(&request().ending_with(end));
                assert_closed(call, seen.as_ref());
                vm.assert_next_is_served();
            }
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
    assert_eq!(headers_set, 3, "the path, the token and the id: {calls:?}");
    for (nth, call) in calls.iter().enumerate().filter(|(_, call)| ABI.contains(call)) {
        for status in STATUSES {
            let mut vm = Vm::configured();
            vm.world().fail(move |made| (made.nth == nth).then_some(status));
            let seen = vm.send_failing(&request());
            assert_closed(call, seen.as_ref());
            vm.assert_next_is_served();
        }
    }
}

#[test]
fn a_host_that_does_nothing_right_gets_nothing_through() {
    for status in STATUSES {
        for end in [End::Headers, End::Body, End::Trailers] {
            let mut vm = Vm::configured();
            vm.world().fail(move |made| made.name.starts_with("proxy_").then_some(status));
            let seen = vm.send_failing(&request().ending_with(end));
            assert!(seen.is_none_or(|seen| seen.stays_here() && seen.stream.replies.is_empty()));
        }
    }
}

#[test]
fn a_refusal_that_the_host_does_not_take_lets_nothing_go_on() {
    let refused = [
        request().with(":path", "/elsewhere"),
        request().without("x-bkapi-authorization"),
        request().plus("content-length", "9999"),
        request().chunks(["x".repeat(2_000).as_bytes(), BODY.as_bytes(), b""]),
        request().body("{}"),
    ];
    for status in STATUSES {
        for request in &refused {
            let mut vm = Vm::configured();
            vm.world().fail(move |made| (made.name == "proxy_send_local_response").then_some(status));
            let seen = vm.send_failing(&request.clone().ending_with(End::Trailers));
            assert!(seen.is_none_or(|seen| seen.stays_here() && seen.stream.replies.is_empty()));
            vm.assert_next_is_served();
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_had_is_not_in_force() {
    for status in STATUSES {
        let mut vm = Vm::configured();
        vm.world().fail(move |made| (made.name == "proxy_get_buffer_bytes").then_some(status));
        let took = vm.until_trap(|vm| vm.configure(ROOT, fixture::policy()));
        assert!(matches!(took, None | Some(false)), "{took:?}");
        vm.assert_next_is_served();
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
