//! Sources that fail for a moment, and those that fail for good.

use std::time::{Duration, Instant};

use linkgate_tests::{Behaviour, FakeSource, TestStore, assert_prompt, package_of_size, sha256_hex, trust};

use crate::assert_refused;

const UNREACHABLE: &str = "The package_url could not be read";

/// A reply with this status and this `Retry-After`.
fn not_before(status: u16, retry_after: &str) -> Behaviour {
    let head = format!("HTTP/1.1 {status} Any\r\nretry-after: {retry_after}\r\ncontent-length: 0\r\n\r\n");
    Behaviour::Raw(head.into_bytes())
}

fn package() -> Behaviour {
    Behaviour::Bytes(package_of_size(1_000))
}

#[tokio::test]
async fn what_passes_is_waited_out_and_the_package_is_stored() {
    for (name, failure) in [
        ("500", Behaviour::Status(500)),
        ("503", Behaviour::Status(503)),
        ("408", Behaviour::Status(408)),
        ("429", Behaviour::Status(429)),
        ("no reply", Behaviour::Raw(Vec::new())),
        ("a reset before the head", Behaviour::Reset(Vec::new())),
        ("a body cut off", Behaviour::Announce(1_000, package_of_size(999))),
        ("a reset in the body", Behaviour::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbytes".to_vec())),
        ("chunks without an end", Behaviour::BrokenChunks(package_of_size(500))),
    ] {
        let source = FakeSource::start(three_times(failure)).await;
        let store = TestStore::trusting(&source).await;
        assert_stores_at_the_fourth(&store, &source, name).await;
    }
}

#[tokio::test]
async fn silence_is_waited_out_and_the_package_is_stored() {
    let wait = async |name, failure| {
        let source = FakeSource::start(three_times(failure)).await;
        let store = TestStore::with(|c| {
            trust(c, &[&source]);
            // A thousand times what the fourth attempt takes.
            c.fetch.connect_timeout = Duration::from_secs(3);
            c.fetch.idle_timeout = Duration::from_secs(3);
        })
        .await;
        assert_stores_at_the_fourth(&store, &source, name).await;
    };
    tokio::join!(
        wait("a silent source", Behaviour::StallBeforeHead),
        wait("a stall in the body", Behaviour::StallInBody(package_of_size(999))),
    );
}

/// The package comes after three failures.
fn three_times(failure: Behaviour) -> Behaviour {
    Behaviour::Turns(vec![failure.clone(), failure.clone(), failure, package()])
}

async fn assert_stores_at_the_fourth(store: &TestStore, source: &FakeSource, name: &str) {
    let reply = store.send(store.request(source.url())).await;
    assert_eq!((reply.status, source.requests().len()), (200, 4), "{name}: {reply:?}");
    assert_eq!(store.stored_files(), [sha256_hex(&package_of_size(1_000))], "{name}");
    assert_eq!(store.rows().await[0].size_bytes, 1_000, "{name}");
    assert!(store.directory().temp_files().is_empty(), "{name}");
}

#[tokio::test]
async fn the_fourth_failure_is_the_last_and_is_told() {
    let source = FakeSource::start(Behaviour::Turns(vec![Behaviour::Raw(Vec::new()), Behaviour::Status(503)])).await;
    let store = TestStore::trusting(&source).await;
    let detail = format!("{UNREACHABLE}: the source answered 503");
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!(source.requests().len(), 4);
}

#[tokio::test]
async fn a_clear_no_is_not_asked_twice() {
    for status in [204, 206, 304, 400, 401, 403, 404, 410, 416] {
        let source = FakeSource::start(Behaviour::Status(status)).await;
        let store = TestStore::trusting(&source).await;
        let detail = format!("{UNREACHABLE}: the source answered {status}");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
        assert_eq!(source.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_failure_behind_a_redirect_begins_at_the_link_again() {
    let mirror = FakeSource::start(Behaviour::Status(500)).await;
    let source = FakeSource::start(Behaviour::Turns(vec![Behaviour::Redirect(302, mirror.url()), package()])).await;
    let store = TestStore::with(|c| trust(c, &[&source, &mirror])).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    assert_eq!((source.requests().len(), mirror.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_source_that_names_a_time_is_not_asked_before() {
    for status in [429, 503] {
        let source = FakeSource::start(Behaviour::Turns(vec![not_before(status, "1"), package()])).await;
        let store = TestStore::trusting(&source).await;
        let begun = Instant::now();
        assert_eq!(store.send(store.request(source.url())).await.status, 200);
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_time_behind_the_deadline_is_not_waited_for() {
    for retry_after in ["601", "18446744073709551615", "Tue, 31 Dec 2999 23:59:59 GMT"] {
        let source = FakeSource::start(not_before(503, retry_after)).await;
        let store = TestStore::trusting(&source).await;
        let begun = Instant::now();
        let detail = format!("{UNREACHABLE}: the source answered 503");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
        assert_prompt(begun, retry_after);
        assert_eq!(source.requests().len(), 1);
    }
}

#[tokio::test]
async fn attempts_together_keep_to_the_deadline() {
    let source = FakeSource::start(Behaviour::StallInBody(package_of_size(200))).await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.fetch.idle_timeout = Duration::from_secs(2);
        c.fetch.total_timeout = Duration::from_secs(5);
    })
    .await;
    let detail = "Reading the package_url timed out";
    assert_refused(&store, store.request(source.url()), 504, "SOURCE_TIMEOUT", detail).await;
    assert!((1..=3).contains(&source.requests().len()), "four would take longer");
}

#[tokio::test]
async fn a_store_that_stops_does_not_wait_for_the_next_attempt() {
    let source = FakeSource::start(not_before(503, "300")).await;
    let mut store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.server.shutdown_grace = Duration::ZERO;
    })
    .await;
    let waiting = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let begun = Instant::now();
    store.begin_stop();
    drop(waiting.await.unwrap());
    store.finish().await;
    assert_prompt(begun, "the stop");
}
