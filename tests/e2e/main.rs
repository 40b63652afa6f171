//! The whole of Linkgate: requests enter a real Envoy with the built filter and end in the store's own process.
//!
//! Run by `cargo xtask test`, which builds what is driven here and says where it is.

// Panicking is how a test says no; clippy knows that of test functions, but not of their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod access_log;
mod alerts;
mod browser;
mod changes;
mod chaos;
mod cli;
mod cli_failures;
mod cli_in_ci;
mod cli_terminal;
mod cli_transfers;
mod conflicts;
mod connections;
mod console;
mod cors;
mod credentials;
mod disk;
mod download_clients;
mod downloads;
mod endpoint;
mod envoys;
mod files;
mod forms;
mod front;
mod held;
mod http3;
mod hurried;
mod identities;
mod jobs;
mod killable;
mod leaks;
mod lifecycle;
mod limits;
mod manifests;
mod metrics;
mod outages;
mod outside;
mod places;
mod platform;
mod policy;
mod probe;
mod proxy;
mod python;
mod raw_bytes;
mod reading;
mod recorder;
mod refusals;
mod replies;
mod rewired;
mod rs512;
mod rules;
mod secrets;
mod signed_urls;
mod singleflight;
mod sources;
mod stale;
mod success;
mod tenants;
mod tls;
mod tracing;
