//! Uploads that another store works on, which shares the database and the bucket.

use std::path::Path;

use linkgate_catalog::testing::PostgresServer;
use linkgate_tests::wait::wait_until;
use linkgate_tests::{Behaviour, FakeSource, LinkRequestBuilder, Reply, SigningKeys, StoreProcess, package_of_size};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::shared::{servers, start};
use linkgate_tests::weed::Weed;

/// Beside the shared ones: short enough for a test to wait for.
const LEASE: (&str, &str) = ("LINKGATE_STORE_JOB_LEASE_S", "3");

/// Two stores, and a source that sends half of a package until it is released.
struct Two {
    one: StoreProcess,
    other: StoreProcess,
    source: FakeSource,
    postgres: PostgresServer,
    _weed: Weed,
    _keys: SigningKeys,
    _dir: tempfile::TempDir,
}

impl Two {
    async fn start() -> Option<Self> {
        let (postgres, _weed, _keys, mut settings) = servers().await?;
        settings.push((LEASE.0, LEASE.1.to_owned()));
        settings.push(("LINKGATE_STORE_SEALING_KEY", "5ea1".repeat(16)));
        let dir = tempfile::tempdir().unwrap();
        let source = FakeSource::start(Behaviour::Held(package_of_size(300_000))).await;
        let begin = |name: &str| start(&source, &Path::new(dir.path()).join(name), &settings);
        Some(Self { one: begin("one"), other: begin("other"), postgres, _weed, _keys, source, _dir: dir })
    }

    /// The same upload at any of them.
    fn upload(&self, at: &StoreProcess) -> LinkRequestBuilder {
        at.request(self.source.url()).version("1").in_english()
    }
}

fn hurried(request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("prefer", "respond-async")
}

/// A request at a store about the upload that a 202 of any of them named.
fn about(accepted: &Reply, at: &StoreProcess, method: Method) -> LinkRequestBuilder {
    let place = accepted.header("location").expect("a 202 says where");
    at.below(method, &format!("link/{place}")).in_english()
}

async fn ended(accepted: &Reply, at: &StoreProcess) -> Value {
    wait_until(async || {
        let document = at.send(about(accepted, at, Method::GET)).await.json();
        if document["ended"] == Value::Null { Err(format!("it did not end: {document}")) } else { Ok(document) }
    })
    .await
}

async fn count(at: &StoreProcess) -> Value {
    at.send(at.below(Method::GET, "")).await.json()["count"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_joins_an_upload_of_another_store_is_accepted_at_once_and_ends_like_it() {
    let Some(stores) = Two::start().await else { return };
    let Two { one, other, source, .. } = &stores;
    let first = one.send(hurried(stores.upload(one))).await;
    assert_eq!(first.status, 202, "{}", first.body);
    source.wait_for_requests(1).await;

    let keyed = |at| stores.upload(at).header("idempotency-key", "\"7c1f\"");
    let second = other.send(hurried(keyed(other))).await;
    assert_eq!(second.status, 202, "{}", second.body);
    assert_ne!(first.json()["job_id"], second.json()["job_id"], "it is known by a name of its own");
    // Its bytes are those of the one that it joined.
    wait_until(async || {
        let document = other.send(about(&second, other, Method::GET)).await.json();
        if document["received_bytes"] == json!(0) { Err(document.to_string()) } else { Ok(()) }
    })
    .await;
    // Under the same key at the other store, while it is under way: not waited for, and waited for.
    let again = one.send(hurried(keyed(one))).await;
    assert_eq!((again.status, &again.json()["job_id"]), (202, &second.json()["job_id"]), "{}", again.body);
    let (waited, ()) = tokio::join!(one.send(keyed(one)), async {
        source.release();
    });
    assert_eq!(waited.status, 200, "{}", waited.body);

    let documents = [ended(&first, other).await, ended(&second, one).await];
    for document in &documents {
        assert_eq!((&document["state"], &document["package"]["id"]), (&json!("done"), &waited.json()["id"]));
    }
    let after = other.send(keyed(other)).await;
    assert_eq!((after.status, after.json()), (200, waited.json()), "the key is kept with the package");
    assert_eq!((source.requests().len(), count(one).await), (1, json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_watched_and_cancelled_at_any_store() {
    let Some(stores) = Two::start().await else { return };
    let Two { one, other, source, .. } = &stores;
    let accepted = one.send(hurried(stores.upload(one))).await;
    source.wait_for_requests(1).await;

    let mut events =
        about(&accepted, other, Method::GET).header("accept", "text/event-stream").open(other.base()).await;
    let mut heard = String::new();
    while !heard.contains("event:fetching") {
        heard += std::str::from_utf8(&events.chunk().await.unwrap().expect("it goes on")).unwrap();
    }
    let cancelled = other.send(about(&accepted, other, Method::DELETE)).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")), "{}", cancelled.body);
    heard += &events.text().await.unwrap();
    assert!(heard.trim_end().lines().any(|line| line == "event:cancelled"), "{heard}");
    assert_eq!(ended(&accepted, one).await["state"], "cancelled");
    assert_eq!(count(other).await, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_follows_an_upload_of_another_store_is_cancelled_at_once_and_that_one_goes_on() {
    let Some(stores) = Two::start().await else { return };
    let Two { one, other, source, .. } = &stores;
    let first = one.send(hurried(stores.upload(one))).await;
    source.wait_for_requests(1).await;
    let second = other.send(hurried(stores.upload(other))).await;
    assert_eq!(second.status, 202, "{}", second.body);
    // At the store that does not have it, while its source holds back the rest.
    let cancelled = one.send(about(&second, one, Method::DELETE)).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")), "{}", cancelled.body);
    source.release();
    assert_eq!(ended(&first, other).await["state"], "done");
    assert_eq!(ended(&second, other).await["state"], "cancelled");
    assert_eq!((source.requests().len(), count(other).await), (1, json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_joined_the_upload_of_a_store_that_dies_is_stored_all_the_same() {
    let Some(mut stores) = Two::start().await else { return };
    let accepted = stores.one.send(hurried(stores.upload(&stores.one))).await;
    stores.source.wait_for_requests(1).await;
    let joining = tokio::spawn(stores.upload(&stores.other).try_send_owned(stores.other.base()));
    wait_until(async || {
        let joined = stores.other.get("/metrics").await.body;
        if joined.contains("linkgate_store_uploads_active 1") { Ok(()) } else { Err(joined) }
    })
    .await;

    stores.one.kill_9();
    // The other one takes it over: a second request to the source.
    stores.source.wait_for_requests(2).await;
    stores.source.release();
    let joined = joining.await.unwrap().unwrap();
    assert_eq!(joined.status, 200, "{}", joined.body);
    let document = ended(&accepted, &stores.other).await;
    assert_eq!((&document["state"], &document["package"]["id"]), (&json!("done"), &joined.json()["id"]));
    assert_eq!(count(&stores.other).await, json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_joined_an_upload_that_nobody_was_told_of_is_done_when_that_goes_away() {
    let Some(mut stores) = Two::start().await else { return };
    let lost = tokio::spawn(stores.upload(&stores.one).try_send_owned(stores.one.base()));
    stores.source.wait_for_requests(1).await;
    let accepted = stores.other.send(hurried(stores.upload(&stores.other))).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);

    stores.one.kill_9();
    assert!(lost.await.unwrap().is_err(), "its caller is not answered");
    stores.source.wait_for_requests(2).await;
    stores.source.release();
    assert_eq!(ended(&accepted, &stores.other).await["state"], "done");
    assert_eq!(count(&stores.other).await, json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_link_is_sealed_in_the_database_and_opened_by_whoever_takes_it_over() {
    let Some(mut stores) = Two::start().await else { return };
    let link = format!("{}?signature=s3cretmark", stores.source.url());
    let accepted = stores.one.send(hurried(stores.one.request(link).version("1"))).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    stores.source.wait_for_requests(1).await;
    let mut database = PgConnection::connect(&stores.postgres.address()).await.unwrap();
    let row: String = sqlx::query_scalar("select job::text from job").fetch_one(&mut database).await.unwrap();
    assert!(row.contains("sealed:") && !row.contains("s3cretmark"), "{row}");

    stores.one.kill_9();
    stores.source.wait_for_requests(2).await;
    assert!(stores.source.requests()[1].contains("s3cretmark"));
    stores.source.release();
    assert_eq!(ended(&accepted, &stores.other).await["state"], "done");
}
