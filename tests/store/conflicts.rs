//! The same version again.

use std::time::Duration;

use linkgate_tests::{Behaviour, FakeSource, TestStore, bytes, package_of, sha256_hex, trust};
use serde_json::json;

use crate::assert_problem;

#[tokio::test]
async fn a_version_that_is_there_is_refused_without_a_download() {
    let source = FakeSource::serving(package_of("first")).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let before = store.rows().await;
    let reply = store.send(store.request(source.url())).await;
    assert_problem(&reply, 400, Some("4312009"), &json!({"code": "PACKAGE_ALREADY_EXISTS", "detail": "源码包已存在"}));
    let reply = store.send(store.request(source.url()).in_english()).await;
    assert_eq!(reply.json()["detail"], "The source package already exists");
    assert_eq!(source.requests().len(), 1, "refused before anything is fetched");
    assert_eq!(store.rows().await, before);
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("first"))]);
}

#[tokio::test]
async fn the_same_version_of_another_module_or_app_is_another_package() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    for (app, module) in [("a", "one"), ("a", "two"), ("b", "one")] {
        assert_eq!(store.send(store.request(source.url()).module(app, module)).await.status, 200, "{app}/{module}");
    }
}

#[tokio::test]
async fn overwriting_keeps_id_and_created_and_replaces_the_rest() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/renamed.zip", Behaviour::Bytes(package_of("newer")));
    let store = TestStore::trusting(&source).await;
    let old = store.send(store.request(source.url())).await.json();
    let row = store.rows().await.remove(0);
    // Times are shown in seconds; make the difference visible.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let reply = store.send(store.request(source.url_of("/renamed.zip")).overwriting()).await;
    let new = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!((&new["id"], &new["created"]), (&old["id"], &old["created"]));
    assert_ne!(new["updated"], old["updated"]);
    assert_eq!(new["package_name"], "renamed:0.0.5");
    assert_eq!(new["package_size"], package_of("newer").len().to_string());
    assert_eq!(new["sha256_signature"], sha256_hex(&package_of("newer")));
    let rows = store.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].id, rows[0].created_ms), (row.id, row.created_ms));
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("newer"))], "the replaced blob is removed");
}

#[tokio::test]
async fn a_replaced_blob_stays_while_another_row_points_at_it() {
    let source = FakeSource::serving(package_of("shared")).await;
    source.on("/new", Behaviour::Bytes(package_of("new")));
    let store = TestStore::trusting(&source).await;
    for version in ["1", "2"] {
        assert_eq!(store.send(store.request(source.url()).version(version)).await.status, 200);
    }
    let overwrite = |version: &str| store.request(source.url_of("/new")).version(version).overwriting();
    assert_eq!(store.send(overwrite("1")).await.status, 200);
    let mut both = [sha256_hex(&package_of("new")), sha256_hex(&package_of("shared"))];
    both.sort();
    assert_eq!(store.stored_files(), both);
    assert_eq!(store.send(overwrite("2")).await.status, 200);
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("new"))]);
}

#[tokio::test]
async fn overwriting_with_the_same_bytes_keeps_them() {
    let source = FakeSource::serving(package_of("same")).await;
    let store = TestStore::trusting(&source).await;
    for _ in 0..3 {
        assert_eq!(store.send(store.request(source.url()).overwriting()).await.status, 200);
    }
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("same"))]);
    assert_eq!(store.rows().await.len(), 1);
}

#[tokio::test]
async fn a_failed_overwrite_changes_nothing() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/broken", Behaviour::Announce(100, b"cut".to_vec()));
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let before = store.rows().await;
    assert_eq!(store.send(store.request(source.url_of("/broken")).overwriting()).await.status, 502);
    assert_eq!(store.rows().await, before);
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("old"))]);
}

#[tokio::test]
async fn a_deleted_version_may_be_uploaded_again() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let first = store.send(store.request(source.url())).await.json();
    store.directory().execute("update source_package set is_deleted = true").await;
    let reply = store.send(store.request(source.url())).await;
    assert_eq!(reply.status, 200);
    assert_ne!(reply.json()["id"], first["id"], "a new row");
    let deleted: Vec<bool> = store.rows().await.iter().map(|row| row.is_deleted).collect();
    assert_eq!(deleted, [true, false]);
    assert_eq!(store.send(store.request(source.url())).await.status, 400, "and is there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uploads_of_one_version_exactly_one_wins() {
    const RACERS: usize = 12;
    let source = FakeSource::serving(package_of("unused")).await;
    let store = TestStore::with(|c| trust(c, &[&source])).await;
    let body_of = |i: usize| package_of([format!("racer {i} ").into_bytes(), bytes(300_000)].concat());
    let mut racers = Vec::new();
    for i in 0..RACERS {
        let path = format!("/{i}");
        source.on(&path, Behaviour::Held(body_of(i)));
        let (request, base) = (store.request(source.url_of(&path)), store.base().to_owned());
        racers.push(tokio::spawn(async move { request.send(&base).await }));
    }
    // All are past the early refusal before the first one can be recorded.
    source.wait_for_requests(RACERS).await;
    source.release();
    let mut winners = Vec::new();
    for (i, racer) in racers.into_iter().enumerate() {
        let reply = racer.await.unwrap();
        if reply.status == 200 {
            winners.push((i, reply));
        } else {
            assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("PACKAGE_ALREADY_EXISTS")));
        }
    }
    assert_eq!(winners.len(), 1);
    let (i, reply) = winners.remove(0);
    let sha256 = sha256_hex(&body_of(i));
    assert_eq!(reply.json()["sha256_signature"], sha256);
    assert_eq!(store.stored_files(), std::slice::from_ref(&sha256), "the losers' blobs are removed");
    let rows = store.rows().await;
    assert_eq!((rows.len(), &rows[0].sha256), (1, &sha256));
    store.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_overwrites_leave_one_row_and_its_blob() {
    const RACERS: usize = 8;
    let source = FakeSource::serving(package_of("first")).await;
    let store = TestStore::trusting(&source).await;
    let first = store.send(store.request(source.url())).await.json();
    let mut racers = Vec::new();
    for i in 0..RACERS {
        let path = format!("/{i}");
        // Two of each content, so that a blob may be wanted by one while another replaces it.
        source.on(&path, Behaviour::Held(package_of(format!("content {}", i / 2))));
        let (request, base) = (store.request(source.url_of(&path)).overwriting(), store.base().to_owned());
        racers.push(tokio::spawn(async move { request.send(&base).await }));
    }
    source.wait_for_requests(RACERS + 1).await;
    source.release();
    for racer in racers {
        let reply = racer.await.unwrap();
        assert_eq!((reply.status, &reply.json()["id"]), (200, &first["id"]));
    }
    let rows = store.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(store.stored_files(), [rows[0].sha256.clone()]);
    store.finish().await;
}
