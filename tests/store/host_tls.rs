//! Authorities and client certificates for single hosts.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use linkgate_tests::{
    Authority, Behaviour, FakeSource, Issued, Manner, Shown, StoreProcess, TlsFront, package_of, sha256_hex, wait_until,
};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::assert_problem;

const UNREACHABLE: &str = "The package_url could not be read";
const UNKNOWN_ISSUER: &str = "the certificate of the source is from an unknown issuer";
const WANTED: &str = "the source asks for a client certificate, and the operator has set up none for its host";
const NOT_ACCEPTED: &str = "the source does not accept the client certificate of the store";

/// A store with a file of settings for single hosts.
struct Configured {
    store: StoreProcess,
    file: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Configured {
    fn start(system: &Authority, hosts: &[String], file: &str) -> Self {
        let (dir, hosts) = (tempfile::tempdir().unwrap(), hosts.join(","));
        let path = dir.path().join("tls.toml");
        std::fs::write(&path, file).unwrap();
        let settings = [
            ("SSL_CERT_FILE", system.file().to_str().unwrap()),
            ("LINKGATE_FETCH_ALLOWED_HOSTS", &hosts),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", &hosts),
            ("LINKGATE_FETCH_RETRY_DELAY_MS", "1"),
            ("LINKGATE_FETCH_TLS_FILE", path.to_str().unwrap()),
        ];
        Self { store: StoreProcess::start(&dir.path().join("data"), &settings), file: path, _dir: dir }
    }

    async fn takes(&self, url: &str, body: &[u8]) {
        let reply = self.store.request(url).overwriting().in_english().send(self.store.base()).await;
        assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &json!(sha256_hex(body))), "{reply:?}");
    }

    /// Links it, expects this reason and that nothing is kept, and gives the log.
    async fn refuses(&self, url: &str, why: &str) -> String {
        let reply = self.store.request(url).in_english().version("9").send(self.store.base()).await;
        let body = json!({"code": "SOURCE_UNREACHABLE", "detail": format!("{UNREACHABLE}: {why}")});
        assert_problem(&reply, 502, None, &body);
        self.store.log_with(" with 502").await
    }
}

fn with_ca(host: &str, authority: &Authority) -> String {
    format!("[[hosts]]\nhost = \"{host}\"\nca_file = \"{}\"\n", authority.file().display())
}

fn with_identity(host: &str, identity: &Issued) -> String {
    let (certificate, key) = (identity.certificate().display(), identity.key().display());
    format!("[[hosts]]\nhost = \"{host}\"\nclient_certificate_file = \"{certificate}\"\nclient_key_file = \"{key}\"\n")
}

async fn front(source: &FakeSource, authority: &Authority, shown: Shown) -> TlsFront {
    TlsFront::before(source, authority, Manner::Serves(shown, &["http/1.1"])).await
}

#[tokio::test]
async fn an_authority_counts_for_its_host_beside_the_systems_and_nowhere_else() {
    let (system, inner) = (Authority::new(), Authority::new());
    let source = FakeSource::serving(package_of("x")).await;
    let listed = front(&source, &inner, Shown::Good).await;
    let other = front(&source, &inner, Shown::Good).await;
    let of_system = front(&source, &system, Shown::Good).await;
    let also_listed = front(&source, &system, Shown::Good).await;
    source.on("/away", Behaviour::Redirect(302, other.url()));
    let hosts = [listed.host(), other.host(), of_system.host(), also_listed.host()];
    let file = with_ca(&listed.host(), &inner) + &with_ca(&also_listed.host(), &inner);
    let configured = Configured::start(&system, &hosts, &file);
    configured.refuses(&other.url(), UNKNOWN_ISSUER).await;
    configured.refuses(&format!("https://{}/away", listed.host()), UNKNOWN_ISSUER).await;
    configured.store.directory().assert_empty().await;
    for good in [&listed, &of_system, &also_listed] {
        configured.takes(&good.url(), &package_of("x")).await;
    }
    assert_eq!(source.requests().len(), 4, "those three, and the one that redirects");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_host_and_nowhere_else() {
    let authority = Authority::new();
    let source = FakeSource::serving(package_of("x")).await;
    let asks = front(&source, &authority, Shown::GoodAndAsks).await;
    let asks_too = front(&source, &authority, Shown::GoodAndAsks).await;
    source.on("/away", Behaviour::Redirect(302, asks_too.url()));
    let (ours, of_stranger) = (authority.issue(&["store.example"]), Authority::new().issue(&["store.example"]));
    let hosts = [asks.host(), asks_too.host()];
    let configured = Configured::start(&authority, &hosts, &with_identity(&asks.host(), &ours));
    let log = configured.refuses(&asks_too.url(), WANTED).await;
    assert!(!log.contains("trying again"), "the next attempt would have none either: {log}");
    configured.refuses(&format!("https://{}/away", asks.host()), WANTED).await;
    configured.store.directory().assert_empty().await;
    configured.takes(&asks.url(), &package_of("x")).await;
    let configured = Configured::start(&authority, &hosts, &with_identity(&asks.host(), &of_stranger));
    configured.refuses(&asks.url(), NOT_ACCEPTED).await;
}

#[tokio::test]
async fn the_file_is_read_again_at_sighup_and_a_wrong_one_changes_nothing() {
    let (system, inner) = (Authority::new(), Authority::new());
    let source = FakeSource::serving(package_of("x")).await;
    let tls = front(&source, &inner, Shown::Good).await;
    let configured = Configured::start(&system, &[tls.host()], "");
    configured.refuses(&tls.url(), UNKNOWN_ISSUER).await;
    let says = async |what: &str| {
        configured.store.hang_up();
        configured.store.log_with(what).await
    };
    std::fs::write(&configured.file, with_ca(&tls.host(), &inner)).unwrap();
    says("Read the TLS settings of hosts again: there are 1").await;
    configured.takes(&tls.url(), &package_of("x")).await;
    std::fs::write(&configured.file, "[[hosts]]\nca = 1\n").unwrap();
    says("The TLS settings of hosts stay as they were").await;
    configured.takes(&tls.url(), &package_of("x")).await;
}

/// nginx with one file. Killed when dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Nginx {
    /// Serves `example.tgz` to those for whom the authority vouches; none where nginx is not installed, which is said.
    async fn start(dir: &Path, address: SocketAddr, protocol: &str, own: &Issued, clients: &Authority) -> Option<Self> {
        let at = dir.display();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .collect();
        let (certificate, key, client_ca) = (own.certificate(), own.key(), clients.file());
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temp}server {{\n\
             listen {address} ssl;\nssl_protocols {protocol};\nssl_certificate {};\nssl_certificate_key {};\n\
             ssl_client_certificate {};\nssl_verify_client on;\nroot {at};\n}}\n}}\n",
            certificate.display(),
            key.display(),
            client_ca.display()
        );
        let path = dir.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        std::fs::write(dir.join("example.tgz"), package_of("x")).unwrap();
        let spawned = Command::new("nginx").arg("-c").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        match spawned {
            Ok(child) => {
                let nginx = Self(child);
                wait_until(async || TcpStream::connect(address).await.map(drop).map_err(|e| e.to_string())).await;
                Some(nginx)
            }
            Err(error) => {
                println!("nginx is not tried: {error}");
                None
            }
        }
    }
}

#[tokio::test]
async fn nginx_gives_the_package_to_who_shows_its_certificate() {
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let (authority, clients, dir) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let own = authority.issue(&["localhost"]);
        let Some(_nginx) = Nginx::start(dir.path(), address, protocol, &own, &clients).await else { return };
        let host = format!("localhost:{}", address.port());
        let (url, hosts) = (format!("https://{host}/example.tgz"), [host.clone()]);
        let without = Configured::start(&authority, &hosts, "");
        for _ in 0..2 {
            without.refuses(&url, WANTED).await;
        }
        without.store.directory().assert_empty().await;
        let with = Configured::start(&authority, &hosts, &with_identity(&host, &clients.issue(&["store.example"])));
        with.takes(&url, &package_of("x")).await;
        let stranger = Authority::new().issue(&["store.example"]);
        let with_another = Configured::start(&authority, &hosts, &with_identity(&host, &stranger));
        with_another.refuses(&url, "the source answered 400").await;
    }
}
