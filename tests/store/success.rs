//! A package is linked.

use linkgate_tests::{Behaviour, FakeSource, TestStore, package_of, package_of_size, sha256_hex, trust};

#[tokio::test]
async fn the_reply_is_the_one_of_the_api_document() {
    let body = package_of_size(100_000);
    let source = FakeSource::serving(body.clone()).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url())).await;
    let row = store.rows().await.remove(0);
    let time = reply.json()["created"].as_str().unwrap().to_owned();
    let want = format!(
        r#"{{"id":{},"version":"0.0.5","package_name":"example:0.0.5","package_size":"100000","sha256_signature":"{}","is_deleted":false,"updated":"{time}","created":"{time}","operator":"admin"}}"#,
        row.id,
        sha256_hex(&body),
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, want.as_str()), "every field, in this order, no others");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("bkapi-error-code"), None);
    assert_eq!(store.stored_files(), [sha256_hex(&body)]);
    assert_eq!((row.size_bytes, row.operator.as_str()), (100_000, "admin"));
    assert_eq!(store.directory().modules().await, ["app_code/default/2"], "registered as BK-Lesscode");
    store.finish().await;
}

#[tokio::test]
async fn times_are_those_of_shanghai_unless_another_zone_is_set() {
    let source = FakeSource::serving(package_of("x")).await;
    let shanghai = TestStore::trusting(&source).await;
    let utc = TestStore::with(|c| {
        trust(c, &[&source]);
        c.time_zone = jiff_utc();
    })
    .await;
    let mut shown = Vec::new();
    for store in [&shanghai, &utc] {
        let reply = store.send(store.request(source.url())).await.json();
        let text = reply["created"].as_str().unwrap().to_owned();
        let ms = store.rows().await[0].created_ms;
        shown.push((seconds_of(&text), ms / 1_000));
    }
    assert_eq!(shown[0].0, shown[0].1 + 8 * 3_600);
    assert_eq!(shown[1].0, shown[1].1);
}

/// The zone as the store's configuration holds it.
fn jiff_utc() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::UTC
}

/// Seconds since the epoch, as if the text were UTC.
fn seconds_of(text: &str) -> i64 {
    let time: jiff::civil::DateTime = text.replace(' ', "T").parse().unwrap();
    time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second()
}

#[tokio::test]
async fn every_framing_of_a_body_gives_the_same_package() {
    // Over a MiB, so that several batches are written, and odd.
    let body = package_of_size(2_500_001);
    for (name, behaviour) in [
        ("length", Behaviour::Bytes(body.clone())),
        ("chunks", Behaviour::Chunked(body.clone(), 4_099)),
        ("tiny chunks", Behaviour::Chunked(package_of_size(3_000), 1)),
        ("identity", Behaviour::Encoded("identity", body.clone())),
    ] {
        let want = match name {
            "tiny chunks" => sha256_hex(&package_of_size(3_000)),
            _ => sha256_hex(&body),
        };
        let source = FakeSource::start(behaviour).await;
        let store = TestStore::trusting(&source).await;
        let reply = store.send(store.request(source.url())).await;
        assert_eq!((reply.status, reply.json()["sha256_signature"].as_str()), (200, Some(want.as_str())), "{name}");
        assert_eq!(store.stored_files(), [want], "{name}");
    }
}

#[tokio::test]
async fn the_source_is_asked_once_and_plainly() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(format!("{}?sign=s3cret", source.url()))).await;
    assert_eq!(reply.status, 200);
    let requests = source.requests();
    assert_eq!(requests.len(), 1);
    let head = requests[0].to_ascii_lowercase();
    assert!(head.starts_with("get /generic/example.tar.gz?sign=s3cret http/1.1\r\n"), "{head}");
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
    for unwanted in ["cookie", "referer", "authorization", "x-bkapi"] {
        assert!(!head.contains(unwanted), "{head}");
    }
}

#[tokio::test]
async fn same_bytes_are_kept_once() {
    let source = FakeSource::serving(package_of("same")).await;
    let store = TestStore::trusting(&source).await;
    for (app, version) in [("one", "1"), ("one", "2"), ("two", "1")] {
        let request = store.request(source.url()).module(app, "default").version(version);
        assert_eq!(store.send(request).await.status, 200);
    }
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("same"))]);
    assert_eq!(store.rows().await.len(), 3);
}

#[tokio::test]
async fn a_damaged_blob_is_healed_by_the_next_upload_of_its_bytes() {
    if linkgate_tests::engine::is_about_directories("it damages a file") {
        return;
    }
    let source = FakeSource::serving(package_of("healthy")).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let name = sha256_hex(&package_of("healthy"));
    std::fs::write(store.directory().path().join("blobs").join(&name[..2]).join(&name), "cut").unwrap();
    assert_eq!(store.send(store.request(source.url()).version("2")).await.status, 200);
    assert_eq!(store.stored_files(), [name], "stored_files compares each blob with its name");
}

#[tokio::test]
async fn files_are_for_the_service_and_its_group_only() {
    use std::os::unix::fs::PermissionsExt as _;
    if linkgate_tests::engine::is_about_directories("it asks for the rights of files") {
        return;
    }
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let name = sha256_hex(&package_of("x"));
    let blob = format!("blobs/{}/{name}", &name[..2]);
    for (path, want) in [
        ("", 0o750),
        ("blobs", 0o750),
        ("tmp", 0o750),
        (blob.as_str(), 0o640),
        ("catalog.sqlite3", 0o640),
        ("catalog.sqlite3-wal", 0o640),
    ] {
        let mode = std::fs::metadata(store.directory().path().join(path)).unwrap().permissions().mode() & 0o777;
        // The process's umask may take more away, never add.
        assert_eq!(mode & !want, 0, "{path} has mode {mode:o}");
    }
}
