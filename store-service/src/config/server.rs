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

/// Each upload, by link or as a file, holds two of the runtime's threads for blocking work, of which there are at most 1280.
const MOST_UPLOADS: usize = 256;

/// Connections that stay when all requests are held open that may be: 128 for strangers (`http/strangers.rs`), and 64 for
/// requests which are answered at once.
const CONNECTIONS_FOR_OTHERS: usize = 192;

/// How callers are served.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `LINKGATE_STORE_LISTEN`: where to listen; port 0 takes a free one (see the log). The store looks a name up
    /// once, at the start, and takes its first address: in a container with several networks that chooses one of
    /// them. `address:port` or `name:port`. Default `127.0.0.1:8081`.
    pub listen: SocketAddr,
    /// How it shakes hands, see `tls`; `None`: in plain HTTP.
    pub tls: Option<ServerTls>,
    /// `LINKGATE_STORE_MAX_CONNECTIONS`: connections at once; further ones wait in the kernel's queue. At least 192
    /// more than requests may wait, watch, download and send files, so that everybody else is answered. Connections,
    /// 1–1000000. Default `1536`.
    pub max_connections: usize,
    /// How many uploads download at once, and how many wait.
    pub queue: QueueLimits,
    /// Files that callers send at once.
    pub files: Bounds,
    /// `LINKGATE_STORE_MAX_UPLOAD_LIVES`: how often the store may end (crash, `kill -9`, out of memory) while it
    /// works on an upload that was answered 202, before it gives that upload up as `UPLOAD_ABANDONED`. A stop in good
    /// order does not count. After a start, such uploads begin four at a time, and one more for each that has ended.
    /// Lives, 1–100. Default `3`.
    pub max_lives: u32,
    /// Requests that wait for the end of an upload.
    pub waiters: SeatBounds,
    /// Event streams.
    pub watchers: SeatBounds,
    /// Downloads of packages at once.
    pub downloads: Bounds,
    /// `LINKGATE_STORE_DOWNLOAD_MIN_BYTES_PER_S`: how fast a download must be read on average, after the write
    /// timeout; slower ones are broken off. 0: any rate will do. Bytes a second, 0–1073741824. Default `16384`.
    pub download_min_rate: u64,
    /// `LINKGATE_STORE_WRITE_TIMEOUT_S`: time in which whoever is sent a reply must read 64 KiB of it, or all that is
    /// left. Through Envoy's and the kernel's buffers a reader of the least rate shows up every four minutes or so.
    /// Keep it below `idle_timeout` of downloads in `envoy.yaml`. Seconds, 1–86400. Default `300`.
    pub write_timeout: Duration,
    /// `LINKGATE_STORE_HEADER_TIMEOUT_S`: time for a request's head, and again for its body; an idle HTTP/1
    /// connection is closed after it too. Seconds, 1–86400. Default `10`.
    pub header_timeout: Duration,
    /// `LINKGATE_STORE_MAX_BODY_BYTES`: largest request body, whatever `Content-Length` says; a larger one gets 413.
    /// Bytes, 1–16777216. Default `1048576`, the most that a policy lets through.
    pub max_body_bytes: usize,
    /// `LINKGATE_STORE_SHUTDOWN_GRACE_S`: time that running uploads get to finish after SIGTERM or SIGINT; then the
    /// store cancels them and deletes what they left. Seconds, 0–86400. Default `30`.
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

/// Whoever waits or watches must leave some to those who are answered at once.
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

/// - `LINKGATE_STORE_MAX_WAITERS`: requests that wait for the end of an upload; further ones get 429
///   `TOO_MANY_REQUESTS`. Requests, 1–1000000. Default `512`.
/// - `LINKGATE_STORE_MAX_WAITERS_PER_APP`: of these, of one calling application. Requests, 1–1000000. Default `128`.
/// - `LINKGATE_STORE_MAX_WAITERS_PER_UPLOAD`: of these, for one upload. Requests, 1–1000000. Default `64`.
fn waiters(reader: &mut Reader<'_, impl Vars>) -> SeatBounds {
    seats(reader, (MAX_WAITERS_PER_APP, 128), (MAX_WAITERS, 512), (MAX_WAITERS_PER_UPLOAD, 64))
}

/// - `LINKGATE_STORE_MAX_FILE_UPLOADS`: files that callers send at once, at up to 4 MiB of memory each; further ones
///   get 429 `TOO_MANY_UPLOADS`. They take no place of downloads. Size, time and rate are those of links:
///   `LINKGATE_FETCH_MAX_BYTES`, `…_TOTAL_TIMEOUT_S`, `…_IDLE_TIMEOUT_S`, `…_MIN_RATE`. Uploads, 1–256. Default `32`.
/// - `LINKGATE_STORE_MAX_FILE_UPLOADS_PER_APP`: of these, of one calling application. Uploads, 1–256. Default `8`.
fn files(reader: &mut Reader<'_, impl Vars>) -> Bounds {
    let usual = FileRules::default().at_once;
    Bounds {
        per_owner: reader.number(MAX_FILES_PER_APP, usual.per_owner, 1..=MOST_UPLOADS),
        in_sum: reader.number(MAX_FILES, usual.in_sum, 1..=MOST_UPLOADS),
    }
}

/// - `LINKGATE_STORE_MAX_WATCHERS`: event streams, and requests that cancel an upload; further ones get 429
///   `TOO_MANY_REQUESTS`. Requests, 1–1000000. Default `256`.
/// - `LINKGATE_STORE_MAX_WATCHERS_PER_APP`: of these, of one calling application. Requests, 1–1000000. Default `64`.
/// - `LINKGATE_STORE_MAX_WATCHERS_PER_UPLOAD`: of these, for one upload. Requests, 1–1000000. Default `32`.
fn watchers(reader: &mut Reader<'_, impl Vars>) -> SeatBounds {
    seats(reader, (MAX_WATCHERS_PER_APP, 64), (MAX_WATCHERS, 256), (MAX_WATCHERS_PER_UPLOAD, 32))
}

/// - `LINKGATE_STORE_MAX_DOWNLOADS`: packages that are downloaded at once; further requests get 429. Downloads,
///   1–1000000. Default `256`.
/// - `LINKGATE_STORE_MAX_DOWNLOADS_PER_APP`: of these, by one calling application; a signed URL counts for its maker.
///   Downloads, 1–1000000. Default `64`.
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

/// - `LINKGATE_STORE_MAX_UPLOADS`: uploads that download at once, at up to 5 MiB of memory each (mostly under 1 MiB),
///   two of them at 24 MiB for a large file in parts, and their decoders at what `LINKGATE_STORE_DECODER_MEMORY_BYTES` says for all together;
///   further ones wait. Uploads, 1–256. Default `64`.
/// - `LINKGATE_STORE_MAX_UPLOADS_PER_HOST`: of these, from one host. Uploads, 1–256. Default `32`.
/// - `LINKGATE_STORE_MAX_UPLOADS_PER_APP`: of these, of one calling application, whatever applications its packages
///   are for. Keep it below the two above, so that one caller leaves space to others. Uploads, 1–256. Default `16`.
/// - `LINKGATE_STORE_MAX_QUEUED_UPLOADS`: uploads that wait for their turn; further ones get 429 `TOO_MANY_UPLOADS`.
///   Uploads, 0–100000. Default `256`.
/// - `LINKGATE_STORE_MAX_QUEUED_UPLOADS_PER_APP`: of these, of one calling application; an accepted upload counts
///   until it ends, also after a restart. Uploads, 0–100000. Default `64`.
/// - `LINKGATE_STORE_MAX_ENDED_JOBS`: jobs that have ended and that you can ask for; the oldest are forgotten first,
///   each with its `Idempotency-Key`. A job takes about 1 KiB of the database, at most 12 with the longest links.
///   Jobs, 1–10000000. Default `50000`.
/// - `LINKGATE_STORE_MAX_ENDED_JOBS_PER_APP`: of these, of one calling application. Jobs, 1–10000000. Default `5000`.
/// - `LINKGATE_STORE_MAX_NONCES`: nonces of signed requests that may change something and that the database
///   remembers, each for at most 13 minutes; further requests get 429. One takes about 150 bytes. With several stores
///   one caller's share may be passed by as many as are sent at the same moment, and all of them hold for up to eight
///   stores. Nonces, 1–10000000. Default `100000`.
/// - `LINKGATE_STORE_MAX_NONCES_PER_APP`: of these, of one calling application: 20000 are 30 signed uploads a second.
///   Nonces, 1–10000000. Default `20000`.
/// - `LINKGATE_STORE_QUEUE_TIMEOUT_S`: how long one waits before it gets 429. The sum with
///   `LINKGATE_FETCH_TOTAL_TIMEOUT_S` should stay below the 630 s that the gateway waits. Seconds, 1–86400. Default
///   `20`.
/// - `LINKGATE_STORE_JOB_LEASE_S`: where several stores share a database: after how long without a sign of life of a
///   store the others take over what it works on. A store shows one every sixth of it. Seconds, 3–3600. Default `30`.
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
