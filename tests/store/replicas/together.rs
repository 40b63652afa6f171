//! Stores that are asked for the same at the same time.

use linkgate_tests::{Behaviour, FakeSource, Replicas, StoreProcess, another_package_of_size, wait_until_holds};
use sqlx::Connection as _;
use tokio::join;

use super::{accepted, assert_done, holding, package, with_long_lease};
use crate::files::ByHand;

async fn two(replicas: &Replicas, source: &FakeSource) -> [StoreProcess; 2] {
    [(); 2].map(|()| replicas.store(source, &with_long_lease()))
}

async fn assert_one(replicas: &Replicas, stores: [StoreProcess; 2], source: &FakeSource) {
    for store in stores {
        store.stop();
    }
    let left = replicas.collect(source).await;
    assert_eq!((left.rows.len(), left.blobs.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_upload_at_two_stores_is_one_download_and_one_answer() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let stores = two(&replicas, &source).await;
    let [one, other] = &stores;
    let replies = async {
        join!(one.send(one.request(source.url()).in_english()), other.send(other.request(source.url()).in_english()))
    };
    let both_ask = async {
        source.wait_for_requests(1).await;
        // The second one has joined the first, or asks for it.
        wait_until_holds("both stores work on it", async || {
            let mut working = 0;
            for store in &stores {
                let metrics = store.get("/metrics").await.body;
                working += usize::from(metrics.lines().any(|line| line == "linkgate_store_uploads_active 1"));
            }
            working == 2
        })
        .await;
        source.release();
    };
    let ((first, second), ()) = join!(replies, both_ask);
    assert_eq!((first.status, second.status), (200, 200), "{} {}", first.body, second.body);
    assert_eq!(first.json(), second.json());
    assert_eq!(source.requests().len(), 1, "one download");
    assert_one(&replicas, stores, &source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_two_stores_stands_for_one_upload() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let stores = two(&replicas, &source).await;
    let [one, other] = &stores;
    let keyed = |store: &StoreProcess| store.request(source.url()).header("idempotency-key", "k").in_english();
    let replies = async { join!(one.send(keyed(one)), other.send(keyed(other))) };
    let release = async {
        source.wait_for_requests(1).await;
        source.release();
    };
    let ((first, second), ()) = join!(replies, release);
    assert_eq!((first.status, second.status), (200, 200), "{} {}", first.body, second.body);
    assert_eq!(first.json()["id"], second.json()["id"]);
    let again = other.send(keyed(other)).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]), "{}", again.body);
    let changed = other.send(keyed(other).version("another")).await;
    assert_eq!(changed.json()["code"], "IDEMPOTENCY_KEY_REUSED", "{}", changed.body);
    assert_eq!(source.requests().len(), 1, "one download");
    assert_one(&replicas, stores, &source).await;
}

/// Files that both stores are about to record, whichever looked first whether their key is known.
async fn both_record(replicas: &Replicas, callers: &mut [ByHand], file: &[u8]) {
    let mut connection = replicas.connect().await.unwrap();
    sqlx::query("select pg_advisory_lock(7302, hashtext('app_code'))").execute(&mut connection).await.unwrap();
    for caller in callers.iter_mut() {
        caller.send(file).await;
    }
    wait_until_holds("both are about to record it", async || {
        replicas.ask::<i64>("select count(*) from pg_locks where classid = 7302 and not granted").await
            == callers.len() as i64
    })
    .await;
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_to_two_stores_under_one_key_is_stored_once() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let stores = two(&replicas, &source).await;
    let (file, token) = (package(0), replicas.mint().token());
    let length = file.len();
    let requests = [
        ("version=1&filename=a.tgz", ""),
        ("version=2&filename=a.tgz", "if-none-match: *\r\n"),
        ("version=3&filename=a.tgz&allow_overwrite=true", ""),
    ];
    for (query, more) in requests {
        let head = format!("content-length: {length}\r\nexpect: 100-continue\r\nidempotency-key: {query}\r\n{more}");
        let begin = async |store: &StoreProcess, query: &str| {
            let mut caller = ByHand::begin(store.base(), &token, query, &head).await;
            assert_eq!(caller.read().await.status(), 100, "{query}");
            caller
        };
        let mut same = [begin(&stores[0], query).await, begin(&stores[1], query).await];
        let mut another = begin(&stores[1], &query.replace("a.tgz", "b.tgz")).await;
        both_record(&replicas, &mut same, &file).await;
        let [first, second] = [same[0].read().await, same[1].read().await];
        assert_eq!((first.status(), second.status()), (200, 200), "{query}: {first:?} {second:?}");
        assert_eq!(first.body, second.body, "{query}");
        another.send(&file).await;
        let reused = another.read().await;
        assert_eq!(reused.status(), 422, "{query}: {reused:?}");
    }
    let events = stores[0].send(stores[0].reading("events/")).await.json();
    let actions: Vec<_> =
        events["results"].as_array().expect("events").iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["upload"; 3], "{events}");
    for store in stores {
        store.stop();
    }
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len(), left.blobs.len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_packages_for_one_version_one_is_stored_and_one_refused() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::start(Behaviour::Status(404)).await;
    for number in 0..2 {
        source.on(&format!("/{number}.tgz"), Behaviour::Held(another_package_of_size(100_000 + number)));
    }
    let stores = two(&replicas, &source).await;
    let [one, other] = &stores;
    let send = |store: &'_ StoreProcess, number: usize| {
        store.request(source.url_of(&format!("/{number}.tgz"))).in_english().try_send_owned(store.base())
    };
    let replies = async { join!(send(one, 0), send(other, 1)) };
    let release = async {
        source.wait_for_requests(2).await;
        source.release();
    };
    let ((first, second), ()) = join!(replies, release);
    let mut replies = [first.unwrap(), second.unwrap()];
    replies.sort_by_key(|reply| reply.status);
    let [stored, refused] = replies;
    assert_eq!((stored.status, refused.status), (200, 400), "{} {}", stored.body, refused.body);
    assert_eq!(refused.json()["code"], "PACKAGE_ALREADY_EXISTS");
    assert_one(&replicas, stores, &source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_accepted_at_two_stores_ends_at_both() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let stores = two(&replicas, &source).await;
    let [one, other] = &stores;
    let first = accepted(one, one.request(source.url())).await;
    source.wait_for_requests(1).await;
    let second = accepted(other, other.request(source.url())).await;
    source.release();
    let mut ids = Vec::new();
    for store in [one, other] {
        for upload in [&first, &second] {
            ids.push(assert_done(store, upload).await);
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one package");
    assert_eq!(source.requests().len(), 1, "one download");
    assert_one(&replicas, stores, &source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_store_dies_is_taken_over_by_one_that_was_asked_for_the_same() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let [mut dying, other] = two(&replicas, &source).await;
    let first = accepted(&dying, dying.request(source.url())).await;
    source.wait_for_requests(1).await;
    let second = accepted(&other, other.request(source.url())).await;
    dying.kill_9();
    source.wait_for_requests(2).await;
    source.release();
    let ids = [assert_done(&other, &first).await, assert_done(&other, &second).await];
    assert_eq!(ids[0], ids[1]);
    other.stop();
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len(), left.blobs.len(), left.rows[0].size_bytes), (1, 1, package(0).len() as i64));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_followed_another_one_is_done_like_that_one_when_its_store_stops() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let [one, stopping] = two(&replicas, &source).await;
    let waits = tokio::spawn(one.request(source.url()).in_english().try_send_owned(one.base()));
    source.wait_for_requests(1).await;
    let follows = accepted(&stopping, stopping.request(source.url())).await;
    stopping.stop();
    source.wait_for_requests(2).await;
    source.release();
    let id = assert_done(&one, &follows).await;
    let reply = waits.await.unwrap().unwrap();
    assert_eq!((reply.status, reply.json()["id"].as_i64()), (200, Some(id)), "{}", reply.body);
    assert_eq!(replicas.ask::<i64>("select count(*) from event").await, 1, "recorded once");
    one.stop();
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len(), left.blobs.len()), (1, 1));
}

/// How a store ends an upload whose storage is away.
const AWAY: &str = "update job set state = 'failed', ended_ms = created_ms + 1, ended_at = clock_timestamp(), request = null,
        private_hosts = null, credentials = null, sealed_credential = null, process = null, holder = null, lease_until = null,
        outcome = '{\"code\": \"SERVICE_UNAVAILABLE\", \"zh\": \"-\", \"en\": \"The object storage does not answer\"}'
    where not is_accepted and state = 'claimed'";

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_upload_does_not_fail_with_one_that_it_followed_and_whose_store_lost_its_storage() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let [one, other] = two(&replicas, &source).await;
    let waits = tokio::spawn(one.request(source.url()).in_english().try_send_owned(one.base()));
    source.wait_for_requests(1).await;
    let follows = accepted(&other, other.request(source.url())).await;
    assert_eq!(replicas.execute(AWAY).await, 1);
    source.wait_for_requests(2).await;
    source.release();
    assert_done(&other, &follows).await;
    // Whatever this one is told: what it waited for was taken away behind its store's back.
    waits.await.unwrap().unwrap();
    one.stop();
    other.stop();
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len(), left.blobs.len()), (1, 1));
}
