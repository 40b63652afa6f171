//! The built filter in a proxy-wasm host of our own, without Envoy: it runs on any host of ABI 0.2.1, and it never traps.
//!
//! The host is strict where Envoy is lenient (pointers, header maps and call names are checked) and fails on demand,
//! which Envoy cannot be made to do. A trap fails the test in which it happens, with the filter's own log.

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
mod faults;
mod hostile;
mod jobs;
mod lifetime;
mod refuse;
mod remembering;
