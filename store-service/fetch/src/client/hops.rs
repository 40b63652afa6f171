//! One request after the other, from the link to whoever has the file.
//!
//! Promises: what was judged is what is connected to, at every hop; connections are not reused, so every request resolves
//! and is judged anew. Refuses targets off the allow-list and steps down to http.

use std::sync::Arc;

use bytes::Bytes;
use linkgate_contract::{AllowList, PackageUrl};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::ahead;
use super::guard::{self, Forbidden, Guard};
use crate::config::FetchConfig;
use crate::source::{Phase, SourceError};

/// Redirects that are followed.
pub const MAX_REDIRECTS: usize = 5;

/// Asks for links.
pub(super) struct Hops {
    config: FetchConfig,
    /// For all hosts: resolves to public addresses or not at all.
    public: Client,
    /// For links that are listed as private: resolves to anything.
    private: Client,
    ahead: Arc<Semaphore>,
}

/// A reply that is no redirect, and who gave it.
pub(super) struct Reached {
    pub(super) url: PackageUrl,
    pub(super) answer: Response,
}

impl Hops {
    pub(super) fn new(config: FetchConfig) -> Result<Self, reqwest::Error> {
        let public = client(&config, Guard::PublicOnly)?;
        let private = client(&config, Guard::Open)?;
        Ok(Self { config, public, private, ahead: Arc::new(Semaphore::new(ahead::PLACES)) })
    }

    pub(super) fn config(&self) -> &FetchConfig {
        &self.config
    }

    /// A place to read ahead, if one is free.
    pub(super) fn place_ahead(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.ahead).try_acquire_owned().ok()
    }

    /// The next bytes of a reply.
    pub(super) async fn chunk(&self, answer: &mut Response) -> Result<Option<Bytes>, SourceError> {
        let after = self.config.idle_timeout;
        let chunk =
            timeout(after, answer.chunk()).await.map_err(|_| SourceError::TimedOut { phase: Phase::Body, after })?;
        chunk.map_err(|e| SourceError::Transport { phase: Phase::Body, cause: e.without_url().into() })
    }

    /// Judges one hop and asks it. The client that is chosen here resolves the name and connects, so what was judged is
    /// what is connected to.
    pub(super) async fn ask(
        &self,
        url: &PackageUrl,
        private: &AllowList,
        more: HeaderMap,
    ) -> Result<Response, SourceError> {
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
        match timeout(limit, request.headers(more).send()).await {
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

    /// Asks for the link, and for whatever it redirects to.
    pub(super) async fn follow(&self, first: &PackageUrl, private: &AllowList) -> Result<Reached, SourceError> {
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&url, private, HeaderMap::new()).await?;
            match redirect_target(&answer) {
                Some(location) => url = self.next_hop(&url, location)?,
                None => return Ok(Reached { url, answer }),
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
