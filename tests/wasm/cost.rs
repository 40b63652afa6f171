//! What a request costs in instructions of the filter: the same number on every machine, so a test can hold it.
//!
//! `cargo xtask bench instructions` prints the figures.

use crate::request::Request;
use crate::vm::Vm;

const WARM_UP: u64 = 5;
const ROUNDS: u64 = 50;

/// Eight headers as a browser or a proxy in front adds them.
fn with_more_headers(request: Request) -> Request {
    let more = [
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br"),
        ("cache-control", "no-cache"),
        ("forwarded", "for=192.0.2.43, for=198.51.100.17"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("user-agent", "python-requests/2.32.3"),
        ("x-forwarded-for", "192.0.2.43"),
        ("x-forwarded-proto", "https"),
    ];
    more.into_iter().fold(request, |request, (name, value)| request.plus(name, value))
}

/// Instructions for one request of a kind that came before, from its context to the end of it.
fn cost(request: &Request) -> u64 {
    let mut vm = Vm::configured();
    (0..WARM_UP).for_each(|_| drop(vm.send(request)));
    let before = vm.instructions();
    (0..ROUNDS).for_each(|_| drop(vm.send(request)));
    (vm.instructions() - before) / ROUNDS
}

#[test]
fn a_request_costs_no_more_instructions_than_this() {
    let unknown = Request::good().without("x-bkapi-authorization");
    let kinds = [
        ("accepted, 6 headers", Request::good(), 145_500),
        ("accepted, 14 headers", with_more_headers(Request::good()), 170_500),
        // Its body is looked at, for credentials that do not count there.
        ("refused without credentials, 5 headers", unknown.clone(), 146_000),
        ("refused without credentials, 13 headers", with_more_headers(unknown), 170_500),
    ];
    let mut over = Vec::new();
    for (kind, request, most) in kinds {
        let instructions = cost(&request);
        println!("{kind}: {instructions} instructions, {most} at the most");
        if instructions > most {
            over.push(kind);
        }
    }
    assert_eq!(over, Vec::<&str>::new());
}
