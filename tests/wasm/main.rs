//! The built filter in a proxy-wasm host of our own, without Envoy: nothing that is sent to it makes it trap, and where a
//! host breaks the ABI nothing goes on by that.
//!
//! The host is strict where Envoy is lenient (pointers, header maps and call names are checked) and fails on demand,
//! which Envoy cannot be made to do. A trap fails the test in which it happens, with the filter's own log, unless the test
//! says that the host breaks the ABI; then the next request is served by a new VM.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod abi;
mod fixture;
mod outside;
mod request;
mod vm;
mod wasi;
mod world;

mod accept;
mod asking;
mod body;
mod configure;
mod contexts;
mod cost;
mod faults;
mod files;
mod hostile;
mod jobs;
mod lifetime;
mod nonces;
mod refuse;
mod remembering;
