//! Packages are downloaded: whole, in part, under conditions, while they are overwritten, and by slow readers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_store_core::budget::Bounds;
use linkgate_tests::token::good_claims;
use linkgate_tests::{
    Behaviour, Compression, DataDirectory, Downloaded, FakeSource, StoreProcess, TestStore, package_of,
    package_of_size, package_path, sha256_hex, tar, trust, wait_until, wait_until_holds, zip,
};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const RANGE: &str = "range";

/// A store with one package of these bytes, and its number.
async fn holding(bytes: &[u8]) -> (FakeSource, TestStore, i64) {
    let source = FakeSource::serving(bytes).await;
    let store = TestStore::trusting(&source).await;
    let id = uploaded(&store, &source, "0.0.5").await;
    (source, store, id)
}

async fn uploaded(store: &TestStore, source: &FakeSource, version: &str) -> i64 {
    let reply = store.send(store.request(source.url()).version(version).overwriting()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["id"].as_i64().unwrap()
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", sha256_hex(bytes))
}

#[track_caller]
fn assert_whole(reply: &Downloaded, bytes: &[u8]) {
    assert_eq!((reply.status, sha256_hex(&reply.bytes)), (200, sha256_hex(bytes)));
}

#[track_caller]
fn assert_refusal(reply: &Downloaded, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_package_comes_as_it_is_stored_and_its_head_says_what_it_is() {
    let package = package_of_size(300_000);
    let (_source, store, id) = holding(&package).await;
    let reply = store.download(id, &[]).await;
    assert_whole(&reply, &package);
    let digest = STANDARD.encode(hex::decode(sha256_hex(&package)).unwrap());
    for (name, value) in [
        ("content-length", "300000"),
        ("content-type", "application/gzip"),
        ("etag", &etag(&package)),
        ("accept-ranges", "bytes"),
        ("repr-digest", &format!("sha-256=:{digest}:")),
        ("x-checksum-sha256", &sha256_hex(&package)),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-transform"),
        ("content-disposition", "attachment; filename=\"example-0.0.5.tar.gz\"; filename*=UTF-8''example-0.0.5.tar.gz"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    assert!(reply.header("last-modified").unwrap().ends_with(" GMT"));
    let head = store.fetch(Method::HEAD, id, "download/", &[(RANGE, "bytes=0-1")]).await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    for name in ["content-length", "etag", "last-modified", "content-disposition", "accept-ranges", "repr-digest"] {
        assert_eq!(head.header(name), reply.header(name), "{name}");
    }
}

#[tokio::test]
async fn a_package_is_named_by_its_format() {
    let members: &[(&str, &[u8])] = &[("app_desc.yaml", b"spec_version: 2\napp_version: '1'\n")];
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    for (path, bytes, media_type, name) in [
        ("/a.tar", tar(members, Compression::None), "application/x-tar", "a-1.tar"),
        ("/%E5%95%86.zip", zip(members), "application/zip", "_E5_95_86-1.zip"),
        ("/c", tar(members, Compression::Zstd), "application/zstd", "c-1.tar.zst"),
    ] {
        source.on(path, Behaviour::Bytes(bytes.clone()));
        let reply = store.send(store.request(source.url_of(path)).version("1").overwriting()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let reply = store.download(reply.json()["id"].as_i64().unwrap(), &[]).await;
        assert_whole(&reply, &bytes);
        assert_eq!(reply.header("content-type"), Some(media_type), "{path}");
        let disposition = reply.header("content-disposition").unwrap();
        assert!(disposition.starts_with(&format!("attachment; filename=\"{name}\";")), "{disposition}");
    }
}

#[tokio::test]
async fn one_range_is_a_part_and_anything_else_is_the_whole_or_refused() {
    let package = package_of_size(200_000);
    let (_source, store, id) = holding(&package).await;
    for (range, part) in [
        ("bytes=0-0", 0..1),
        ("bytes=65535-65536", 65_535..65_537),
        ("bytes=199999-", 199_999..200_000),
        ("bytes=-70000", 130_000..200_000),
        ("bytes=1-999999", 1..200_000),
    ] {
        let reply = store.download(id, &[(RANGE, range)]).await;
        assert_eq!(reply.status, 206, "{range}");
        assert!(reply.bytes == package[part.clone()], "{range}");
        let content_range = format!("bytes {}-{}/200000", part.start, part.end - 1);
        assert_eq!(reply.header("content-range"), Some(content_range.as_str()));
        assert_eq!(reply.header("content-length"), Some(part.len().to_string().as_str()));
        assert_eq!(reply.header("x-checksum-sha256"), Some(sha256_hex(&package).as_str()), "of all of it");
    }
    for range in ["bytes=0-1,3-4", "bytes=4-2", "lines=0-1", "bytes=0-199999", "bytes=0-"] {
        let reply = store.download(id, &[(RANGE, range)]).await;
        assert_whole(&reply, &package);
        assert_eq!(reply.header("content-range"), None);
    }
    let reply = store.download(id, &[(RANGE, "bytes=200000-")]).await;
    assert_refusal(&reply, 416, "RANGE_NOT_SATISFIABLE");
    assert_eq!(reply.header("content-range"), Some("bytes */200000"));
}

#[tokio::test]
async fn a_resumed_download_never_mixes_two_versions() {
    let (old, new) = (package_of_size(100_000), package_of("new"));
    let (source, store, id) = holding(&old).await;
    let rest = [(RANGE, "bytes=50000-"), ("if-range", &etag(&old))];
    assert_eq!(store.download(id, &rest).await.status, 206);
    source.on("/new", Behaviour::Bytes(new.clone()));
    let reply = store.send(store.request(source.url_of("/new")).overwriting()).await;
    assert_eq!((reply.status, reply.json()["id"].as_i64()), (200, Some(id)), "{}", reply.body);
    let reply = store.download(id, &rest).await;
    assert_whole(&reply, &new);
    assert_refusal(&store.download(id, &[("if-match", &etag(&old))]).await, 412, "PRECONDITION_FAILED");
    // Two versions may have been there in the same second.
    let date = reply.header("last-modified").unwrap();
    assert_eq!(store.download(id, &[(RANGE, "bytes=1-"), ("if-range", date)]).await.status, 200);
}

#[tokio::test]
async fn who_has_a_package_is_told_so() {
    let package = package_of("x");
    let (_source, store, id) = holding(&package).await;
    let date = store.download(id, &[]).await.header("last-modified").unwrap().to_owned();
    for condition in [("if-none-match", etag(&package).as_str()), ("if-modified-since", &date)] {
        let reply = store.download(id, &[condition]).await;
        assert_eq!((reply.status, reply.bytes.len()), (304, 0), "{condition:?}");
        assert_eq!(reply.header("etag"), Some(etag(&package).as_str()));
        assert_eq!(reply.header("last-modified"), Some(date.as_str()));
    }
    assert_eq!(store.download(id, &[("if-none-match", "\"other\"")]).await.status, 200);
    assert_eq!(store.download(id, &[(RANGE, "bytes=1-"), ("if-range", &date)]).await.status, 206);
}

#[tokio::test]
async fn a_package_of_another_module_looks_like_one_that_never_was() {
    let (_source, store, id) = holding(&package_of("x")).await;
    for below in ["download/", "attestation/"] {
        let other = package_path(id, below).replace("default", "other");
        let mut replies = Vec::new();
        for path in [other, package_path(id + 1, below), package_path(i64::MAX, below)] {
            let request = store.about_package(Method::GET, id, below).path(path);
            let reply = Downloaded::read(request.open(store.base()).await).await.unwrap();
            let mut headers = reply.headers.clone();
            headers.remove("date");
            replies.push((reply.status, headers, reply.bytes));
        }
        assert_eq!(replies[0].0, 404);
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
    }
}

#[tokio::test]
async fn a_deleted_package_is_gone_and_says_how_far() {
    let (_source, store, id) = holding(&package_of("x")).await;
    store.directory().delete("app_code", "default", "0.0.5").await.unwrap();
    assert_refusal(&store.download(id, &[]).await, 410, "PACKAGE_DELETED");
    assert_refusal(&store.fetch(Method::POST, id, "download_url/", &[]).await, 410, "PACKAGE_DELETED");
    store.directory().execute("update source_package set purged_ms = 1").await;
    assert_refusal(&store.download(id, &[]).await, 410, "PACKAGE_PURGED");
    assert_eq!(store.fetch(Method::GET, id, "attestation/", &[]).await.status, 200, "it says where they came from");
}

#[tokio::test]
async fn missing_and_shortened_bytes_are_told_as_damage() {
    if linkgate_tests::engine::is_about_directories("it damages a file") {
        return;
    }
    let package = package_of_size(10_000);
    let source = FakeSource::serving(package.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    let id = store.send(store.request(source.url())).await.json()["id"].as_i64().unwrap();
    let blob = DataDirectory::new(dir.path()).blob(&sha256_hex(&package));
    std::fs::write(&blob, &package[..9_999]).unwrap();
    assert_refusal(&store.download(id, &[]).await, 500, "OBJECT_STORE_EXCEPTION");
    assert!(store.log_with("has 9999 bytes").await.contains("linkgate-store verify --repair"));
    std::fs::remove_file(&blob).unwrap();
    assert_refusal(&store.download(id, &[(RANGE, "bytes=0-1")]).await, 500, "OBJECT_STORE_EXCEPTION");
    assert!(store.log_with("are missing").await.contains("linkgate-store verify"));
    std::fs::write(&blob, &package).unwrap();
    assert_whole(&store.download(id, &[]).await, &package);
    store.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_amid_overwrites_is_whole_and_of_one_version() {
    const OVERWRITES: usize = 30;
    let source = FakeSource::serving(package_of("0")).await;
    let store = Arc::new(TestStore::trusting(&source).await);
    let id = uploaded(&store, &source, "0.0.5").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, is_over) = (Arc::clone(&store), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut seen = BTreeSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    let reply = store.download(id, &[]).await;
                    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.bytes));
                    assert_eq!(reply.header("x-checksum-sha256"), Some(sha256_hex(&reply.bytes).as_str()));
                    seen.insert(sha256_hex(&reply.bytes));
                }
                seen
            })
        })
        .collect();
    for version in 1..=OVERWRITES {
        let path = format!("/{}", version % 5);
        source.on(&path, Behaviour::Bytes(package_of(version.to_string())));
        assert_eq!(store.send(store.request(source.url_of(&path)).overwriting()).await.status, 200);
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(!reader.await.unwrap().is_empty());
    }
    assert_eq!(store.stored_files().len(), 1, "what was overwritten is gone");
}

/// A download whose first bytes have come and whose rest is not read.
async fn begun(store: &TestStore, id: i64) -> reqwest::Response {
    let mut reply = store.about_package(Method::GET, id, "download/").open(store.base()).await;
    assert_eq!(reply.status(), 200);
    assert!(reply.chunk().await.unwrap().is_some());
    reply
}

async fn read_rest(mut reply: reqwest::Response) -> Result<usize, reqwest::Error> {
    let mut bytes = 0;
    while let Some(chunk) = reply.chunk().await? {
        bytes += chunk.len();
    }
    Ok(bytes)
}

/// More than the buffers on the way take.
const LARGE: usize = 24 << 20;

#[tokio::test]
async fn a_download_that_runs_keeps_its_version_through_overwrite_and_purge() {
    let package = package_of_size(LARGE);
    let (source, store, id) = holding(&package).await;
    let mut running = store.about_package(Method::GET, id, "download/").open(store.base()).await;
    let first = running.chunk().await.unwrap().unwrap();
    let again = store.request(source.url_of("/new")).overwriting();
    source.on("/new", Behaviour::Bytes(package_of("new")));
    assert_eq!(store.send(again).await.status, 200);
    assert!(!store.stored_files().contains(&sha256_hex(&package)), "its bytes have no name any more");
    store.directory().delete("app_code", "default", "0.0.5").await.unwrap();
    let mut whole = first.to_vec();
    while let Some(chunk) = running.chunk().await.unwrap() {
        whole.extend_from_slice(&chunk);
    }
    assert_eq!(sha256_hex(&whole), sha256_hex(&package));
}

#[tokio::test]
async fn callers_have_so_many_downloads_at_once_and_give_them_back() {
    let source = FakeSource::serving(package_of_size(LARGE)).await;
    let change = |config: &mut linkgate_store::config::Config| {
        trust(config, &[&source]);
        config.server.downloads = Bounds { per_owner: 2, in_sum: 3 };
    };
    let store = TestStore::with(change).await;
    let id = uploaded(&store, &source, "0.0.5").await;
    let mut other = good_claims();
    other["app"]["app_code"] = "other".into();
    other["linkgate"]["action"] = "download".into();
    let other = store.mint().sign(&other);
    let as_other = || store.about_package(Method::GET, id, "download/").token(Some(other.clone()));
    let (first, second) = (begun(&store, id).await, begun(&store, id).await);
    let refused = store.download(id, &[]).await;
    assert_refusal(&refused, 429, "TOO_MANY_REQUESTS");
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(String::from_utf8(refused.bytes).unwrap().contains("one caller may have (2)"));
    let third = as_other().open(store.base()).await;
    assert_eq!(third.status(), 200, "another caller has its own");
    let in_sum = Downloaded::read(as_other().open(store.base()).await).await.unwrap();
    assert_refusal(&in_sum, 429, "TOO_MANY_REQUESTS");
    // One that is given up frees its place as well as one that ends.
    drop(first);
    read_rest(second).await.unwrap();
    drop(third);
    wait_until(async || {
        let reply = store.download(id, &[(RANGE, "bytes=0-0")]).await;
        if reply.status == 206 { Ok(()) } else { Err(format!("{} {}", reply.status, reply.code())) }
    })
    .await;
    let metrics = store.get("/metrics").await.body;
    assert!(metrics.contains("linkgate_store_downloads_total{result=\"sent\"}"), "{metrics}");
}

#[tokio::test]
async fn a_reader_that_stands_still_loses_its_connection() {
    let source = FakeSource::serving(package_of_size(LARGE)).await;
    let change = |config: &mut linkgate_store::config::Config| {
        trust(config, &[&source]);
        config.server.write_timeout = Duration::from_millis(300);
        config.server.downloads = Bounds { per_owner: 1, in_sum: 1 };
    };
    let store = TestStore::with(change).await;
    let id = uploaded(&store, &source, "0.0.5").await;
    let mut stream = TcpStream::connect(store.base().strip_prefix("http://").unwrap()).await.unwrap();
    let (path, token) = (package_path(id, "download/"), store.mint().token_for("download"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-bkapi-jwt: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'H');
    wait_until(async || {
        let reply = store.download(id, &[(RANGE, "bytes=0-0")]).await;
        if reply.status == 206 { Ok(()) } else { Err(format!("its place is held: {}", reply.status)) }
    })
    .await;
    let (mut rest, mut piece) = (0, vec![0; 1 << 20]);
    while let Ok(bytes) = stream.read(&mut piece).await
        && bytes > 0
    {
        rest += bytes;
    }
    assert!(rest < LARGE, "it was cut off after {rest} bytes");
}

#[tokio::test]
async fn a_reader_below_the_minimum_is_broken_off() {
    let source = FakeSource::serving(package_of_size(LARGE)).await;
    let change = |config: &mut linkgate_store::config::Config| {
        trust(config, &[&source]);
        // Nobody reads so fast.
        config.server.download_min_rate = 1 << 30;
        config.server.write_timeout = Duration::from_secs(1);
    };
    let store = TestStore::with(change).await;
    let id = uploaded(&store, &source, "0.0.5").await;
    let running = begun(&store, id).await;
    let begun_at = Instant::now();
    wait_until_holds("what does not count", async || begun_at.elapsed() > 2 * Duration::from_secs(1)).await;
    assert!(read_rest(running).await.is_err(), "a part is never taken for the whole");
}

#[tokio::test]
async fn a_statement_is_served_as_it_was_signed() {
    if linkgate_tests::engine::is_about_directories("it reads the file of a statement") {
        return;
    }
    let package = package_of("x");
    let (_source, store, id) = holding(&package).await;
    let reply = store.fetch(Method::GET, id, "attestation/", &[]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.dsse.envelope.v1+json"));
    let sha256 = sha256_hex(&package);
    let line = store.directory().path().join(format!("attestations/{}/{sha256}.intoto.jsonl", &sha256[..2]));
    let line = std::fs::read_to_string(line).unwrap();
    assert_eq!(String::from_utf8(reply.bytes.clone()).unwrap(), line.lines().next().unwrap());
    let tag = reply.header("etag").unwrap();
    assert_eq!(tag, etag(&reply.bytes));
    assert_eq!(store.fetch(Method::GET, id, "attestation/", &[("if-none-match", tag)]).await.status, 304);
    let head = store.fetch(Method::HEAD, id, "attestation/", &[]).await;
    assert_eq!((head.status, head.header("etag"), head.bytes.len()), (200, Some(tag), 0));
    let stale = store.fetch(Method::GET, id, "attestation/", &[("if-match", "\"x\"")]).await;
    assert_refusal(&stale, 412, "PRECONDITION_FAILED");
}

#[tokio::test]
async fn other_methods_and_bodies_are_refused() {
    let (_source, store, id) = holding(&package_of("x")).await;
    let reply = store.fetch(Method::POST, id, "download/", &[]).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    let reply = store.fetch(Method::GET, id, "download_url/", &[]).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    let nobody = store.about_package(Method::GET, id, "download/").token(None);
    assert_eq!(Downloaded::read(nobody.open(store.base()).await).await.unwrap().status, 401);
}
