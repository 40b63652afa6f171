//! Sources that speak TLS, well and badly: an authority of the test's own, and a front that stands before a [`FakeSource`].
//!
//! Keys and certificates are made anew for every test and trusted by nobody who is not told to.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::FakeSource;

/// Who vouches for certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

/// What a source shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A certificate for its name and address, by the authority.
    Good,
    /// The same, and it asks for one of the client, by the same authority.
    GoodAndAsks,
    /// One for another name.
    OtherName,
    /// One that was good until yesteryear.
    Expired,
    /// One that will be good.
    NotYet,
    /// One that nobody but itself vouches for.
    SelfSigned,
}

/// What the front does with a connection.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Shakes hands, offering these protocols by ALPN, and passes on what comes.
    Serves(Shown, &'static [&'static str]),
    /// Takes the connection and says nothing.
    Stalls,
    /// Sends the beginning of a handshake and then nothing.
    StallsInHandshake,
    /// Sends the bytes of a handshake, one each second.
    Drips,
    /// Resets the connection once the client has begun.
    Resets,
}

impl Authority {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, format!("Authority {}", crate::random()));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// Its certificate as PEM, for who is to trust it.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.file.path()
    }

    /// A certificate for these names, and its key, which only the owner may read.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        let params = params_for(names);
        let key = KeyPair::generate().unwrap();
        let (certificate, key_file) =
            (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(certificate.path(), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(key_file.path(), key.serialize_pem()).unwrap();
        Issued { certificate, key: key_file }
    }

    /// Puts a new certificate for these names into a folder, as whoever renews one does: `tls.key`, `tls.crt` and the
    /// authority's `ca.crt`, one renamed into its place after the other.
    pub fn renew(&self, folder: &Path, names: &[&str]) {
        self.put(folder, params_for(names));
    }

    /// The same with a certificate that was good until yesteryear.
    pub fn renew_too_late(&self, folder: &Path, names: &[&str]) {
        let mut params = params_for(names);
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        self.put(folder, params);
    }

    /// The same with one that is good for so many days.
    pub fn renew_for(&self, folder: &Path, names: &[&str], days: i64) {
        let mut params = params_for(names);
        let end = jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(days));
        let part = |number: i8| u8::try_from(number).unwrap();
        params.not_after = date_time_ymd(end.year().into(), part(end.month()), part(end.day()));
        self.put(folder, params);
    }

    fn put(&self, folder: &Path, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        for (name, text) in [("tls.key", key.serialize_pem()), ("tls.crt", certificate), ("ca.crt", self.issuer.pem())]
        {
            let new = folder.join(format!(".{name}"));
            std::fs::write(&new, text).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::rename(new, folder.join(name)).unwrap();
        }
    }

    /// What a client needs that believes this authority alone, and speaks these versions and protocols.
    #[must_use]
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let mut config =
            builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// What `reqwest` needs for the same.
    pub fn http_client(&self) -> reqwest::ClientBuilder {
        let authority = reqwest::Certificate::from_pem(self.issuer.pem().as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([authority])
    }

    /// What takes connections of clients that believe this authority.
    #[must_use]
    pub fn acceptor(&self, shown: Shown, protocols: &[&str]) -> TlsAcceptor {
        TlsAcceptor::from(Arc::new(self.server(shown, protocols)))
    }

    fn server(&self, shown: Shown, protocols: &[&str]) -> ServerConfig {
        let names = if shown == Shown::OtherName { vec!["other.example"] } else { vec!["localhost", "127.0.0.1"] };
        let mut params = params_for(&names);
        match shown {
            Shown::Expired => {
                (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1))
            }
            Shown::NotYet => {
                (params.not_before, params.not_after) = (date_time_ymd(2900, 1, 1), date_time_ymd(2901, 1, 1))
            }
            _ => {}
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match shown {
            Shown::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let chain = vec![certificate.unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
        let builder = match shown {
            Shown::GoodAndAsks => config.unwrap().with_client_cert_verifier(self.verifier()),
            _ => config.unwrap().with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

fn params_for(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// Who a client is, by what lies in a folder, for `reqwest`.
#[must_use]
pub fn identity_in(folder: &Path) -> reqwest::Identity {
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| std::fs::read(folder.join(name)).unwrap());
    reqwest::Identity::from_pem(&[certificate, key].concat()).unwrap()
}

impl Authority {
    /// Takes callers for whom this authority vouches.
    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        builder.build().unwrap()
    }
}

/// What an authority gave, as files.
pub struct Issued {
    certificate: tempfile::NamedTempFile,
    key: tempfile::NamedTempFile,
}

impl Issued {
    /// The certificate as PEM.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        self.certificate.path()
    }

    /// Its key as PEM.
    #[must_use]
    pub fn key(&self) -> &Path {
        self.key.path()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A front. Stops when dropped.
pub struct TlsFront {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// Speaks TLS before a source.
    pub async fn before(source: &FakeSource, authority: &Authority, manner: Manner) -> Self {
        Self::before_address(&source.host(), authority, manner).await
    }

    /// Speaks TLS before whatever listens there.
    pub async fn before_address(behind: &str, authority: &Authority, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = match &manner {
            Manner::Serves(shown, protocols) => Some(authority.acceptor(*shown, protocols)),
            _ => None,
        };
        let behind = behind.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, manner, behind) = (acceptor.clone(), manner.clone(), behind.clone());
                // The reader may go away at any time; that is its right.
                tokio::spawn(async move { drop(serve(stream, acceptor, &manner, &behind).await) });
            }
        });
        Self { address, task }
    }

    /// `localhost:port`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// A link to `example.tar.gz`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/generic/example.tar.gz", self.host())
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first bytes of a server's hello: a record of 90 bytes is to follow.
const HELLO: [u8; 9] = [0x16, 3, 3, 0, 90, 2, 0, 0, 86];

async fn serve(
    mut stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    manner: &Manner,
    behind: &str,
) -> std::io::Result<()> {
    match (manner, acceptor) {
        (Manner::Serves(..), Some(acceptor)) => {
            let mut plain = TcpStream::connect(behind).await?;
            let mut stream = acceptor.accept(stream).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut plain).await.map(|_| ())
        }
        (Manner::Serves(..), None) => unreachable!("who serves has a certificate"),
        (Manner::Stalls, _) => std::future::pending().await,
        (Manner::StallsInHandshake, _) => {
            stream.write_all(&HELLO).await?;
            std::future::pending().await
        }
        (Manner::Drips, _) => {
            for byte in HELLO.into_iter().chain([0; 80]) {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            Ok(())
        }
        (Manner::Resets, _) => {
            stream.readable().await?;
            stream.set_zero_linger()
        }
    }
}
