//! Sources that speak another HTTP than ours, or none: old, new, large, and ambiguous.

use linkgate_tests::{
    Behaviour, Compression, FakeSource, TestStore, allow_unknown_formats, package_of, package_of_size, sha256_hex, tar,
    trust,
};

use crate::assert_refused;

const UNREACHABLE: &str = "The package_url could not be read";
const NOT_HTTP: &str = "the answer of the source is no valid HTTP";
const BROKE_OFF: &str = "the answer of the source broke off";

fn raw(head: &str, body: &[u8]) -> Behaviour {
    Behaviour::Raw([head.as_bytes(), b"\r\n\r\n", body].concat())
}

/// Expects that exactly these bytes are kept.
async fn assert_takes(behaviour: Behaviour, body: &[u8], name: &str) {
    let source = FakeSource::start(behaviour).await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        allow_unknown_formats(c, "the bodies here are written into replies by hand, with their lengths");
    })
    .await;
    let reply = store.send(store.request(source.url()).in_english()).await;
    assert_eq!(reply.status, 200, "{name}: {reply:?}");
    assert_eq!(reply.json()["package_size"], body.len().to_string(), "{name}");
    assert_eq!(store.stored_files(), [sha256_hex(body)], "{name}");
    store.finish().await;
}

/// Expects that nothing is kept, after so many requests.
async fn assert_unreadable(behaviour: Behaviour, requests: usize, name: &str) {
    let source = FakeSource::start(behaviour).await;
    let store = TestStore::trusting(&source).await;
    // What is no HTTP is not asked again.
    let why = if requests == 1 { NOT_HTTP } else { BROKE_OFF };
    let detail = format!("{UNREACHABLE}: {why}");
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!(source.requests().len(), requests, "{name}");
    source.on("/good.tgz", Behaviour::Bytes(package_of("x")));
    assert_eq!(store.send(store.request(source.url_of("/good.tgz"))).await.status, 200, "{name}");
}

#[tokio::test]
async fn http_1_0_is_read_with_a_length_and_until_the_connection_ends() {
    let body = package_of_size(70_000);
    let with_length = raw(&format!("HTTP/1.0 200 OK\r\nContent-Length: {}", body.len()), &body);
    assert_takes(with_length, &body, "with a length").await;
    // What ends with its connection must prove that it is whole.
    let archive = tar(&[("main.py", &body)], Compression::None);
    assert_takes(raw("HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6", &archive), &archive, "without").await;
    let kept = raw("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 7", b"packagemore");
    assert_takes(kept, b"package", "no more than announced").await;
}

#[tokio::test]
async fn what_is_cut_in_http_1_0_is_no_package() {
    assert_unreadable(raw("HTTP/1.0 200 OK\r\nContent-Length: 11", b"package"), 4, "cut").await;
    // Of chunks HTTP/1.0 knows nothing; who sends them all the same may mean either.
    let chunks = raw("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", b"7\r\npackage\r\n0\r\n\r\n");
    let source = FakeSource::start(chunks).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url()).in_english()).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (502, Some("SOURCE_UNREACHABLE")), "{reply:?}");
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn http_2_and_older_ones_than_1_0_are_none_that_we_speak() {
    let settings = b"\0\0\0\x04\0\0\0\0\0".to_vec();
    for (name, reply) in [
        ("frames of HTTP/2", settings),
        ("a status line of HTTP/2", b"HTTP/2 200 OK\r\ncontent-length: 1\r\n\r\nx".to_vec()),
        ("a version of tomorrow", b"HTTP/1.9 200 OK\r\ncontent-length: 1\r\n\r\nx".to_vec()),
        ("HTTP/0.9", b"package".to_vec()),
        ("a radio", b"ICY 200 OK\r\n\r\nmusic".to_vec()),
        ("another service", b"220 mail.example ESMTP\r\n".to_vec()),
        ("no status", b"HTTP/1.1 OK\r\n\r\n".to_vec()),
        ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n".to_vec()),
    ] {
        assert_unreadable(Behaviour::Raw(reply), 1, name).await;
    }
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_not_made() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c";
    let source = FakeSource::start(raw(head, b"package")).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url()).in_english()).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (502, Some("SOURCE_UNREACHABLE")), "{reply:?}");
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn what_comes_before_the_reply_is_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK";
    assert_takes(raw(&format!("{early}\r\ncontent-length: 7"), b"package"), b"package", "informational").await;
    let promised =
        |count| format!("{}HTTP/1.1 200 OK\r\ncontent-length: 7", "HTTP/1.1 102 Processing\r\n\r\n".repeat(count));
    assert_takes(raw(&promised(16), b"package"), b"package", "sixteen").await;
    assert_unreadable(raw(&promised(17), b"package"), 1, "seventeen").await;
}

#[tokio::test]
async fn large_heads_are_read_up_to_a_limit() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 7";
    assert_takes(raw(&format!("{ok}\r\nx: {}", "y".repeat(100_000)), b"package"), b"package", "100 kB").await;
    let many = |count: usize| (0..count).map(|n| format!("\r\nx-{n}: y")).collect::<String>();
    assert_takes(raw(&format!("{ok}{}", many(90)), b"package"), b"package", "90 headers").await;
    assert_unreadable(raw(&format!("{ok}{}", many(10_000)), b"package"), 1, "10000 headers").await;
    let huge = "y".repeat(4_000_000);
    assert_unreadable(raw(&format!("{ok}\r\nx: {huge}"), b"package"), 1, "4 MB").await;
}

#[tokio::test]
async fn a_length_that_can_be_read_in_two_ways_is_refused() {
    for (name, fields) in [
        ("two lengths", "content-length: 7\r\ncontent-length: 3"),
        ("two in one", "content-length: 7, 3"),
        ("a sign", "content-length: +7"),
        ("less than nothing", "content-length: -7"),
        ("no number", "content-length: seven"),
        ("in hex", "content-length: 0x7"),
        ("too large a number", "content-length: 18446744073709551616"),
        ("a space before the colon", "content-length : 7"),
        ("a folded line", "content-length: 7\r\n x: y"),
        ("a NUL", "x: a\0b\r\ncontent-length: 7"),
    ] {
        assert_unreadable(raw(&format!("HTTP/1.1 200 OK\r\n{fields}"), b"package"), 1, name).await;
    }
    assert_takes(raw("HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 7", b"package"), b"package", "twice")
        .await;
}

#[tokio::test]
async fn chunks_that_can_be_read_in_two_ways_are_refused() {
    for (name, body) in [
        ("no length", &b"\r\npackage\r\n0\r\n\r\n"[..]),
        ("no number", b"x\r\npackage\r\n0\r\n\r\n"),
        ("a sign", b"+7\r\npackage\r\n0\r\n\r\n"),
        ("in hex with a mark", b"0x7\r\npackage\r\n0\r\n\r\n"),
        ("too large a number", b"10000000000000007\r\npackage\r\n0\r\n\r\n"),
        ("shorter than what follows", b"6\r\npackage\r\n0\r\n\r\n"),
        ("longer than what follows", b"8\r\npackage\r\n0\r\n\r\n"),
        ("no end of the chunk", b"7\r\npackage0\r\n\r\n"),
        ("cut in the last one", b"7\r\npackage\r\n0\r\n"),
    ] {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked";
        let source = FakeSource::start(raw(head, body)).await;
        let store = TestStore::trusting(&source).await;
        let detail = format!("{UNREACHABLE}: {BROKE_OFF}");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
        assert!(matches!(source.requests().len(), 1 | 4), "{name}");
    }
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked";
    assert_takes(raw(both, b"7\r\npackage\r\n0\r\n\r\n"), b"package", "a length beside chunks counts for nothing")
        .await;
}

#[tokio::test]
async fn a_package_in_gzip_is_one_file_and_an_encoded_one_is_none() {
    let gzip = tar(&[("main.py", b"pass")], Compression::Gzip);
    let typed = format!("HTTP/1.1 200 OK\r\ncontent-type: application/gzip\r\ncontent-length: {}", gzip.len());
    assert_takes(raw(&typed, &gzip), &gzip, "as it is").await;
    let identity = format!("{typed}\r\ncontent-encoding: identity");
    assert_takes(raw(&identity, &gzip), &gzip, "not encoded").await;
    let encoded = format!("{typed}\r\ncontent-encoding: gzip");
    let source = FakeSource::start(raw(&encoded, &gzip)).await;
    let store = TestStore::trusting(&source).await;
    let detail = format!("{UNREACHABLE}: the source answered with a content encoding");
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!(source.requests().len(), 1);
}
