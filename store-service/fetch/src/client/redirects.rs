//! Follows redirects, one request after the other, from the link to whoever has the file.
//!
//! Promises: what was judged is what is connected to, at every hop; connections are not reused, so every request resolves
//! and is judged anew. Refuses targets off the allow-list and steps down to http.

use bytes::Bytes;
use linkgate_contract::{AllowList, PackageUrl};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION, TRANSFER_ENCODING};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::time::timeout;

use super::guard::{self, Forbidden, Guard};
use crate::config::FetchConfig;
use crate::source::{Phase, SourceError};

/// Redirects that are followed.
pub const MAX_REDIRECTS: usize = 5;

/// Asks for links.
pub(super) struct RedirectFollower {
    config: FetchConfig,
    /// For all hosts: resolves to public addresses or not at all.
    public: Client,
    /// For links that are listed as private: resolves to anything.
    private: Client,
}

/// A reply that is no redirect, and who gave it.
pub(super) struct FinalResponse {
    pub(super) url: PackageUrl,
    pub(super) response: Response,
}

impl RedirectFollower {
    pub(super) fn new(config: FetchConfig) -> Result<Self, reqwest::Error> {
        let public = build_client(&config, Guard::PublicOnly)?;
        let private = build_client(&config, Guard::Open)?;
        Ok(Self { config, public, private })
    }

    pub(super) fn config(&self) -> &FetchConfig {
        &self.config
    }

    /// The next bytes of a reply.
    pub(super) async fn read_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, SourceError> {
        let after = self.config.idle_timeout;
        let chunk =
            timeout(after, response.chunk()).await.map_err(|_| SourceError::TimedOut { phase: Phase::Body, after })?;
        chunk.map_err(|e| SourceError::Transport { phase: Phase::Body, cause: e.without_url().into() })
    }

    /// Judges one hop and asks it. The client that is chosen here resolves the name and connects, so what was judged is
    /// what is connected to.
    pub(super) async fn send_request(
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
            Ok(response) => response.map_err(|e| self.classify_error(url, e)),
            Err(_) => Err(SourceError::TimedOut { phase: Phase::Head, after: self.config.idle_timeout }),
        }
    }

    fn classify_error(&self, url: &PackageUrl, error: reqwest::Error) -> SourceError {
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
    pub(super) async fn follow_redirects(
        &self,
        first: &PackageUrl,
        private: &AllowList,
    ) -> Result<FinalResponse, SourceError> {
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_request(&url, private, HeaderMap::new()).await?;
            match redirect_target(&response) {
                Some(location) => url = self.check_redirect(&url, location)?,
                None => return Ok(FinalResponse { url, response }),
            }
        }
        Err(SourceError::TooManyRedirects { limit: MAX_REDIRECTS })
    }

    fn check_redirect(&self, from: &PackageUrl, location: &HeaderValue) -> Result<PackageUrl, SourceError> {
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

fn redirect_target(response: &Response) -> Option<&HeaderValue> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    response.headers().get(LOCATION).filter(|_| redirects)
}

/// We asked for the bytes as they are; anything else would be hashed and kept in a form nobody named.
pub(super) fn refuse_encoded_body(response: &Response) -> Result<(), SourceError> {
    let other_than =
        |name, plain: &[u8]| response.headers().get_all(name).iter().any(|v| !v.as_bytes().eq_ignore_ascii_case(plain));
    if other_than(CONTENT_ENCODING, b"identity") || other_than(TRANSFER_ENCODING, b"chunked") {
        return Err(SourceError::Encoded);
    }
    Ok(())
}

fn build_client(config: &FetchConfig, guard: Guard) -> Result<Client, reqwest::Error> {
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
