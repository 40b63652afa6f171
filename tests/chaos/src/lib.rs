//! Campaigns that look for what breaks: the gate in a real Envoy under load while policies and identity services come and
//! go, and the store that is killed, or whose disk goes away, fills up or fails, while callers upload, overwrite and delete, or
//! of which one caller takes all that it can get, or whose packages take most of its memory, or one module of which many change
//! at once; several stores that share a database and a bucket, while any of these fails; and a data directory that goes from one
//! release to the next and back.
//!
//! Promises: whatever is wrong is named in the report of a campaign, and one fault is enough for it to fail. Uses none of
//! the code under test to judge it but the names of the steps at which a store may die.

// Panicking is how a campaign says that it cannot judge.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "campaigns fail by panicking")]

pub mod crash;
pub mod crowd;
pub mod gate;
mod load;
pub mod memory;
pub mod races;
pub mod replicas;
pub mod rollback;
