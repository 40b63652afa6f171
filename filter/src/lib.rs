//! The proxy-wasm shell around `linkgate-gate`: it translates callbacks into events and verdicts into host calls.
//!
//! Promises: it decides nothing, and whatever the host fails at while a request runs ends in a refusal. (A host that
//! cannot hand over its environment ends the VM when a policy is configured, so no policy comes into force.) Built for
//! `wasm32-wasip1` only; on any other target it is empty, for only a proxy can link it.
#![cfg(target_arch = "wasm32")]

mod abi;
mod host;
mod http;
mod memory;
mod plugin;
mod root;
