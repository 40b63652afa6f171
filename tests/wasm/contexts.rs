//! Ids, tokens and sizes that a host brings only if it breaks the ABI. They may end the VM: nothing goes on by that, and the
//! next request is served by a new VM. No client, identity service or source can bring one.

use crate::asking::{YES, asking, of};
use crate::fixture;
use crate::request::{BODY, Request};
use crate::vm::{Action, ROOT, Vm, exports};

/// No context has it.
const NOBODY: u32 = 4_000_000_000;

const ABOUT_REQUESTS: [&str; 3] = ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers"];

impl Vm {
    /// A callback about a request, whatever it takes besides.
    fn show(&mut self, callback: &str, id: u32) -> Action {
        match callback {
            "proxy_on_request_trailers" => self.ask(callback, id, (id, 1_u32)),
            _ => self.ask(callback, id, (id, 1_u32, 1_u32)),
        }
    }

    /// A context that the host makes anew.
    fn create(&mut self, id: u32, root: u32) {
        self.enter(id);
        self.call::<(u32, u32), ()>("proxy_on_context_create", (id, root));
    }
}

/// Breaks the ABI in a VM with a request that is half there.
#[track_caller]
fn assert_nothing_goes_on(breach: impl FnOnce(&mut Vm, u32) -> Action) {
    let mut vm = Vm::configured();
    let request = vm.open(&Request::good());
    vm.head(request, false);
    let action = vm.until_trap(|vm| breach(vm, request));
    assert!(matches!(action, None | Some(Action::Pause)), "{action:?}");
    assert!(!vm.world().resumed(request) && vm.stream(request).replies.is_empty());
    vm.assert_next_is_served();
}

#[test]
fn nothing_goes_on_about_a_request_that_is_not_there() {
    for id in [NOBODY, 0, ROOT] {
        for callback in ABOUT_REQUESTS {
            assert_nothing_goes_on(|vm, _| vm.show(callback, id));
        }
    }
    for callback in ABOUT_REQUESTS {
        assert_nothing_goes_on(|vm, request| {
            vm.call::<u32, ()>("proxy_on_delete", request);
            vm.show(callback, request)
        });
    }
}

#[test]
fn a_root_that_is_not_there_takes_no_policy() {
    for root in [Some(NOBODY), Some(0), None] {
        let mut vm = Vm::configured();
        let id = root.unwrap_or_else(|| vm.open(&Request::good()));
        let took = vm.until_trap(|vm| vm.configure(id, fixture::policy()));
        assert!(matches!(took, None | Some(false)), "{took:?}");
        vm.assert_next_is_served();
    }
}

#[test]
fn no_request_goes_on_under_a_root_that_is_not_there() {
    assert_nothing_goes_on(|vm, _| *vm.send(&Request::good().under(NOBODY)).actions.last().unwrap());
    assert_nothing_goes_on(|vm, request| *vm.send(&Request::good().under(request)).actions.last().unwrap());
    assert_nothing_goes_on(|vm, _| {
        vm.delete(ROOT);
        *vm.send(&Request::good()).actions.last().unwrap()
    });
}

#[test]
fn the_end_of_a_context_that_is_not_there_lets_nothing_go_on() {
    for id in [NOBODY, 0] {
        assert_nothing_goes_on(|vm, request| {
            vm.call::<u32, ()>("proxy_on_delete", id);
            vm.chunk(request, b"{", false)
        });
    }
}

#[test]
fn a_context_that_is_made_twice_lets_nothing_go_on() {
    for root in [0, ROOT] {
        assert_nothing_goes_on(|vm, request| {
            vm.create(request, root);
            vm.chunk(request, b"{", false)
        });
        assert_nothing_goes_on(|vm, request| {
            vm.create(ROOT, root);
            vm.chunk(request, b"{", false)
        });
    }
}

#[test]
fn the_answer_to_a_call_that_was_not_made_lets_nothing_go_on() {
    for token in [0, 1, u32::MAX] {
        assert_nothing_goes_on(|vm, request| {
            vm.answer_call(token, &[(":status", "200")], "{}");
            vm.chunk(request, b"{", false)
        });
    }
    // A second answer to the same call is one.
    let mut vm = asking();
    let context = vm.hold(&of("ci"));
    vm.answer(YES);
    assert_eq!(vm.resumed_by(context), "fresh");
    let later = vm.hold(&of("other"));
    vm.until_trap(|vm| vm.answer_call(1, &[(":status", "200")], YES));
    assert!(!vm.world().resumed(later));
}

#[test]
fn a_host_that_calls_back_in_the_midst_of_a_callback_gets_nothing_through() {
    for callback in ABOUT_REQUESTS.into_iter().chain(["proxy_on_context_create", "proxy_on_delete"]) {
        let mut vm = Vm::configured();
        let request = vm.open(&Request::good());
        vm.head(request, false);
        vm.world().reenter = Some(callback);
        let action = vm.until_trap(|vm| vm.chunk(request, b"{}", true));
        assert!(matches!(action, None | Some(Action::Pause)), "{callback}: {action:?}");
        assert!(!vm.world().resumed(request));
        vm.assert_next_is_served();
    }
}

#[test]
fn two_vms_do_not_mix() {
    let mut one = Vm::configured();
    let mut two = one.beside();
    assert!(two.add_root(fixture::policy()).1);
    let request = one.open(&Request::good());
    one.head(request, false);
    two.send(&Request::good()).forwarded();
    two.delete(ROOT);
    assert_eq!(one.chunk(request, BODY.as_bytes(), true), Action::Continue);
}

#[test]
fn memory_of_any_size_is_there_or_ends_the_vm() {
    for size in [0_u32, 1, 1 << 20] {
        assert_ne!(Vm::configured().call::<u32, u32>("proxy_on_memory_allocate", size), 0, "{size}");
    }
    for size in [1 << 31, u32::MAX] {
        let mut vm = Vm::configured();
        let at = vm.until_trap(|vm| vm.call::<u32, u32>("proxy_on_memory_allocate", size));
        assert!(matches!(at, None | Some(0)), "{size}: {at:?}");
        vm.assert_next_is_served();
    }
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
        "proxy_on_queue_ready",
        "proxy_on_request_body",
        "proxy_on_request_headers",
        "proxy_on_request_trailers",
        "proxy_on_tick",
        "proxy_on_vm_start",
    ];
    assert_eq!(names, want);
}
