//! Connects to the host of a link.
//!
//! Promises: every connection resolves and is judged anew, and goes to an address that was judged; name, connection, tunnel
//! and handshake together take no longer than one timeout. With a proxy the names are the proxy's to resolve and to judge;
//! addresses that stand in links are judged here all the same.

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
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::guard::{Guard, NoAddress};
use super::stream::Stream;
use super::tls::{Secured, Tls};
use super::tunnel;
use super::unreachable::{find_reason, is_late, is_of_proxy};
use crate::config::FetchConfig;
use crate::proxy::EgressProxy;
use crate::source::{Cause, Phase, SourceError};
use crate::trust::InvalidEntry;

/// How often a connection that says nothing is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;

/// Makes connections, each for one request.
pub(super) struct Connector {
    tls: Tls,
    timeout: Duration,
    proxy: Option<EgressProxy>,
}

/// A connection, and who answers first on it.
pub(super) struct Route {
    pub(super) stream: Stream,
    /// The proxy that passes the request on; none where the source itself reads it.
    pub(super) forwarder: Option<EgressProxy>,
    /// Whether the source asked who we are, and nothing could be said.
    pub(super) lacks_certificate: bool,
}

impl Connector {
    pub(super) fn new(config: &FetchConfig) -> Result<Self, InvalidEntry> {
        Ok(Self {
            tls: Tls::new(config.host_tls.clone())?,
            timeout: config.connect_timeout,
            proxy: config.proxy.clone(),
        })
    }

    /// Connects to where a link points, or to who is to pass it on.
    pub(super) async fn connect(&self, url: &PackageUrl, guard: Guard) -> Result<Route, SourceError> {
        let late = || SourceError::TimedOut { phase: Phase::Connect, after: self.timeout };
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.try_connect(url, guard, deadline)).await {
            Ok(Err(SourceError::Transport { reason, cause, .. })) if is_late(&*cause) && !is_of_proxy(reason) => {
                Err(late())
            }
            Ok(connected) => connected,
            Err(_) => Err(late()),
        }
    }

    async fn try_connect(&self, url: &PackageUrl, guard: Guard, deadline: Instant) -> Result<Route, SourceError> {
        let Some(proxy) = self.proxy.as_ref().filter(|proxy| proxy.is_for(url)) else {
            let addresses = guard.resolve(url).await.map_err(|error| no_address(url, error))?;
            let stream = self.dial(addresses).await.map_err(|error| failed(error.into()))?;
            return self.shake_hands(stream, url).await;
        };
        // Names are resolved by the proxy, and judged by it.
        guard.judge_literal(url).map_err(|error| no_address(url, error))?;
        let reached = timeout_at(deadline, self.reach(proxy)).await.unwrap_or_else(|late| Err(late.into()));
        let stream = reached.map_err(|cause| tunnel::unreachable(proxy, cause))?;
        if !url.is_https() {
            return Ok(Route { stream, forwarder: Some(proxy.clone()), lacks_certificate: false });
        }
        self.shake_hands(tunnel::open(stream, proxy, url).await?, url).await
    }

    async fn reach(&self, proxy: &EgressProxy) -> Result<Stream, Cause> {
        let address = proxy.address();
        let stream = self.dial(Guard::Open.resolve(address).await?).await?;
        if address.is_https() { Ok(self.tls.wrap(stream, address).await?.stream) } else { Ok(stream) }
    }

    async fn shake_hands(&self, stream: Stream, url: &PackageUrl) -> Result<Route, SourceError> {
        let secured = match url.is_https() {
            true => self.tls.wrap(stream, url).await.map_err(|error| failed(error.into()))?,
            false => Secured { stream, lacks_certificate: false },
        };
        Ok(Route { stream: secured.stream, forwarder: None, lacks_certificate: secured.lacks_certificate })
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
