//! One VM serves for weeks: requests leave nothing behind, and do not mix.

use crate::fixture::{NOW_S, claims, read_token};
use crate::request::{BODY, CREDENTIALS, Request};
use crate::vm::{Action, Vm};

/// Another caller than the good one, of whom everything is different.
fn another() -> Request {
    let credentials = r#"{"bk_app_code": "other", "bk_app_secret": "s3cret-of-other", "bk_token": "t0ken-of-guest"}"#;
    Request::good()
        .with("x-bkapi-authorization", credentials)
        .with("x-request-id", "id-2")
        .with(":path", "/bkapps/applications/second/modules/web/source_package/link/")
}

#[test]
fn two_thousand_requests_leave_nothing_behind() {
    let mut vm = Vm::configured();
    let kinds = [
        Request::good(),
        another().chunks(BODY.as_bytes().chunks(20)),
        Request::good().without("x-request-id").body("{}"),
        Request::good().with("x-bkapi-authorization", CREDENTIALS.replace("s3cret", "wrong")),
        Request::good().body("x".repeat(2_000)),
    ];
    let mut send = |count: usize| {
        for request in kinds.iter().cycle().take(count) {
            vm.send(request);
            // The host's, not the filter's.
            vm.world().log.clear();
        }
        vm.memory_bytes()
    };
    let warm = send(100);
    assert_eq!(send(1_900), warm, "the memory of the VM grew");
}

#[test]
fn requests_that_are_given_up_half_way_leave_nothing_behind() {
    let mut vm = Vm::configured();
    let mut give_up = |count: usize| {
        for n in 0..count {
            let context = vm.open(&Request::good());
            if n % 3 > 0 {
                vm.head(context, false);
            }
            if n % 3 > 1 {
                vm.chunk(context, b"{", false);
            }
            vm.delete(context);
        }
        vm.memory_bytes()
    };
    let warm = give_up(100);
    assert_eq!(give_up(500), warm, "the memory of the VM grew");
}

#[test]
fn policies_that_are_replaced_leave_nothing_behind() {
    let mut vm = Vm::configured();
    let mut replace = |count: usize| {
        for _ in 0..count {
            let (root, took) = vm.add_root(crate::fixture::policy());
            assert!(took);
            vm.send(&Request::good().under(root)).forwarded();
            vm.delete(root);
        }
        vm.memory_bytes()
    };
    let warm = replace(10);
    assert_eq!(replace(20), warm, "the memory of the VM grew");
}

#[test]
fn two_requests_at_once_do_not_mix() {
    let mut vm = Vm::configured();
    let (one, two) = (vm.open(&Request::good()), vm.open(&another()));
    let second_body = BODY.replace("0.0.5", "0.0.6");
    assert_eq!(vm.head(one, false), Action::Pause);
    assert_eq!(vm.head(two, false), Action::Pause);
    for (first, second) in BODY.as_bytes().chunks(16).zip(second_body.as_bytes().chunks(16)) {
        assert_eq!(vm.chunk(two, second, false), Action::Pause);
        assert_eq!(vm.chunk(one, first, false), Action::Pause);
    }
    assert_eq!(vm.chunk(two, b"", true), Action::Continue);
    assert_eq!(vm.chunk(one, b"", true), Action::Continue);
    let (one, two) = (vm.close(one), vm.close(two));
    let header = |stream: &crate::world::Stream, name: &str| {
        let (_, value) = stream.request_headers.iter().find(|(n, _)| n == name.as_bytes()).unwrap();
        String::from_utf8(value.clone()).unwrap()
    };
    assert_eq!((header(&one, "x-request-id"), header(&two, "x-request-id")), ("id-1".into(), "id-2".into()));
    assert!(header(&one, ":path").contains("/app_code/") && header(&two, ":path").contains("/second/"));
    assert_eq!(read_token(&header(&one, "x-bkapi-jwt")), claims("apigw-api-test", "admin", NOW_S));
    let (head, mut second) = claims("other", "guest", NOW_S);
    second["linkgate"]["target"] = "second/web".into();
    assert_eq!(read_token(&header(&two, "x-bkapi-jwt")), (head, second));
}

#[test]
fn a_refusal_of_one_request_does_not_touch_the_other() {
    let mut vm = Vm::configured();
    let (good, bad) = (vm.open(&Request::good()), vm.open(&another()));
    vm.head(bad, false);
    vm.head(good, false);
    assert_eq!(vm.chunk(bad, b"{}", true), Action::Pause);
    assert_eq!(vm.chunk(good, BODY.as_bytes(), true), Action::Continue);
    assert_eq!(vm.chunk(bad, BODY.as_bytes(), true), Action::Pause);
    let (good, bad) = (vm.close(good), vm.close(bad));
    assert_eq!((good.replies.len(), bad.replies.len()), (0, 1));
    assert_eq!(bad.replies[0].header("x-request-id"), Some("id-2"));
}
