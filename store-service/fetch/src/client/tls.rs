//! What is asked of a source that speaks TLS.
//!
//! Promises: HTTP/1.1 is the only protocol that is offered, and a source is believed only with a certificate for its very
//! host, by an issuer whom this machine trusts.

use std::sync::Arc;

use linkgate_contract::PackageUrl;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;
use url::Host;

use super::stream::Stream;

/// Shakes hands with sources.
pub(super) struct Tls {
    system: TlsConnector,
}

impl Tls {
    /// Reads what this machine trusts.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ok(Self { system: TlsConnector::from(Arc::new(client_config()?)) })
    }

    /// Speaks TLS with the host of a link.
    pub(super) async fn wrap(&self, stream: Stream, url: &PackageUrl) -> std::io::Result<Stream> {
        let name = server_name(url).ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(Stream::new(self.system.connect(name, stream).await?))
    }
}

fn client_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(default_provider());
    let verifier = Verifier::new(Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn server_name(url: &PackageUrl) -> Option<ServerName<'static>> {
    match url.host() {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(std::net::IpAddr::from(address).into()),
        Host::Ipv6(address) => Some(std::net::IpAddr::from(address).into()),
    }
}
