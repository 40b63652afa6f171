//! A database that something else has locked, as a shell or a copy may.

use std::path::Path;
use std::time::Duration;

use linkgate_tests::wait::wait_until;
use linkgate_tests::{Behaviour, FakeSource, StoreProcess, package_of_size, sha256_hex};
use reqwest::Method;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, SqliteConnection};
use tokio::time::sleep;

use crate::NOT_BEGUN;

/// Locks the database of a store as long as it lives.
async fn lock(data: &Path) -> SqliteConnection {
    let file = SqliteConnectOptions::new().filename(data.join("catalog.sqlite3"));
    let mut other = file.busy_timeout(Duration::from_secs(60)).connect().await.unwrap();
    other.execute("begin immediate").await.unwrap();
    other
}

#[tokio::test]
async fn an_upload_waits_longer_for_the_database_than_one_statement_does() {
    let package = package_of_size(300_000);
    let source = FakeSource::start(Behaviour::Held(package.clone())).await;
    let data = tempfile::tempdir().unwrap();
    let store = StoreProcess::trusting(&source, data.path(), &[]);
    let upload = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let other = lock(data.path()).await;
    source.release();
    // The driver gives a statement up after five.
    sleep(Duration::from_secs(8)).await;
    assert!(!upload.is_finished());
    drop(other);
    let reply = upload.await.unwrap().unwrap();
    assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &Value::from(sha256_hex(&package))));
    store.stop();
}

#[tokio::test]
async fn an_accepted_upload_outlasts_a_database_that_is_locked_for_long() {
    let package = package_of_size(300_000);
    let source = FakeSource::start(Behaviour::Held(package.clone())).await;
    let data = tempfile::tempdir().unwrap();
    let settings = [("LINKGATE_STORE_MAX_UPLOAD_LIVES", "1"), ("LINKGATE_STORE_QUEUE_TIMEOUT_S", "1")];
    let store = StoreProcess::trusting(&source, data.path(), &settings);
    let accepted = store.send(store.request(source.url()).header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let place = format!("link/{}", accepted.header("location").unwrap());
    let told = async || store.send(store.below(Method::GET, &place)).await.json();
    source.wait_for_requests(1).await;
    let other = lock(data.path()).await;
    source.release();
    store.log_with(NOT_BEGUN).await;
    wait_until(async || match told().await {
        document if document["state"] == "queued" => Ok(()),
        document => Err(format!("it waits for its turn again: {document}")),
    })
    .await;
    let waits = store.send(store.request(source.url()).in_english()).await;
    assert_eq!((waits.status, &waits.json()["code"]), (503, &"SERVICE_UNAVAILABLE".into()), "{}", waits.body);
    assert_eq!(source.requests().len(), 1, "nothing is downloaded that cannot be recorded");
    drop(other);
    // Whether the store has looked again or not.
    let again = store.send(store.request(source.url()).header("prefer", "respond-async")).await;
    assert_eq!(again.status, 202, "{}", again.body);
    let done = wait_until(async || match told().await {
        document if document["ended"] == Value::Null => Err(format!("it did not end: {document}")),
        document => Ok(document),
    })
    .await;
    assert_eq!(done["package"]["sha256_signature"], sha256_hex(&package), "{done}");
    let same = format!("link/{}", again.header("location").unwrap());
    wait_until(async || match store.send(store.below(Method::GET, &same)).await.json() {
        document if document["state"] == "done" => Ok(()),
        document => Err(format!("it ends like the first one: {document}")),
    })
    .await;
    assert_eq!(source.requests().len(), 2, "it was downloaded once more");
    store.stop();
}
