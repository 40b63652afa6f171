//! What is encrypted between a caller, the gateway and the store, for benches that measure the same in clear and under TLS.
//!
//! Certificates are made for the run. Promises: callers speak TLS 1.3 and nothing older, and do not resume sessions, so that
//! each new connection shakes hands in full.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{Authority, Gateway, GatewayPlan, Shown};

/// By which name callers know the gateway, and the gateway what stands behind it.
const NAME: &str = "localhost";

/// What is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Nothing.
    Plain,
    /// What callers and the gateway say.
    Tls,
    /// The same, and what the gateway and the store say, who show each other certificates.
    Mutual,
}

impl Channel {
    /// All of them, the one in clear first.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Tls, Self::Mutual];

    /// How a table calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "TLS 1.3",
            Self::Mutual => "TLS 1.3, mTLS",
        }
    }
}

/// Who shows what: an authority, and a folder for the gateway towards callers, for the gateway towards the store, and for
/// the store.
pub struct Certificates {
    authority: Authority,
    callers: TempDir,
    upstream: TempDir,
    store: TempDir,
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificates {
    /// Makes them.
    #[must_use]
    pub fn new() -> Self {
        let authority = Authority::new();
        let [callers, upstream, store] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        for (folder, name) in [(&callers, NAME), (&upstream, "gateway"), (&store, NAME)] {
            authority.renew(folder.path(), &[name]);
        }
        Self { authority, callers, upstream, store }
    }

    /// A gateway that speaks so to both sides.
    #[must_use]
    pub fn wire(&self, plan: GatewayPlan, channel: Channel) -> GatewayPlan {
        let folder = |folder: &TempDir| folder.path().display().to_string();
        match channel {
            Channel::Plain => plan,
            Channel::Tls => plan.wire("LINKGATE_GATEWAY_TLS_DIR", &folder(&self.callers)),
            Channel::Mutual => self
                .wire(plan, Channel::Tls)
                .wire("LINKGATE_UPSTREAM_TLS_DIR", &folder(&self.upstream))
                .wire("LINKGATE_UPSTREAM_TLS_NAME", NAME),
        }
    }

    /// What a store needs to speak so.
    #[must_use]
    pub fn store_settings(&self, channel: Channel) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.store.path().join(name).display().to_string();
        match channel {
            Channel::Plain | Channel::Tls => Vec::new(),
            Channel::Mutual => vec![
                ("LINKGATE_STORE_TLS_CERT_FILE", file("tls.crt")),
                ("LINKGATE_STORE_TLS_KEY_FILE", file("tls.key")),
                ("LINKGATE_STORE_TLS_CLIENT_CA_FILE", file("ca.crt")),
            ],
        }
    }

    /// How a caller opens a connection to such a gateway; nothing where nothing is encrypted.
    #[must_use]
    pub fn connector(&self, channel: Channel) -> Option<TlsConnector> {
        let mut config = self.authority.client(&[&TLS13], &["http/1.1"]);
        config.resumption = Resumption::disabled();
        (channel != Channel::Plain).then(|| TlsConnector::from(Arc::new(config)))
    }

    /// How what stands behind the gateway takes connections; it asks for a certificate.
    #[must_use]
    pub fn acceptor(&self, channel: Channel) -> Option<TlsAcceptor> {
        (channel == Channel::Mutual).then(|| self.authority.acceptor(Shown::GoodAndAsks, &["http/1.1"]))
    }

    /// Who vouches for all of them, as PEM.
    #[must_use]
    pub fn authority_file(&self) -> &Path {
        self.authority.file()
    }

    /// A client for such a gateway. It keeps its connections.
    #[must_use]
    pub fn client(&self) -> reqwest::Client {
        self.authority.http_client().tls_version_min(reqwest::tls::Version::TLS_1_3).build().unwrap()
    }

    /// Where callers find such a gateway, by the name in its certificate.
    #[must_use]
    pub fn base(gateway: &Gateway, channel: Channel) -> String {
        match channel {
            Channel::Plain => gateway.base().to_owned(),
            Channel::Tls | Channel::Mutual => format!("https://{NAME}:{}", gateway.address().port()),
        }
    }
}
