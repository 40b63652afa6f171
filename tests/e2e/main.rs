//! The whole of Linkgate: requests enter a real Envoy with the built filter and end in the store's own process.
//!
//! Run by `cargo xtask test`, which builds what is driven here and says where it is.

// Panicking is how a test says no; clippy knows that of test functions, but not of their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod bed;
mod chaos;
mod conflicts;
mod lifecycle;
mod metrics;
mod outside;
mod policy;
mod probe;
mod proxy;
mod refusals;
mod sources;
mod success;
