//! The proxy-wasm shell around `linkgate-gate`: it translates the SDK's callbacks into events and verdicts into host calls.
//!
//! Promises: it decides nothing, and nothing that a client, an identity service or a source sends can end the VM: what
//! they send is read as bytes, by `host` alone. A host that breaks the ABI may end it; then no request of this worker goes
//! on, and the proxy makes a new VM (docs/adr/0018). Built for `wasm32-wasip1` only; on any other target it is empty, for
//! only a proxy can link it.
#![forbid(unsafe_code)]
#![cfg(target_arch = "wasm32")]

mod host;
mod http;
mod memory;
mod plugin;
mod root;

/// What the host calls first. (A module of its own, for the function that the macro makes has no words about it.)
mod entry {
    use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

    use crate::{host, root};

    /// The SDK owns each header and each path of a call for itself, so half of what a request costs would be the C
    /// library's allocator.
    #[global_allocator]
    static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();

    proxy_wasm::main! {{
        // A trap would otherwise say nothing but "unreachable". Only the place: a message might quote the request.
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            host::log(host::Level::Critical, &format!("the gate trapped at {place}"));
        }));
        proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
    }}
}
