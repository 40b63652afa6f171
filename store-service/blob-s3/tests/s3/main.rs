//! Blobs in a bucket of a real S3 server.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod graces;
mod leftovers;
mod outages;
mod round_trip;
mod start;
mod tie;
mod transfer;
