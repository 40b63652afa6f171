//! Where a body ends, and how much of it is too much.

use crate::fixture::BODY_LIMIT;
use crate::request::{BODY, End, Request};
use crate::vm::{Action, Vm};

/// The good body, as long as that.
fn body_of(len: usize) -> String {
    format!("{BODY:<len$}")
}

#[test]
fn a_request_that_ends_with_its_headers_is_refused_at_once() {
    let seen = Vm::configured().send(&Request::good().ending_with(End::Headers));
    assert_eq!((seen.status(), seen.stream.noted("decision").as_str()), (400, "VALIDATION_ERROR"));
}

#[test]
fn an_empty_body_is_refused_whatever_ends_it() {
    let mut vm = Vm::configured();
    assert_eq!(vm.send(&Request::good().body("")).status(), 400);
    assert_eq!(vm.send(&Request::good().body("").ending_with(End::Trailers)).status(), 400);
    assert_eq!(vm.send(&Request::good().chunks::<&str>([]).ending_with(End::Trailers)).status(), 400);
}

#[test]
fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
    let mut vm = Vm::configured();
    for end in [End::Body, End::Trailers] {
        vm.send(&Request::good().body(body_of(BODY_LIMIT)).ending_with(end)).forwarded();
        let seen = vm.send(&Request::good().body(body_of(BODY_LIMIT + 1)).ending_with(end));
        assert_eq!((seen.status(), seen.stream.noted("decision").as_str()), (413, "BODY_SIZE_LIMIT_EXCEED"));
    }
}

#[test]
fn an_announced_body_over_the_limit_is_refused_before_it_comes() {
    let mut vm = Vm::configured();
    let request = Request::good().plus("content-length", (BODY_LIMIT + 1).to_string());
    let context = vm.open(&request);
    assert_eq!(vm.head(context, false), Action::Pause);
    assert_eq!(vm.stream(context).replies[0].status, 413);
    assert_eq!(vm.chunk(context, BODY.as_bytes(), false), Action::Pause);
    assert_eq!(vm.chunk(context, b"", true), Action::Pause);
    assert_eq!(vm.close(context).replies.len(), 1);
}

#[test]
fn an_announcement_that_is_wrong_does_not_raise_the_limit() {
    let mut vm = Vm::configured();
    for announced in ["1", "-1", "x", "18446744073709551616", ""] {
        let request = Request::good().plus("content-length", announced);
        vm.send(&request).forwarded();
        assert_eq!(vm.send(&request.body(body_of(BODY_LIMIT + 1))).status(), 413, "{announced:?}");
    }
}

#[test]
fn a_growing_body_is_refused_by_the_part_that_crosses_the_limit() {
    let mut vm = Vm::configured();
    let context = vm.open(&Request::good());
    assert_eq!(vm.head(context, false), Action::Pause);
    for (part, replies) in [(BODY_LIMIT - 1, 0), (1, 0), (1, 1), (1, 1), (BODY_LIMIT, 1)] {
        assert_eq!(vm.chunk(context, &vec![b' '; part], false), Action::Pause);
        assert_eq!(vm.stream(context).replies.len(), replies);
    }
    assert_eq!(vm.trailers(context), Action::Pause);
    let replies = vm.close(context).replies;
    assert_eq!((replies.len(), replies[0].status), (1, 413));
}

#[test]
fn a_refused_body_cannot_be_made_good() {
    let mut vm = Vm::configured();
    let context = vm.open(&Request::good());
    vm.head(context, false);
    assert_eq!(vm.chunk(context, b"{", true), Action::Pause);
    vm.stream(context).body.clear();
    assert_eq!(vm.chunk(context, BODY.as_bytes(), true), Action::Pause);
    assert_eq!(vm.trailers(context), Action::Pause);
    let stream = vm.close(context);
    assert_eq!((stream.replies.len(), stream.replies[0].status), (1, 400));
}

#[test]
fn a_body_before_its_head_is_refused() {
    let mut vm = Vm::configured();
    for trailers in [false, true] {
        let context = vm.open(&Request::good());
        let action = if trailers { vm.trailers(context) } else { vm.chunk(context, BODY.as_bytes(), true) };
        assert_eq!(action, Action::Pause);
        assert_eq!(vm.close(context).replies[0].status, 500);
    }
}

#[test]
fn a_size_that_the_host_gets_wrong_does_no_harm() {
    let mut vm = Vm::configured();
    for (claimed, status) in [(0_u32, 400), (1, 400), (BODY.len() as u32 - 1, 400), (u32::MAX, 413)] {
        let context = vm.open(&Request::good());
        vm.head(context, false);
        vm.stream(context).body = BODY.as_bytes().to_vec();
        assert_eq!(vm.ask("proxy_on_request_body", context, (context, claimed, 1_u32)), Action::Pause);
        assert_eq!(vm.close(context).replies[0].status, status, "{claimed}");
    }
}

#[test]
fn a_form_goes_on_as_json_and_one_that_cannot_be_read_does_not() {
    let mut vm = Vm::configured();
    let part = |name: &str, value: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
    };
    let parts = [
        part("package_url", "https://example.com/a.tgz"),
        part("bk_app_secret", "s3cret-of-app"),
        part("allow_overwrite", "true"),
        b"--B--".to_vec(),
    ];
    let form = Request::good().with("content-type", "multipart/form-data; boundary=B");
    let seen = vm.send(&form.clone().chunks(parts.clone()));
    let want = r#"{"allow_overwrite":"true","package_url":"https://example.com/a.tgz"}"#;
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("content-length"), want.len().to_string());
    assert_eq!(std::str::from_utf8(&seen.stream.body), Ok(want));
    let cut = vm.send(&form.plus("blueking-language", "en").chunks(parts[..3].to_vec()));
    assert_eq!(cut.status(), 400);
    assert!(cut.refused().body.contains("ends before its last boundary"), "{:?}", cut.refused());
}
