//! Reads a source package from the caller's link, as a stream.
//!
//! Promises: every hop is judged anew, by the same [`PackageUrl`](linkgate_contract::PackageUrl) that is then connected
//! to: allow-list, no step down from https, and addresses that are public unless the operator, or the caller of this one
//! download, lists that very host and port as private. The connection goes to an address that was checked. At most
//! [`FetchConfig::max_bytes`] are read, whatever the source says. A download that breaks is tried again, and goes on where
//! it stood only if the source proves that the rest belongs to the same version of the file; the same holds for the parts
//! of a large file that are read at once. Refuses encoded bodies, HTML
//! pages, statuses other than 200 (206 for the rest of a file) and more than `hops::MAX_REDIRECTS`
//! redirects. Sends no cookies, no referer, no credentials; uses no proxy.

mod ahead;
mod attempts;
mod download;
mod guard;
mod hops;
mod pace;
mod page;
mod retry;
mod version;

use std::sync::Arc;

use crate::config::FetchConfig;
use crate::ingest::ports::{Source, SourceError, Wanted};
use attempts::Attempts;
use download::Download;
use hops::Hops;

/// Reads links over HTTP.
pub struct HttpSource {
    hops: Arc<Hops>,
}

impl HttpSource {
    /// Sets up the clients.
    ///
    /// # Errors
    /// If the TLS settings of this machine cannot be read.
    pub fn new(config: FetchConfig) -> Result<Self, reqwest::Error> {
        Ok(Self { hops: Arc::new(Hops::new(config)?) })
    }
}

impl Source for HttpSource {
    type Stream = Download;

    async fn open(&self, wanted: Wanted<'_>) -> Result<Download, SourceError> {
        let limit_bytes = self.hops.config().max_bytes;
        if wanted.size.is_some_and(|size| size > limit_bytes) {
            return Err(SourceError::TooLarge { limit_bytes });
        }
        Download::begin(Attempts::new(Arc::clone(&self.hops), wanted)).await
    }
}
