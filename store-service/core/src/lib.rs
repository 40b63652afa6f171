//! What the store does, whatever it stands on: a package is fetched, hashed, inspected, stored and recorded.
//!
//! Promises: no row without its blob; an upload is all or nothing, and one whose caller was told that it goes on survives
//! the end of the store. Sees the world through the ports in [`ingest::ports`] and knows no adapter: neither SQL nor an HTTP
//! client or server is among what it is built of, and Cargo keeps it so. Refuses what [`ingest`] lists.
//!
//! What several adapters and the service need is here as well, for they all use the core anyway, and a crate of its own would
//! only add an arrow to each of them: [`data_dir`] (the locked directory, modes of files, durable renames), [`failpoint`]
//! (steps at which tests kill the store), [`budget`] (who may hold how much), [`block`] (memory for packages on their way), [`keyed_locks`] (one at a time of a name), [`hasher`] (digests), [`conditions`] (what must be true of a package
//! before it is changed), [`metrics`] and [`trace`] (what the use case counts and times), [`sealing`] (callers' credentials while
//! they wait), [`settings`] (what the operator decides), [`version_order`] (which version comes after which), [`attest`] (signed statements of where packages came from),
//! [`signed_url`] (links for others) and [`own_key`] (what both sign with). [`download`] reads packages, [`lifecycle`] is what
//! callers do to them, [`retention`] what the operator's rules do, and [`maintenance`] what is done to them when nobody uploads.

pub mod attest;
pub mod block;
pub mod budget;
pub mod conditions;
pub mod csrf;
pub mod data_dir;
pub mod download;
pub mod failpoint;
pub mod hasher;
pub mod ingest;
pub mod keyed_locks;
pub mod lifecycle;
pub mod maintenance;
pub mod metrics;
pub mod own_key;
pub mod retention;
pub mod sealing;
pub mod settings;
pub mod signed_url;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "for tests only")]
pub mod testing;
pub mod trace;
pub mod version_order;
