//! Connects to the host of a link.
//!
//! Promises: every connection resolves and is judged anew, and goes to an address that was judged; name, connection and
//! handshake together take no longer than one timeout.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use linkgate_contract::PackageUrl;
use tokio::time::timeout;
use tower_service::Service;

use super::guard::{Guard, NoAddress};
use super::stream::Stream;
use super::tls::Tls;
use super::unreachable::{find_reason, is_late};
use crate::config::FetchConfig;
use crate::source::{Cause, Phase, SourceError};

/// How often a connection that says nothing is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;

/// Makes connections, each for one request.
pub(super) struct Connector {
    tls: Tls,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(config: &FetchConfig) -> Result<Self, rustls::Error> {
        Ok(Self { tls: Tls::new()?, timeout: config.connect_timeout })
    }

    /// Connects to where a link points.
    pub(super) async fn connect(&self, url: &PackageUrl, guard: Guard) -> Result<Stream, SourceError> {
        let late = || SourceError::TimedOut { phase: Phase::Connect, after: self.timeout };
        match timeout(self.timeout, self.try_connect(url, guard)).await {
            Ok(Err(SourceError::Transport { cause, .. })) if is_late(&*cause) => Err(late()),
            Ok(connected) => connected,
            Err(_) => Err(late()),
        }
    }

    async fn try_connect(&self, url: &PackageUrl, guard: Guard) -> Result<Stream, SourceError> {
        let addresses = guard.resolve(url).await.map_err(|error| no_address(url, error))?;
        let stream = self.dial(addresses).await.map_err(|error| failed(error.into()))?;
        if url.is_https() { self.tls.wrap(stream, url).await.map_err(|error| failed(error.into())) } else { Ok(stream) }
    }

    /// Tries the addresses in turn, those of both generations side by side (RFC 8305).
    async fn dial(&self, addresses: Vec<SocketAddr>) -> Result<Stream, impl Error + Send + Sync + use<>> {
        let mut tcp = HttpConnector::new_with_resolver(Resolved(addresses));
        tcp.set_connect_timeout(Some(self.timeout));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        // Only the addresses count, with their ports.
        tcp.call(Uri::from_static("http://judged")).await.map(|tcp| Stream::new(tcp.into_inner()))
    }
}

fn no_address(url: &PackageUrl, error: NoAddress) -> SourceError {
    match error {
        NoAddress::Forbidden(address) => SourceError::ForbiddenAddress { host: url.host().to_string(), address },
        NoAddress::NoSuchName(error) => failed(error.into()),
    }
}

fn failed(cause: Cause) -> SourceError {
    SourceError::Transport { phase: Phase::Connect, reason: find_reason(&*cause, Phase::Connect), cause }
}

/// What a name was resolved to.
#[derive(Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}
