//! What TLS needs to know of single hosts: authorities that are believed there beside the system's, and who the store is.
//!
//! Promises: an authority and a certificate count for the host and port of their entry only, so neither goes along with a
//! redirect. A private key shows in no debug text and in no error.

use std::sync::Arc;

use linkgate_contract::{HostRule, Origin};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;

use crate::shared_list::SharedList;

/// Entries that can be exchanged while the store runs; copies share them.
pub type HostTls = SharedList<TlsEntry>;

/// What counts for one host.
#[derive(Clone, Debug)]
pub struct TlsEntry {
    host: HostRule,
    settings: TlsSettings,
}

/// How to shake hands.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings {
    pub(crate) config: Arc<ClientConfig>,
    /// Whether the store can say who it is.
    pub(crate) has_identity: bool,
}

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPem {
    /// Nothing there, or something else.
    #[error("holds no PEM certificate")]
    NoCertificate,
    /// One that cannot be read.
    #[error("holds a certificate that cannot be read")]
    BadCertificate,
    /// A key would go to whoever reads the certificates.
    #[error("holds a private key; give it in a file of its own")]
    KeyAmongCertificates,
    /// Nothing there, or something else.
    #[error("holds no PEM private key")]
    NoKey,
    /// Encrypted, or of a kind that is not used for TLS.
    #[error("holds a private key that cannot be used")]
    BadKey,
}

/// Why an entry is of no use.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEntry {
    /// The key is another one's.
    #[error("the private key does not belong to the certificate")]
    KeyOfAnother,
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// Certificates from a PEM file: authorities, or the store's own with those between it and its authority.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Vec<CertificateDer<'static>>);

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// [`InvalidPem`].
    pub fn from_pem(pem: &str) -> Result<Self, InvalidPem> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(InvalidPem::KeyAmongCertificates);
        }
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates = read.map_err(|_| InvalidPem::BadCertificate)?;
        let are_readable = certificates.iter().all(|der| rustls::server::ParsedCertificate::try_from(der).is_ok());
        match certificates.is_empty() {
            true => Err(InvalidPem::NoCertificate),
            false if are_readable => Ok(Self(certificates)),
            false => Err(InvalidPem::BadCertificate),
        }
    }
}

/// A certificate of the store, and its key.
pub struct ClientIdentity {
    certificates: Certificates,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// Reads the key.
    ///
    /// # Errors
    /// [`InvalidPem`].
    pub fn new(certificates: Certificates, key_pem: &str) -> Result<Self, InvalidPem> {
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| InvalidPem::NoKey)?;
        default_provider().key_provider.load_private_key(key.clone_key()).map_err(|_| InvalidPem::BadKey)?;
        Ok(Self { certificates, key })
    }
}

impl TlsEntry {
    /// What counts for this host: these authorities beside the system's, and this identity.
    ///
    /// # Errors
    /// [`InvalidEntry`].
    pub fn new(
        host: HostRule,
        authorities: Certificates,
        identity: Option<ClientIdentity>,
    ) -> Result<Self, InvalidEntry> {
        Ok(Self { host, settings: TlsSettings::new(authorities, identity)? })
    }

    /// For which host.
    #[must_use]
    pub fn host(&self) -> &HostRule {
        &self.host
    }
}

impl TlsSettings {
    /// Sessions are not kept: every connection asks again who the source is, and may be asked who we are.
    pub(crate) fn new(authorities: Certificates, identity: Option<ClientIdentity>) -> Result<Self, InvalidEntry> {
        let (provider, has_identity) = (Arc::new(default_provider()), identity.is_some());
        let verifier = Verifier::new_with_extra_roots(authorities.0, Arc::clone(&provider));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(InvalidEntry::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier.map_err(InvalidEntry::Tls)?));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(ClientIdentity { certificates, key }) => {
                builder.with_client_auth_cert(certificates.0, key).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => InvalidEntry::KeyOfAnother,
                    other => InvalidEntry::Tls(other),
                })?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), has_identity })
    }
}

impl SharedList<TlsEntry> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.now().len()
    }

    pub(crate) fn settings_for(&self, origin: &Origin) -> Option<TlsSettings> {
        self.now().iter().find(|entry| entry.host.matches(origin)).map(|entry| entry.settings.clone())
    }
}
