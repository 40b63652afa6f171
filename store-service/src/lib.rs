//! The store: takes a package by its link, stores and records it.
//!
//! Promises: no row without its blob; a caller is told of success only when both are durable. Refuses every caller whom
//! the gate does not vouch for by signature, and every link until the operator allows hosts.
//!
//! What it does is in `linkgate-store-core`, over the adapters `linkgate-fetch`, `linkgate-blob`, `linkgate-blob-s3` and
//! `linkgate-catalog`. Here are `http`, which speaks to callers; `config`, which reads what the operator decides; `telemetry`,
//! the log and the export of spans; `commands`, what the program does besides serving; and this file, which wires them.

pub mod commands;
pub mod config;
pub mod telemetry;

mod bucket;
#[cfg(test)]
mod conformance_tests;
mod http;
#[cfg(test)]
mod ingest_tests;
#[cfg(test)]
mod maintenance_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod postgres_conformance_tests;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use linkgate_blob::DirectoryBlobStore;
use linkgate_blob_s3::S3StartError;
use linkgate_catalog::{
    CatalogStartError, PostgresCatalog, PostgresStartError, ReplicaAbout, SealingKeyError, SigningKeyError,
    SigningPurpose, SqliteCatalog,
};
use linkgate_fetch::{ClientError, HttpSource};
use linkgate_store_core::attest::{self, Signer};
use linkgate_store_core::data_dir::{DataDir, DataDirError};
use linkgate_store_core::download::Downloads;
use linkgate_store_core::ingest::ports::{CatalogError, CatalogReader as _, QueueError, Services};
use linkgate_store_core::ingest::{Ingest, Rules, chain};
use linkgate_store_core::lifecycle::{Lifecycle, LifecycleRules};
use linkgate_store_core::maintenance::{Schedule, Timers};
use linkgate_store_core::metrics::Metrics;
use linkgate_store_core::own_key::KeyError;
use linkgate_store_core::retention::Cleanup;
use linkgate_store_core::sealing::Sealer;
use linkgate_store_core::settings::{FileRules, QueueLimits};
use linkgate_store_core::signed_url::{self, UrlSigner};
use rustix::system::uname;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use bucket::{SharedBlobs, open_bucket};
use config::{Config, KeyConfig, MaintenanceConfig, ServerTls, SharedConfig};

/// What one machine needs: a directory and SQLite.
struct Embedded;

impl Services for Embedded {
    type Source = HttpSource;
    type Blobs = DirectoryBlobStore;
    type Catalog = SqliteCatalog;
}

/// What any number of stores share: a bucket and PostgreSQL.
struct Shared;

impl Services for Shared {
    type Source = HttpSource;
    type Blobs = SharedBlobs;
    type Catalog = PostgresCatalog;
}

/// Why the store cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The blobs in it.
    #[error("the directories of blobs cannot be used: {0}")]
    Blobs(std::io::Error),
    /// The catalog in it.
    #[error("the catalog cannot be used: {0}")]
    Catalog(#[from] CatalogStartError),
    /// The catalog that it shares.
    #[error("the catalog in PostgreSQL cannot be used: {0}")]
    Database(#[from] PostgresStartError),
    /// What it says of itself to others.
    #[error("this store cannot be announced to others: {}", chain(.0))]
    Announce(#[from] CatalogError),
    /// The bucket that it shares.
    #[error("the bucket of packages cannot be used: {}", chain(.0))]
    Bucket(#[from] S3StartError),
    /// The keys of its statements and links.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The same, held against those of the stores that it shares with.
    #[error(
        "{0}. Give all of them the same files (LINKGATE_STORE_STATEMENT_KEY_FILE, LINKGATE_STORE_URL_KEY_FILE); where a key is to \
         take the place of another, name the old one in LINKGATE_STORE_REPLACED_KEYS"
    )]
    SharedKey(SigningKeyError),
    /// What it seals with, held against what the others seal with.
    #[error(
        "{0}. Give all of them the same LINKGATE_STORE_SEALING_KEY_FILE. To exchange the key, write the new one on a line behind \
         it, at all of them, and then before it; if the old one is lost, name it in LINKGATE_STORE_REPLACED_KEYS, and what it has \
         sealed ends as failed"
    )]
    SharedSealing(SealingKeyError),
    /// Whatever needs random numbers.
    #[error("the system has no random numbers")]
    Random(#[from] aws_lc_rs::error::Unspecified),
    /// What it says of jobs that were accepted.
    #[error("the jobs in the catalog cannot be read: {0}")]
    Resume(#[from] QueueError),
    /// The HTTP client, for example when this machine has no root certificates.
    #[error("the HTTP client cannot be set up: {0}")]
    Fetch(#[from] ClientError),
    /// The listener.
    #[error("the listener cannot be used: {0}")]
    Listener(std::io::Error),
}

impl From<SigningKeyError> for StartError {
    fn from(error: SigningKeyError) -> Self {
        match error {
            SigningKeyError::Database(error) => Self::Database(error.into()),
            other @ SigningKeyError::Other { .. } => Self::SharedKey(other),
        }
    }
}

impl From<SealingKeyError> for StartError {
    fn from(error: SealingKeyError) -> Self {
        match error {
            SealingKeyError::Database(error) => Self::Database(error.into()),
            missing @ SealingKeyError::Missing { .. } => Self::SharedSealing(missing),
        }
    }
}

/// At most. Each upload holds two, one that hashes or writes and one that looks inside. Names, parts that find no place in memory,
/// probes and the maintenance need some too, or uploads that hold all of them would wait for ever. They are made when they are needed.
const BLOCKING_THREADS: usize = 1_280;

/// What the store runs on.
///
/// A download is read and hashed by one of these workers and written by a thread beside it. With a worker for every core
/// the two halves of a download would be passed from core to core: on two cores that cost 8 % and 16 MiB.
///
/// # Errors
/// If the system gives no threads.
pub fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(cores.div_ceil(2)).max_blocking_threads(BLOCKING_THREADS).enable_all().build()
}

/// Serves until `shutdown` is ready; then running uploads get [`config::ServerConfig::shutdown_grace`] to finish. A start that waits,
/// as for a database that others bring up to date, ends at once.
///
/// # Errors
/// [`StartError`] says why it cannot start. Once it serves, nothing ends it but `shutdown`.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    let data_dir = DataDir::lock(&config.data_dir)?;
    let mut shutdown = pin!(shutdown);
    match config.shared.clone() {
        None => {
            let opened = tokio::select! {
                opened = open_embedded(data_dir, &config) => opened?,
                () = &mut shutdown => return Ok(()),
            };
            serve_with::<Embedded>(opened, listener, config, shutdown).await
        }
        Some(shared) => {
            let address = listener.local_addr().map_err(StartError::Listener)?;
            let (keys, limits) = (config.keys.clone(), config.server.queue);
            let cancel = CancellationToken::new();
            let _cancelled = cancel.clone().drop_guard();
            let opened = tokio::select! {
                opened = open_shared(data_dir, shared, keys, limits, about(address), cancel) => opened?,
                () = &mut shutdown => return Ok(()),
            };
            if config.keys.sealing.is_empty() {
                warn!("Links of accepted uploads can be read in PostgreSQL: LINKGATE_STORE_SEALING_KEY is not set");
            }
            serve_with::<Shared>(opened, listener, config, shutdown).await
        }
    }
}

async fn open_embedded(data_dir: DataDir, config: &Config) -> Result<Opened<Embedded>, StartError> {
    let blobs = DirectoryBlobStore::open(data_dir.path(), config.min_free_bytes).map_err(StartError::Blobs)?;
    let catalog = SqliteCatalog::open(&data_dir.catalog_file()?, config.server.queue).await?;
    Ok(Opened { data_dir, blobs, catalog })
}

/// Opened by a thread of its own, once, until it is cancelled: whoever runs a store may send that to another thread, and the compiler
/// cannot see that what connects may be sent, too (rust-lang/rust#100013).
async fn open_shared(
    data_dir: DataDir,
    shared: SharedConfig,
    keys: KeyConfig,
    limits: QueueLimits,
    about: ReplicaAbout,
    cancel: CancellationToken,
) -> Result<Opened<Shared>, StartError> {
    let runtime = Handle::current();
    let opening = spawn_blocking(move || {
        let connecting = connect(data_dir, &shared, &keys, limits, about);
        runtime.block_on(cancel.run_until_cancelled(connecting))
    });
    match opening.await.unwrap_or_else(|panicked| resume_unwind(panicked.into_panic())) {
        Some(opened) => opened,
        None => std::future::pending().await,
    }
}

/// The data directory holds what is this store's own: parts of uploads that find no place in memory, and the public halves of
/// its keys.
async fn connect(
    data_dir: DataDir,
    shared: &SharedConfig,
    keys: &KeyConfig,
    limits: QueueLimits,
    about: ReplicaAbout,
) -> Result<Opened<Shared>, StartError> {
    let catalog = PostgresCatalog::connect(shared.database_url.expose_secret(), limits).await?;
    for (purpose, key) in [(SigningPurpose::Statements, &keys.statements), (SigningPurpose::Urls, &keys.urls)] {
        if let Some(key) = key {
            catalog.agree_on_key(purpose, key.id(), &keys.replaced).await?;
        }
    }
    let blobs = open_bucket(&shared.bucket, &catalog).await?;
    // Last, for with this one's key the others may have to go on.
    catalog.agree_on_sealing(&keys.sealing.ids(), &keys.replaced).await?;
    catalog.announce(about).await?;
    info!("Packages are in the bucket `{}`, the catalog is in PostgreSQL", shared.bucket.bucket);
    Ok(Opened { data_dir, blobs, catalog })
}

/// What other stores and their operators see of this one.
fn about(address: SocketAddr) -> ReplicaAbout {
    let host = uname().nodename().to_string_lossy().into_owned();
    ReplicaAbout { host, address: address.to_string(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// What is stored, and where.
struct Opened<V: Services> {
    data_dir: DataDir,
    blobs: V::Blobs,
    catalog: V::Catalog,
}

async fn serve_with<V: Services<Source = HttpSource>>(
    opened: Opened<V>,
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    let Opened { data_dir, blobs, catalog } = opened;
    if config.fetch.allowed_hosts.is_empty() {
        warn!("Every link will be refused: LINKGATE_FETCH_ALLOWED_HOSTS names no host");
    }
    let source = HttpSource::new(config.fetch.clone())?;
    let metrics = Metrics::new(data_dir.path());
    let sealer = Sealer::new(&config.keys.sealing)?;
    let rules = Rules {
        files: file_rules(&config),
        modules: config.modules,
        packages: config.packages,
        quotas: config.quotas.clone(),
        inspection: config.inspection,
        queue: config.server.queue,
        max_lives: config.server.max_lives,
        allowed_hosts: config.fetch.allowed_hosts.clone(),
        sealer: sealer.clone(),
        explain: http::explain,
    };
    let signer = Signer::open(data_dir.path(), config.keys.statements)?;
    info!(key.id = signer.key_id(), "Signs statements; the public half of the key is {}", attest::KEY_FILES.public);
    let url_signer = UrlSigner::open(data_dir.path(), config.keys.urls)?;
    info!(key.id = url_signer.key_id(), "Signs URLs; the public half of the key is {}", signed_url::KEY_FILES.public);
    let ingest: Arc<Ingest<V>> = Ingest::start(source, blobs.clone(), catalog.clone(), signer, rules, metrics.clone());
    let restore_ms = milliseconds(config.maintenance.restore);
    let lifecycle_rules = LifecycleRules { restore_ms, quotas: config.quotas };
    let cleanup = Cleanup::new(catalog.clone(), config.retention, restore_ms, metrics.clone());
    let api = http::Api {
        ingest: Arc::clone(&ingest),
        downloads: Downloads::new(blobs.clone(), catalog.clone(), metrics.clone()),
        min_rate: http::MinRate { bytes_per_s: config.server.download_min_rate, grace: config.server.write_timeout },
        csrf_tokens: url_signer.csrf_tokens(),
        url_signer,
        public_url: config.public_url,
        lifecycle: Lifecycle::new(blobs.clone(), catalog.clone(), lifecycle_rules, metrics.clone()),
        cleanup: cleanup.clone(),
        catalog: catalog.clone(),
        verifier: http::Verifier::new(config.auth),
        allowed_hosts: config.fetch.allowed_hosts,
        sealer,
        time_zone: config.time_zone,
        max_body_bytes: config.server.max_body_bytes,
        body_timeout: config.server.header_timeout,
        shares: http::Shares::new(&config.server),
        metrics: metrics.clone(),
        probes: http::Probes::default(),
    };
    announce_listener(listener.local_addr().map_err(StartError::Listener)?, config.server.tls.as_ref());
    ingest.resume().await?;
    let timers = Timers::start(&schedule(&config.maintenance), &blobs, &catalog, &cleanup, &metrics);
    http::serve(listener, Arc::new(api), &config.server, shutdown).await;
    // Uploads have ended, so nobody waits for what these still do.
    timers.stop().await;
    catalog.close().await;
    // Unlocked last, once nothing of this store can touch the directory any more.
    drop(data_dir);
    Ok(())
}

/// Says how the listener is reached, and what that exposes.
fn announce_listener(address: SocketAddr, tls: Option<&ServerTls>) {
    let how = match tls {
        Some(tls) if tls.asks_for_certificates() => " with TLS, for gateways with a certificate",
        Some(_) => " with TLS",
        None => "",
    };
    info!("Listening on {address}{how}");
    if tls.is_none() && !address.ip().is_loopback() {
        warn!(
            "Tokens and packages come in plain HTTP: let only gateways reach {address}, over a network that nobody else \
             reads, or set LINKGATE_STORE_TLS_CERT_FILE"
        );
    }
}

/// A file that a caller sends is held to what a download is held to.
fn file_rules(config: &Config) -> FileRules {
    FileRules {
        at_once: config.server.files,
        max_bytes: config.fetch.max_bytes,
        idle_timeout: config.fetch.idle_timeout,
        total_timeout: config.fetch.total_timeout,
        min_rate: config.fetch.min_rate,
        min_rate_window: config.fetch.min_rate_window,
    }
}

fn schedule(config: &MaintenanceConfig) -> Schedule {
    let MaintenanceConfig { gc_interval, gc_grace, scrub_bytes_per_s, .. } = *config;
    let MaintenanceConfig { job_retention, purge_interval, cleanup_interval, event_retention, .. } = *config;
    Schedule {
        gc_interval,
        gc_grace,
        scrub_bytes_per_s,
        purge_interval,
        cleanup_interval,
        event_retention,
        job_retention,
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
