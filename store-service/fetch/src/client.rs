//! The client: links over HTTP.

mod attempts;
mod download;
mod guard;
mod min_rate;
mod page;
mod range_fetcher;
mod redirects;
mod representation;
mod retry;

use std::sync::Arc;

use crate::{FetchConfig, FetchRequest, Source, SourceError};
use attempts::Attempts;
use download::Download;
use redirects::RedirectFollower;

/// Reads links over HTTP.
pub struct HttpSource {
    follower: Arc<RedirectFollower>,
}

impl HttpSource {
    /// Sets up the clients.
    ///
    /// # Errors
    /// If the TLS settings of this machine cannot be read.
    pub fn new(config: FetchConfig) -> Result<Self, reqwest::Error> {
        Ok(Self { follower: Arc::new(RedirectFollower::new(config)?) })
    }
}

impl Source for HttpSource {
    type Stream = Download;

    async fn open(&self, request: FetchRequest<'_>) -> Result<Download, SourceError> {
        let limit_bytes = self.follower.config().max_bytes;
        if request.size.is_some_and(|size| size > limit_bytes) {
            return Err(SourceError::TooLarge { limit_bytes });
        }
        Download::begin(Attempts::new(Arc::clone(&self.follower), request)).await
    }
}
