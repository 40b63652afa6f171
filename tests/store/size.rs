//! Packages whose size the caller named.

use linkgate_tests::{
    Behaviour, FakeSource, TestStore, allow_unknown_formats, bytes, package_of, package_of_size, sha256_hex, trust,
};
use serde_json::json;

use crate::{assert_field_refused, assert_problem, assert_refused};

fn mismatch(expected: u64, found: &str) -> String {
    format!("The package has another size: expected {expected} bytes, got {found}")
}

/// The same 700 bytes, in each way that a body can come.
fn framed() -> [Behaviour; 3] {
    let package = || package_of_size(700);
    [Behaviour::Bytes(package()), Behaviour::Chunked(package(), 2), Behaviour::UntilClose(package())]
}

#[tokio::test]
async fn a_package_of_the_size_that_was_named_is_stored() {
    for behaviour in framed() {
        let source = FakeSource::start(behaviour).await;
        let store = TestStore::trusting(&source).await;
        for (version, given) in [("1", json!(700)), ("2", json!(" 700 "))] {
            let reply = store.send(store.request(source.url()).version(version).field("size", given)).await;
            assert_eq!((reply.status, &reply.json()["package_size"]), (200, &json!("700")), "{version}");
        }
        assert_eq!(store.stored_files(), [sha256_hex(&package_of_size(700))]);
    }
}

#[tokio::test]
async fn null_and_nothing_name_no_size() {
    let source = FakeSource::serving(package_of_size(700)).await;
    let store = TestStore::trusting(&source).await;
    for (version, given) in [("1", json!(null)), ("2", json!(""))] {
        let reply = store.send(store.request(source.url()).version(version).field("size", given)).await;
        assert_eq!((reply.status, &reply.json()["package_size"]), (200, &json!("700")), "{version}");
    }
}

#[tokio::test]
async fn another_size_is_refused_and_leaves_nothing() {
    for (at, behaviour) in framed().into_iter().enumerate() {
        let source = FakeSource::start(behaviour).await;
        let store = TestStore::trusting(&source).await;
        let too_many = if at == 0 { "700" } else { "more" };
        for (named, found) in [(0, too_many), (699, too_many), (701, "700")] {
            let request = store.request(source.url()).field("size", named);
            assert_refused(&store, request, 400, "SIZE_MISMATCH", &mismatch(named, found)).await;
        }
        let reply = store.send(store.request(source.url()).field("size", 701)).await;
        let detail = "源码包的大小不一致：应为 701 字节，实际为 700";
        assert_problem(&reply, 400, None, &json!({"code": "SIZE_MISMATCH", "detail": detail}));
        assert_eq!(source.requests().len(), 4, "a size is not tried again");
    }
}

#[tokio::test]
async fn another_size_that_is_announced_is_refused_before_the_body() {
    // Were the body waited for, the idle timeout would answer instead.
    let source = FakeSource::start(Behaviour::StallInBody(bytes(9))).await;
    let store = TestStore::trusting(&source).await;
    let request = store.request(source.url()).field("size", 9);
    assert_refused(&store, request, 400, "SIZE_MISMATCH", &mismatch(9, "10")).await;
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_size_that_was_named() {
    let source = FakeSource::start(Behaviour::Endless).await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        allow_unknown_formats(c, "a body without an end has no format");
    })
    .await;
    let request = store.request(source.url()).field("size", 5_000_000);
    assert_refused(&store, request, 400, "SIZE_MISMATCH", &mismatch(5_000_000, "more")).await;
}

#[tokio::test]
async fn a_size_over_the_limit_is_refused_without_asking_the_source() {
    let source = FakeSource::serving(package_of_size(700)).await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.fetch.max_bytes = 700;
    })
    .await;
    let request = store.request(source.url()).field("size", 701);
    let detail = "The package is too large, the limit is 700 bytes";
    assert_refused(&store, request, 400, "PACKAGE_TOO_LARGE", detail).await;
    assert!(source.requests().is_empty());
    assert_eq!(store.send(store.request(source.url()).field("size", 700)).await.status, 200);
}

#[tokio::test]
async fn an_overwrite_of_another_size_leaves_the_old_package_untouched() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/new", Behaviour::Bytes(package_of("newer")));
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let before = store.rows().await;
    let request = store.request(source.url_of("/new")).overwriting().field("size", 3).in_english();
    let body = json!({"code": "SIZE_MISMATCH", "detail": mismatch(3, &package_of("newer").len().to_string())});
    assert_problem(&store.send(request).await, 400, None, &body);
    assert_eq!((store.rows().await, store.stored_files()), (before, vec![sha256_hex(&package_of("old"))]));
}

#[tokio::test]
async fn what_is_no_size_is_refused_before_a_download() {
    let source = FakeSource::serving(package_of("package")).await;
    let store = TestStore::trusting(&source).await;
    let message = "Must be a whole number, the bytes of the package.";
    for given in [json!(-1), json!(1.5), json!("7 bytes"), json!(true), json!([7])] {
        assert_field_refused(&store, store.request(source.url()).field("size", given), "size", message).await;
    }
    assert!(source.requests().is_empty());
}
