//! The proxy-wasm shell around `linkgate-gate`: it translates callbacks into events and verdicts into host calls.
//!
//! Promises: it decides nothing, and whatever the host fails at while a request runs ends in a refusal. (A host that
//! cannot hand over its environment ends the VM when a policy is configured, so no policy comes into force.) Built for `wasm32-wasip1` only; on
//! any other target it is empty, for only a proxy can link it.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the SDK's macro exports a function without one, and there is no other API")]

mod host;
mod http;
mod root;

use proxy_wasm::traits::RootContext;

proxy_wasm::main! {{
    // A trap would otherwise say nothing but "unreachable". Only the place: a message might quote the request.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        host::log(host::Level::Critical, &format!("the gate trapped at {place}"));
    }));
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::default()) });
}}
