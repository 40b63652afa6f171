//! Files that come at the same moment: what they have in common is done once, and what they leave is what rows need.

use std::collections::BTreeSet;

use linkgate_tests::{LinkRequestBuilder, TestStore, another_package_of_size, package_of_size, sha256_hex};

/// At the same moment.
const CALLERS: usize = 8;

async fn send_all(store: &TestStore, requests: Vec<LinkRequestBuilder>) -> Vec<(u16, serde_json::Value)> {
    let sending: Vec<_> =
        requests.into_iter().map(|request| tokio::spawn(request.try_send_owned(store.base()))).collect();
    let mut replies = Vec::new();
    for reply in sending {
        let reply = reply.await.unwrap().unwrap();
        replies.push((reply.status, reply.json()));
    }
    replies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_one_key_one_is_stored_and_is_the_answer_to_all() {
    let (store, package) = (TestStore::with(|_| {}).await, package_of_size(50_000));
    let keyed = || {
        let file = store.request("").bare_file("version=1.0&filename=app.tgz", package.as_slice());
        file.header("idempotency-key", "one")
    };
    let replies = send_all(&store, (0..CALLERS).map(|_| keyed()).collect()).await;
    assert!(replies.iter().all(|reply| *reply == replies[0]) && replies[0].0 == 200, "{replies:?}");
    assert_eq!((store.rows().await.len(), store.directory().jobs().await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn different_ones_under_one_key_are_refused_but_for_one() {
    let (store, package) = (TestStore::with(|_| {}).await, package_of_size(50_000));
    let keyed = |number: usize| {
        let file = store.request("").bare_file(&format!("version={number}&filename=app.tgz"), package.as_slice());
        file.header("idempotency-key", "one")
    };
    let mut statuses: Vec<u16> =
        send_all(&store, (0..CALLERS).map(keyed).collect()).await.into_iter().map(|(status, _)| status).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[422; CALLERS - 1][..]));
    assert_eq!((store.rows().await.len(), store.stored_files()), (1, vec![sha256_hex(&package)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_takes_what_is_there_gets_it_also_if_it_came_a_moment_ago() {
    let store = TestStore::with(|_| {}).await;
    let (package, other) = (package_of_size(50_000), another_package_of_size(50_000));
    let taking = |bytes: &[u8]| {
        let file = store.request("").bare_file("version=1.0&filename=app.tgz", bytes);
        file.header("prefer", "return=existing")
    };
    let replies = send_all(&store, (0..CALLERS).map(|_| taking(&package)).collect()).await;
    assert!(replies.iter().all(|reply| *reply == replies[0]) && replies[0].0 == 200, "{replies:?}");
    let (status, refused) = send_all(&store, vec![taking(&other)]).await.remove(0);
    assert_eq!((status, refused["code"].as_str()), (400, Some("PACKAGE_ALREADY_EXISTS")));
    assert_eq!((store.rows().await.len(), store.stored_files()), (1, vec![sha256_hex(&package)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn that_replace_one_another_leave_the_bytes_that_rows_need_and_no_others() {
    let store = TestStore::with(|_| {}).await;
    let packages = [package_of_size(20_000), another_package_of_size(20_000), package_of_size(30_000)];
    for round in 0..12 {
        let replacing = |at: usize| {
            let (version, package) = (at % 3, &packages[(at / 3 + round) % packages.len()]);
            let query = format!("version={version}&filename=app.tgz&allow_overwrite=true");
            store.request("").bare_file(&query, package.as_slice())
        };
        let replies = send_all(&store, (0..CALLERS).map(replacing).collect()).await;
        assert!(replies.iter().all(|(status, _)| *status == 200), "{replies:?}");
        let needed: BTreeSet<String> = store.rows().await.into_iter().map(|row| row.sha256).collect();
        let stored: BTreeSet<String> = store.stored_files().into_iter().collect();
        assert_eq!(stored, needed);
    }
}
