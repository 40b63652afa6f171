//! Takes connections and serves them until told to stop.
//!
//! Promises: at most so many connections at once; a head that does not come in time ends its connection, also before the
//! protocol is known; a failing accept (no file descriptors left) neither ends the loop nor spins. At shutdown nothing
//! new is taken, running uploads get their grace, and what is left then is cancelled and cleaned up before this returns.
//! warp's own server has none of the timeouts and no deadline.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::{Api, routes};
use crate::config::ServerConfig;
use crate::link::ports::{Blobs, Ledger, Source};

/// After a failed accept: long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For the replies to cancelled uploads to reach their callers.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// HTTP/2: how often a silent peer is pinged, and how many requests it may have under way.
const PING_EVERY: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 128;

/// Serves until `shutdown` is ready, then drains.
pub async fn serve<S: Source, B: Blobs, L: Ledger>(
    listener: TcpListener,
    api: Arc<Api<S, B, L>>,
    config: &ServerConfig,
    shutdown: impl Future<Output = ()> + Send,
) {
    let linker = Arc::clone(&api.linker);
    let connections = Connections::new(config);
    connections.take(&listener, &api, shutdown).await;
    drop(listener);
    let Connections { graceful, open, cut, .. } = connections;
    let drained = timeout(config.shutdown_grace, async {
        graceful.shutdown().await;
        linker.idle().await;
    });
    if drained.await.is_err() {
        warn!("Cancelling uploads that did not finish within {:?}", config.shutdown_grace);
        linker.stop();
        linker.idle().await;
    }
    open.close();
    if timeout(LAST_WORDS, open.wait()).await.is_err() {
        cut.cancel();
        open.wait().await;
    }
}

struct Connections {
    builder: Builder<TokioExecutor>,
    first_request_within: Duration,
    slots: Arc<Semaphore>,
    graceful: GracefulShutdown,
    open: TaskTracker,
    cut: CancellationToken,
}

impl Connections {
    fn new(config: &ServerConfig) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(config.header_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(config.header_timeout)
            .max_concurrent_streams(MAX_STREAMS);
        Self {
            builder,
            first_request_within: config.header_timeout,
            slots: Arc::new(Semaphore::new(config.max_connections)),
            graceful: GracefulShutdown::new(),
            open: TaskTracker::new(),
            cut: CancellationToken::new(),
        }
    }

    async fn take<S: Source, B: Blobs, L: Ledger>(
        &self,
        listener: &TcpListener,
        api: &Arc<Api<S, B, L>>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(listener) => accepted,
                () = &mut shutdown => return,
            };
            match accepted {
                Ok((stream, slot)) => self.spawn(stream, slot, Arc::clone(api)),
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
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        Ok((stream, slot))
    }

    fn spawn<S: Source, B: Blobs, L: Ledger>(
        &self,
        stream: TcpStream,
        slot: OwnedSemaphorePermit,
        api: Arc<Api<S, B, L>>,
    ) {
        if let Err(e) = stream.set_nodelay(true) {
            debug!("TCP_NODELAY was refused: {e}");
        }
        let service = TowerToHyperService::new(warp::service(routes::filter(api)));
        let asked = Arc::new(AtomicBool::new(false));
        let has_asked = Arc::clone(&asked);
        let service = service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            service.call(request)
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = self.graceful.watch(connection);
        let (cut, patience) = (self.cut.clone(), self.first_request_within);
        self.open.spawn(async move {
            let _held_while_open = slot;
            let mut connection = pin!(connection);
            // hyper's own timer starts only once the protocol is known, and a peer may never get that far.
            let silent = async {
                sleep(patience).await;
                if has_asked.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = &mut connection => if let Err(e) = ended { debug!("A connection ended: {e}"); },
                () = silent => debug!("Closed a connection that asked nothing"),
                () = cut.cancelled() => info!("Cut a connection that would not end"),
            }
        });
    }
}

/// The peer went away before we took it: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
