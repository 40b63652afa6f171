//! Heads that no good caller sends: a refusal each time, and never a trap. And some that no good host hands over: they may
//! end the VM, and let nothing go on.

use crate::request::{CREDENTIALS, Request, Seen};
use crate::vm::Vm;
use crate::world::serialize;

/// Octets that are no text in any encoding.
const NOISE: &[u8] = b"\xff\xfe\x80\xc3(\xed\xa0\x80";

/// A header map of this count and these lengths, with this text behind them.
fn map(count: u32, lengths: &[u32], texts: &[u8]) -> Vec<u8> {
    let numbers = [count].into_iter().chain(lengths.iter().copied());
    numbers.flat_map(u32::to_le_bytes).chain(texts.iter().copied()).collect()
}

#[test]
fn raw_bytes_in_a_value_that_matters_are_refused() {
    let mut vm = Vm::configured();
    for name in [":method", ":path", "content-type", "x-bkapi-authorization"] {
        let status = vm.send(&Request::good().with(name, NOISE)).status();
        assert!((400..500).contains(&status), "{name}: {status}");
    }
    for name in ["x-request-id", "accept-language", "blueking-language", "content-length"] {
        let seen = vm.send(&Request::good().without(name).plus(name, NOISE).body("{}"));
        assert_eq!(seen.status(), 400, "{name}");
    }
    let inside = [CREDENTIALS.as_bytes(), NOISE].concat();
    assert_eq!(vm.send(&Request::good().with("x-bkapi-authorization", inside)).status(), 400);
}

#[test]
fn raw_bytes_in_values_that_do_not_matter_do_no_harm() {
    let mut vm = Vm::configured();
    let seen = vm.send(&Request::good().plus("user-agent", NOISE).plus("x-any", NOISE).plus("", ""));
    assert!(seen.stream.replies.is_empty());
    assert!(seen.stream.request_headers.contains(&(b"x-any".to_vec(), NOISE.to_vec())), "it passes untouched");
    // A refusal from the same head is as good.
    let refused = Request::good().plus("x-any", NOISE).without("x-bkapi-authorization");
    assert_eq!(vm.send(&refused).status(), 400);
}

/// No proxy lets one through; `tests/e2e/raw_bytes.rs` shows that Envoy does not.
#[test]
fn raw_bytes_in_a_name_let_nothing_go_on() {
    let ours = [b"x-bkapi-authorization".as_slice(), NOISE].concat();
    for name in [NOISE, ours.as_slice()] {
        for request in [Request::good(), Request::good().without("x-bkapi-authorization")] {
            let mut vm = Vm::configured();
            let seen = vm.until_trap(|vm| vm.send(&request.plus(name, CREDENTIALS)));
            assert!(seen.is_none_or(|seen| seen.stays_here()));
            vm.assert_next_is_served();
        }
    }
}

#[test]
fn a_head_without_headers_is_not_found() {
    let mut vm = Vm::configured();
    assert_eq!(vm.send(&Request::good().without_headers()).status(), 404);
    assert_eq!(vm.send(&Request::good().raw_map([])).status(), 404, "a null map");
}

/// Sends a map that no good host hands over. The VM may end by it; then there is a new one.
#[track_caller]
fn send_broken(vm: &mut Vm, raw: impl Into<Vec<u8>>) -> Option<Seen> {
    let seen = vm.until_trap(|vm| vm.send(&Request::good().raw_map(raw)));
    if seen.is_none() {
        *vm = Vm::configured();
    }
    seen
}

#[test]
fn a_map_that_is_cut_short_anywhere_lets_nothing_go_on() {
    let mut vm = Vm::configured();
    let whole = serialize(Request::good().headers());
    vm.send(&Request::good().raw_map(whole.clone())).forwarded();
    for len in 1..whole.len() {
        let seen = send_broken(&mut vm, &whole[..len]);
        // The last byte is a NUL behind the last value, which says nothing.
        let is_whole = len == whole.len() - 1;
        assert!(is_whole || seen.is_none_or(|seen| seen.stays_here()), "the first {len} of {} bytes", whole.len());
    }
    vm.send(&Request::good()).forwarded();
}

#[test]
fn a_map_whose_numbers_lie_lets_nothing_go_on() {
    let maps = [
        map(1, &[], b""),
        map(2, &[1, 1], b"a\0b\0"),
        map(u32::MAX, &[1, 1], b"a\0b\0"),
        // Eight times this overflows 32 bits, to nothing.
        map(0x2000_0000, &[], b""),
        map(0x2000_0001, &[1, 1], b"a\0b\0"),
        map(1, &[u32::MAX, 0], b"a\0b\0"),
        map(1, &[u32::MAX - 1, u32::MAX], b"a\0b\0"),
        map(1, &[1, u32::MAX], b"a\0b\0"),
        // Both together wrap to the two bytes that are there.
        map(1, &[0x8000_0000, 0x8000_0000], b"a\0b\0"),
        map(1, &[1, 2], b"a\0b\0"),
        map(0x00ff_ffff, &[0; 64], b""),
    ];
    let mut vm = Vm::configured();
    for (n, raw) in maps.into_iter().enumerate() {
        assert!(send_broken(&mut vm, raw).is_none_or(|seen| seen.stays_here()), "map {n}");
    }
    vm.send(&Request::good()).forwarded();
}

#[test]
fn a_map_of_noise_lets_nothing_go_on() {
    let mut vm = Vm::configured();
    for n in 0..200 {
        let noise = vm.world().randomness(n);
        assert!(send_broken(&mut vm, noise).is_none_or(|seen| seen.stays_here()));
    }
    let whole = serialize(Request::good().headers());
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x80;
        // The promises of every request are checked on the way; the verdict depends on the byte.
        send_broken(&mut vm, flipped);
    }
}

#[test]
fn a_header_of_a_mebibyte_is_refused() {
    let mut vm = Vm::configured();
    let long = vec![b'a'; 1 << 20];
    assert_eq!(vm.send(&Request::good().with("x-bkapi-authorization", &long)).status(), 400);
    assert_eq!(vm.send(&Request::good().with(":path", &long)).status(), 414);
    assert_eq!(vm.send(&Request::good().with("x-request-id", &long).body("{}")).status(), 400);
    assert_eq!(vm.send(&Request::good().plus(&long, "x").body("{}")).status(), 400);
    let secret = CREDENTIALS.replace("s3cret-of-app", &"a".repeat(1 << 20));
    assert_eq!(vm.send(&Request::good().with("x-bkapi-authorization", secret)).status(), 400);
    let deep = "[".repeat(1 << 20);
    assert_eq!(vm.send(&Request::good().with("x-bkapi-authorization", deep)).status(), 400);
}

#[test]
fn three_hundred_forged_headers_are_all_dropped() {
    let many = (0..300).fold(Request::good(), |request, n| request.plus(format!("x-bkapi-{n}"), "forged"));
    let seen = Vm::configured().send(&many);
    assert!(seen.forwarded().iter().all(|(_, value)| *value != "forged"));
}
