//! Follows redirects, one request after the other, from the link to whoever has the file.
//!
//! Promises: what was judged is what is connected to, at every redirect; connections are not reused, so every request resolves
//! and is judged anew. Refuses targets off the allow-list and steps down to http.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HOST, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use linkgate_contract::{AllowList, PackageUrl};
use percent_encoding::{AsciiSet, percent_encode};
use tokio::time::timeout;

use super::connector::{Connector, Route};
use super::exchange::{self, Response};
use super::guard::Guard;
use super::tunnel;
use super::unreachable::find_reason;
use crate::config::FetchConfig;
use crate::credentials::DownloadCredential;
use crate::source::{Cause, Phase, SourceError, Unreachable};
use crate::trust::InvalidEntry;

/// Redirects that are followed.
pub const MAX_REDIRECTS: usize = 5;

/// Asks for links.
pub(super) struct RedirectFollower {
    config: FetchConfig,
    connector: Connector,
}

/// A reply that is no redirect, and who gave it.
pub(super) struct FinalResponse {
    pub(super) url: PackageUrl,
    pub(super) response: Response,
    /// What went along, if every redirect stayed where it goes.
    pub(super) credential: Option<Arc<DownloadCredential>>,
}

impl RedirectFollower {
    pub(super) fn new(config: FetchConfig) -> Result<Self, InvalidEntry> {
        Ok(Self { connector: Connector::new(&config)?, config })
    }

    pub(super) fn config(&self) -> &FetchConfig {
        &self.config
    }

    /// The next bytes of a reply.
    pub(super) async fn read_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, SourceError> {
        let after = self.config.idle_timeout;
        let chunk =
            timeout(after, response.chunk()).await.map_err(|_| SourceError::TimedOut { phase: Phase::Body, after })?;
        chunk.map_err(|error| unreadable(Phase::Body, error.into()))
    }

    /// Judges one request and asks it. What was judged here is what is connected to.
    pub(super) async fn send_request(
        &self,
        url: &PackageUrl,
        private: &AllowList,
        more: HeaderMap,
    ) -> Result<Response, SourceError> {
        let origin = url.origin();
        let is_private = self.config.private_hosts.allows(&origin) || private.allows(&origin);
        let guard = if is_private { Guard::Open } else { Guard::PublicOnly };
        let headers = request_headers(url, more)?;
        let route = self.connector.connect(url, guard).await?;
        let after = self.config.idle_timeout;
        match timeout(after, ask(route, url, headers)).await {
            Ok(reply) => reply,
            Err(_) => Err(SourceError::TimedOut { phase: Phase::Head, after }),
        }
    }

    /// Asks for the link, and for whatever it redirects to. A credential that does not go to one of them is not taken up again.
    pub(super) async fn follow_redirects(
        &self,
        first: &PackageUrl,
        private: &AllowList,
        mut credential: Option<Arc<DownloadCredential>>,
    ) -> Result<FinalResponse, SourceError> {
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            credential = credential.filter(|credential| credential.covers(&url));
            let headers = credential.as_ref().map(|credential| credential.headers()).unwrap_or_default();
            let response = self.send_request(&url, private, headers).await?;
            match redirect_target(&response) {
                Some(location) => url = self.check_redirect(&url, location)?,
                None => return Ok(FinalResponse { url, response, credential }),
            }
        }
        Err(SourceError::TooManyRedirects { limit: MAX_REDIRECTS })
    }

    fn check_redirect(&self, from: &PackageUrl, location: &HeaderValue) -> Result<PackageUrl, SourceError> {
        let next = from.join(&location_text(location)).map_err(SourceError::RedirectInvalid)?;
        if from.is_https() && !next.is_https() {
            return Err(SourceError::RedirectDowngrade);
        }
        if !self.config.allowed_hosts.allows(&next.origin()) {
            return Err(SourceError::RedirectNotAllowed { host: next.host().to_string() });
        }
        Ok(next)
    }
}

/// Asks the source, or the proxy that passes it on and may refuse to.
async fn ask(route: Route, url: &PackageUrl, mut headers: HeaderMap) -> Result<Response, SourceError> {
    let broken = |cause| unreadable(Phase::Head, cause);
    let Some(proxy) = route.forwarder else {
        let reply = exchange::get(route.stream, url.request_target(), headers).await.map_err(broken);
        return if route.lacks_certificate { blame_certificate(reply) } else { reply };
    };
    headers.extend(proxy.authorization().map(|value| (PROXY_AUTHORIZATION, value.clone())));
    let reply = exchange::get(route.stream, url.as_str(), headers).await.map_err(broken)?;
    tunnel::refusal_of_forwarded(&proxy, reply.status(), reply.headers()).map(|()| reply)
}

/// What nginx says to who shows no certificate, though it stands in no standard.
const NO_CERTIFICATE: [u16; 3] = [400, 495, 496];

/// Tells the answer of a source that asked for a certificate of ours, and got none, from others of its kind.
fn blame_certificate(reply: Result<Response, SourceError>) -> Result<Response, SourceError> {
    let (phase, reason) = (Phase::Head, Unreachable::ClientCertificateMissing);
    match reply {
        Ok(reply) if NO_CERTIFICATE.contains(&reply.status().as_u16()) => {
            let cause = format!("it answered {}", reply.status().as_u16()).into();
            Err(SourceError::Transport { phase, reason, cause })
        }
        Err(SourceError::Transport {
            reason: Unreachable::Tls | Unreachable::ClientCertificateRefused, cause, ..
        }) => Err(SourceError::Transport { phase, reason, cause }),
        other => other,
    }
}

/// All that a source is told, and nothing that another one said.
fn request_headers(url: &PackageUrl, more: HeaderMap) -> Result<HeaderMap, SourceError> {
    let host = HeaderValue::from_str(url.authority()).map_err(|error| unreadable(Phase::Head, error.into()))?;
    let mut headers = HeaderMap::from_iter([
        (HOST, host),
        (USER_AGENT, HeaderValue::from_static(exchange::USER_AGENT)),
        (ACCEPT, HeaderValue::from_static("*/*")),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ]);
    headers.extend(more);
    Ok(headers)
}

fn unreadable(phase: Phase, cause: Cause) -> SourceError {
    SourceError::Transport { phase, reason: find_reason(&*cause, phase), cause }
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
