//! Sources that speak TLS: one that may be believed, and all those that may not.
//!
//! The store is a process of its own, which is told of the authority as an operator would tell it: by `SSL_CERT_FILE`.

use std::time::{Duration, Instant};

use linkgate_tests::{
    Authority, Behaviour, FakeSource, Manner, Shown, StoreProcess, TlsFront, assert_prompt, package_of,
    package_of_size, sha256_hex,
};
use serde_json::json;

use crate::assert_problem;

const UNREACHABLE: &str = "The package_url could not be read";
const OTHER_NAME: &str = "the certificate of the source is for another host name";
const NOT_VALID_NOW: &str = "the certificate of the source has expired or is not valid yet";
const UNKNOWN_ISSUER: &str = "the certificate of the source is from an unknown issuer";
const NO_TLS: &str = "the TLS handshake with the source failed";
const BROKE_OFF: &str = "the answer of the source broke off";
const HTTP1: &[&str] = &["h2", "http/1.1"];

/// A store that believes this authority and may read from these hosts.
struct Trusting {
    store: StoreProcess,
    _dir: tempfile::TempDir,
}

impl Trusting {
    fn start(authority: &Authority, hosts: &[String]) -> Self {
        Self::start_with(authority, hosts, &[])
    }

    fn start_with(authority: &Authority, hosts: &[String], more: &[(&str, &str)]) -> Self {
        let (dir, hosts) = (tempfile::tempdir().unwrap(), hosts.join(","));
        let settings = [
            ("SSL_CERT_FILE", authority.file().to_str().unwrap()),
            ("LINKGATE_FETCH_ALLOWED_HOSTS", &hosts),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", &hosts),
            ("LINKGATE_FETCH_RETRY_DELAY_MS", "1"),
        ];
        let settings = [&settings, more].concat();
        Self { store: StoreProcess::start(&dir.path().join("data"), &settings), _dir: dir }
    }

    /// Links it and expects this refusal, that nothing is kept, and that the store goes on.
    async fn refuses(&self, url: &str, status: u16, code: &str, detail: &str) {
        let reply = self.store.request(url).in_english().send(self.store.base()).await;
        assert_problem(&reply, status, None, &json!({"code": code, "detail": detail}));
        self.store.directory().assert_empty().await;
        assert_eq!(linkgate_tests::request::get(self.store.base(), "/readyz").await.status, 200);
    }

    async fn refuses_unreachable(&self, url: &str, why: &str) {
        self.refuses(url, 502, "SOURCE_UNREACHABLE", &format!("{UNREACHABLE}: {why}")).await;
    }

    async fn takes(&self, url: &str, body: &[u8]) {
        let reply = self.store.request(url).in_english().send(self.store.base()).await;
        assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &json!(sha256_hex(body))), "{reply:?}");
        assert_eq!(self.store.stored_files(), [sha256_hex(body)]);
    }
}

async fn front(source: &FakeSource, authority: &Authority, shown: Shown) -> TlsFront {
    TlsFront::before(source, authority, Manner::Serves(shown, HTTP1)).await
}

#[tokio::test]
async fn a_package_comes_over_tls_from_a_source_that_the_authority_vouches_for() {
    let authority = Authority::new();
    let source = FakeSource::serving(package_of_size(100_000)).await;
    let tls = front(&source, &authority, Shown::Good).await;
    let trusting = Trusting::start(&authority, &[tls.host()]);
    trusting.takes(&tls.url(), &package_of_size(100_000)).await;
    assert_eq!(source.requests().len(), 1);
    assert!(
        source.requests()[0].starts_with("GET /generic/example.tar.gz HTTP/1.1\r\n"),
        "of the two, HTTP/1.1 is taken"
    );
    trusting.store.stop();
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused_before_anything_is_asked() {
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let good = front(&source, &authority, Shown::Good).await;
    let mut bad = Vec::new();
    for (shown, said) in [
        (Shown::OtherName, ("certificate not valid for name", OTHER_NAME)),
        (Shown::Expired, ("certificate expired", NOT_VALID_NOW)),
        (Shown::NotYet, ("certificate not valid yet", NOT_VALID_NOW)),
        (Shown::SelfSigned, ("UnknownIssuer", UNKNOWN_ISSUER)),
    ] {
        bad.push((front(&source, &authority, shown).await, said));
    }
    // One that the right kind of authority vouches for, but not the one that is believed.
    bad.push((front(&source, &Authority::new(), Shown::Good).await, ("UnknownIssuer", UNKNOWN_ISSUER)));
    let hosts: Vec<String> = bad.iter().map(|(front, _)| front.host()).chain([good.host()]).collect();
    let trusting = Trusting::start(&authority, &hosts);
    for (front, (said, told)) in &bad {
        trusting.refuses_unreachable(&front.url(), told).await;
        // The operator can read why.
        let log = trusting.store.log_with(said).await;
        assert!(!log.contains("tried again"), "it would prove no more the next time: {log}");
    }
    assert!(source.requests().is_empty(), "no request, for its path may be a secret");
    trusting.takes(&good.url(), &package_of("x")).await;
}

#[tokio::test]
async fn an_authority_that_the_operator_did_not_name_is_not_believed() {
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let tls = front(&source, &authority, Shown::Good).await;
    let trusting = Trusting::start(&Authority::new(), &[tls.host()]);
    trusting.refuses_unreachable(&tls.url(), UNKNOWN_ISSUER).await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused_and_the_other_way_is_followed() {
    let authority = Authority::new();
    let target = FakeSource::serving(package_of("target")).await;
    let source = FakeSource::start(Behaviour::Redirect(302, target.url())).await;
    let (tls, tls_target) =
        (front(&source, &authority, Shown::Good).await, front(&target, &authority, Shown::Good).await);
    let plain = FakeSource::start(Behaviour::Redirect(302, tls_target.url())).await;
    let trusting =
        Trusting::start(&authority, &[tls.host(), tls_target.host(), source.host(), target.host(), plain.host()]);
    let detail = format!("{UNREACHABLE}: it redirects from https to http");
    trusting.refuses(&tls.url(), 502, "SOURCE_UNREACHABLE", &detail).await;
    assert_eq!((source.requests().len(), target.requests().len()), (1, 0));
    // Also by way of a redirect that is still https.
    source.on("/twice", Behaviour::Redirect(307, "/generic/example.tar.gz".into()));
    let twice = format!("https://{}/twice", tls.host());
    trusting.refuses(&twice, 502, "SOURCE_UNREACHABLE", &detail).await;
    assert!(target.requests().is_empty());
    trusting.takes(&plain.url(), &package_of("target")).await;
}

#[tokio::test]
async fn a_redirect_to_a_source_with_a_bad_certificate_is_not_followed() {
    let authority = Authority::new();
    let inside = FakeSource::serving(package_of("x")).await;
    let bad = front(&inside, &authority, Shown::OtherName).await;
    let source = FakeSource::start(Behaviour::Redirect(302, bad.url())).await;
    let tls = front(&source, &authority, Shown::Good).await;
    let trusting = Trusting::start(&authority, &[tls.host(), bad.host()]);
    trusting.refuses_unreachable(&tls.url(), OTHER_NAME).await;
    assert!(inside.requests().is_empty());
}

#[tokio::test]
async fn a_source_that_speaks_only_http2_is_refused() {
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let only = TlsFront::before(&source, &authority, Manner::Serves(Shown::Good, &["h2"])).await;
    let none = TlsFront::before(&source, &authority, Manner::Serves(Shown::Good, &[])).await;
    let trusting = Trusting::start(&authority, &[only.host(), none.host()]);
    trusting.refuses_unreachable(&only.url(), NO_TLS).await;
    assert!(source.requests().is_empty());
    // Who knows nothing of the choice speaks HTTP/1.1.
    trusting.takes(&none.url(), &package_of("x")).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_times_out() {
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    for manner in [Manner::Stalls, Manner::StallsInHandshake, Manner::Drips] {
        let tls = TlsFront::before(&source, &authority, manner.clone()).await;
        let impatient = [("LINKGATE_FETCH_CONNECT_TIMEOUT_S", "1")];
        let trusting = Trusting::start_with(&authority, &[tls.host()], &impatient);
        let begun = Instant::now();
        trusting.refuses(&tls.url(), 504, "SOURCE_TIMEOUT", "Reading the package_url timed out").await;
        assert!(begun.elapsed() > Duration::from_secs(4), "four attempts: {manner:?} {:?}", begun.elapsed());
        assert_prompt(begun, "giving up");
    }
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn a_handshake_that_breaks_is_refused() {
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let reset = TlsFront::before(&source, &authority, Manner::Resets).await;
    let trusting = Trusting::start(&authority, &[reset.host(), source.host()]);
    trusting.refuses_unreachable(&reset.url(), "no connection to the source came about").await;
    // Whoever listens there speaks plain HTTP.
    let plain = format!("https://{}/example.tar.gz", source.host());
    trusting.refuses_unreachable(&plain, NO_TLS).await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn what_breaks_off_in_tls_is_no_package() {
    let authority = Authority::new();
    let source = FakeSource::start(Behaviour::Announce(500, package_of_size(499))).await;
    source.on("/chunks", Behaviour::BrokenChunks(package_of_size(500)));
    source.on("/good", Behaviour::Bytes(package_of_size(500)));
    let tls = front(&source, &authority, Shown::Good).await;
    let trusting = Trusting::start(&authority, &[tls.host()]);
    trusting.refuses_unreachable(&tls.url(), BROKE_OFF).await;
    trusting.refuses_unreachable(&format!("https://{}/chunks", tls.host()), BROKE_OFF).await;
    trusting.takes(&format!("https://{}/good", tls.host()), &package_of_size(500)).await;
}
