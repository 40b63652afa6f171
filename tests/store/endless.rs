//! Sources without an end: of connecting, of the head, of the body, of waiting.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use linkgate_contract::{AllowList, HostRule};
use linkgate_store::config::Config;
use linkgate_tests::{
    Behaviour, FakeSource, StoreProcess, TestStore, allow_unknown_formats, assert_prompt, package_of, package_of_size,
    sha256_hex, trust, wait_until,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::assert_refused;

const UNREACHABLE: &str = "The package_url could not be read";
const TIMED_OUT: &str = "Reading the package_url timed out";

/// A limit that an endless source is over at once.
fn limit(config: &mut Config, source: &FakeSource) {
    trust(config, &[source]);
    allow_unknown_formats(config, "a body without an end has no format");
    config.fetch.max_bytes = 50_000;
}

/// A store that nothing here is too slow for.
async fn store_of(source: &FakeSource) -> TestStore {
    TestStore::with(|c| limit(c, source)).await
}

/// A store for what is to time out, and nothing else.
async fn impatient_store_of(source: &FakeSource) -> TestStore {
    TestStore::with(|c| {
        limit(c, source);
        c.fetch.connect_timeout = Duration::from_millis(300);
        c.fetch.idle_timeout = Duration::from_millis(300);
        c.fetch.total_timeout = Duration::from_millis(2_500);
    })
    .await
}

/// The store still takes what is good, from the same source; again and again where its time may run out.
async fn assert_goes_on(store: &TestStore, source: &FakeSource) {
    source.on("/good.tgz", Behaviour::Bytes(package_of_size(5_000)));
    wait_until(async || {
        let reply = store.send(store.request(source.url_of("/good.tgz"))).await;
        if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
    assert_eq!(store.stored_files(), [sha256_hex(&package_of_size(5_000))]);
}

/// A port where the kernel answers no new connection, because nobody takes those that wait. They are kept with it.
pub(crate) async fn full_port() -> (SocketAddr, tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn a_connection_that_is_never_made_times_out() {
    let (address, _listener, _waiting) = full_port().await;
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::with(|c| {
        let rules = || [address.to_string(), source.host()].iter().map(|host| HostRule::new(host).unwrap()).collect();
        (c.fetch.allowed_hosts, c.fetch.private_hosts) = (AllowList::new(rules()), AllowList::new(rules()));
        c.fetch.connect_timeout = Duration::from_millis(300);
    })
    .await;
    let begun = Instant::now();
    let request = store.request(format!("http://{address}/example.tar.gz"));
    assert_refused(&store, request, 504, "SOURCE_TIMEOUT", TIMED_OUT).await;
    assert!(begun.elapsed() > Duration::from_millis(1_200), "four attempts: {:?}", begun.elapsed());
    assert_prompt(begun, "giving up");
    assert_goes_on(&store, &source).await;
}

#[tokio::test]
async fn a_head_without_an_end_is_refused() {
    let ok = || b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, first, piece) in [
        ("header after header", ok(), &b"x: y\r\n"[..]),
        ("one long header", [ok(), b"x: ".to_vec()].concat(), b"y"),
        ("a long name", ok(), b"x"),
        ("a long status line", b"HTTP/1.1 200 ".to_vec(), b"O"),
        ("blank lines", Vec::new(), b"\r\n"),
    ] {
        let source = FakeSource::start(Behaviour::Repeats(first, piece.to_vec())).await;
        let store = store_of(&source).await;
        let detail = format!("{UNREACHABLE}: the answer of the source is no valid HTTP");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
        assert_eq!(source.requests().len(), 1, "{name}: what is no HTTP stays none");
        assert_goes_on(&store, &source).await;
    }
}

#[tokio::test]
async fn a_head_may_be_long() {
    let package = package_of_size(5_000);
    for (length, is_read) in [(120_000, true), (300_000, false)] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx: {}\r\n\r\n", package.len(), "y".repeat(length));
        let source = FakeSource::start(Behaviour::Raw([head.as_bytes(), &package].concat())).await;
        let store = store_of(&source).await;
        let reply = store.send(store.request(source.url())).await;
        assert_eq!(reply.status, if is_read { 200 } else { 502 }, "{length}: {reply:?}");
        assert_eq!(store.stored_files().len(), usize::from(is_read));
    }
}

#[tokio::test]
async fn promises_of_a_reply_without_an_end_are_refused() {
    let large = format!("HTTP/1.1 103 Early Hints\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let no_http = format!("{UNREACHABLE}: the answer of the source is no valid HTTP");
    for promise in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", &large] {
        let source = FakeSource::start(Behaviour::Repeats(Vec::new(), promise.into())).await;
        let store = store_of(&source).await;
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &no_http).await;
        assert_eq!(source.requests().len(), 1, "what is no HTTP stays none");
        assert_goes_on(&store, &source).await;
    }
    // One at a time, as a source sends them that means to hold us.
    let promises = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40);
    let source = FakeSource::start(Behaviour::DripRaw(promises, Duration::from_millis(1))).await;
    let store = store_of(&source).await;
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &no_http).await;
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_at_the_limit() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}transfer-encoding: chunked\r\n\r\n");
    for (name, first, piece) in [
        ("until the end of the connection", format!("{ok}\r\n"), &b"x"[..]),
        ("in chunks of one byte", chunked.clone(), b"1\r\nx\r\n"),
        ("in large chunks", chunked, b"8\r\nxxxxxxxx\r\n"),
        ("in one chunk", format!("{ok}transfer-encoding: chunked\r\n\r\nffffffffffffff\r\n"), b"x"),
    ] {
        let source = FakeSource::start(Behaviour::Repeats(first.into_bytes(), piece.to_vec())).await;
        let store = store_of(&source).await;
        let detail = "The package is too large, the limit is 50000 bytes";
        assert_refused(&store, store.request(source.url()), 400, "PACKAGE_TOO_LARGE", detail).await;
        assert_eq!(source.requests().len(), 1, "{name}");
        assert_goes_on(&store, &source).await;
    }
}

#[tokio::test]
async fn framing_without_an_end_is_no_body() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let broke_off = format!("{UNREACHABLE}: the answer of the source broke off");
    for (name, first, piece) in [
        ("an extension of a chunk", format!("{chunked}1;"), "x"),
        ("extensions of many chunks", chunked.to_owned(), "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n"),
        ("trailers", format!("{chunked}1\r\nx\r\n0\r\n"), "a: b\r\n"),
        ("one trailer", format!("{chunked}1\r\nx\r\n0\r\na: "), "b"),
    ] {
        let source = FakeSource::start(Behaviour::Repeats(first.into_bytes(), piece.into())).await;
        let store = store_of(&source).await;
        let begun = Instant::now();
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &broke_off).await;
        assert_prompt(begun, name);
        assert_goes_on(&store, &source).await;
    }
}

#[tokio::test]
async fn a_length_of_a_chunk_without_an_end_times_out() {
    // Zeros before a number change nothing, however many there are.
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let source = FakeSource::start(Behaviour::Repeats(chunked, b"0".to_vec())).await;
    let store = impatient_store_of(&source).await;
    let begun = Instant::now();
    assert_refused(&store, store.request(source.url()), 504, "SOURCE_TIMEOUT", TIMED_OUT).await;
    assert_prompt(begun, "giving up");
    assert_goes_on(&store, &source).await;
}

#[tokio::test]
async fn a_head_that_drips_times_out() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx".to_vec();
    let source = FakeSource::start(Behaviour::DripRaw(head, Duration::from_millis(100))).await;
    let store = TestStore::with(|c| {
        limit(c, &source);
        // A tenth of what the head takes: it would come if each byte were a new beginning.
        c.fetch.connect_timeout = Duration::from_millis(300);
        c.fetch.idle_timeout = Duration::from_millis(300);
    })
    .await;
    assert_refused(&store, store.request(source.url()), 504, "SOURCE_TIMEOUT", TIMED_OUT).await;
    assert_goes_on(&store, &source).await;
}

#[tokio::test]
async fn a_byte_each_second_is_given_up_after_the_window() {
    let source = FakeSource::start(Behaviour::Drip(package_of_size(900), Duration::from_secs(1))).await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.fetch.min_rate_window = Duration::from_secs(3);
    })
    .await;
    let begun = Instant::now();
    let detail = "The source is too slow: under 1024 bytes per second for 3 seconds";
    assert_refused(&store, store.request(source.url()), 504, "SOURCE_TIMEOUT", detail).await;
    assert_prompt(begun, "giving up");
    assert_eq!(source.requests().len(), 1);
    assert_goes_on(&store, &source).await;
}

#[tokio::test]
async fn heads_without_an_end_take_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let source = FakeSource::start(Behaviour::Repeats(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), b"y".to_vec())).await;
    source.on("/headers", Behaviour::Repeats(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".to_vec()));
    let store = StoreProcess::trusting(&source, &dir.path().join("data"), &[("LINKGATE_FETCH_RETRY_DELAY_MS", "1")]);
    let before = store.peak_memory_kib();
    let many = (0..64).map(|n| {
        let url = if n % 2 == 0 { source.url() } else { source.url_of("/headers") };
        store.request(url).version(&n.to_string()).send(store.base())
    });
    for reply in futures_util::future::join_all(many).await {
        assert_eq!((reply.status, reply.json()["code"].as_str()), (502, Some("SOURCE_UNREACHABLE")), "{reply:?}");
    }
    let grown = store.peak_memory_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB for 64 at once");
    store.directory().assert_empty().await;
    store.stop();
}
