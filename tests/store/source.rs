//! Sources that misbehave, and addresses that may not be asked.

use std::time::Duration;

use linkgate_contract::{AllowList, HostRule};
use linkgate_store::config::Config;
use linkgate_tests::{
    Behaviour, Compression, FakeSource, TestStore, allow_unknown_formats, assert_prompt, bytes, package_of,
    package_of_size, sha256_hex, tar, trust, zip,
};

use crate::{assert_field_refused, assert_refused};

const UNREACHABLE: &str = "The package_url could not be read";

fn list(entries: &[String]) -> AllowList {
    AllowList::new(entries.iter().map(|e| HostRule::new(e).unwrap()).collect())
}

/// A store with a limit of 1000 bytes.
async fn strict_store(source: &FakeSource) -> TestStore {
    TestStore::with(|c| strictly(c, source)).await
}

fn strictly(config: &mut Config, source: &FakeSource) {
    trust(config, &[source]);
    config.fetch.max_bytes = 1_000;
}

#[tokio::test]
async fn the_size_limit_is_exact_whatever_the_length_says() {
    for (len, passes) in [(999, true), (1_000, true), (1_001, false), (100_000, false)] {
        for behaviour in [
            Behaviour::Bytes(package_of_size(len)),
            Behaviour::Chunked(package_of_size(len), 64),
            Behaviour::UntilClose(package_of_size(len)),
        ] {
            let source = FakeSource::start(behaviour.clone()).await;
            let store = strict_store(&source).await;
            // Without it, nobody would know whether the body that ends with its connection is whole.
            let request = store.request(source.url()).field("sha256", sha256_hex(&package_of_size(len)));
            if passes {
                assert_eq!(store.send(request).await.status, 200, "{len}");
                assert_eq!(store.stored_files(), [sha256_hex(&package_of_size(len))]);
            } else {
                let detail = "The package is too large, the limit is 1000 bytes";
                assert_refused(&store, request, 400, "PACKAGE_TOO_LARGE", detail).await;
            }
        }
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body() {
    // Were the body waited for, the idle timeout would answer instead.
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n".to_vec();
    let source = FakeSource::start(Behaviour::Raw(head)).await;
    let store = strict_store(&source).await;
    let reply = store.send(store.request(source.url())).await;
    assert!(matches!(reply.json()["code"].as_str(), Some("PACKAGE_TOO_LARGE" | "SOURCE_UNREACHABLE")), "{reply:?}");
    let source = FakeSource::start(Behaviour::Announce(1_001, Vec::new())).await;
    let store = strict_store(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.json()["code"], "PACKAGE_TOO_LARGE");
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn an_endless_source_is_cut_at_the_limit() {
    let source = FakeSource::start(Behaviour::Endless).await;
    let store = TestStore::with(|c| {
        strictly(c, &source);
        allow_unknown_formats(c, "a body without an end has no format");
    })
    .await;
    let detail = "The package is too large, the limit is 1000 bytes";
    assert_refused(&store, store.request(source.url()), 400, "PACKAGE_TOO_LARGE", detail).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_package() {
    for (name, behaviour) in [
        ("shorter than announced", Behaviour::Announce(500, package_of_size(499))),
        ("nothing of what was announced", Behaviour::Announce(500, Vec::new())),
        ("chunks without an end", Behaviour::BrokenChunks(package_of_size(200))),
        ("no reply at all", Behaviour::Raw(Vec::new())),
        ("reset in the body", Behaviour::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbytes".to_vec())),
        ("reset in a body without a length", Behaviour::Reset(b"HTTP/1.1 200 OK\r\n\r\nbytes".to_vec())),
        ("reset before the head", Behaviour::Reset(Vec::new())),
    ] {
        let source = FakeSource::start(behaviour).await;
        let store = strict_store(&source).await;
        let reply = store.send(store.request(source.url()).in_english()).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (502, Some("SOURCE_UNREACHABLE")), "{name}");
        let detail = format!("{UNREACHABLE}: the answer of the source broke off");
        assert_eq!(reply.json()["detail"], detail, "{name}");
        store.directory().assert_empty().await;
        assert_eq!(source.requests().len(), 4, "{name}: tried again and given up");
    }
}

#[tokio::test]
async fn what_speaks_no_http_is_asked_once() {
    let source = FakeSource::start(Behaviour::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())).await;
    let store = strict_store(&source).await;
    let detail = format!("{UNREACHABLE}: the answer of the source is no valid HTTP");
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!(source.requests().len(), 1);
}

#[tokio::test]
async fn bytes_after_the_announced_length_are_not_part_of_the_package() {
    let (package, more) = (package_of_size(200), bytes(300));
    let source = FakeSource::start(Behaviour::Announce(200, [package.clone(), more].concat())).await;
    let store = strict_store(&source).await;
    let reply = store.send(store.request(source.url())).await.json();
    assert_eq!(
        (reply["package_size"].as_str(), reply["sha256_signature"].as_str()),
        (Some("200"), Some(sha256_hex(&package).as_str()))
    );
}

#[tokio::test]
async fn every_kind_of_slowness_times_out() {
    for (name, behaviour) in [
        ("no head", Behaviour::StallBeforeHead),
        ("stalls in the body", Behaviour::StallInBody(package_of_size(200))),
        ("drips for ever", Behaviour::Drip(package_of_size(900), Duration::from_millis(100))),
    ] {
        let source = FakeSource::start(behaviour).await;
        let store = TestStore::with(|c| {
            trust(c, &[&source]);
            c.fetch.connect_timeout = Duration::from_millis(300);
            c.fetch.idle_timeout = Duration::from_millis(300);
            c.fetch.total_timeout = Duration::from_millis(1_500);
        })
        .await;
        let begun = std::time::Instant::now();
        let request = store.request(source.url());
        assert_refused(&store, request, 504, "SOURCE_TIMEOUT", "Reading the package_url timed out").await;
        assert_prompt(begun, name);
    }
}

#[tokio::test]
async fn heads_are_waited_for_so_long_in_all_and_no_attempt_begins_after_that() {
    let drips = Behaviour::DripRaw(b"HTTP/1.1 200 OK\r\nx: ".repeat(1_000), Duration::from_millis(10));
    for behaviour in [Behaviour::StallBeforeHead, drips] {
        let source = FakeSource::start(behaviour).await;
        let store = TestStore::with(|c| {
            trust(c, &[&source]);
            c.fetch.head_timeout = Duration::from_millis(200);
        })
        .await;
        let timed_out = "Reading the package_url timed out";
        assert_refused(&store, store.request(source.url()), 504, "SOURCE_TIMEOUT", timed_out).await;
        assert_eq!(source.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_status_other_than_200_is_named() {
    for status in [201, 204, 206, 304, 400, 401, 403, 404, 500, 503] {
        let source = FakeSource::start(Behaviour::Status(status)).await;
        let store = strict_store(&source).await;
        let detail = format!("{UNREACHABLE}: the source answered {status}");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    }
}

/// Answers 200 with this content type.
fn called(content_type: &str, body: &[u8]) -> Behaviour {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    Behaviour::Raw([head.as_bytes(), body].concat())
}

#[tokio::test]
async fn a_page_in_the_place_of_a_package_is_refused_by_name() {
    let long = format!("<!DOCTYPE html>{}", " ".repeat(900));
    for behaviour in [
        called("text/html; charset=utf-8", b"\n<!-- theme --><!DOCTYPE html><title>Login</title>"),
        called("application/octet-stream", b"<!DOCTYPE html><title>Not found</title>"),
        Behaviour::Bytes(b"\xef\xbb\xbf<HTML>".to_vec()),
        Behaviour::Chunked(long.clone().into_bytes(), 1),
        Behaviour::UntilClose(long.into_bytes()),
    ] {
        let source = FakeSource::start(behaviour).await;
        let store = strict_store(&source).await;
        let hint = "the source answered with an HTML page instead of a package, such as a login or an error page";
        let detail = format!("{UNREACHABLE}: {hint}");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
        let chinese = store.send(store.request(source.url())).await.json()["detail"].as_str().unwrap().to_owned();
        assert!(chinese.contains("HTML 页面"), "{chinese}");
        assert_eq!(source.requests().len(), 2, "a page stays a page");
    }
}

#[tokio::test]
async fn a_package_that_is_called_a_page_is_stored() {
    let files: &[(&str, &[u8])] = &[("index.html", b"<html>")];
    for body in [tar(files, Compression::Gzip), zip(files), b"text".to_vec()] {
        let source = FakeSource::start(called("text/html", &body)).await;
        let store = TestStore::with(|c| {
            strictly(c, &source);
            allow_unknown_formats(c, "of what is no archive, a text is the likest to a page");
        })
        .await;
        assert_eq!(store.send(store.request(source.url())).await.status, 200, "{body:?}");
        assert_eq!(store.stored_files(), [sha256_hex(&body)]);
    }
}

#[tokio::test]
async fn a_drip_is_given_up_long_before_the_deadline() {
    let source = FakeSource::start(Behaviour::Drip(package_of_size(900), Duration::from_millis(50))).await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.fetch.min_rate_window = Duration::from_secs(1);
    })
    .await;
    let begun = std::time::Instant::now();
    let detail = "The source is too slow: under 1024 bytes per second for 1 seconds";
    assert_refused(&store, store.request(source.url()), 504, "SOURCE_TIMEOUT", detail).await;
    assert_prompt(begun, "giving up");
    assert_eq!(source.requests().len(), 1, "a slow source is not tried again");
}

#[tokio::test]
async fn a_drip_is_taken_where_the_rate_is_low_or_off() {
    // For longer than the window where that is short, and far slower than the usual rate in each.
    let source = FakeSource::start(Behaviour::Drip(package_of_size(150), Duration::from_millis(10))).await;
    for (min_rate, window_s) in [(1, 30), (0, 1)] {
        let store = TestStore::with(|c| {
            trust(c, &[&source]);
            c.fetch.min_rate = min_rate;
            c.fetch.min_rate_window = Duration::from_secs(window_s);
        })
        .await;
        assert_eq!(store.send(store.request(source.url())).await.status, 200, "{min_rate}");
    }
}

#[tokio::test]
async fn an_encoded_body_is_refused() {
    for encoding in ["gzip", "br", "zstd", "deflate", "X-Gzip", "identity, gzip", "aws-chunked,gzip", ",br"] {
        let source = FakeSource::start(Behaviour::Encoded(encoding, package_of_size(200))).await;
        let store = strict_store(&source).await;
        let detail = format!("{UNREACHABLE}: the source answered with a content encoding");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    }
}

#[tokio::test]
async fn an_encoding_that_names_no_coding_changes_nothing() {
    let package = tar(&[("main.py", b"pass")], Compression::Gzip);
    for encoding in
        ["", "identity", "Identity", "aws-chunked", "aws-chunked,", "UTF-8", "none", "binary", "identity, identity"]
    {
        let source = FakeSource::start(Behaviour::Encoded(encoding, package.clone())).await;
        let store = strict_store(&source).await;
        let reply = store.send(store.request(source.url())).await;
        assert_eq!(
            (reply.status, reply.json()["sha256_signature"].as_str().unwrap()),
            (200, sha256_hex(&package).as_str()),
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn an_encoding_on_the_way_is_refused_too() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
    let source = FakeSource::start(Behaviour::Raw(format!("{head}1\r\nx\r\n0\r\n\r\n").into_bytes())).await;
    let store = strict_store(&source).await;
    let detail = format!("{UNREACHABLE}: the source answered with a content encoding");
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_unreachable() {
    let source = FakeSource::serving(package_of("plain, no TLS")).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let hosts =
        [format!("127.0.0.1:{}", source.port()), format!("127.0.0.1:{closed}"), "no-such-host.invalid".to_owned()];
    let store = TestStore::with(|c| {
        c.fetch.allowed_hosts = list(&hosts);
        c.fetch.private_hosts = list(&hosts);
        c.fetch.connect_timeout = Duration::from_secs(5);
    })
    .await;
    for (url, why) in [
        (format!("http://127.0.0.1:{closed}/refused.tgz"), "the source refused the connection"),
        (format!("https://127.0.0.1:{}/no-tls.tgz", source.port()), "the TLS handshake with the source failed"),
        ("http://no-such-host.invalid/a.tgz".to_owned(), "the host name could not be resolved"),
    ] {
        let reply = store.send(store.request(url.clone()).in_english()).await;
        let code = reply.json()["code"].as_str().unwrap().to_owned();
        // A machine without a network may only find out by waiting that a name does not exist.
        let dns_is_slow = url.contains("invalid") && code == "SOURCE_TIMEOUT";
        let is_said = code == "SOURCE_UNREACHABLE" && reply.json()["detail"] == format!("{UNREACHABLE}: {why}");
        assert!(is_said || dns_is_slow, "{url}: {reply:?}");
        store.directory().assert_empty().await;
    }
}

#[tokio::test]
async fn hosts_that_are_not_allowed_are_not_asked() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::with(|_| {}).await;
    let nothing_allowed = "Uploading by link is not enabled: no host is allowed. Ask the operator.";
    assert_field_refused(&store, store.request(source.url()), "package_url", nothing_allowed).await;
    let store = TestStore::with(|c| c.fetch.allowed_hosts = list(&["example.com".into()])).await;
    let message = format!("Host '127.0.0.1' (port {}) is not in the allow-list.", source.port());
    assert_field_refused(&store, store.request(source.url()), "package_url", &message).await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn an_allowed_host_with_a_private_address_is_refused_in_every_disguise() {
    let source = FakeSource::serving(package_of("secret")).await;
    let port = source.port();
    let hosts =
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[64:ff9b::7f00:1]", "169.254.169.254"];
    let allowed: Vec<String> = hosts.iter().map(|h| format!("{h}:{port}")).collect();
    // The right host with the wrong port is not listed as private.
    let private = ["127.0.0.1:1".to_owned(), "localhost".to_owned()];
    let store = TestStore::with(|c| {
        c.fetch.allowed_hosts = list(&allowed);
        c.fetch.private_hosts = list(&private);
    })
    .await;
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "0",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
    ] {
        let request = store.request(format!("http://{host}:{port}/a.tgz"));
        assert_field_refused(&store, request, "package_url", "The host may not be fetched from.").await;
    }
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_is_listed_as_private_may_have_a_local_address() {
    let source = FakeSource::serving(package_of("x")).await;
    let host = [format!("localhost:{}", source.port())];
    let store = TestStore::with(|c| {
        c.fetch.allowed_hosts = list(&host);
        c.fetch.private_hosts = list(&host);
    })
    .await;
    let reply = store.send(store.request(format!("http://{}/a.tgz", host[0]))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}
