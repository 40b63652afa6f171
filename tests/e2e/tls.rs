//! TLS: callers and the gateway, and the gateway and the store.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::process::command_with;
use linkgate_tests::tls::identity_in;
use linkgate_tests::wait::{wait_until, wait_until_holds};
use linkgate_tests::{Authority, Reply};
use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion};

use crate::replies::{WholeStack, assert_envelope};

const STORE: &str = "linkgate-store";
const BOTH: [&tokio_rustls::rustls::SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A stack whose callers speak TLS, and where the certificate of its gateway is.
struct Secured {
    stack: WholeStack,
    authority: Authority,
    folder: TempDir,
}

impl Secured {
    async fn start() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.renew(folder.path(), &["localhost"]);
        let plan = GatewayPlan::new().wire("LINKGATE_GATEWAY_TLS_DIR", folder.path().to_str().unwrap());
        Self { stack: WholeStack::planned(plan, &[], &[]).await, authority, folder }
    }

    fn base(&self) -> String {
        format!("https://localhost:{}", self.stack.gateway().address().port())
    }

    async fn connect(&self, config: ClientConfig) -> TlsStream<TcpStream> {
        connect(self.stack.gateway().address(), "localhost", config).await.unwrap()
    }

    /// What the gateway shows to a new connection.
    async fn certificate(&self) -> CertificateDer<'static> {
        certificate_of(&self.connect(self.authority.client(&BOTH, &["http/1.1"])).await)
    }
}

async fn connect(address: SocketAddr, name: &str, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// What comes back until the other side closes, or nothing if it resets the connection.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    let _closed_or_reset = stream.read_to_end(&mut reply).await;
    reply
}

#[tokio::test]
async fn callers_get_tls_1_2_and_1_3_with_http_1_and_2() {
    let secured = Secured::start().await;
    for (version, want) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (offered, chosen) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
            let stream = secured.connect(secured.authority.client(&[version], offered)).await;
            let (_, connection) = stream.get_ref();
            assert_eq!(connection.protocol_version(), Some(want));
            assert_eq!(connection.alpn_protocol(), Some(chosen.as_bytes()));
        }
    }
    let client = secured.authority.http_client().build().unwrap();
    let request = secured.stack.request(secured.stack.source().url());
    let reply = request.try_send_by(&client, &secured.base()).await.unwrap();
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("0.0.5")), "{reply:?}");
    assert_eq!(upload_by_http_2(&secured, "0.0.6").await, 200);
    assert_eq!(secured.stack.rows().await.len(), 2);
}

async fn upload_by_http_2(secured: &Secured, version: &str) -> u16 {
    let stream = secured.connect(secured.authority.client(&BOTH, &["h2"])).await;
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let path = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
    let request = http::Request::post(format!("{}{path}", secured.base()))
        .header("content-type", "application/json")
        .header("x-bkapi-authorization", secured.stack.gateway().credentials().header());
    let body = json!({"package_url": secured.stack.source().url(), "version": version}).to_string();
    let mut client = client.ready().await.unwrap();
    let (answer, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::from(body), true).unwrap();
    answer.await.unwrap().status().as_u16()
}

/// A hello of TLS 1.1 with suites of that time.
fn old_hello() -> Vec<u8> {
    let suites = [0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f];
    let body = [&[3, 2][..], &[7; 32], &[0, 0, suites.len() as u8], &suites, &[1, 0]].concat();
    let handshake = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

#[tokio::test]
async fn older_versions_and_plain_http_get_nothing_at_the_tls_port() {
    let secured = Secured::start().await;
    let address = secured.stack.gateway().address();
    let reply = exchange(address, &old_hello()).await;
    let protocol_version = 70;
    assert!(matches!(reply[..], [21, 3, _, 0, 2, 2, alert] if alert == protocol_version), "{reply:?}");
    let path = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
    let credentials = secured.stack.gateway().credentials().header();
    let head = format!("POST {path} HTTP/1.1\r\nhost: gateway\r\nx-bkapi-authorization: {credentials}\r\n\r\n");
    assert_eq!(String::from_utf8_lossy(&exchange(address, head.as_bytes()).await), "");
    assert_eq!(secured.stack.sent_to_store().await, 0);
    assert!(secured.stack.rows().await.is_empty());
}

/// Uploads one version after the other until it is told to end; gives every reply that was not good.
fn upload_on(
    secured: &Secured,
    client: Client,
    name: &str,
    done: &Arc<AtomicUsize>,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<Vec<String>> {
    let (base, done, stop) = (secured.base(), Arc::clone(done), Arc::clone(stop));
    let (request, name) = (secured.stack.request(secured.stack.source().url()), name.to_owned());
    tokio::spawn(async move {
        let mut bad = Vec::new();
        for n in 0.. {
            match request.clone().version(&format!("{name}-{n}")).try_send_by(&client, &base).await {
                Ok(Reply { status: 200, .. }) => {}
                Ok(reply) => bad.push(format!("{reply:?}")),
                Err(error) => bad.push(format!("{error:?}")),
            }
            done.fetch_add(1, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        bad
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_under_load_loses_no_request_and_one_that_is_broken_changes_nothing() {
    let secured = Secured::start().await;
    let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let new_each_time = secured.authority.http_client().pool_max_idle_per_host(0).build().unwrap();
    let kept = secured.authority.http_client().build().unwrap();
    let callers: Vec<_> = [("new", new_each_time), ("kept", kept)]
        .into_iter()
        .map(|(name, client)| upload_on(&secured, client, name, &done, &stop))
        .collect();
    let some_more = async || {
        let before = done.load(Ordering::Relaxed);
        wait_until_holds("the next uploads", async || done.load(Ordering::Relaxed) >= before + 4).await;
    };
    some_more().await;
    for _ in 0..3 {
        let before = secured.certificate().await;
        secured.authority.renew(secured.folder.path(), &["localhost"]);
        wait_until_holds("the new certificate", async || secured.certificate().await != before).await;
        some_more().await;
    }
    let last = secured.certificate().await;
    break_renewal(&secured).await;
    some_more().await;
    assert_eq!(secured.certificate().await, last);
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Vec::<String>::new());
    }
    assert_eq!(secured.stack.rows().await.len(), done.load(Ordering::Relaxed));
}

/// A certificate that is none is renamed into place, and Envoy says that it refuses it.
async fn break_renewal(secured: &Secured) {
    let gateway = secured.stack.gateway();
    let refused = async || {
        gateway.stat("sds.gateway-certificate.update_rejected").await
            + gateway.stat("sds.gateway-certificate.key_rotation_failed").await
    };
    let before = refused().await;
    let broken = secured.folder.path().join(".broken");
    std::fs::write(&broken, "no certificate").unwrap();
    std::fs::rename(broken, secured.folder.path().join("tls.crt")).unwrap();
    wait_until_holds("the refusal of a broken certificate", async || refused().await > before).await;
}

/// A stack whose gateway and store speak TLS with each other, and where their certificates are.
struct Mutual {
    stack: WholeStack,
    authority: Authority,
    store: TempDir,
    _gateway: TempDir,
}

impl Mutual {
    /// The store has this name; the second of the two puts the gateway's certificate into its folder.
    async fn start(store_name: &str, give: impl FnOnce(&Authority, &Path)) -> Self {
        let authority = Authority::new();
        let [store, gateway] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        authority.renew(store.path(), &[store_name]);
        give(&authority, gateway.path());
        let plan = GatewayPlan::new().wire("LINKGATE_UPSTREAM_TLS_DIR", gateway.path().to_str().unwrap());
        let settings = settings_in(store.path());
        let settings: Vec<_> = settings.iter().map(|(name, path)| (*name, path.as_str())).collect();
        let stack = WholeStack::planned(plan, &settings, &[]).await;
        Self { stack, authority, store, _gateway: gateway }
    }

    fn store_address(&self) -> SocketAddr {
        self.stack.store().base().trim_start_matches("http://").parse().unwrap()
    }

    /// A client that takes the store's address for its name.
    fn client(&self) -> reqwest::ClientBuilder {
        self.authority.http_client().resolve(STORE, self.store_address())
    }

    fn store_base(&self) -> String {
        format!("https://{STORE}:{}", self.store_address().port())
    }

    async fn upload(&self, version: &str) -> Reply {
        self.stack.send(self.stack.request(self.stack.source().url()).version(version).in_english()).await
    }
}

fn settings_in(folder: &Path) -> [(&'static str, String); 3] {
    [
        ("LINKGATE_STORE_TLS_CERT_FILE", "tls.crt"),
        ("LINKGATE_STORE_TLS_KEY_FILE", "tls.key"),
        ("LINKGATE_STORE_TLS_CLIENT_CA_FILE", "ca.crt"),
    ]
    .map(|(name, file)| (name, folder.join(file).display().to_string()))
}

#[tokio::test]
async fn gateway_and_store_know_each_other_by_certificates() {
    let mutual = Mutual::start(STORE, |authority, folder| authority.renew(folder, &["gateway"])).await;
    let reply = mutual.upload("0.0.5").await;
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("0.0.5")), "{reply:?}");
    let settings = settings_in(mutual.store.path());
    let mut settings: Vec<_> = settings.iter().map(|(name, path)| (*name, path.as_str())).collect();
    let listen = mutual.store_address().to_string();
    settings.push(("LINKGATE_STORE_LISTEN", &listen));
    let health = command_with(mutual.store.path(), &["health"], &settings);
    assert_eq!((health.code(), health.out.trim()), (0, r#"{"status":"ready"}"#));
    mutual.stack.end_clean();
}

#[tokio::test]
async fn whoever_shows_no_certificate_to_the_store_sees_only_how_it_is() {
    let mutual = Mutual::start(STORE, |authority, folder| authority.renew(folder, &["gateway"])).await;
    let (client, base) = (mutual.client().build().unwrap(), mutual.store_base());
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(client.get(format!("{base}{path}")).send().await.unwrap().status(), 200, "{path}");
    }
    let request = mutual
        .stack
        .request(mutual.stack.source().url())
        .path("/bkapps/applications/app_code/modules/default/source_package/link/");
    let refused = request.try_send_by(&client, &base).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (401, &json!("ERROR")), "{refused:?}");
    mutual.stack.store().log_with("Refused a token: the connection shows no client certificate").await;
    assert!(mutual.stack.rows().await.is_empty());
}

#[tokio::test]
async fn the_store_refuses_certificates_that_are_not_good_and_plain_http() {
    let mutual = Mutual::start(STORE, |authority, folder| authority.renew(folder, &["gateway"])).await;
    let folder = tempfile::tempdir().unwrap();
    let ask = async || {
        let client = mutual.client().identity(identity_in(folder.path())).build().unwrap();
        client.get(format!("{}/readyz", mutual.store_base())).send().await
    };
    mutual.authority.renew(folder.path(), &["gateway"]);
    assert_eq!(ask().await.unwrap().status(), 200);
    mutual.authority.renew_too_late(folder.path(), &["gateway"]);
    assert!(ask().await.is_err(), "an expired certificate was taken");
    Authority::new().renew(folder.path(), &["gateway"]);
    assert!(ask().await.is_err(), "a certificate of another authority was taken");
    let head = b"GET /readyz HTTP/1.1\r\nhost: store\r\n\r\n";
    let reply = exchange(mutual.store_address(), head).await;
    assert!(!String::from_utf8_lossy(&reply).contains("HTTP/"), "{reply:?}");
}

#[tokio::test]
async fn a_gateway_that_the_store_does_not_believe_or_the_other_way_round_answers_502() {
    let expired = Mutual::start(STORE, |authority, folder| authority.renew_too_late(folder, &["gateway"])).await;
    let another = Mutual::start("another-store", |authority, folder| authority.renew(folder, &["gateway"])).await;
    for mutual in [expired, another] {
        assert_envelope(&mutual.upload("0.0.5").await, 502, 1_650_200, "BAD_GATEWAY", "Bad Gateway");
        assert!(mutual.stack.rows().await.is_empty());
    }
}

#[tokio::test]
async fn a_renewed_certificate_of_the_store_is_shown_without_a_restart() {
    let mutual = Mutual::start(STORE, |authority, folder| authority.renew(folder, &["gateway"])).await;
    let shown = async || {
        let config = mutual.authority.client(&BOTH, &["http/1.1"]);
        certificate_of(&connect(mutual.store_address(), STORE, config).await.unwrap())
    };
    let first = shown().await;
    mutual.authority.renew(mutual.store.path(), &[STORE]);
    let second = wait_until(async || {
        let now = shown().await;
        if now == first { Err("the store shows its old certificate".to_owned()) } else { Ok(now) }
    })
    .await;
    assert_eq!(mutual.upload("0.0.5").await.status, 200);
    std::fs::write(mutual.store.path().join("tls.crt"), "no certificate").unwrap();
    mutual.stack.store().log_with("The certificate of the listener stays as it was").await;
    assert_eq!(shown().await, second);
    mutual.authority.renew(mutual.store.path(), &[STORE]);
    mutual.stack.store().hang_up();
    wait_until_holds("the certificate after SIGHUP", async || shown().await != second).await;
    assert_eq!(mutual.upload("0.0.6").await.status, 200);
}
