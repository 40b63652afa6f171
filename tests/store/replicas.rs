//! Stores that share a database and a bucket, while one of them fails, or what they share does. What is promised then is in
//! `docs/DEPLOYMENT.md`.

mod campaign;
mod clocks;
mod commits;
mod connections;
mod database;
mod kills;
mod pauses;
mod settings;
mod silence;
mod storage;
mod together;

use linkgate_tests::process::{Finished, command_with};
use linkgate_tests::replicas::hurried;
use linkgate_tests::{
    Behaviour, FakeSource, LinkRequestBuilder, Reached, Replicas, Reply, StoreProcess, another_package_of_size,
    wait_until,
};
use serde_json::Value;

/// In two parts, and no two numbers have the same bytes.
fn package(number: usize) -> Vec<u8> {
    another_package_of_size((9 << 20) + number)
}

/// A lease, in seconds, that no store lets run out which lives, however busy the machine is.
const LONG_LEASE_S: u64 = 9;

/// Where nothing may be taken over from the living.
fn with_long_lease() -> Reached {
    Reached::with("LINKGATE_STORE_JOB_LEASE_S", LONG_LEASE_S.to_string())
}

/// Holds half of that back until it is released.
async fn holding(number: usize) -> FakeSource {
    FakeSource::start(Behaviour::Held(package(number))).await
}

/// Asks for an upload whose caller does not wait for it, and is told that it goes on.
async fn accepted(store: &StoreProcess, request: LinkRequestBuilder) -> Reply {
    let accepted = store.send(hurried(request)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    accepted
}

/// What a store says of a job that a 202 named, whichever store that came from.
async fn view(store: &StoreProcess, accepted: &Reply) -> Reply {
    let place = accepted.header("location").expect("a 202 says where");
    store.send(store.reading(&format!("link/{place}")).in_english()).await
}

/// The same once it has ended.
async fn ended(store: &StoreProcess, accepted: &Reply) -> Value {
    wait_until(async || match view(store, accepted).await {
        reply if reply.status != 200 => Err(format!("the job is not known: {reply:?}")),
        reply if reply.json()["ended"] == Value::Null => Err(format!("it did not end: {}", reply.body)),
        reply => Ok(reply.json()),
    })
    .await
}

async fn assert_done(store: &StoreProcess, accepted: &Reply) -> i64 {
    let document = ended(store, accepted).await;
    assert_eq!(document["state"], "done", "{document}");
    document["package"]["id"].as_i64().expect("a package has an id")
}

/// What a store says that does not start.
fn refusal(replicas: &Replicas, source: &FakeSource, reached: &Reached) -> Finished {
    let (settings, mint) = (replicas.settings(&source.host(), reached), replicas.mint());
    let keys = mint.setting();
    let own = [("LINKGATE_JWT_PUBLIC_KEYS", keys.as_str()), ("LINKGATE_STORE_LISTEN", "127.0.0.1:0")];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).chain(own).collect();
    command_with(&replicas.next_data_dir(), &[], &settings)
}

/// Waits until a store works on nothing any more.
async fn idle(store: &StoreProcess) {
    wait_until(async || {
        let metrics = store.get("/metrics").await.body;
        let is_idle = metrics.lines().any(|line| line == "linkgate_store_uploads_active 0");
        if is_idle { Ok(()) } else { Err("the store does not become idle".to_owned()) }
    })
    .await;
}
