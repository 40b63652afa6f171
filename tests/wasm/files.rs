//! Bodies that go on while they come: uploads by file.

use crate::asking::{YES, asking, of};
use crate::fixture;
use crate::request::Request;
use crate::vm::{Action, ROOT, Vm};

const PACKAGES: &str = "/bkapps/applications/app_code/modules/default/source_package/";

fn file(request: Request) -> Request {
    let path = format!("/stag{PACKAGES}upload/app-1.0.tgz?version=1.0&bk_app_secret=x&other=1");
    request.with(":method", "PUT").with(":path", path).with("content-type", "application/gzip")
}

#[test]
fn a_file_is_judged_by_its_head_and_passes_while_it_comes() {
    let mut vm = Vm::configured();
    for end in [false, true] {
        let context = vm.open(&file(Request::good()).plus("expect", "100-continue"));
        assert_eq!(vm.head(context, false), Action::Continue);
        for _ in 0..3 {
            assert_eq!(vm.chunk(context, &vec![7; 4 * fixture::BODY_LIMIT], false), Action::Continue);
        }
        if end {
            assert_eq!(vm.chunk(context, b"", true), Action::Continue);
        }
        let stream = vm.close(context);
        let header = |name: &str| {
            let of_name = stream.request_headers.iter().filter(|(of, _)| of == name.as_bytes());
            of_name.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(header(":path"), [format!("{PACKAGES}upload/app-1.0.tgz?version=1.0")]);
        assert_eq!((header("x-bkapi-authorization").len(), header("x-bkapi-jwt").len()), (0, 1));
        assert_eq!(
            (header("expect"), header("content-type")),
            (vec!["100-continue".into()], vec!["application/gzip".into()])
        );
        assert_eq!(stream.noted("operation"), "put_source_package");
    }
}

#[test]
fn a_caller_who_is_refused_is_so_by_the_head() {
    let mut vm = Vm::configured();
    let body = br#"{"bk_app_code": "apigw-api-test", "bk_app_secret": "s", "bk_token": "t"}"#;
    for request in [
        file(Request::good()).without("x-bkapi-authorization").with("content-type", "application/json").body(body),
        file(Request::good()).with("x-bkapi-authorization", "{}"),
    ] {
        let context = vm.open(&request);
        assert_eq!(vm.head(context, false), Action::Pause);
        assert_eq!(vm.chunk(context, body, false), Action::Pause);
        let replies = vm.close(context).replies;
        assert_eq!((replies.len(), replies[0].status), (1, 400));
        assert!(replies[0].body.contains("app code cannot be empty"), "{}", replies[0].body);
    }
}

#[test]
fn nothing_is_read_of_a_file_while_a_service_is_asked() {
    let mut vm = asking();
    let context = vm.open(&file(of("ci")));
    assert_eq!(vm.head(context, false), Action::PauseAll);
    vm.answer(YES);
    assert!(vm.world().resumed(context));
    assert_eq!(vm.chunk(context, b"x", true), Action::Continue);
    vm.close(context);
    // One whose body is read to be judged waits with it.
    let context = vm.open(&of("other"));
    assert_eq!(vm.head(context, false), Action::Pause);
}

#[test]
fn files_that_wait_are_counted_for_what_the_proxy_holds_of_them() {
    let mut vm = asking();
    let hold = |vm: &mut Vm, request: Request| {
        let context = vm.open(&request);
        vm.head(context, false)
    };
    let known = |n: usize| file(of(&format!("app-{n}")));
    let waiting = (0..100).take_while(|n| hold(&mut vm, known(*n)) == Action::PauseAll).count();
    assert_eq!(waiting, 7, "8 MiB of one address, at a little over 1 MiB each");
    assert_eq!(hold(&mut vm, known(200).plus("expect", "100-continue")), Action::PauseAll, "it holds its body itself");
    assert_eq!(hold(&mut vm, known(201).plus("content-length", "9")), Action::PauseAll);
}

#[test]
fn a_body_that_the_gate_needs_may_take_30_seconds() {
    let mut vm = Vm::configured();
    let slow = vm.open(&Request::good());
    assert_eq!(vm.head(slow, false), Action::Pause);
    vm.world().later_ms(29_000);
    vm.tick(ROOT);
    assert_eq!(vm.chunk(slow, b"{", false), Action::Pause);
    let in_time = vm.open(&Request::good());
    assert_eq!(vm.head(in_time, false), Action::Pause);
    assert!(vm.stream(slow).replies.is_empty());
    vm.world().later_ms(1_000);
    vm.tick(ROOT);
    let (status, message) = vm.refused_with(slow);
    assert_eq!((status, message.as_str()), (408, "Parameters error [reason=\"the request was not received in time\"]"));
    assert_eq!(vm.chunk(in_time, crate::request::BODY.as_bytes(), true), Action::Continue);
    vm.world().later_ms(60_000);
    vm.tick(ROOT);
    assert!(vm.close(in_time).replies.is_empty());
}
