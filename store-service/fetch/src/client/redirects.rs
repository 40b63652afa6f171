//! Follows redirects, one request after the other, from the link to whoever has the file.
//!
//! Promises: what was judged is what is connected to, at every hop; connections are not reused, so every request resolves
//! and is judged anew. Refuses targets off the allow-list and steps down to http.

use std::borrow::Cow;

use bytes::Bytes;
use linkgate_contract::{AllowList, PackageUrl};
use percent_encoding::{AsciiSet, percent_encode};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION, TRANSFER_ENCODING};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::time::timeout;

use super::guard::{self, Forbidden, Guard};
use super::unreachable::find_reason;
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
        chunk.map_err(|error| unreadable(Phase::Body, error))
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
        unreadable(phase, error)
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
        let next = from.join(&location_text(location)).map_err(SourceError::RedirectInvalid)?;
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

/// The text of the client's error would show the link's query.
fn unreadable(phase: Phase, error: reqwest::Error) -> SourceError {
    let reason = find_reason(&error, phase);
    SourceError::Transport { phase, reason, cause: error.without_url().into() }
}

/// Many servers send a path as it is named on their disk: UTF-8, which the parser of links encodes, or octets that are none,
/// which stand for themselves.
fn location_text(location: &HeaderValue) -> Cow<'_, str> {
    let octets = location.as_bytes();
    std::str::from_utf8(octets).map_or_else(|_| percent_encode(octets, &AsciiSet::EMPTY).into(), Cow::Borrowed)
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

/// Codings that make other bytes of a file: IANA's list, and names in use that are not on it.
const CODINGS: [&str; 18] = [
    "aes128gcm",
    "br",
    "brotli",
    "bzip2",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "gzip",
    "lzma",
    "pack200-gzip",
    "sdch",
    "x-bzip2",
    "x-compress",
    "x-gzip",
    "xz",
    "zstd",
];

/// We asked for the bytes as they are; anything else would be hashed and kept in a form nobody named. Storages repeat what an
/// uploader wrote there (`aws-chunked`, `utf-8`, nothing at all): what names no coding changes no byte.
pub(super) fn refuse_encoded_body(response: &Response) -> Result<(), SourceError> {
    let names_coding = |value: &HeaderValue| {
        value.as_bytes().split(|b| *b == b',').any(|name| {
            let name = name.trim_ascii();
            CODINGS.iter().any(|coding| name.eq_ignore_ascii_case(coding.as_bytes()))
        })
    };
    let is_encoded = response.headers().get_all(CONTENT_ENCODING).iter().any(names_coding);
    let transfer = response.headers().get_all(TRANSFER_ENCODING).iter();
    if is_encoded || transfer.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
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
