//! What a worker remembers, and for how long: answers, tokens, counts, places. Here the clock can be set.

use serde_json::json;

use crate::asking::{NO, NO_ANSWER, YES, asking, failure, of, policy};
use crate::fixture::{self, NOW_S, claims, read_token};
use crate::request::Request;
use crate::vm::{ROOT, Vm};

const DAY_S: u64 = 86_400;

fn at(vm: &mut Vm, seconds: u64) {
    vm.world().now_s = NOW_S + seconds;
}

/// A request that nobody is asked about; gives how it is known who calls.
#[track_caller]
fn known(vm: &mut Vm, app: &str) -> String {
    let asked = vm.world().calls().len();
    let seen = vm.send(&of(app));
    seen.forwarded();
    assert_eq!(vm.world().calls().len(), asked, "nobody is asked");
    seen.stream.noted("identity")
}

#[test]
fn an_answer_is_fresh_for_ten_minutes_and_stands_in_for_a_day_while_its_service_fails() {
    let mut vm = asking();
    let context = vm.hold(&of("ci"));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
    at(&mut vm, 599);
    assert_eq!(known(&mut vm, "ci"), "cached");

    // Asked again, and every kind of failure that is the service's fault.
    for (n, status) in (0..).zip(["", "502", "503", "504"]) {
        let fail = |vm: &mut Vm| match (vm.latest_call(), status) {
            (token, "") => vm.fail_call(token),
            (token, status) => vm.answer_call(token, &[(":status", status)], "<html>"),
        };
        at(&mut vm, 600 + 10 * n);
        let context = vm.hold(&of("ci"));
        fail(&mut vm);
        assert_eq!(vm.resumed_by(context), "stale", "{status}");
        // For a moment nobody waits for a service that just failed.
        at(&mut vm, 604 + 10 * n);
        assert_eq!(known(&mut vm, "ci"), "stale");
        at(&mut vm, 605 + 10 * n);
        let context = vm.hold(&of("ci"));
        vm.delete(context);
        fail(&mut vm);
    }
    // One that its credential may have brought about is no such fault.
    for (n, status) in (0..).zip(["302", "200", "500"]) {
        at(&mut vm, 700 + 10 * n);
        let context = vm.hold(&of("ci"));
        let token = vm.latest_call();
        vm.answer_call(token, &[(":status", status)], "<html>");
        vm.refused_with(context);
    }
    // Who is not known does not get in by that.
    let stranger = vm.hold(&of("other"));
    let token = vm.latest_call();
    vm.fail_call(token);
    assert_eq!(vm.refused_with(stranger), failure(NO_ANSWER));

    at(&mut vm, DAY_S - 1);
    let context = vm.hold(&of("ci"));
    let token = vm.latest_call();
    vm.fail_call(token);
    assert_eq!(vm.resumed_by(context), "stale");
    at(&mut vm, DAY_S + 5);
    let context = vm.hold(&of("ci"));
    let token = vm.latest_call();
    vm.fail_call(token);
    assert_eq!(vm.refused_with(context), failure(NO_ANSWER));

    // And all is well again by itself.
    let context = vm.hold(&of("ci"));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
    assert_eq!(known(&mut vm, "ci"), "cached");
    vm.tick(ROOT);
    assert_eq!(vm.world().counter("linkgate.cache.kind.app_secret.result.stale"), 9);
}

#[test]
fn a_refusal_is_remembered_for_a_minute_and_ends_what_was_good() {
    let mut vm = asking();
    let context = vm.hold(&of("ci"));
    vm.answer(YES);
    vm.resumed_by(context);
    at(&mut vm, 600);
    let context = vm.hold(&of("ci"));
    vm.answer(NO);
    assert_eq!(vm.refused_with(context).0, 400);
    at(&mut vm, 659);
    assert_eq!(vm.send(&of("ci")).status(), 400);
    assert_eq!(vm.world().calls().len(), 2);
    at(&mut vm, 660);
    let context = vm.hold(&of("ci"));
    let token = vm.latest_call();
    vm.fail_call(token);
    assert_eq!(vm.refused_with(context), failure(NO_ANSWER), "what was refused is not known any more");
}

#[test]
fn a_token_in_use_is_signed_anew_between_requests() {
    let mut vm = Vm::configured();
    let signed = |vm: &mut Vm| {
        let seen = vm.send(&Request::good());
        let (header, claims) = read_token(seen.header("x-bkapi-jwt"));
        (header["iat"].as_u64().unwrap() - NOW_S, claims)
    };
    assert_eq!(signed(&mut vm).0, 0);
    at(&mut vm, 100);
    assert_eq!(signed(&mut vm).0, 0);
    at(&mut vm, 479);
    vm.tick(ROOT);
    assert_eq!(signed(&mut vm).0, 0);
    at(&mut vm, 480);
    vm.tick(ROOT);
    assert_eq!(vm.world().counter("linkgate.tokens_signed"), 2, "signed without a request");
    let (signed_at, said) = signed(&mut vm);
    assert_eq!((signed_at, said), (480, claims("apigw-api-test", "admin", NOW_S + 480).1));
    // One that nobody used since is left alone, and signed when it is needed.
    at(&mut vm, 2_000);
    assert_eq!(signed(&mut vm).0, 2_000);
    at(&mut vm, 2_500);
    vm.tick(ROOT);
    vm.tick(ROOT);
    assert_eq!(vm.world().counter("linkgate.tokens_signed"), 3);
    assert_eq!(signed(&mut vm).0, 2_000, "still good for a while");
}

#[test]
fn counts_are_handed_over_on_a_tick_and_once() {
    let mut vm = asking();
    assert_eq!(vm.world().tick_ms(ROOT), Some(1_000));
    let context = vm.hold(&of("ci"));
    at(&mut vm, 2);
    vm.answer(YES);
    vm.resumed_by(context);
    known(&mut vm, "ci");
    vm.send(&of("ci").body("{}"));
    let counted = [
        ("linkgate.decisions.code.OK.operation.upload_source_package_via_link.rule.grants-all", 2),
        ("linkgate.decisions.code.VALIDATION_ERROR.operation.upload_source_package_via_link.rule.request", 1),
        ("linkgate.authentications.kind.app_secret.outcome.ok", 3),
        ("linkgate.authentications.kind.bk_ticket.outcome.ok", 3),
        ("linkgate.cache.kind.app_secret.result.miss", 1),
        ("linkgate.cache.kind.app_secret.result.hit", 2),
        ("linkgate.calls.service.bkauth.outcome.ok", 1),
        ("linkgate.tokens_signed", 1),
    ];
    for (name, _) in counted {
        assert_eq!(vm.world().defined(name), 0, "{name}: a request hands nothing over");
    }
    for _ in 0..3 {
        vm.tick(ROOT);
        for (name, count) in counted {
            assert_eq!((vm.world().counter(name), vm.world().defined(name)), (count, 1), "{name}");
        }
        assert_eq!(vm.world().recorded("linkgate.call_duration_ms.service.bkauth"), [2_000]);
    }
    let version = vm.world().log_text();
    let version = version.split("policy ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let gauge = format!("linkgate.policy_workers.version.{version}");
    assert_eq!(vm.world().gauge(&gauge), 1);
    let (root, took) = vm.add_root(policy());
    assert!(took);
    vm.tick(root);
    assert_eq!(vm.world().gauge(&gauge), 2);
    vm.delete(ROOT);
    assert_eq!(vm.world().gauge(&gauge), 1);
    // A root that is configured anew serves by another policy from then on.
    assert!(vm.configure(root, fixture::policy()));
    vm.tick(root);
    assert_eq!(vm.world().gauge(&gauge), 0);
}

#[test]
fn what_is_limited_is_counted_by_all_workers_together() {
    let mut policy = fixture::policy();
    policy["limits"]["requests_per_app"] = json!({"per_second": 0.1, "burst": 3});
    policy["limits"]["uploads_per_app"] = json!({"concurrent": 1});
    let mut one = Vm::new(vec![fixture::key_variable(&fixture::key_text())]);
    assert!(one.add_root(&policy).1);
    let mut two = one.beside();
    assert!(two.add_root(&policy).1);
    let upload = one.hold_open();
    assert_eq!(two.send(&Request::good()).status(), 429, "its place is taken by the other worker");
    one.close(upload);
    two.send(&Request::good()).forwarded();
    let refusal = one.send(&Request::good());
    assert_eq!((refusal.status(), refusal.refused().header("retry-after")), (429, Some("10")));
    assert!(refusal.refused().body.contains("1642902"), "{:?}", refusal.refused());
    for vm in [&mut one, &mut two] {
        at(vm, 10);
    }
    // Who goes away before an answer keeps the place, for the store goes on.
    let left = one.hold_open();
    one.delete(left);
    at(&mut two, 20);
    let refusal = two.send(&Request::good());
    assert!(refusal.refused().body.contains("1642904"), "{:?}", refusal.refused());
}

#[test]
fn several_proxies_let_through_together_what_is_written() {
    let mut policy = fixture::policy();
    policy["limits"]["instances"] = json!(2);
    policy["limits"]["requests_per_app"] = json!({"per_second": 0.2, "burst": 5});
    policy["limits"]["uploads_per_app"] = json!({"concurrent": 2});
    // What one proxy has is not the other's.
    let mut proxies = [(); 2].map(|()| Vm::new(vec![fixture::key_variable(&fixture::key_text())]));
    for vm in &mut proxies {
        assert!(vm.add_root(&policy).1);
        let upload = vm.hold_open();
        let refusal = vm.send(&Request::good());
        assert!(refusal.refused().body.contains("1642904"), "{:?}", refusal.refused());
        vm.close(upload);
        let refusal = vm.send(&Request::good());
        assert_eq!(refusal.refused().header("retry-after"), Some("10"), "half of five at once, a tenth in a second");
        at(vm, 10);
        vm.send(&Request::good()).forwarded();
        assert_eq!(vm.send(&Request::good()).status(), 429);
    }
}

#[test]
fn what_the_workers_share_is_little_and_may_be_anything() {
    let mut policy = fixture::policy();
    policy["limits"]["requests"] = json!({"per_second": 1000, "burst": 1000});
    let mut vm = Vm::new(vec![fixture::key_variable(&fixture::key_text())]);
    assert!(vm.add_root(&policy).1);
    for broken in [&b""[..], b"x", &[0xff; 7], &[0; 4_096]] {
        vm.world().share("linkgate.rate.total", broken);
        vm.send(&Request::good()).forwarded();
    }
    // A moment that never comes is a full bucket, and that is over soon.
    vm.world().share("linkgate.rate.total", [0xff; 8]);
    assert_eq!(vm.send(&Request::good()).refused().header("retry-after"), Some("1"));
    vm.world().share("linkgate.rate.total", []);
    for _ in 0..100 {
        vm.send(&Request::good()).forwarded();
    }
    assert_eq!(vm.world().shared_keys(), 1);
}

#[test]
fn where_a_request_comes_from_is_asked_of_the_host() {
    let mut policy = fixture::policy();
    policy["restrictions"] = json!({"client_ips": {"deny": ["192.0.2.0/24"]}});
    let mut vm = Vm::new(vec![fixture::key_variable(&fixture::key_text())]);
    assert!(vm.add_root(&policy).1);
    assert_eq!(vm.send(&Request::good()).status(), 403, "the host does not know");
    for (address, status) in [("10.0.0.1:5", None), ("192.0.2.7:5", Some(403)), ("nonsense", Some(403))] {
        vm.world().set_property(&["source", "address"], address);
        let seen = vm.send(&Request::good());
        assert_eq!(seen.stream.replies.first().map(|reply| reply.status), status, "{address}");
    }
}

impl Vm {
    /// A request that was sent on and has not come to its end.
    fn hold_open(&mut self) -> u32 {
        let context = self.open(&Request::good());
        self.head(context, false);
        assert_eq!(self.chunk(context, crate::request::BODY.as_bytes(), true), crate::vm::Action::Continue);
        context
    }
}
