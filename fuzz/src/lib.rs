//! Hostile input for everything of the gate and the store that reads bytes of others: the targets, a world to be attacked,
//! a way to drive it, and what must hold whatever comes.
//!
//! Promises: an input decides alone what happens, so a crash comes back from its file; the oracles read requests and
//! answers by themselves, never with the code that they judge. No secret here opens anything.

// Panicking is how a target says that something does not hold.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "an oracle fails by panicking")]

pub mod drive;
pub mod forwarded;
pub mod listed;
pub mod memory;
pub mod multipart;
pub mod packing;
pub mod refused;
pub mod request;
pub mod source;
pub mod targets;
pub mod tokens;
pub mod who;
pub mod world;
