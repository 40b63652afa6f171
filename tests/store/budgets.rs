//! One caller at its bound, of each thing that a caller can make the store hold, and another who is served all the same.
//! docs/LIMITS.md lists them.

use linkgate_tests::wait::wait_until;
use linkgate_tests::{Behaviour, FakeSource, LinkRequestBuilder, Reply, StoreProcess, TestStore, bytes, trust};
use serde_json::json;

use crate::assert_problem;

/// The caller that takes all it can get, and the one that wants to be served.
const [GREEDY, MODEST]: [&str; 2] = ["greedy", "modest"];

fn hurried(request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("prefer", "respond-async").in_english()
}

fn assert_share_is_used_up(reply: &Reply, bound: usize) {
    let detail =
        format!("As many of your uploads wait as one caller may have ({bound}), try again when some have ended");
    assert_problem(reply, 429, None, &json!({"code": "TOO_MANY_UPLOADS", "detail": detail}));
    assert_eq!(reply.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn accepted_uploads_fill_their_callers_share_of_the_queue_and_no_more() {
    let held = FakeSource::start(Behaviour::Held(bytes(1_000))).await;
    let store = TestStore::with(|config| {
        trust(config, &[&held]);
        (config.server.queue.per_app, config.server.queue.queued_per_app) = (2, 3);
    })
    .await;
    let by = |app: &str| store.mint().token_of(app);
    // For an application of its own each: it is the caller who counts.
    let ask = |app: &str, number: usize| {
        hurried(store.request(held.url())).module(&format!("target-{app}-{number}"), "m").token(Some(by(app)))
    };
    for number in 0..5 {
        assert_eq!(store.send(ask(GREEDY, number)).await.status, 202, "{number}");
    }
    assert_share_is_used_up(&store.send(ask(GREEDY, 5)).await, 3);
    // From the same host.
    let accepted = store.send(ask(MODEST, 0)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    held.wait_for_requests(3).await;
    held.release();
    wait_until(async || match store.rows().await.len() {
        6 => Ok(()),
        rows => Err(format!("{rows} rows")),
    })
    .await;
    assert_eq!(store.send(ask(GREEDY, 5)).await.status, 202, "what has ended does not count");
    store.finish().await;
}

#[tokio::test]
async fn after_a_restart_accepted_uploads_still_count_for_their_caller() {
    let held = FakeSource::start(Behaviour::Held(bytes(1_000))).await;
    let data = tempfile::tempdir().unwrap();
    let share =
        [("LINKGATE_STORE_MAX_UPLOADS_PER_APP", "1"), ("LINKGATE_STORE_MAX_QUEUED_UPLOADS_PER_APP", "1")];
    let mut killed = StoreProcess::trusting(&held, data.path(), &share);
    let by = |app: &str| killed.mint().token_of(app);
    let ask = |app: &str, version: &str| hurried(killed.request(held.url())).version(version).token(Some(by(app)));
    let asked = ["1", "2", "3"].map(|version| ask(GREEDY, version));
    let other = ask(MODEST, "4");
    for request in &asked[..2] {
        assert_eq!(request.clone().send(killed.base()).await.status, 202);
    }
    assert_share_is_used_up(&asked[2].clone().send(killed.base()).await, 1);
    held.wait_for_requests(1).await;
    let keys = killed.mint().setting();
    killed.kill_9();
    let again = StoreProcess::trusting(&held, data.path(), &[&share[..], &[("LINKGATE_JWT_PUBLIC_KEYS", &keys)]].concat());
    held.wait_for_requests(2).await;
    assert_share_is_used_up(&asked[2].clone().send(again.base()).await, 1);
    assert_eq!(other.send(again.base()).await.status, 202);
    held.wait_for_requests(3).await;
    held.release();
    wait_until(async || match again.rows().await.len() {
        3 => Ok(()),
        rows => Err(format!("{rows} rows")),
    })
    .await;
}
