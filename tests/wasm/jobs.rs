//! Uploads that have begun: a request that ends with its head goes on at once.

use crate::fixture::{self, NOW_S, claims, read_token};
use crate::request::{CANONICAL, CREDENTIALS, End, PATH, Request, texts};
use crate::vm::{Action, ROOT, Vm};

const JOB: &str = "0198c3a4-5f00-7abc-8def-0123456789ab/";

fn about(method: &str) -> Request {
    Request::good()
        .with(":method", method)
        .with(":path", format!("{PATH}{JOB}"))
        .without("content-type")
        .ending_with(End::Headers)
}

#[test]
fn who_asks_or_cancels_is_sent_on_at_once_with_exactly_these_headers() {
    let mut vm = Vm::configured();
    for method in ["GET", "DELETE"] {
        let request = about(method)
            .plus("accept", "text/event-stream")
            .plus("prefer", "respond-async")
            .plus("cookie", "bk_token=t0ken-of-guest")
            .plus("X-Bkapi-JWT", "forged");
        let seen = vm.send(&request);
        assert_eq!(seen.actions, [Action::Continue]);
        let mut headers = texts(&seen.stream.request_headers);
        let token = headers.iter().position(|(name, _)| *name == "x-bkapi-jwt").unwrap();
        assert_eq!(read_token(headers.remove(token).1), claims("apigw-api-test", "admin", NOW_S));
        headers.sort_unstable();
        let path = format!("{CANONICAL}{JOB}");
        let mut want = vec![
            (":method", method),
            (":path", path.as_str()),
            (":authority", "gateway"),
            ("accept", "text/event-stream"),
            ("prefer", "respond-async"),
            ("x-bkapi-request-id", "id-1"),
            ("x-request-id", "id-1"),
        ];
        want.sort_unstable();
        assert_eq!(headers, want);
    }
}

#[test]
fn the_headers_by_which_an_upload_is_not_waited_for_go_on() {
    let more = [("prefer", "respond-async"), ("idempotency-key", "k-1"), ("accept", "application/json")];
    let request = more.iter().fold(Request::good(), |request, (name, value)| request.plus(name, value));
    let seen = Vm::configured().send(&request);
    for (name, value) in more {
        assert_eq!(seen.header(name), value);
    }
}

#[test]
fn a_method_on_the_others_path_is_not_found() {
    let mut vm = Vm::configured();
    for request in [
        about("POST"),
        about("PUT"),
        about("DELETE").with(":path", PATH),
        about("GET").with(":path", format!("{PATH}{}", JOB.to_uppercase())),
    ] {
        let seen = vm.send(&request);
        assert_eq!((seen.status(), seen.stream.noted("decision").as_str()), (404, "API_NOT_FOUND"));
        assert!(seen.stays_here());
    }
}

#[test]
fn a_body_that_comes_all_the_same_is_refused_by_its_first_byte() {
    let mut vm = Vm::configured();
    let announced = about("DELETE").plus("content-length", "1").ending_with(End::Body);
    assert_eq!(vm.send(&announced.body("x")).status(), 413);
    let context = vm.open(&about("GET"));
    assert_eq!(vm.head(context, false), Action::Pause);
    assert_eq!(vm.chunk(context, b"", false), Action::Pause);
    assert!(vm.stream(context).replies.is_empty());
    assert_eq!(vm.chunk(context, b"x", false), Action::Pause);
    assert_eq!(vm.close(context).replies[0].status, 413);
    // One that ends without a byte is none.
    for end in [End::Body, End::Trailers] {
        let seen = vm.send(&about("GET").body("").ending_with(end));
        assert_eq!(seen.header(":path"), format!("{CANONICAL}{JOB}"), "{end:?}");
    }
}

#[test]
fn who_was_answered_gives_the_place_back_and_who_hangs_up_does_not() {
    let mut vm = Vm::configured();
    let mut policy = fixture::policy();
    policy["limits"]["uploads_per_app"] = serde_json::json!({"concurrent": 1});
    assert!(vm.configure(ROOT, policy));
    for _ in 0..3 {
        vm.send(&Request::good()).forwarded();
    }
    let context = vm.open(&Request::good());
    vm.head(context, false);
    assert_eq!(vm.chunk(context, crate::request::BODY.as_bytes(), true), Action::Continue);
    vm.delete(context);
    assert_eq!(vm.send(&Request::good()).status(), 429);
}

#[test]
fn places_that_are_taken_are_no_reason_not_to_answer() {
    let mut vm = Vm::configured();
    let mut policy = fixture::policy();
    policy["limits"]["uploads_per_app"] = serde_json::json!({"concurrent": 1});
    assert!(vm.configure(ROOT, policy));
    let context = vm.open(&Request::good());
    vm.head(context, false);
    assert_eq!(vm.chunk(context, crate::request::BODY.as_bytes(), true), Action::Continue);
    assert_eq!(vm.send(&Request::good()).status(), 429);
    assert_eq!(vm.send(&about("GET")).header(":method"), "GET");
    assert_eq!(vm.send(&about("DELETE")).header(":method"), "DELETE");
    vm.close(context);
    vm.send(&Request::good()).forwarded();
}

#[test]
fn an_app_that_was_refused_is_refused_here_too() {
    let wrong = CREDENTIALS.replace("s3cret-of-app", "wrong");
    let mut vm = Vm::configured();
    assert_eq!(vm.send(&about("GET").with("x-bkapi-authorization", wrong)).status(), 400);
    assert_eq!(vm.send(&about("DELETE").without("x-bkapi-authorization")).status(), 400);
}
