//! TLS of the listener: handshakes, and certificates that change while the store runs.
//!
//! Promises: nobody holds a connection by not shaking hands; a certificate that is replaced counts for the next connection
//! and breaks none. Refuses, in the handshake, whoever shows a certificate that is not good.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

use crate::config::ServerTls;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a connection says of who is at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// As much as is asked for.
    Admitted,
    /// No certificate, where gateways have one: whoever looks how the store is.
    Nameless,
}

/// Shakes hands within this time.
pub(super) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    tls: &ServerTls,
    stream: S,
    limit: Duration,
) -> io::Result<(TlsStream<S>, Peer)> {
    let shaking = TlsAcceptor::from(tls.now()).accept(stream);
    let stream = timeout(limit, shaking).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let is_nameless = tls.asks_for_certificates() && stream.get_ref().1.peer_certificates().is_none();
    Ok((stream, if is_nameless { Peer::Nameless } else { Peer::Admitted }))
}

/// Reads the files again whenever they have changed and then stood still for a moment: whoever replaces certificate and key
/// does so one after the other. Ends with the store.
pub(super) async fn follow(tls: ServerTls) {
    let (mut read, mut seen) = (tls.stamp(), tls.stamp());
    loop {
        sleep(LOOK_EVERY).await;
        let now = tls.stamp();
        if now != read && now == seen {
            match tls.read_again() {
                Ok(()) => info!("Read the certificate of the listener again, for its files have changed"),
                Err(fault) => error!("The certificate of the listener stays as it was: {fault}"),
            }
            read.clone_from(&now);
        }
        seen = now;
    }
}
