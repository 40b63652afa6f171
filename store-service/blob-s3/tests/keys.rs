//! The keys that the tests here use, held to what every database of keys must do.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "support/keys.rs"]
#[allow(dead_code, reason = "the other tests need it")]
mod keys;

use linkgate_store_core::blob_keys_tests;

blob_keys_tests!(keys::MemoryKeys);
