//! What is asked of a source that speaks TLS.
//!
//! Promises: HTTP/1.1 is the only protocol that is offered, and a source is believed only with a certificate for its very
//! host, by an issuer whom this machine trusts, or whom the operator named for that host.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linkgate_contract::PackageUrl;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsConnector;
use url::Host;

use super::stream::Stream;
use crate::trust::{Certificates, HostTls, InvalidEntry, TlsSettings};

/// Shakes hands with sources.
pub(super) struct Tls {
    system: TlsSettings,
    hosts: HostTls,
}

/// A connection behind its handshake.
pub(super) struct Secured {
    pub(super) stream: Stream,
    /// Whether the host asked who we are, and nothing can be said.
    pub(super) lacks_certificate: bool,
}

/// A handshake failed in which a certificate of ours was asked for, and there is none.
#[derive(Debug, thiserror::Error)]
#[error("a client certificate is wanted, and none is set up for the host")]
pub(super) struct CertificateWanted(#[source] pub(super) io::Error);

impl Tls {
    /// Reads what this machine trusts.
    pub(super) fn new(hosts: HostTls) -> Result<Self, InvalidEntry> {
        Ok(Self { system: TlsSettings::new(Certificates::default(), None)?, hosts })
    }

    /// Speaks TLS with the host of a link.
    pub(super) async fn wrap(&self, stream: Stream, url: &PackageUrl) -> io::Result<Secured> {
        let name = server_name(url).ok_or(io::ErrorKind::InvalidInput)?;
        let own = self.hosts.settings_for(&url.origin());
        let settings = own.as_ref().unwrap_or(&self.system);
        if settings.has_identity {
            let stream = TlsConnector::from(Arc::clone(&settings.config)).connect(name, stream).await?;
            return Ok(Secured { stream: Stream::new(stream), lacks_certificate: false });
        }
        let nobody = Arc::new(Nobody::default());
        let mut config = (*settings.config).clone();
        config.client_auth_cert_resolver = Arc::clone(&nobody) as _;
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => Ok(Secured { stream: Stream::new(stream), lacks_certificate: nobody.was_asked() }),
            Err(error) if nobody.was_asked() => Err(io::Error::other(CertificateWanted(error))),
            Err(error) => Err(error),
        }
    }
}

/// Cannot say who we are, and notes that it was asked.
#[derive(Debug, Default)]
struct Nobody(AtomicBool);

impl Nobody {
    fn was_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

fn server_name(url: &PackageUrl) -> Option<ServerName<'static>> {
    match url.host() {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(IpAddr::from(address).into()),
        Host::Ipv6(address) => Some(IpAddr::from(address).into()),
    }
}
