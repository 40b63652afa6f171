//! The client: links over HTTP.

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

use crate::{FetchConfig, Source, SourceError, Wanted};
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
