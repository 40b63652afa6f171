//! Ids and tokens that a host should never bring: closed where something could pass, harmless where nothing can.

use crate::fixture;
use crate::request::{BODY, Request};
use crate::vm::{Action, ROOT, Vm, exports};

/// No context has it.
const NOBODY: u32 = 4_000_000_000;

/// Every callback about a request, made about this id.
#[track_caller]
fn assert_held(vm: &mut Vm, id: u32) {
    assert_eq!(vm.ask("proxy_on_request_headers", id, (id, 1_u32, 1_u32)), Action::Pause);
    assert_eq!(vm.ask("proxy_on_request_body", id, (id, 1_u32, 1_u32)), Action::Pause);
    assert_eq!(vm.ask("proxy_on_request_trailers", id, (id, 1_u32)), Action::Pause);
}

#[test]
fn a_request_that_is_not_there_is_held_and_a_root_takes_no_policy() {
    let mut vm = Vm::configured();
    for id in [NOBODY, 0, ROOT] {
        assert_held(&mut vm, id);
        assert!(vm.world().log_text().contains("the host showed a request that is not there"));
    }
    let request = vm.open(&Request::good());
    for id in [NOBODY, 0, request] {
        assert!(!vm.configure(id, fixture::policy()));
        assert_eq!(vm.call::<(u32, u32), u32>("proxy_on_vm_start", (id, 0)), 0);
        vm.tick(id);
    }
    vm.head(request, false);
    assert_eq!(vm.chunk(request, BODY.as_bytes(), true), Action::Continue, "nothing of that touched it");
}

#[test]
fn a_request_under_a_root_that_is_not_there_is_refused() {
    let mut vm = Vm::configured();
    let request = vm.open(&Request::good());
    for root in [NOBODY, request] {
        assert_eq!(vm.send(&Request::good().under(root)).status(), 500);
    }
    vm.delete(ROOT);
    assert_eq!(vm.send(&Request::good()).status(), 500, "its root is gone");
}

#[test]
fn the_end_of_a_context_that_is_not_there_is_harmless() {
    let mut vm = Vm::configured();
    for id in [NOBODY, 0, NOBODY] {
        vm.delete(id);
    }
    let request = vm.open(&Request::good());
    vm.delete(request);
    vm.delete(request);
    assert_held(&mut vm, request);
    vm.send(&Request::good()).forwarded();
}

#[test]
fn a_context_that_is_made_twice_stays_what_it_is() {
    let mut vm = Vm::configured();
    let create = |vm: &mut Vm, id: u32, root: u32| {
        vm.enter(id);
        vm.call::<(u32, u32), ()>("proxy_on_context_create", (id, root));
    };
    let request = vm.open(&Request::good());
    vm.head(request, false);
    create(&mut vm, request, ROOT);
    create(&mut vm, request, 0);
    create(&mut vm, ROOT, 0);
    create(&mut vm, ROOT, ROOT);
    assert_eq!(vm.chunk(request, BODY.as_bytes(), true), Action::Continue);
    let refused = vm.open(&Request::good());
    assert_eq!(vm.head(refused, true), Action::Pause);
    create(&mut vm, refused, ROOT);
    assert_eq!(vm.chunk(refused, BODY.as_bytes(), true), Action::Pause);
    assert_eq!(vm.close(refused).replies.len(), 1, "a refused request does not begin anew");
    vm.send(&Request::good()).forwarded();
}

#[test]
fn the_answer_to_a_call_that_was_not_made_is_ignored() {
    let mut vm = Vm::configured();
    let request = vm.open(&Request::good());
    vm.head(request, false);
    for token in [0, 1, u32::MAX] {
        vm.answer_call(token, &[(":status", "200")], "{}");
        vm.fail_call(token);
        for id in [NOBODY, request] {
            vm.enter(id);
            let params = (id, token, u32::MAX, u32::MAX, u32::MAX);
            vm.call::<(u32, u32, u32, u32, u32), ()>("proxy_on_http_call_response", params);
        }
    }
    assert!(!vm.world().resumed(request));
    assert_eq!(vm.chunk(request, BODY.as_bytes(), true), Action::Continue);
}

#[test]
fn a_host_that_calls_back_in_the_midst_of_a_callback_finds_the_request_held() {
    let callbacks = ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers"];
    for callback in callbacks.into_iter().chain(["proxy_on_context_create"]) {
        let mut vm = Vm::configured();
        vm.world().reenter = Some(callback);
        let seen = vm.send(&Request::good().body("{}"));
        assert_eq!((seen.status(), vm.world().reenter), (400, None), "{callback}");
        vm.send(&Request::good()).forwarded();
    }
}

#[test]
fn a_request_that_is_deleted_in_the_midst_of_a_callback_stays_deleted() {
    let mut vm = Vm::configured();
    let request = vm.open(&Request::good());
    vm.head(request, false);
    vm.world().reenter = Some("proxy_on_delete");
    assert_eq!(vm.chunk(request, b"{}", true), Action::Pause);
    assert_held(&mut vm, request);
    vm.send(&Request::good()).forwarded();
}

#[test]
fn a_flag_of_a_callback_is_any_number_but_zero() {
    let mut vm = Vm::configured();
    let request = vm.open(&Request::good());
    assert_eq!(vm.ask("proxy_on_request_headers", request, (request, 6_u32, 0_u32)), Action::Pause);
    vm.stream(request).body = BODY.as_bytes().to_vec();
    let size = u32::try_from(BODY.len()).unwrap();
    assert_eq!(vm.ask("proxy_on_request_body", request, (request, size, u32::MAX)), Action::Continue);
}

#[test]
fn two_vms_do_not_mix() {
    let mut one = Vm::configured();
    let mut two = one.beside();
    assert!(two.add_root(fixture::policy()).1);
    one.delete(ROOT);
    assert_eq!(one.send(&Request::good()).status(), 500);
    two.send(&Request::good()).forwarded();
}

#[test]
fn memory_of_any_size_is_there_or_null() {
    let mut vm = Vm::configured();
    for size in [0_u32, 1, 1 << 20, 1 << 31, u32::MAX] {
        let at = vm.call::<u32, u32>("proxy_on_memory_allocate", size);
        assert_eq!(at == 0, size >= 1 << 31, "{size}");
    }
    vm.send(&Request::good()).forwarded();
}

#[test]
fn the_filter_exports_this_and_nothing_else() {
    let mut names = exports();
    names.sort_unstable();
    let want = [
        "_initialize",
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_context_create",
        "proxy_on_delete",
        "proxy_on_http_call_response",
        "proxy_on_memory_allocate",
        "proxy_on_request_body",
        "proxy_on_request_headers",
        "proxy_on_request_trailers",
        "proxy_on_tick",
        "proxy_on_vm_start",
    ];
    assert_eq!(names, want);
}
