//! Settings of the listener.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use super::BadConfig;
use super::vars::{Reader, Vars};
use linkgate_store_core::ingest::ports::QueueLimits;

pub(super) const LISTEN: &str = "LINKGATE_STORE_LISTEN";
pub(super) const MAX_CONNECTIONS: &str = "LINKGATE_STORE_MAX_CONNECTIONS";
pub(super) const MAX_UPLOADS: &str = "LINKGATE_STORE_MAX_UPLOADS";
pub(super) const MAX_UPLOADS_PER_HOST: &str = "LINKGATE_STORE_MAX_UPLOADS_PER_HOST";
pub(super) const MAX_UPLOADS_PER_APP: &str = "LINKGATE_STORE_MAX_UPLOADS_PER_APP";
pub(super) const MAX_QUEUED: &str = "LINKGATE_STORE_MAX_QUEUED_UPLOADS";
pub(super) const MAX_QUEUED_PER_APP: &str = "LINKGATE_STORE_MAX_QUEUED_UPLOADS_PER_APP";
pub(super) const QUEUE_TIMEOUT: &str = "LINKGATE_STORE_QUEUE_TIMEOUT_S";
pub(super) const HEADER_TIMEOUT: &str = "LINKGATE_STORE_HEADER_TIMEOUT_S";
pub(super) const MAX_BODY_BYTES: &str = "LINKGATE_STORE_MAX_BODY_BYTES";
pub(super) const SHUTDOWN_GRACE: &str = "LINKGATE_STORE_SHUTDOWN_GRACE_S";

/// Each upload holds two of the runtime's threads for blocking work, of which there are at most 1024.
const MOST_UPLOADS: usize = 256;

/// How callers are served.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `LINKGATE_STORE_LISTEN`: `address:port` to listen on, or `name:port` with a name that has an address now.
    /// Default `127.0.0.1:8081`.
    pub listen: SocketAddr,
    /// `LINKGATE_STORE_MAX_CONNECTIONS`: open connections at once; further ones wait in the kernel. Default 1024.
    pub max_connections: usize,
    /// How many uploads download at once, and how many wait.
    pub queue: QueueLimits,
    /// `LINKGATE_STORE_HEADER_TIMEOUT_S`: seconds for a request's head, and again for its body. An idle HTTP/1
    /// connection is closed after it too. Default 10.
    pub header_timeout: Duration,
    /// `LINKGATE_STORE_MAX_BODY_BYTES`: largest request body, whatever `Content-Length` says. Default 1048576, the most
    /// that a policy can let through; the policy is where it is narrowed.
    pub max_body_bytes: usize,
    /// `LINKGATE_STORE_SHUTDOWN_GRACE_S`: seconds that running uploads get to finish at shutdown. Default 30.
    pub shutdown_grace: Duration,
}

impl ServerConfig {
    /// Reads where the store listens, and nothing else.
    ///
    /// # Errors
    /// [`BadConfig`] if it cannot be used.
    pub fn listen_from_vars(vars: &impl Vars) -> Result<SocketAddr, BadConfig> {
        let mut reader = Reader::new(vars);
        let listen = listen(&mut reader);
        reader.finish(listen)
    }

    pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Self {
        Self {
            listen: listen(reader),
            max_connections: reader.number(MAX_CONNECTIONS, 1024, 1..=1_000_000),
            queue: queue_limits(reader),
            header_timeout: reader.seconds(HEADER_TIMEOUT, 10),
            max_body_bytes: reader.number(MAX_BODY_BYTES, 1 << 20, 1..=16 << 20),
            shutdown_grace: Duration::from_secs(reader.number(SHUTDOWN_GRACE, 30, 0..=86_400)),
        }
    }
}

/// A container has an address in each of its networks; a name picks the one of them that may be listened on.
fn listen(reader: &mut Reader<'_, impl Vars>) -> SocketAddr {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8081));
    let Some(text) = reader.read_text(LISTEN) else { return default };
    let address = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    address.unwrap_or_else(|| {
        let want = "an `address:port` such as `127.0.0.1:8081`, nor a `name:port` whose name has an address";
        reader.fault(LISTEN, format!("is `{text}`, not {want}"));
        default
    })
}

/// - `LINKGATE_STORE_MAX_UPLOADS`: uploads that download at once, at up to 4 MiB of memory each. Default 64.
/// - `LINKGATE_STORE_MAX_UPLOADS_PER_HOST`: of these, from one host. Default 32.
/// - `LINKGATE_STORE_MAX_UPLOADS_PER_APP`: of these, of one calling application. Default 16.
/// - `LINKGATE_STORE_MAX_QUEUED_UPLOADS`: uploads that wait for their turn; further ones are answered 429. Default 256.
/// - `LINKGATE_STORE_MAX_QUEUED_UPLOADS_PER_APP`: of these, of one calling application. Default 64.
/// - `LINKGATE_STORE_QUEUE_TIMEOUT_S`: seconds that one waits before it is answered 429. Default 20: with the total of a
///   download it stays below the 630 s that the gateway waits.
fn queue_limits(reader: &mut Reader<'_, impl Vars>) -> QueueLimits {
    let usual = QueueLimits::default();
    QueueLimits {
        running: reader.number(MAX_UPLOADS, usual.running, 1..=MOST_UPLOADS),
        per_host: reader.number(MAX_UPLOADS_PER_HOST, usual.per_host, 1..=MOST_UPLOADS),
        per_app: reader.number(MAX_UPLOADS_PER_APP, usual.per_app, 1..=MOST_UPLOADS),
        queued: reader.number(MAX_QUEUED, usual.queued, 0..=100_000),
        queued_per_app: reader.number(MAX_QUEUED_PER_APP, usual.queued_per_app, 0..=100_000),
        queue_timeout: reader.seconds(QUEUE_TIMEOUT, usual.queue_timeout.as_secs()),
        ..usual
    }
}
