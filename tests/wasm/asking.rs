//! Requests that wait for an identity service: they go on with its answer, whatever it is and whatever happens
//! meanwhile.

use serde_json::{Value, json};

use crate::fixture::{self, SECRETS};
use crate::request::{BODY, Request};
use crate::vm::{Action, ROOT, Vm};
use crate::world::NOT_FOUND;

/// The gateway's own secrets.
const OWN: [&str; 2] = ["0wn-secret-of-bkauth", "0wn-bearer"];

/// What bkauth says of a good secret, and of a bad one.
pub const YES: &str = r#"{"code":0,"message":"OK","data":{"is_match":true}}"#;
pub const NO: &str = r#"{"code":0,"message":"OK","data":{"is_match":false}}"#;
/// What a caller reads when there is no answer at all.
pub const NO_ANSWER: &str = "failed to request third-party api, bkauth, no answer";
/// And where nobody could be asked.
const TOO_MANY: &str = "failed to request third-party api, bkauth, too many requests are under way";

/// The good policy without its apps, and with a service that knows them.
pub fn policy() -> Value {
    let mut policy = fixture::policy();
    policy["clients"] = json!([]);
    policy["identity"] = json!({"bkauth": {"cluster": "bkauth"}, "timeout_ms": 700});
    policy
}

/// A VM with this policy under [`ROOT`].
pub fn asking() -> Vm {
    let [secret, bearer] = OWN;
    let mut vm = Vm::new(vec![
        fixture::key_variable(&fixture::key_text()),
        "LINKGATE_BKAUTH_APP_CODE=linkgate".to_owned(),
        format!("LINKGATE_BKAUTH_APP_SECRET={secret}"),
        format!("LINKGATE_LOGIN_BEARER_TOKEN={bearer}"),
    ]);
    assert_eq!(vm.add_root(policy()), (ROOT, true), "{}", vm.world().log_text());
    vm
}

/// A request of an app of this name, good otherwise.
pub fn of(app: &str) -> Request {
    let presented = json!({"bk_app_code": app, "bk_app_secret": SECRETS[0], "bk_ticket": SECRETS[2]});
    Request::good().with("x-bkapi-authorization", presented.to_string())
}

impl Vm {
    /// Shows a request with its whole body; it must be held, for a service is asked.
    #[track_caller]
    pub fn hold(&mut self, request: &Request) -> u32 {
        let context = self.open(request);
        assert_eq!(self.head(context, false), Action::Pause);
        assert_eq!(self.chunk(context, BODY.as_bytes(), true), Action::Pause);
        assert!(!self.world().resumed(context) && self.stream(context).replies.is_empty());
        context
    }

    /// The same, while the host loses what is queued for the root.
    #[track_caller]
    pub fn hold_unsent(&mut self, request: &Request) -> u32 {
        self.world().outside.deaf = true;
        let context = self.hold(request);
        self.world().outside.deaf = false;
        context
    }

    /// The number of the latest call.
    pub fn latest_call(&mut self) -> u32 {
        self.world().calls().last().expect("a service is asked").token
    }

    /// The service answers the latest call.
    pub fn answer(&mut self, body: &str) {
        let token = self.latest_call();
        self.answer_call(token, &[(":status", "200")], body);
    }

    /// What became of a request that was held and goes on: how it is known who calls.
    #[track_caller]
    pub fn resumed_by(&mut self, context: u32) -> String {
        assert!(self.world().resumed(context), "it is held: {:?}", self.stream(context).replies);
        let identity = self.identity(context);
        self.close(context);
        identity
    }

    /// How it is known who calls.
    pub fn identity(&mut self, context: u32) -> String {
        self.stream(context).noted("identity")
    }

    /// What became of a request that was held and is refused: status and message.
    #[track_caller]
    pub fn refused_with(&mut self, context: u32) -> (i32, String) {
        assert!(!self.world().resumed(context), "it was sent on");
        let stream = self.close(context);
        assert_eq!(stream.replies.len(), 1, "answered once");
        let body: Value = serde_json::from_str(&stream.replies[0].body).unwrap();
        (stream.replies[0].status, body["message"].as_str().unwrap_or_default().to_owned())
    }
}

pub fn failure(what: &str) -> (i32, String) {
    (500, format!("Internal Server Error [reason=\"{what}\"]"))
}

#[test]
fn a_request_is_held_until_the_answer_and_goes_on_by_it() {
    let mut vm = asking();
    let context = vm.hold(&of("ci"));
    let [call] = vm.world().calls() else { panic!("one question") };
    assert_eq!((call.root, call.cluster.as_str(), call.timeout_ms), (ROOT, "bkauth", 700));
    assert_eq!(call.header(":path"), Some("/api/v1/apps/ci/access-keys/verify"));
    assert_eq!((call.header(":method"), call.header("x-bk-app-secret")), (Some("POST"), Some(OWN[0])));
    assert_eq!(call.body, json!({"bk_app_secret": SECRETS[0]}).to_string().as_bytes());
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
    let refused = vm.hold(&of("other"));
    vm.answer(NO);
    let reason = "Parameters error [reason=\"bk_app_code or bk_app_secret is incorrect\"]";
    assert_eq!(vm.refused_with(refused), (400, reason.to_owned()));
    let log = vm.world().log_text();
    assert!(OWN.iter().chain(&SECRETS).all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn an_answer_before_the_body_lets_the_body_come() {
    let mut vm = asking();
    let context = vm.open(&of("ci"));
    assert_eq!(vm.head(context, false), Action::Pause);
    assert_eq!(vm.chunk(context, b"{", false), Action::Pause);
    vm.answer(YES);
    assert!(!vm.world().resumed(context));
    assert_eq!(vm.chunk(context, &BODY.as_bytes()[1..], true), Action::Continue);
    assert_eq!(vm.identity(context), "fresh");
}

#[test]
fn whatever_is_no_answer_is_a_failure_of_the_gateway() {
    let mut vm = asking();
    let huge = "x".repeat(100_000);
    let answers = [
        ("content-type", "text/html", "{}", "no answer"),
        (":status", "abc", "{}", "no answer"),
        (":status", "503", YES, "status: 503"),
        (":status", "200", "<html>", "response is not valid json, status: 200"),
        (":status", "200", "", "response is not valid json, status: 200"),
        (":status", "200", "[]", "response is not as expected, status: 200"),
        (":status", "200", &huge, "the response is too large"),
    ];
    for (n, (name, value, body, what)) in answers.into_iter().enumerate() {
        let context = vm.hold(&of(&format!("app-{n}")));
        let token = vm.latest_call();
        vm.answer_call(token, &[(name, value)], body);
        let want = failure(&format!("failed to request third-party api, bkauth, {what}"));
        assert_eq!(vm.refused_with(context), want, "{name}: {value}");
    }
    let context = vm.hold(&of("ci"));
    let token = vm.latest_call();
    vm.fail_call(token);
    assert_eq!(vm.refused_with(context), failure(NO_ANSWER));
}

#[test]
fn a_host_that_sends_no_question_has_none_answered() {
    let mut vm = asking();
    vm.world().fail(|call| (call.name == "proxy_http_call").then_some(10));
    let seen = vm.send(&of("ci"));
    assert_eq!(seen.status(), 500);
    assert!(seen.refused().body.contains("too many requests are under way"), "{:?}", seen.refused());
    vm.world().fail(|_| None);
    let context = vm.hold(&of("ci"));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
}

#[test]
fn many_wait_for_one_answer_and_those_who_went_take_nobody_along() {
    let mut vm = asking();
    let waiting: Vec<u32> = (0..20).map(|_| vm.hold(&of("ci"))).collect();
    assert_eq!(vm.world().calls().len(), 1);
    // The one who asked, one in the middle, and the last.
    for gone in [0, 7, 19] {
        vm.delete(waiting[gone]);
    }
    vm.answer(YES);
    for (n, context) in waiting.into_iter().enumerate().filter(|(n, _)| ![0, 7, 19].contains(n)) {
        assert_eq!(vm.resumed_by(context), "fresh", "{n}");
    }
    vm.send(&of("ci")).forwarded();
    assert_eq!(vm.world().calls().len(), 1);
}

#[test]
fn who_waits_under_a_policy_ends_under_it_in_whatever_way_it_is_replaced() {
    let mut closed = policy();
    closed["grants"] = json!([]);
    // As Envoy does it: a new root, while the old one stays for its requests.
    let mut vm = asking();
    let context = vm.hold(&of("ci"));
    let (root, took) = vm.add_root(&closed);
    assert!(took);
    let later = vm.hold(&of("ci").under(root));
    let calls: Vec<_> = vm.world().calls().iter().map(|call| (call.root, call.token)).collect();
    assert_eq!(calls.iter().map(|(root, _)| *root).collect::<Vec<_>>(), [ROOT, root], "each asks for itself");
    vm.answer_call(calls[0].1, &[(":status", "200")], YES);
    assert_eq!(vm.resumed_by(context), "fresh");
    vm.delete(ROOT);
    vm.answer_call(calls[1].1, &[(":status", "200")], YES);
    assert_eq!(vm.refused_with(later).0, 403, "the new policy grants nothing");
    assert_eq!(vm.send(&of("ci").under(root)).status(), 403);

    // As a host may do it as well: the same root is configured anew, twice.
    let mut vm = asking();
    let context = vm.hold(&of("ci"));
    let token = vm.latest_call();
    assert!(vm.configure(ROOT, &closed) && vm.configure(ROOT, policy()));
    vm.answer_call(token, &[(":status", "200")], YES);
    assert_eq!(vm.resumed_by(context), "fresh");
    vm.send(&of("ci")).forwarded();
    // One that is not taken changes nothing.
    let context = vm.hold(&of("other"));
    assert!(!vm.configure(ROOT, "{}"));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
}

#[test]
fn who_waits_under_a_root_that_goes_is_refused_at_once() {
    let mut vm = asking();
    let waiting = [vm.hold(&of("ci")), vm.hold(&of("ci")), vm.hold(&of("other"))];
    let not_sent = vm.hold_unsent(&of("unsent"));
    let begun = vm.open(&of("late"));
    vm.delete(ROOT);
    for context in waiting.into_iter().chain([not_sent]) {
        assert_eq!(vm.refused_with(context), failure(TOO_MANY));
    }
    // Nobody can ask for one that comes to its question later.
    assert_eq!((vm.head(begun, false), vm.chunk(begun, BODY.as_bytes(), true)), (Action::Pause, Action::Pause));
    assert_eq!(vm.refused_with(begun), failure(TOO_MANY));
    // An answer that comes all the same is nobody's.
    vm.answer_call(1, &[(":status", "200")], YES);
    let (root, took) = vm.add_root(policy());
    assert!(took);
    let context = vm.hold(&of("ci").under(root));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
}

#[test]
fn a_question_whose_queue_is_deaf_is_sent_by_the_next_tick_for_the_time_that_is_left() {
    let mut vm = asking();
    let (first, second) = (vm.hold_unsent(&of("ci")), vm.hold_unsent(&of("ci")));
    vm.world().later_ms(300);
    vm.tick(ROOT);
    let timeouts: Vec<_> = vm.world().calls().iter().map(|call| call.timeout_ms).collect();
    assert_eq!(timeouts, [400], "one question, and 300 of its 700 ms are over");
    vm.answer(YES);
    assert_eq!((vm.resumed_by(first), vm.resumed_by(second)), ("fresh".to_owned(), "fresh".to_owned()));
    assert_eq!(vm.world().queued(), 1, "the host lost it");
    let context = vm.hold(&of("other"));
    assert_eq!(vm.world().queued(), 0);
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
}

#[test]
fn nobody_waits_beyond_the_timeout_for_a_question_that_could_not_be_sent() {
    let mut vm = asking();
    let context = vm.hold_unsent(&of("ci"));
    vm.world().later_ms(700);
    vm.tick(ROOT);
    assert_eq!(vm.refused_with(context), failure(TOO_MANY));
    assert!(vm.world().calls().is_empty());
}

#[test]
fn a_root_whose_queue_takes_nothing_ticks_at_once() {
    let mut vm = asking();
    vm.world().fail(|call| (call.name == "proxy_enqueue_shared_queue").then_some(NOT_FOUND));
    let context = vm.hold(&of("ci"));
    assert!(vm.world().calls().is_empty());
    assert_eq!(vm.world().next_tick_ms(ROOT), Some(1));
    vm.tick(ROOT);
    assert_eq!((vm.world().tick_ms(ROOT), vm.world().next_tick_ms(ROOT)), (Some(1_000), Some(1_000)));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
}

#[test]
fn a_call_whose_end_the_host_never_tells_is_over_with_its_timeout_and_a_tick() {
    let mut vm = asking();
    let context = vm.hold(&of("ci"));
    vm.world().later_ms(1_700);
    vm.tick(ROOT);
    assert!(vm.stream(context).replies.is_empty(), "the host may still tell");
    vm.world().later_ms(1);
    vm.tick(ROOT);
    assert_eq!(vm.refused_with(context), failure(NO_ANSWER));
    assert!(vm.world().log_text().contains("The proxy did not end call 1"));
    // What it tells later is nobody's.
    vm.answer_call(1, &[(":status", "200")], YES);
    let context = vm.hold(&of("ci"));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
}

#[test]
fn who_hangs_up_before_the_question_is_sent_takes_nobody_along() {
    let mut vm = asking();
    let (first, second) = (vm.hold_unsent(&of("ci")), vm.hold_unsent(&of("ci")));
    vm.delete(first);
    vm.tick(ROOT);
    vm.answer(YES);
    assert_eq!(vm.resumed_by(second), "fresh");
}

#[test]
fn requests_that_go_while_their_question_is_open_leave_nothing_behind() {
    let mut vm = asking();
    let mut give_up = |from: usize, to: usize| {
        for n in from..to {
            // Few enough apps that what is kept of them is full after the first round.
            let context = vm.hold(&of(&format!("app-{}", n % 100)));
            let token = vm.latest_call();
            vm.delete(context);
            // The answer comes in the end, or none does, and teaches nothing that lasts.
            vm.world().now_s += 100;
            match n % 3 {
                0 => vm.answer_call(token, &[(":status", "200")], NO),
                1 => vm.answer_call(token, &[(":status", "500")], ""),
                _ => vm.fail_call(token),
            }
            vm.world().log.clear();
            if n % 50 == 0 {
                vm.tick(ROOT);
            }
        }
        vm.memory_bytes()
    };
    let warm = give_up(0, 400);
    assert_eq!(give_up(400, 2_400), warm, "the memory of the VM grew");
}

#[test]
fn a_body_over_the_limit_ends_the_waiting() {
    let mut vm = asking();
    let context = vm.open(&of("ci"));
    vm.head(context, false);
    assert_eq!(vm.chunk(context, &[b' '; fixture::BODY_LIMIT + 1], false), Action::Pause);
    vm.answer(YES);
    assert_eq!(vm.refused_with(context), (413, "Request body size too large.".to_owned()));
    vm.send(&of("ci")).forwarded();
}
