//! Redirects: every request is judged like the first.

use linkgate_contract::{AllowList, HostRule};
use linkgate_tests::{Behaviour, Compression, FakeSource, TestStore, package_of, sha256_hex, tar, trust};

use crate::{assert_field_refused, assert_refused};

const UNREACHABLE: &str = "The package_url could not be read";

fn to(location: impl Into<String>) -> Behaviour {
    Behaviour::Redirect(302, location.into())
}

#[tokio::test]
async fn redirects_of_every_kind_are_followed_to_allowed_hosts() {
    let target = FakeSource::serving(package_of("target")).await;
    for status in [301, 302, 303, 307, 308] {
        let first = FakeSource::start(Behaviour::Redirect(status, target.url_of("/elsewhere.tgz"))).await;
        let store = TestStore::with(|c| trust(c, &[&first, &target])).await;
        let reply = store.send(store.request(first.url())).await;
        assert_eq!(reply.status, 200, "{status}");
        assert_eq!(reply.json()["sha256_signature"], sha256_hex(&package_of("target")));
        assert_eq!(reply.json()["package_name"], "example:0.0.5", "named by the caller's link, not by the target");
    }
    let heads = target.requests().join("").to_ascii_lowercase();
    assert!(!heads.contains("referer"), "a signed link must not travel on: {heads}");
}

#[tokio::test]
async fn a_relative_redirect_stays_on_its_host() {
    let source = FakeSource::start(to("../other.tgz")).await;
    source.on("/other.tgz", Behaviour::Bytes(package_of("other")));
    let store = TestStore::trusting(&source).await;
    assert_eq!(
        store.send(store.request(source.url())).await.json()["sha256_signature"],
        sha256_hex(&package_of("other"))
    );
}

#[tokio::test]
async fn five_redirects_are_followed_and_six_are_not() {
    let source = FakeSource::serving(package_of("end")).await;
    for i in 1..=6 {
        source.on(&format!("/{i}"), to(if i == 1 { "/end".to_owned() } else { format!("/{}", i - 1) }));
    }
    let store = TestStore::trusting(&source).await;
    let detail = format!("{UNREACHABLE}: it redirects more than 5 times");
    assert_refused(&store, store.request(source.url_of("/6")), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!(source.requests().len(), 6);
    assert_eq!(store.send(store.request(source.url_of("/5"))).await.status, 200);
}

#[tokio::test]
async fn of_a_hundred_redirects_five_are_followed() {
    let source = FakeSource::serving(package_of("end")).await;
    for i in 1..=100 {
        source.on(&format!("/{i}"), to(format!("/{}", i - 1)));
    }
    let store = TestStore::trusting(&source).await;
    let detail = format!("{UNREACHABLE}: it redirects more than 5 times");
    assert_refused(&store, store.request(source.url_of("/100")), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!(source.requests().len(), 6, "and the chain is not begun again");
}

#[tokio::test]
async fn a_loop_ends() {
    let source = FakeSource::start(to("/generic/example.tar.gz")).await;
    let store = TestStore::trusting(&source).await;
    let detail = format!("{UNREACHABLE}: it redirects more than 5 times");
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!(source.requests().len(), 6);
}

#[tokio::test]
async fn two_sources_that_point_at_each_other_end_too() {
    let one = FakeSource::serving(package_of("x")).await;
    let other = FakeSource::start(Behaviour::Redirect(308, one.url())).await;
    one.on("/generic/example.tar.gz", Behaviour::Redirect(307, other.url()));
    let store = TestStore::with(|c| trust(c, &[&one, &other])).await;
    let detail = format!("{UNREACHABLE}: it redirects more than 5 times");
    assert_refused(&store, store.request(one.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!((one.requests().len(), other.requests().len()), (3, 3));
}

#[tokio::test]
async fn a_body_of_a_redirect_is_not_read() {
    let head = b"HTTP/1.1 302 Found\r\nlocation: /end\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let source = FakeSource::start(Behaviour::Repeats(head, b"1\r\nx\r\n".to_vec())).await;
    source.on("/end", Behaviour::Bytes(package_of("end")));
    let store = TestStore::trusting(&source).await;
    assert_eq!(
        store.send(store.request(source.url())).await.json()["sha256_signature"],
        sha256_hex(&package_of("end"))
    );
}

#[tokio::test]
async fn a_redirect_may_not_leave_the_allow_list() {
    let elsewhere = FakeSource::serving(package_of("x")).await;
    let source = FakeSource::start(to("http://evil.example/x?token=t")).await;
    source.on("/port", to(elsewhere.url()));
    source.on("/scheme-relative", to("//evil.example/x"));
    let store = TestStore::trusting(&source).await;
    for (path, host) in [("/", "evil.example"), ("/scheme-relative", "evil.example"), ("/port", "127.0.0.1")] {
        let message = format!("The link redirects to host '{host}', which is not in the allow-list.");
        assert_field_refused(&store, store.request(source.url_of(path)), "package_url", &message).await;
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_to_an_allowed_host_with_a_private_address_is_refused() {
    let inside = FakeSource::serving(package_of("secret")).await;
    let source = FakeSource::start(to(inside.url())).await;
    source.on("/name", to(format!("http://localhost:{}/x", inside.port())));
    let store = TestStore::with(|c| {
        let rule = |host: String| HostRule::new(&host).unwrap();
        let allowed = vec![rule(source.host()), rule(inside.host()), rule(format!("localhost:{}", inside.port()))];
        c.fetch.allowed_hosts = AllowList::new(allowed);
        c.fetch.private_hosts = AllowList::new(vec![rule(source.host())]);
    })
    .await;
    for path in ["/", "/name"] {
        let request = store.request(source.url_of(path));
        assert_field_refused(&store, request, "package_url", "The host may not be fetched from.").await;
    }
    assert!(inside.requests().is_empty());
}

#[tokio::test]
async fn redirects_to_something_else_than_a_link_are_refused() {
    for location in [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://user:pass@127.0.0.1/x",
        "http:///x",
        "//127.0.0.1\\@evil.example/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:/",
        "//127%2e0.0.1/",
        "/a b.tar.gz",
    ] {
        let source = FakeSource::start(to(location)).await;
        let store = TestStore::trusting(&source).await;
        let detail = format!("{UNREACHABLE}: it redirects to something that is no valid link");
        assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
    }
}

#[tokio::test]
async fn a_redirect_to_a_path_in_raw_octets_is_followed_as_a_link_is() {
    for (location, asked) in [
        ("/中.tar.gz?n=é".as_bytes(), "/%E4%B8%AD.tar.gz?n=%C3%A9"),
        (b"/caf\xe9.tar.gz", "/caf%E9.tar.gz"),
        (b"/%E4%B8%AD.tar.gz?sign=a%2Bb", "/%E4%B8%AD.tar.gz?sign=a%2Bb"),
    ] {
        let head = [b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: ", location, b"\r\n\r\n"].concat();
        let source = FakeSource::serving(tar(&[("main.py", b"pass")], Compression::Gzip)).await;
        source.on("/start", Behaviour::Raw(head));
        let store = TestStore::trusting(&source).await;
        assert_eq!(store.send(store.request(source.url_of("/start"))).await.status, 200, "{asked}");
        assert!(source.requests()[1].starts_with(&format!("GET {asked} HTTP/1.1\r\n")), "{:?}", source.requests()[1]);
    }
}

/// What a signature may cover: everything that links are seen to hold, though some of it should have been encoded.
const AS_WRITTEN: [&str; 8] = [
    "/a.tgz?sign='x'&t=(1)*!",
    "/a|b^c{d}`e\"f<g>.tgz?h|i^j{k}`l\"m<n>",
    "/%7e%7E/%zz/a%.tgz?%&+=+%2B",
    "/x/../y/./%2e%2e//a.tgz",
    "/a.tgz?",
    "/a.tgz??a=/b?c=//d",
    "/a;v=1,2:3@4/[x].tgz?[y]=~",
    "/%E4%B8%AD.tgz?n=%c3%a9",
];

/// What the last request asked for.
fn asked(source: &FakeSource) -> String {
    let requests = source.requests();
    let line = requests.last().unwrap().lines().next().unwrap();
    line.strip_prefix("GET ").and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap().to_owned()
}

#[tokio::test]
async fn a_link_and_a_redirect_are_asked_for_byte_for_byte() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    for written in AS_WRITTEN {
        let reply = store.send(store.request(source.url_of(written)).overwriting()).await;
        assert_eq!((reply.status, asked(&source).as_str()), (200, written), "{reply:?}");
        let to_there = format!("{}#top", source.url_of(written));
        for location in [written, &to_there] {
            source.on("/start.tgz", to(location));
            let reply = store.send(store.request(source.url_of("/start.tgz")).overwriting()).await;
            assert_eq!((reply.status, asked(&source).as_str()), (200, written), "{location}: {reply:?}");
        }
    }
    let beside = to("b'c|.tgz?sign='`\"");
    source.on("/a'|/start.tgz", beside);
    assert_eq!(store.send(store.request(source.url_of("/a'|/start.tgz")).overwriting()).await.status, 200);
    assert_eq!(asked(&source), "/a'|/b'c|.tgz?sign='`\"");
    for (written, sent) in [("/中.tgz?n=é#x", "/%E4%B8%AD.tgz?n=%C3%A9"), ("?a='b'", "/?a='b'"), ("#x", "/")] {
        let reply = store.send(store.request(source.url_of(written)).overwriting()).await;
        assert_eq!((reply.status, asked(&source).as_str()), (200, sent), "{written}: {reply:?}");
    }
}

#[tokio::test]
async fn a_redirect_without_a_location_is_only_a_status() {
    let source = FakeSource::start(Behaviour::Status(302)).await;
    let store = TestStore::trusting(&source).await;
    let detail = format!("{UNREACHABLE}: the source answered 302");
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", &detail).await;
}
