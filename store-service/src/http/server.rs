//! Takes connections and serves them until told to stop.
//!
//! Promises: at most so many connections at once, few of them of strangers, and none can be held without asking something; a failing accept
//! (no file descriptors left) neither ends the loop nor spins. At shutdown nothing new is taken, running uploads get
//! their grace, and what is left then is cancelled and cleaned up before this returns.
//! warp's own server has none of the timeouts and no deadline. Speaks HTTP/1.1, as the proxy does with its upstreams: with
//! HTTP/2 a peer could hold a connection by answering pings.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use linkgate_store_core::ingest::ports::Services;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::stalled::Watched;
use super::strangers::{Strangers, Visitor};
use super::tls::{self, Peer};
use super::{Api, routes};
use crate::config::{ServerConfig, ServerTls};

/// After a failed accept: long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For the replies to cancelled uploads to reach their callers.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What a proxy lets through (100 in the reference wiring) and what it and the gate add.
const MAX_HEADERS: usize = 128;

/// Serves until `shutdown` is ready, then drains.
pub async fn serve<V: Services>(
    listener: TcpListener,
    api: Arc<Api<V>>,
    config: &ServerConfig,
    shutdown: impl Future<Output = ()> + Send,
) {
    let ingest = Arc::clone(&api.ingest);
    let connections = Connections::new(config);
    let followed = config.tls.clone().map(|tls| tokio::spawn(tls::follow(tls)));
    connections.take(&listener, &api, shutdown).await;
    drop(listener);
    followed.inspect(JoinHandle::abort);
    let Connections { graceful, open, cut, .. } = connections;
    let drained = timeout(config.shutdown_grace, async {
        graceful.shutdown().await;
        ingest.idle().await;
    });
    if drained.await.is_err() {
        warn!("Cancelling uploads that did not finish within {:?}", config.shutdown_grace);
    }
    // Also where none is left: what is claimed from now on is given back, and has lost nothing by it.
    ingest.stop();
    ingest.idle().await;
    open.close();
    if timeout(LAST_WORDS, open.wait()).await.is_err() {
        cut.cancel();
        open.wait().await;
    }
}

/// Of a reply that is read slowly, and of a request: more than the largest head.
const MAX_BUFFERED: usize = 128 << 10;

struct Connections {
    builder: Builder,
    tls: Option<ServerTls>,
    handshake_timeout: Duration,
    write_timeout: Duration,
    slots: Arc<Semaphore>,
    strangers: Strangers,
    graceful: GracefulShutdown,
    open: TaskTracker,
    cut: CancellationToken,
}

impl Connections {
    fn new(config: &ServerConfig) -> Self {
        let mut builder = Builder::new();
        // The timer runs whenever a head is awaited, so it also ends connections that ask nothing (more).
        builder.timer(TokioTimer::new()).header_read_timeout(config.header_timeout).max_headers(MAX_HEADERS);
        builder.max_buf_size(MAX_BUFFERED);
        Self {
            builder,
            tls: config.tls.clone(),
            handshake_timeout: config.header_timeout,
            write_timeout: config.write_timeout,
            slots: Arc::new(Semaphore::new(config.max_connections)),
            strangers: Strangers::default(),
            graceful: GracefulShutdown::new(),
            open: TaskTracker::new(),
            cut: CancellationToken::new(),
        }
    }

    async fn take<V: Services>(
        &self,
        listener: &TcpListener,
        api: &Arc<Api<V>>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(listener) => accepted,
                () = &mut shutdown => return,
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    self.spawn(stream, slot, self.strangers.enter(peer), Arc::clone(api));
                    // What has come on it already is read before the next one is taken, so a burst ages nobody.
                    yield_now().await;
                }
                Err(e) if is_of_one_connection(&e) => {}
                Err(e) => {
                    warn!("A connection could not be taken: {e}");
                    tokio::select! {
                        () = sleep(ACCEPT_PAUSE) => {}
                        () = &mut shutdown => return,
                    }
                }
            }
        }
    }

    /// Waits for a slot first: what we cannot serve stays in the kernel's queue.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
        if self.slots.available_permits() == 0 {
            self.strangers.evict_one();
        }
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer.ip().to_canonical(), slot))
    }

    fn spawn<V: Services>(&self, stream: TcpStream, slot: OwnedSemaphorePermit, visitor: Visitor, api: Arc<Api<V>>) {
        if let Err(e) = stream.set_nodelay(true) {
            debug!("TCP_NODELAY was refused: {e}");
        }
        let stream = Watched::new(stream, self.write_timeout);
        let server =
            Server { builder: self.builder.clone(), watcher: self.graceful.watcher(), api, visitor: visitor.clone() };
        let (tls, limit, cut) = (self.tls.clone(), self.handshake_timeout, self.cut.clone());
        let connection = async move {
            let Some(tls) = tls else { return server.serve(stream, Peer::Admitted).await.map_err(io::Error::other) };
            let (stream, peer) = tls::shake_hands(&tls, stream, limit).await?;
            server.serve(stream, peer).await.map_err(io::Error::other)
        };
        self.open.spawn(async move {
            let _held_while_open = slot;
            tokio::select! {
                ended = connection => if let Err(e) = ended { debug!("A connection ended: {e}"); },
                () = visitor.closed() => debug!("Closed a connection on which no token had come, for there are too many"),
                () = cut.cancelled() => info!("Cut a connection that would not end"),
            }
        });
    }
}

/// What one connection is served by.
struct Server<V: Services> {
    builder: Builder,
    watcher: Watcher,
    api: Arc<Api<V>>,
    visitor: Visitor,
}

impl<V: Services> Server<V> {
    async fn serve<S>(self, stream: S, peer: Peer) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(warp::service(routes::filter(self.api, self.visitor, peer)));
        self.watcher.watch(self.builder.serve_connection(TokioIo::new(stream), service)).await
    }
}

/// The peer went away before we took it: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
