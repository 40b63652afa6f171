//! Settings of the listener.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use super::BadConfig;
use super::tls::{CERTIFICATE, ServerTls, read_server_tls};
use super::vars::{Reader, Vars};
use linkgate_store_core::budget::Bounds;
use linkgate_store_core::settings::{FileRules, QueueLimits};

pub(super) const LISTEN: &str = "LINKGATE_STORE_LISTEN";
pub(super) const MAX_CONNECTIONS: &str = "LINKGATE_STORE_MAX_CONNECTIONS";
pub(super) const MAX_UPLOADS: &str = "LINKGATE_STORE_MAX_UPLOADS";
pub(super) const MAX_UPLOADS_PER_HOST: &str = "LINKGATE_STORE_MAX_UPLOADS_PER_HOST";
pub(super) const MAX_UPLOADS_PER_APP: &str = "LINKGATE_STORE_MAX_UPLOADS_PER_APP";
pub(super) const MAX_FILES: &str = "LINKGATE_STORE_MAX_FILE_UPLOADS";
pub(super) const MAX_FILES_PER_APP: &str = "LINKGATE_STORE_MAX_FILE_UPLOADS_PER_APP";
pub(super) const MAX_QUEUED: &str = "LINKGATE_STORE_MAX_QUEUED_UPLOADS";
pub(super) const MAX_QUEUED_PER_APP: &str = "LINKGATE_STORE_MAX_QUEUED_UPLOADS_PER_APP";
pub(super) const MAX_UPLOAD_LIVES: &str = "LINKGATE_STORE_MAX_UPLOAD_LIVES";
pub(super) const MAX_ENDED_JOBS: &str = "LINKGATE_STORE_MAX_ENDED_JOBS";
pub(super) const MAX_ENDED_JOBS_PER_APP: &str = "LINKGATE_STORE_MAX_ENDED_JOBS_PER_APP";
pub(super) const MAX_NONCES: &str = "LINKGATE_STORE_MAX_NONCES";
pub(super) const MAX_NONCES_PER_APP: &str = "LINKGATE_STORE_MAX_NONCES_PER_APP";
pub(super) const QUEUE_TIMEOUT: &str = "LINKGATE_STORE_QUEUE_TIMEOUT_S";
pub(super) const JOB_LEASE: &str = "LINKGATE_STORE_JOB_LEASE_S";
pub(super) const MAX_WAITERS: &str = "LINKGATE_STORE_MAX_WAITERS";
pub(super) const MAX_WAITERS_PER_APP: &str = "LINKGATE_STORE_MAX_WAITERS_PER_APP";
pub(super) const MAX_WAITERS_PER_UPLOAD: &str = "LINKGATE_STORE_MAX_WAITERS_PER_UPLOAD";
pub(super) const MAX_WATCHERS: &str = "LINKGATE_STORE_MAX_WATCHERS";
pub(super) const MAX_WATCHERS_PER_APP: &str = "LINKGATE_STORE_MAX_WATCHERS_PER_APP";
pub(super) const MAX_WATCHERS_PER_UPLOAD: &str = "LINKGATE_STORE_MAX_WATCHERS_PER_UPLOAD";
pub(super) const HEADER_TIMEOUT: &str = "LINKGATE_STORE_HEADER_TIMEOUT_S";
pub(super) const MAX_BODY_BYTES: &str = "LINKGATE_STORE_MAX_BODY_BYTES";
pub(super) const MAX_DOWNLOADS: &str = "LINKGATE_STORE_MAX_DOWNLOADS";
pub(super) const MAX_DOWNLOADS_PER_APP: &str = "LINKGATE_STORE_MAX_DOWNLOADS_PER_APP";
pub(super) const DOWNLOAD_MIN_RATE: &str = "LINKGATE_STORE_DOWNLOAD_MIN_BYTES_PER_S";
pub(super) const WRITE_TIMEOUT: &str = "LINKGATE_STORE_WRITE_TIMEOUT_S";
pub(super) const SHUTDOWN_GRACE: &str = "LINKGATE_STORE_SHUTDOWN_GRACE_S";

/// Each upload holds two of the runtime's threads for blocking work, of which there are at most 1024.
const MOST_UPLOADS: usize = 256;

/// Connections that stay when all requests are held open that may be: 128 for strangers (`http/strangers.rs`), and 64 for
/// requests which are answered at once.
const CONNECTIONS_FOR_OTHERS: usize = 192;

/// How callers are served.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `LINKGATE_STORE_LISTEN`: `address:port` to listen on, or `name:port` with a name that has an address now.
    /// Default `127.0.0.1:8081`.
    pub listen: SocketAddr,
    /// How it shakes hands, see `tls`; `None`: in plain HTTP.
    pub tls: Option<ServerTls>,
    /// `LINKGATE_STORE_MAX_CONNECTIONS`: open connections at once; further ones wait in the kernel. Default 1536.
    pub max_connections: usize,
    /// How many uploads download at once, and how many wait.
    pub queue: QueueLimits,
    /// Files that callers send at once.
    pub files: Bounds,
    /// `LINKGATE_STORE_MAX_UPLOAD_LIVES`: how often the store may end while it works on an accepted upload, before it gives that
    /// up. Default 3.
    pub max_lives: u32,
    /// Requests that wait for the end of an upload.
    pub waiters: SeatBounds,
    /// Event streams.
    pub watchers: SeatBounds,
    /// Downloads of packages at once.
    pub downloads: Bounds,
    /// `LINKGATE_STORE_DOWNLOAD_MIN_BYTES_PER_S`: how fast a download must be read on average, after the write timeout; slower
    /// ones are broken off. 0: any rate will do. Default 16384.
    pub download_min_rate: u64,
    /// `LINKGATE_STORE_WRITE_TIMEOUT_S`: seconds in which whoever is sent a reply must read 64 KiB of it, or all that is left; its
    /// connection is cut else. Default 300.
    pub write_timeout: Duration,
    /// `LINKGATE_STORE_HEADER_TIMEOUT_S`: seconds for a request's head, and again for its body. An idle HTTP/1
    /// connection is closed after it too. Default 10.
    pub header_timeout: Duration,
    /// `LINKGATE_STORE_MAX_BODY_BYTES`: largest request body, whatever `Content-Length` says. Default 1048576, the most
    /// that a policy can let through; the policy is where it is narrowed.
    pub max_body_bytes: usize,
    /// `LINKGATE_STORE_SHUTDOWN_GRACE_S`: seconds that running uploads get to finish at shutdown. Default 30.
    pub shutdown_grace: Duration,
}

/// How many requests of a kind are held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatBounds {
    /// Of one caller, and in sum.
    pub by_caller: Bounds,
    /// For one upload.
    pub per_upload: usize,
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

    /// Reads whether it listens with TLS, and nothing else.
    pub fn has_tls(vars: &impl Vars) -> bool {
        Reader::new(vars).read_text(CERTIFICATE).is_some()
    }

    pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Self {
        let (waiters, watchers) = (waiters(reader), watchers(reader));
        let (downloads, files) = (downloads(reader), files(reader));
        Self {
            listen: listen(reader),
            tls: read_server_tls(reader),
            max_connections: max_connections(reader, &[waiters.by_caller, watchers.by_caller, downloads, files]),
            queue: queue_limits(reader),
            files,
            max_lives: reader.number(MAX_UPLOAD_LIVES, 3, 1..=100),
            waiters,
            watchers,
            downloads,
            download_min_rate: reader.number(DOWNLOAD_MIN_RATE, 16_384, 0..=1 << 30),
            write_timeout: reader.seconds(WRITE_TIMEOUT, 300),
            header_timeout: reader.seconds(HEADER_TIMEOUT, 10),
            max_body_bytes: reader.number(MAX_BODY_BYTES, 1 << 20, 1..=16 << 20),
            shutdown_grace: Duration::from_secs(reader.number(SHUTDOWN_GRACE, 30, 0..=86_400)),
        }
    }
}

/// `LINKGATE_STORE_MAX_CONNECTIONS`: whoever waits or watches must leave some to those who are answered at once.
fn max_connections(reader: &mut Reader<'_, impl Vars>, held: &[Bounds]) -> usize {
    let connections = reader.number(MAX_CONNECTIONS, 1536, 1..=1_000_000);
    let needed = held.iter().map(|bounds| bounds.in_sum).sum::<usize>() + CONNECTIONS_FOR_OTHERS;
    if connections < needed {
        let fault = format!(
            "is `{connections}`, but {MAX_WAITERS}, {MAX_WATCHERS}, {MAX_DOWNLOADS} and {MAX_FILES} need {needed}, with \
             {CONNECTIONS_FOR_OTHERS} for everybody else: raise it, or lower those"
        );
        reader.fault(MAX_CONNECTIONS, fault);
    }
    connections
}

/// - `LINKGATE_STORE_MAX_WAITERS`: requests that wait for the end of an upload; further ones are answered 429. Default 512.
/// - `LINKGATE_STORE_MAX_WAITERS_PER_APP`: of these, of one calling application. Default 128.
/// - `LINKGATE_STORE_MAX_WAITERS_PER_UPLOAD`: of these, for one upload. Default 64.
fn waiters(reader: &mut Reader<'_, impl Vars>) -> SeatBounds {
    seats(reader, (MAX_WAITERS_PER_APP, 128), (MAX_WAITERS, 512), (MAX_WAITERS_PER_UPLOAD, 64))
}

/// - `LINKGATE_STORE_MAX_FILE_UPLOADS`: files that callers send at once, at up to 4 MiB of memory each; further ones are answered
///   429. They take no place of those that download. Default 32.
/// - `LINKGATE_STORE_MAX_FILE_UPLOADS_PER_APP`: of these, of one calling application. Default 8.
fn files(reader: &mut Reader<'_, impl Vars>) -> Bounds {
    let usual = FileRules::default().at_once;
    Bounds {
        per_owner: reader.number(MAX_FILES_PER_APP, usual.per_owner, 1..=MOST_UPLOADS),
        in_sum: reader.number(MAX_FILES, usual.in_sum, 1..=MOST_UPLOADS),
    }
}

/// - `LINKGATE_STORE_MAX_WATCHERS`: event streams, and requests that cancel an upload; further ones are answered 429.
///   Default 256.
/// - `LINKGATE_STORE_MAX_WATCHERS_PER_APP`: of these, of one calling application. Default 64.
/// - `LINKGATE_STORE_MAX_WATCHERS_PER_UPLOAD`: of these, for one upload. Default 32.
fn watchers(reader: &mut Reader<'_, impl Vars>) -> SeatBounds {
    seats(reader, (MAX_WATCHERS_PER_APP, 64), (MAX_WATCHERS, 256), (MAX_WATCHERS_PER_UPLOAD, 32))
}

/// - `LINKGATE_STORE_MAX_DOWNLOADS`: packages that are downloaded at once; further requests are answered 429. Default 256.
/// - `LINKGATE_STORE_MAX_DOWNLOADS_PER_APP`: of these, by one calling application. Default 64.
fn downloads(reader: &mut Reader<'_, impl Vars>) -> Bounds {
    Bounds {
        per_owner: reader.number(MAX_DOWNLOADS_PER_APP, 64, 1..=1_000_000),
        in_sum: reader.number(MAX_DOWNLOADS, 256, 1..=1_000_000),
    }
}

/// Three bounds, each with its variable and its default.
fn seats(
    reader: &mut Reader<'_, impl Vars>,
    per_app: (&str, usize),
    in_sum: (&str, usize),
    per_upload: (&str, usize),
) -> SeatBounds {
    let mut read = |(name, default)| reader.number(name, default, 1..=1_000_000);
    SeatBounds { by_caller: Bounds { per_owner: read(per_app), in_sum: read(in_sum) }, per_upload: read(per_upload) }
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
/// - `LINKGATE_STORE_MAX_ENDED_JOBS`: jobs that have ended and are remembered; the oldest are forgotten first. Default 50000.
/// - `LINKGATE_STORE_MAX_ENDED_JOBS_PER_APP`: of these, of one calling application. Default 5000.
/// - `LINKGATE_STORE_MAX_NONCES`: nonces of signed requests that are remembered, each for thirteen minutes at most; further ones are answered
///   429. Default 100000.
/// - `LINKGATE_STORE_MAX_NONCES_PER_APP`: of these, of one calling application. Default 20000.
/// - `LINKGATE_STORE_QUEUE_TIMEOUT_S`: seconds that one waits before it is answered 429. Default 20: with the total of a
///   download it stays below the 630 s that the gateway waits.
/// - `LINKGATE_STORE_JOB_LEASE_S`: seconds without a sign of life after which another store takes over what a store works on,
///   where several share a database. Default 30.
fn queue_limits(reader: &mut Reader<'_, impl Vars>) -> QueueLimits {
    let usual = QueueLimits::default();
    QueueLimits {
        running: reader.number(MAX_UPLOADS, usual.running, 1..=MOST_UPLOADS),
        per_host: reader.number(MAX_UPLOADS_PER_HOST, usual.per_host, 1..=MOST_UPLOADS),
        per_app: reader.number(MAX_UPLOADS_PER_APP, usual.per_app, 1..=MOST_UPLOADS),
        queued: reader.number(MAX_QUEUED, usual.queued, 0..=100_000),
        queued_per_app: reader.number(MAX_QUEUED_PER_APP, usual.queued_per_app, 0..=100_000),
        ended: Bounds {
            per_owner: reader.number(MAX_ENDED_JOBS_PER_APP, usual.ended.per_owner, 1..=10_000_000),
            in_sum: reader.number(MAX_ENDED_JOBS, usual.ended.in_sum, 1..=10_000_000),
        },
        nonces: Bounds {
            per_owner: reader.number(MAX_NONCES_PER_APP, usual.nonces.per_owner, 1..=10_000_000),
            in_sum: reader.number(MAX_NONCES, usual.nonces.in_sum, 1..=10_000_000),
        },
        queue_timeout: reader.seconds(QUEUE_TIMEOUT, usual.queue_timeout.as_secs()),
        lease: Duration::from_secs(reader.number(JOB_LEASE, usual.lease.as_secs(), 3..=3_600)),
        ..usual
    }
}
