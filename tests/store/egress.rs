//! Sources that are read through a proxy on the way out: a real one, and one that answers as Smokescreen documents.

use std::os::unix::fs::PermissionsExt as _;

use linkgate_tests::egress::Tinyproxy;
use linkgate_tests::{Authority, Behaviour, FakeSource, Manner, Shown, StoreProcess, TlsFront, package_of, sha256_hex};
use serde_json::json;

use crate::assert_problem;
use crate::endless::full_port;

const UNREACHABLE: &str = "The package_url could not be read";
const NOT_CONNECTED: &str = "the proxy of the operator could not be connected to";
const NOT_LET_THROUGH: &str = "the proxy of the operator does not let the store through to the source";
const NOT_REACHED: &str = "the proxy of the operator could not reach the source";

/// A store that reads through a proxy.
struct Behind {
    store: StoreProcess,
    _dir: tempfile::TempDir,
}

impl Behind {
    fn start(proxy: &str, allowed: &[String], more: &[(&str, &str)]) -> Self {
        let (dir, allowed) = (tempfile::tempdir().unwrap(), allowed.join(","));
        let settings = [
            ("LINKGATE_FETCH_PROXY", proxy),
            ("LINKGATE_FETCH_ALLOWED_HOSTS", &allowed),
            ("LINKGATE_FETCH_RETRY_DELAY_MS", "1"),
        ];
        Self { store: StoreProcess::start(&dir.path().join("data"), &[&settings, more].concat()), _dir: dir }
    }

    async fn takes(&self, url: &str, body: &[u8]) {
        let reply = self.store.request(url).overwriting().in_english().send(self.store.base()).await;
        assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &json!(sha256_hex(body))), "{reply:?}");
    }

    /// Links it, expects this reason and that nothing is kept, and gives the log.
    async fn refuses(&self, url: &str, why: &str) -> String {
        let reply = self.store.request(url).in_english().send(self.store.base()).await;
        let body = json!({"code": "SOURCE_UNREACHABLE", "detail": format!("{UNREACHABLE}: {why}")});
        assert_problem(&reply, 502, None, &body);
        self.store.directory().assert_empty().await;
        self.store.log_with(" with 502").await
    }

    async fn refuses_field(&self, url: &str, message: &str) {
        let reply = self.store.request(url).in_english().send(self.store.base()).await;
        let expected = json!({"code": "VALIDATION_ERROR", "detail": format!("package_url: {message}"), "fields_detail": {"package_url": [message]}});
        assert_problem(&reply, 400, None, &expected);
        self.store.directory().assert_empty().await;
    }
}

/// The same source by a name, which only the proxy resolves.
fn by_name(source: &FakeSource) -> String {
    format!("localhost:{}", source.port())
}

fn link(host: &str) -> String {
    format!("http://{host}/a'b|c/example.tgz?sign='x'")
}

/// A file of credentials as the operator writes it.
fn credentials(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{text}\n")).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[tokio::test]
async fn sources_of_both_schemes_are_read_through_the_proxy() {
    let Some(proxy) = Tinyproxy::start("").await else { return };
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let tls = TlsFront::before(&source, &authority, Manner::Serves(Shown::Good, &["http/1.1"])).await;
    let trusted = [("SSL_CERT_FILE", authority.file().to_str().unwrap())];
    let behind = Behind::start(&proxy.url(), &[by_name(&source), tls.host()], &trusted);
    behind.takes(&link(&by_name(&source)), &package_of("x")).await;
    behind.takes(&tls.url(), &package_of("x")).await;
    let asked = source.requests();
    assert!(asked[0].starts_with("GET /a'b|c/example.tgz?sign='x' HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].to_ascii_lowercase().contains("\r\nvia: "), "the proxy passed it on: {asked:?}");
    assert!(!asked[1].to_ascii_lowercase().contains("\r\nvia: "), "the proxy saw nothing of it: {asked:?}");
    let through = proxy.requests();
    assert_eq!(
        through,
        [format!("GET {} HTTP/1.1", link(&by_name(&source))), format!("CONNECT {} HTTP/1.1", tls.host())]
    );
    behind.store.stop();
}

#[tokio::test]
async fn a_proxy_may_be_spoken_to_over_tls() {
    let Some(proxy) = Tinyproxy::start("").await else { return };
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let (manner, tls) = (Manner::Serves(Shown::Good, &["http/1.1"]), Shown::Good);
    let front = TlsFront::before_address(&proxy.host(), &authority, manner.clone()).await;
    let tls = TlsFront::before(&source, &authority, Manner::Serves(tls, &["http/1.1"])).await;
    let trusted = [("SSL_CERT_FILE", authority.file().to_str().unwrap())];
    let hosts = [by_name(&source), tls.host()];
    let behind = Behind::start(&format!("https://{}", front.host()), &hosts, &trusted);
    behind.takes(&link(&by_name(&source)), &package_of("x")).await;
    behind.takes(&tls.url(), &package_of("x")).await;
    assert_eq!(proxy.requests().len(), 2);
    // One that proves nothing is told nothing.
    let stranger = TlsFront::before_address(&proxy.host(), &Authority::new(), manner).await;
    let behind = Behind::start(&format!("https://{}", stranger.host()), &hosts, &trusted);
    let log = behind.refuses(&tls.url(), NOT_CONNECTED).await;
    assert!(log.contains("UnknownIssuer") && log.contains(&stranger.host()), "{log}");
    assert_eq!(proxy.requests().len(), 2);
}

#[tokio::test]
async fn a_proxy_that_asks_for_credentials_gets_those_of_the_operator() {
    let Some(proxy) = Tinyproxy::start("BasicAuth linkgate right-s3cret").await else { return };
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let tls = TlsFront::before(&source, &authority, Manner::Serves(Shown::Good, &["http/1.1"])).await;
    let hosts = [by_name(&source), tls.host()];
    let (right, wrong) = (credentials("linkgate:right-s3cret"), credentials("linkgate:wrong-s3cret"));
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let start = |file: Option<String>| {
        let file = file.unwrap_or_default();
        let settings = [("LINKGATE_FETCH_PROXY_CREDENTIALS_FILE", file.as_str())];
        Behind::start(
            &proxy.url(),
            &hosts,
            &[&settings[..], &[("SSL_CERT_FILE", authority.file().to_str().unwrap())]].concat(),
        )
    };
    // In absolute form tinyproxy says 401 to wrong ones, as a source would.
    let refused = [(None, link(&hosts[0]), 407), (None, tls.url(), 407), (Some(path(&wrong)), tls.url(), 401)];
    for (file, url, status) in refused {
        let behind = start(file);
        let log = behind.refuses(&url, NOT_LET_THROUGH).await;
        assert!(log.contains(&format!("the proxy {} answered {status}", proxy.url())), "{log}");
        assert!(!log.contains("s3cret") && !log.contains("bGlua2dhdGU6"), "{log}");
    }
    assert!(source.requests().is_empty());
    let behind = start(Some(path(&right)));
    behind.takes(&link(&hosts[0]), &package_of("x")).await;
    behind.takes(&tls.url(), &package_of("x")).await;
    let asked = source.requests().join("").to_ascii_lowercase();
    assert!(!asked.contains("proxy-authorization"), "they are the proxy's alone: {asked}");
    assert!(!behind.store.log().join("\n").contains("s3cret"));
}

#[tokio::test]
async fn a_tunnel_that_the_proxy_refuses_is_told_from_a_refusal_of_the_source() {
    let Some(proxy) = Tinyproxy::start("ConnectPort 1").await else { return };
    let authority = Authority::new();
    let source = FakeSource::start(Behaviour::Status(403)).await;
    let tls = TlsFront::before(&source, &authority, Manner::Serves(Shown::Good, &["http/1.1"])).await;
    let behind = Behind::start(&proxy.url(), &[by_name(&source), tls.host()], &[]);
    let log = behind.refuses(&tls.url(), NOT_LET_THROUGH).await;
    assert!(log.contains("answered 403") && !log.contains("trying again"), "a no stays one: {log}");
    assert!(source.requests().is_empty());
    behind.refuses(&link(&by_name(&source)), "the source answered 403").await;
}

#[tokio::test]
async fn a_proxy_that_is_down_is_told_from_a_source_that_is() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = FakeSource::serving(package_of("x")).await;
    let behind = Behind::start(&format!("http://{closed}"), &[by_name(&source), "a.example".into()], &[]);
    for url in [link(&by_name(&source)), "https://a.example/a.tgz".into()] {
        let log = behind.refuses(&url, NOT_CONNECTED).await;
        assert!(log.contains(&format!("the proxy http://{closed} could not be asked")), "{log}");
        assert!(log.contains("trying again"), "it may be up again soon: {log}");
    }
    assert!(source.requests().is_empty(), "nothing goes around the proxy");
    let Some(proxy) = Tinyproxy::start("").await else { return };
    let behind = Behind::start(&proxy.url(), &[format!("localhost:{}", closed.port())], &[]);
    behind.refuses(&format!("https://localhost:{}/a.tgz", closed.port()), NOT_REACHED).await;
}

#[tokio::test]
async fn a_proxy_that_takes_no_connection_is_told_from_one_that_opens_no_tunnel() {
    let impatient = [("LINKGATE_FETCH_CONNECT_TIMEOUT_S", "1")];
    let (full, _listener, _waiting) = full_port().await;
    let behind = Behind::start(&format!("http://{full}"), &["a.example".into()], &impatient);
    let log = behind.refuses("https://a.example/a.tgz", NOT_CONNECTED).await;
    assert!(log.contains(&format!("the proxy http://{full} could not be asked")), "{log}");
    let silent = FakeSource::start(Behaviour::StallBeforeHead).await;
    let behind = Behind::start(&silent.url_of(""), &["a.example".into()], &impatient);
    let request = behind.store.request("https://a.example/a.tgz").in_english();
    let reply = request.send(behind.store.base()).await;
    let timed_out = json!({"code": "SOURCE_TIMEOUT", "detail": "Reading the package_url timed out"});
    assert_problem(&reply, 504, None, &timed_out);
    assert_eq!(silent.requests().len(), 4);
}

#[tokio::test]
async fn an_exception_goes_around_the_proxy_and_is_judged_as_ever() {
    let source = FakeSource::serving(package_of("x")).await;
    let proxy = FakeSource::start(Behaviour::Status(403)).await;
    let (host, hosts) = (by_name(&source), [by_name(&source), source.host()]);
    for exception in ["localhost,127.0.0.0/8", "a.example, .b.example,LOCALHOST,127.0.0.1"] {
        let no_proxy = ("LINKGATE_FETCH_NO_PROXY", exception);
        let behind = Behind::start(&proxy.url_of(""), &hosts, &[no_proxy]);
        for host in &hosts {
            behind.refuses_field(&link(host), "The host may not be fetched from.").await;
        }
        let private = ("LINKGATE_FETCH_PRIVATE_HOSTS", &*hosts.join(","));
        let behind = Behind::start(&proxy.url_of(""), &hosts, &[no_proxy, private]);
        behind.takes(&link(&host), &package_of("x")).await;
        behind.takes(&link(&source.host()), &package_of("x")).await;
    }
    assert!(proxy.requests().is_empty());
}

#[tokio::test]
async fn rules_for_hosts_and_addresses_hold_with_a_proxy_in_between() {
    let Some(proxy) = Tinyproxy::start("").await else { return };
    let source = FakeSource::serving(package_of("x")).await;
    source.on("/evil", Behaviour::Redirect(302, "https://evil.example/x".into()));
    source.on("/inside", Behaviour::Redirect(302, source.url()));
    source.on("/name", Behaviour::Redirect(302, link(&by_name(&source))));
    let hosts = [by_name(&source), source.host(), "169.254.169.254".into()];
    let behind = Behind::start(&proxy.url(), &hosts, &[]);
    let at = |path: &str| format!("http://{}{path}", by_name(&source));
    let off_list = "The link redirects to host 'evil.example', which is not in the allow-list.";
    behind.refuses_field(&at("/evil"), off_list).await;
    for literal in [source.url(), at("/inside"), "http://169.254.169.254/latest/".into()] {
        behind.refuses_field(&literal, "The host may not be fetched from.").await;
    }
    assert_eq!(source.requests().len(), 2, "two that redirect");
    assert_eq!(proxy.requests().len(), 2, "the proxy was not asked for what may not be fetched");
    behind.takes(&at("/name"), &package_of("x")).await;
    // Whoever lists the address as private lets the proxy go there.
    let private = [("LINKGATE_FETCH_PRIVATE_HOSTS", &*source.host())];
    let behind = Behind::start(&proxy.url(), &hosts, &private);
    behind.takes(&source.url(), &package_of("x")).await;
    assert_eq!(proxy.requests().len(), 5);
}

/// As Smokescreen answers what it does not pass on.
fn smokescreen(status: &str, said: &str) -> Behaviour {
    let head =
        format!("HTTP/1.1 {status}\r\nX-Smokescreen-Error: {said}\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    Behaviour::Raw([head.as_bytes(), b"error"].concat())
}

#[tokio::test]
async fn a_proxy_that_says_why_is_quoted_in_the_log_and_to_nobody_else() {
    let denied = "egress proxying denied to host 'a.example:443': resolves to private address 10.0.0.7";
    for (answer, why, tries) in [
        (smokescreen("407 Request rejected by proxy", denied), NOT_LET_THROUGH, 1),
        (smokescreen("503 Service Unavailable", denied), NOT_LET_THROUGH, 1),
        (smokescreen("502 Bad gateway", "failed to connect to 10.0.0.7"), NOT_REACHED, 4),
        (smokescreen("504 Gateway timeout", "timed out connecting to 10.0.0.7"), NOT_REACHED, 4),
    ] {
        let proxy = FakeSource::start(answer).await;
        let behind = Behind::start(&proxy.url_of(""), &["a.example".into()], &[]);
        for (url, line) in [
            ("https://a.example/x.tgz?sign=s3cret", "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n"),
            ("http://a.example/x.tgz?sign='x'", "GET http://a.example/x.tgz?sign='x' HTTP/1.1\r\nhost: a.example\r\n"),
        ] {
            let before = proxy.requests().len();
            let log = behind.refuses(url, why).await;
            assert!(log.contains("10.0.0.7") && !log.contains("s3cret"), "{log}");
            let asked = proxy.requests().split_off(before);
            assert_eq!(asked.len(), tries, "{asked:?}");
            assert!(asked.iter().all(|head| head.starts_with(line)), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn what_squid_says_of_a_request_that_it_did_not_pass_on_is_squids() {
    for (status, error, why) in [
        ("403 Forbidden", "ERR_ACCESS_DENIED 0", NOT_LET_THROUGH),
        ("503 Service Unavailable", "ERR_CONNECT_FAIL 111", NOT_REACHED),
        ("503 Service Unavailable", "ERR_DNS_FAIL 0", NOT_REACHED),
    ] {
        let head = format!("HTTP/1.1 {status}\r\nX-Squid-Error: {error}\r\nContent-Length: 0\r\n\r\n");
        let proxy = FakeSource::start(Behaviour::Raw(head.into_bytes())).await;
        let behind = Behind::start(&proxy.url_of(""), &["a.example".into()], &[]);
        for url in ["http://a.example/x.tgz", "https://a.example/x.tgz"] {
            let log = behind.refuses(url, why).await;
            assert!(log.contains(error), "{log}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_speaks_no_http_or_hangs_up_is_the_operators_fault() {
    for answer in [b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), Vec::new(), b"HTTP/1.1 200 OK\r\n".repeat(100_000)] {
        let proxy = FakeSource::start(Behaviour::Raw(answer)).await;
        let behind = Behind::start(&proxy.url_of(""), &["a.example".into()], &[]);
        behind.refuses("https://a.example/x.tgz", NOT_CONNECTED).await;
    }
    // A tunnel that leads to nothing is what the source did.
    let proxy = FakeSource::start(Behaviour::Raw(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())).await;
    let behind = Behind::start(&proxy.url_of(""), &["a.example".into()], &[]);
    behind.refuses("https://a.example/x.tgz", "no connection to the source came about").await;
}
