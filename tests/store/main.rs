//! Behaviour of the store, over real sockets, one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod auth;
mod backup;
mod budgets;
mod callers_own;
mod checksum;
mod conflicts;
mod console;
mod crash;
mod credentials;
mod deletion;
mod disk;
mod downloads;
mod egress;
mod elsewhere;
mod endless;
mod files;
mod files_at_once;
mod fleet;
mod gc;
mod host_tls;
mod http;
mod inside;
mod jobs;
mod lifecycle;
mod lives;
mod locked;
mod metrics;
mod modules;
mod moving;
mod names;
mod nonces;
mod parallel;
mod pins;
mod private;
mod protocol;
mod provenance;
mod quotas;
mod reading;
mod redirects;
mod replicas;
mod resume;
mod retention;
mod retry;
mod shared;
mod shared_commands;
mod signed_urls;
mod size;
mod source;
mod success;
mod tls;
mod tracing;
mod upgrade;
mod verify;
mod writers;

use linkgate_tests::{LinkRequestBuilder, Reply, TestStore};
use serde_json::{Value, json};

/// What a store says once an upload has failed because its database or its storage was away.
const NOT_BEGUN: &str = "No upload is begun until the storage and the database can be written";

/// A refusal's whole reply: status, headers and body.
#[track_caller]
fn assert_problem(reply: &Reply, status: u16, number: Option<&str>, body: &Value) {
    assert_eq!((reply.status, reply.json()), (status, body.clone()));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("bkapi-error-code"), body["code"].as_str());
    assert_eq!(reply.header("bkapi-error-code-num"), number);
}

/// Sends a request in English, expects this refusal, that nothing is stored, and that the store goes on.
async fn assert_refused(store: &TestStore, request: LinkRequestBuilder, status: u16, code: &str, detail: &str) {
    let reply = store.send(request.in_english()).await;
    assert_problem(&reply, status, None, &json!({"code": code, "detail": detail}));
    store.directory().assert_empty().await;
    assert_eq!(store.get("/readyz").await.status, 200);
}

/// Sends a request in English, expects that this one field is refused and that nothing is stored.
async fn assert_field_refused(store: &TestStore, request: LinkRequestBuilder, field: &str, message: &str) {
    let reply = store.send(request.in_english()).await;
    let detail = format!("{field}: {message}");
    let body = json!({"code": "VALIDATION_ERROR", "detail": detail, "fields_detail": {field: [message]}});
    assert_problem(&reply, 400, None, &body);
    store.directory().assert_empty().await;
    assert_eq!(store.get("/readyz").await.status, 200);
}
