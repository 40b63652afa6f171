//! The client: links over HTTP.
//!
//! Each module uses only those above it: `guard` (which addresses may be connected to), `stream` (a connection);
//! `exchange` (one request over one connection); `page`, `retry`; `unreachable` (why nothing could be read); `tls`;
//! `connector` (from a link to a connection); `redirects` (one request, and whatever it redirects to); `validator`; `representation` (one version of a file);
//! `range_fetcher` (several ranges at a time); `attempts`; `download` (the body, as the caller reads it).

mod attempts;
mod connector;
mod download;
mod exchange;
mod guard;
mod page;
mod range_fetcher;
mod redirects;
mod representation;
mod retry;
mod stream;
mod tls;
mod tunnel;
mod unreachable;
mod validator;

use std::sync::Arc;

use linkgate_contract::PackageUrl;
use tracing::error;

use crate::config::FetchConfig;
use crate::credentials::DownloadCredential;
use crate::source::{CredentialError, FetchRequest, Source, SourceError};
use crate::trust::InvalidEntry;
use attempts::Attempts;
use download::Download;
use range_fetcher::RangePermits;
use redirects::RedirectFollower;

/// Why there is no client: for example, this machine has no root certificates.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ClientError(#[from] InvalidEntry);

/// Reads links over HTTP.
pub struct HttpSource {
    follower: Arc<RedirectFollower>,
    range_permits: RangePermits,
}

impl HttpSource {
    /// Sets up the clients.
    ///
    /// # Errors
    /// If the TLS settings of this machine cannot be read.
    pub fn new(config: FetchConfig) -> Result<Self, ClientError> {
        Ok(Self { follower: Arc::new(RedirectFollower::new(config)?), range_permits: RangePermits::new() })
    }
}

impl Source for HttpSource {
    type Stream = Download;

    async fn open(&self, request: FetchRequest<'_>) -> Result<Download, SourceError> {
        let limit_bytes = self.follower.config().max_bytes;
        if request.size.is_some_and(|size| size > limit_bytes) {
            return Err(SourceError::TooLarge { limit_bytes });
        }
        let FetchConfig { credentials, credentials_over_http, .. } = self.follower.config();
        let credential = DownloadCredential::choose(credentials, credentials_over_http, request.access, request.url)
            .inspect_err(|error| log_unknown(error, request.url))?;
        let follower = Arc::clone(&self.follower);
        Download::begin(Attempts::new(follower, self.range_permits.clone(), request, credential)).await
    }
}

/// Whoever keeps the file of credentials is another one than whoever writes policies.
fn log_unknown(error: &CredentialError, url: &PackageUrl) {
    if let CredentialError::Unknown { name } = error {
        error!(
            credential.name = %name,
            package.url = %url,
            "The policy names the credential `{name}`, which LINKGATE_FETCH_CREDENTIALS_FILE does not have: add it there and send SIGHUP, or take it out of `packages.hosts`"
        );
    }
}
