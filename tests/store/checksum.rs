//! Packages that the caller named by their SHA-256.

use linkgate_tests::{Behaviour, FakeSource, TestStore, package_of, sha256_hex};
use serde_json::json;

use crate::{assert_field_refused, assert_problem, assert_refused};

/// What the caller reads in English.
fn mismatch(expected: &str, found: &str) -> String {
    format!("The package has another SHA-256: expected {expected}, got {found}")
}

#[tokio::test]
async fn the_package_that_was_named_is_stored() {
    let source = FakeSource::serving(package_of("package")).await;
    let store = TestStore::trusting(&source).await;
    let digest = sha256_hex(&package_of("package"));
    for (version, given) in [
        ("1", json!(digest)),
        ("2", json!(digest.to_uppercase())),
        ("3", json!(format!(" {digest} "))),
        ("4", json!(null)),
        ("5", json!("")),
    ] {
        let reply = store.send(store.request(source.url()).version(version).field("sha256", given)).await;
        assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &json!(digest)), "{version}");
    }
    assert_eq!(store.stored_files(), [digest]);
}

#[tokio::test]
async fn another_package_than_was_named_is_refused_and_leaves_nothing() {
    let source = FakeSource::serving(package_of("package")).await;
    source.on("/empty", Behaviour::Bytes(Vec::new()));
    let store = TestStore::trusting(&source).await;
    let named = sha256_hex(&package_of("another"));
    for (path, found) in [("/", sha256_hex(&package_of("package"))), ("/empty", sha256_hex(b""))] {
        let request = || store.request(source.url_of(path)).field("sha256", named.to_uppercase());
        assert_refused(&store, request(), 400, "CHECKSUM_MISMATCH", &mismatch(&named, &found)).await;
        let reply = store.send(request()).await;
        let detail = format!("源码包的 SHA-256 不一致：应为 {named}，实际为 {found}");
        assert_problem(&reply, 400, None, &json!({"code": "CHECKSUM_MISMATCH", "detail": detail}));
        store.directory().assert_empty().await;
    }
}

#[tokio::test]
async fn an_overwrite_with_another_package_leaves_the_old_one_untouched() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/new", Behaviour::Bytes(package_of("new")));
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let before = store.rows().await;
    let (old, new) = (sha256_hex(&package_of("old")), sha256_hex(&package_of("new")));
    let wrong = store.request(source.url()).overwriting().field("sha256", new.as_str()).in_english();
    let body = json!({"code": "CHECKSUM_MISMATCH", "detail": mismatch(&new, &old)});
    assert_problem(&store.send(wrong).await, 400, None, &body);
    assert_eq!(store.rows().await, before);
    assert_eq!(store.stored_files(), [old]);
    assert!(store.directory().temp_files().is_empty());
    let right = store.request(source.url_of("/new")).overwriting().field("sha256", new.as_str());
    assert_eq!(store.send(right).await.status, 200);
    assert_eq!(store.stored_files(), [new]);
}

#[tokio::test]
async fn what_is_no_digest_is_refused_before_a_download() {
    let source = FakeSource::serving(package_of("package")).await;
    let store = TestStore::trusting(&source).await;
    let digits = "Must be 64 hexadecimal digits, the SHA-256 of the package.";
    for (given, message) in [
        (json!("abc"), digits),
        (json!("g".repeat(64)), digits),
        (json!(format!("sha256:{}", sha256_hex(&package_of("package")))), digits),
        (json!(7), "Not a valid string."),
        (json!({}), "Not a valid string."),
        (json!(false), "Not a valid string."),
    ] {
        assert_field_refused(&store, store.request(source.url()).field("sha256", given), "sha256", message).await;
    }
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn what_the_module_has_is_recorded_without_a_download() {
    let source = FakeSource::serving(package_of("package")).await;
    source.on("/gone", Behaviour::Status(404));
    let store = TestStore::trusting(&source).await;
    let digest = sha256_hex(&package_of("package"));
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let held = |version: &str| store.request(source.url_of("/gone")).version(version).field("sha256", digest.as_str());
    let reply = store.send(held("2").module("app", "other")).await;
    assert_eq!(reply.status, 502, "another application: {}", reply.body);
    let app = store.rows().await[0].app_code.clone();
    let reply = store.send(held("2").module(&app, "other")).await;
    assert_eq!(reply.status, 502, "a grant may end at the module: {}", reply.body);
    for version in ["2", "3"] {
        let reply = store.send(held(version)).await;
        assert_eq!(
            (reply.status, &reply.json()["package_size"]),
            (200, &json!(package_of("package").len().to_string())),
            "{}",
            reply.body
        );
    }
    assert_eq!(store.stored_files(), [digest.as_str()]);
    assert_eq!(source.requests().len(), 3, "the first upload, and those of the other modules");
    // What is refused stays refused.
    assert_eq!(store.send(held("2")).await.status, 400);
    let reply = store.send(held("4").field("size", 8)).await;
    assert!(reply.status == 400 && reply.body.contains("SIZE_MISMATCH"), "{}", reply.body);
    assert_eq!(store.rows().await.len(), 3);
    store.finish().await;
}

#[tokio::test]
async fn what_the_module_has_may_take_the_place_of_another_package() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/new", Behaviour::Bytes(package_of("new")));
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    assert_eq!(store.send(store.request(source.url_of("/new")).version("2")).await.status, 200);
    let (old, new) = (sha256_hex(&package_of("old")), sha256_hex(&package_of("new")));
    let reply = store.send(store.request(source.url()).overwriting().field("sha256", new.as_str())).await;
    assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &json!(new)));
    assert_eq!(store.stored_files(), [new], "{old} is in no row any more");
    store.finish().await;
}

#[tokio::test]
async fn bytes_that_were_lost_are_downloaded_again() {
    if linkgate_tests::engine::is_about_directories("it deletes a file") {
        return;
    }
    let source = FakeSource::serving(package_of("package")).await;
    let store = TestStore::trusting(&source).await;
    let digest = sha256_hex(&package_of("package"));
    let request = |version: &str| store.request(source.url()).version(version).field("sha256", digest.as_str());
    assert_eq!(store.send(request("1")).await.status, 200);
    std::fs::remove_file(store.directory().blob(&digest)).unwrap();
    assert_eq!(store.send(request("2")).await.status, 200);
    assert_eq!(source.requests().len(), 2);
    assert_eq!(store.stored_files(), [digest.as_str()]);
    store.finish().await;
}
