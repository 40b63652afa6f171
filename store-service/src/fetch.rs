//! Reads a source package from the caller's link, once, as a stream.
//!
//! Promises: every hop is judged anew, by the same [`PackageUrl`] that is then connected to: allow-list, no step down
//! from https, and addresses that are public unless the operator, or the caller of this one download, lists that very host
//! and port as private. The connection goes to an address that was checked. At most [`FetchConfig::max_bytes`] are read, whatever the source
//! says. Refuses encoded bodies, statuses other than 200 and more than [`MAX_REDIRECTS`] redirects. Sends no cookies, no
//! referer, no credentials; uses no proxy; never retries.

mod download;
mod guard;

use linkgate_contract::{AllowList, PackageUrl};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, LOCATION, TRANSFER_ENCODING};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::time::{Instant, timeout};

use crate::config::FetchConfig;
use crate::link::ports::{Phase, Source, SourceError};
use download::Download;
use guard::{Forbidden, Guard};

/// Redirects that are followed.
pub const MAX_REDIRECTS: usize = 5;

/// Reads links over HTTP.
pub struct HttpSource {
    config: FetchConfig,
    /// For all hosts: resolves to public addresses or not at all.
    public: Client,
    /// For links that are listed as private: resolves to anything.
    private: Client,
}

impl HttpSource {
    /// Sets up the clients.
    ///
    /// # Errors
    /// If the TLS settings of this machine cannot be read.
    pub fn new(config: FetchConfig) -> Result<Self, reqwest::Error> {
        let public = client(&config, Guard::PublicOnly)?;
        let private = client(&config, Guard::Open)?;
        Ok(Self { config, public, private })
    }

    /// Judges one hop and asks it. The client that is chosen here resolves the name and connects, so what was judged is
    /// what is connected to.
    async fn ask(&self, url: &PackageUrl, private: &AllowList) -> Result<Response, SourceError> {
        let origin = url.origin();
        let client = if self.config.private_hosts.allows(&origin) || private.allows(&origin) {
            &self.private
        } else {
            // A literal address never reaches the resolver.
            guard::judge_literal(url)?;
            &self.public
        };
        let request = client.get(url.as_url().clone()).header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let limit = self.config.connect_timeout + self.config.idle_timeout;
        match timeout(limit, request.send()).await {
            Ok(answer) => answer.map_err(|e| self.sort(url, e)),
            Err(_) => Err(SourceError::TimedOut { phase: Phase::Head, after: self.config.idle_timeout }),
        }
    }

    fn sort(&self, url: &PackageUrl, error: reqwest::Error) -> SourceError {
        let forbidden = std::iter::successors(std::error::Error::source(&error), |e| e.source())
            .find_map(|e| e.downcast_ref::<Forbidden>());
        if let Some(Forbidden { address }) = forbidden {
            let host = url.host().map(|h| h.to_string()).unwrap_or_default();
            return SourceError::ForbiddenAddress { host, address: *address };
        }
        if error.is_connect() && error.is_timeout() {
            return SourceError::TimedOut { phase: Phase::Connect, after: self.config.connect_timeout };
        }
        let phase = if error.is_connect() { Phase::Connect } else { Phase::Head };
        // The text of the client's error would show the link's query.
        SourceError::Transport { phase, cause: error.without_url().into() }
    }

    async fn follow(&self, first: &PackageUrl, private: &AllowList) -> Result<Response, SourceError> {
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&url, private).await?;
            match redirect_target(&answer) {
                Some(location) => url = self.next_hop(&url, location)?,
                None => return Ok(answer),
            }
        }
        Err(SourceError::TooManyRedirects { limit: MAX_REDIRECTS })
    }

    fn next_hop(&self, from: &PackageUrl, location: &HeaderValue) -> Result<PackageUrl, SourceError> {
        let location = location.to_str().map_err(|_| invalid_location())?;
        let next = from.join(location).map_err(SourceError::RedirectInvalid)?;
        if from.as_url().scheme() == "https" && next.as_url().scheme() != "https" {
            return Err(SourceError::RedirectDowngrade);
        }
        if !self.config.allowed_hosts.allows(&next.origin()) {
            let host = next.host().map(|h| h.to_string()).unwrap_or_default();
            return Err(SourceError::RedirectNotAllowed { host });
        }
        Ok(next)
    }
}

fn invalid_location() -> SourceError {
    SourceError::RedirectInvalid(linkgate_contract::InvalidUrl::ForbiddenCharacter)
}

fn redirect_target(answer: &Response) -> Option<&HeaderValue> {
    let redirects = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    answer.headers().get(LOCATION).filter(|_| redirects)
}

impl Source for HttpSource {
    type Stream = Download;

    async fn open(&self, url: &PackageUrl, private: &AllowList) -> Result<Download, SourceError> {
        let total = self.config.total_timeout;
        let deadline = Instant::now() + total;
        let answer = tokio::time::timeout_at(deadline, self.follow(url, private))
            .await
            .unwrap_or(Err(SourceError::TimedOut { phase: Phase::Whole, after: total }))?;
        if answer.status() != StatusCode::OK {
            return Err(SourceError::Status { status: answer.status().as_u16() });
        }
        // We asked for the bytes as they are; anything else would be hashed and kept in a form nobody named.
        let other_than = |name, plain: &[u8]| {
            answer.headers().get_all(name).iter().any(|v| !v.as_bytes().eq_ignore_ascii_case(plain))
        };
        if other_than(CONTENT_ENCODING, b"identity") || other_than(TRANSFER_ENCODING, b"chunked") {
            return Err(SourceError::Encoded);
        }
        Download::new(answer, &self.config, deadline)
    }
}

/// A client of one download each: connections are not reused, so every download resolves and is judged anew.
fn client(config: &FetchConfig, guard: Guard) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("linkgate-store/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(guard)
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .http1_only()
        .pool_max_idle_per_host(0)
        .connect_timeout(config.connect_timeout)
        .build()
}
