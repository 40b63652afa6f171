//! Settings: what the operator decides, read once from the environment before the port is bound.
//!
//! Promises: every fault is found and named in one go, and nothing is guessed in its place. Refuses unknown variables
//! that begin like ours, because a typo must not silently become a default. This is the only module that reads the
//! environment, and it does so through [`Vars`], so tests bring their own.

mod auth;
mod credentials;
mod fetch;
mod host_tls;
mod keys;
mod links;
mod log;
mod maintenance;
mod modules;
mod package;
mod private_file;
mod rules;
mod sealing;
mod server;
mod shared;
mod tls;
mod traces;
mod vars;

use std::fmt;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use linkgate_archive::Limits;
use linkgate_fetch::FetchConfig;
use linkgate_store_core::settings::{InspectionRules, ModuleRules, QuotaRules, RetentionRules};

pub use auth::{AuthConfig, InvalidKey, TrustedKey, TrustedKeys};
pub use credentials::credentials_from_vars;
pub use host_tls::host_tls_from_vars;
pub use keys::KeyConfig;
pub use linkgate_fetch::{Credentials, HostTls};
pub use log::{LogConfig, LogFormat};
pub use maintenance::MaintenanceConfig;
pub use rules::rules_from_vars;
pub use server::{SeatBounds, ServerConfig};
pub use shared::SharedConfig;
pub use tls::{ServerTls, Stamp};
pub use traces::TraceConfig;
pub use vars::{Env, Vars};

use vars::Reader;

/// Everything that the operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// How callers are served.
    pub server: ServerConfig,
    /// Whose tokens are believed.
    pub auth: AuthConfig,
    /// How links are read.
    pub fetch: FetchConfig,
    /// Which modules take packages.
    pub modules: ModuleRules,
    /// What a package may be.
    pub packages: Limits,
    /// How much is kept.
    pub quotas: QuotaRules,
    /// What is deleted by and by.
    pub retention: RetentionRules,
    /// What inspections may take.
    pub inspection: InspectionRules,
    /// `LINKGATE_DATA_DIR`: packages, catalog and temporary files; created if missing; locked, so one store at a
    /// time. Required.
    pub data_dir: PathBuf,
    /// Where packages and catalog are instead, if stores share them, see `shared`.
    pub shared: Option<SharedConfig>,
    /// `LINKGATE_STORE_MIN_FREE_BYTES`: space on the data directory's file system that no package takes, so that the
    /// database can still be written. An upload that would take it gets 507 `INSUFFICIENT_STORAGE`. Bytes,
    /// 0–1125899906842624. Default `67108864` (64 MiB).
    pub min_free_bytes: u64,
    /// `LINKGATE_TIME_ZONE`: zone in which replies show times; the zone database is built in. IANA name. Default
    /// `Asia/Shanghai`.
    pub time_zone: TimeZone,
    /// What it signs and seals with.
    pub keys: KeyConfig,
    /// Where callers reach the gateway, see `links`.
    pub public_url: Option<String>,
    /// Maintenance.
    pub maintenance: MaintenanceConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Where traces go; `None`: nowhere.
    pub traces: Option<TraceConfig>,
}

/// What is needed of it to look after what is stored by hand.
#[derive(Clone, Debug)]
pub struct CommandConfig {
    /// `LINKGATE_DATA_DIR`.
    pub data_dir: PathBuf,
    /// What stores share, if they do.
    pub shared: Option<SharedConfig>,
    /// Maintenance.
    pub maintenance: MaintenanceConfig,
    /// What is deleted by and by.
    pub retention: RetentionRules,
    /// What is logged.
    pub log: LogConfig,
}

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadVar {
    /// The variable.
    pub name: String,
    /// What is wrong, as the end of a sentence that begins with its name.
    pub fault: String,
}

/// All settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BadConfig(pub Vec<BadVar>);

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one_or_many = if self.0.len() == 1 { "setting" } else { "settings" };
        write!(f, "{} {one_or_many} cannot be used:", self.0.len())?;
        self.0.iter().try_for_each(|bad| write!(f, "\n  {} {}", bad.name, bad.fault))
    }
}

/// Every variable that the store reads.
pub const VARIABLES: &[&str] = &[
    server::LISTEN,
    tls::CERTIFICATE,
    tls::KEY,
    tls::CLIENT_CA,
    server::MAX_CONNECTIONS,
    server::MAX_UPLOADS,
    server::MAX_UPLOADS_PER_HOST,
    server::MAX_UPLOADS_PER_APP,
    server::MAX_FILES,
    server::MAX_FILES_PER_APP,
    server::MAX_QUEUED,
    server::MAX_QUEUED_PER_APP,
    server::MAX_ENDED_JOBS,
    server::MAX_ENDED_JOBS_PER_APP,
    server::MAX_NONCES,
    server::MAX_NONCES_PER_APP,
    server::QUEUE_TIMEOUT,
    server::JOB_LEASE,
    server::MAX_UPLOAD_LIVES,
    server::MAX_WAITERS,
    server::MAX_WAITERS_PER_APP,
    server::MAX_WAITERS_PER_UPLOAD,
    server::MAX_WATCHERS,
    server::MAX_WATCHERS_PER_APP,
    server::MAX_WATCHERS_PER_UPLOAD,
    server::HEADER_TIMEOUT,
    server::MAX_BODY_BYTES,
    server::SHUTDOWN_GRACE,
    server::MAX_DOWNLOADS,
    server::MAX_DOWNLOADS_PER_APP,
    server::DOWNLOAD_MIN_RATE,
    server::WRITE_TIMEOUT,
    keys::STATEMENTS,
    keys::URLS,
    keys::REPLACED,
    links::PUBLIC_URL,
    maintenance::GC_INTERVAL,
    maintenance::GC_GRACE,
    maintenance::SCRUB_RATE,
    maintenance::JOB_RETENTION,
    maintenance::PURGE_INTERVAL,
    maintenance::RESTORE_DAYS,
    maintenance::RETENTION_INTERVAL,
    maintenance::EVENT_DAYS,
    rules::QUOTA_FILE,
    rules::MODULE_MAX_PACKAGES,
    rules::MODULE_MAX_BYTES,
    rules::APP_MAX_PACKAGES,
    rules::APP_MAX_BYTES,
    rules::MAX_PACKAGE_BYTES,
    rules::RETENTION_FILE,
    MIN_FREE,
    sealing::KEY,
    sealing::KEY_FILE,
    DATA_DIR,
    shared::DATABASE_URL,
    shared::DATABASE_URL_FILE,
    shared::BUCKET,
    shared::PREFIX,
    shared::ENDPOINT,
    shared::REDIRECT_ENDPOINT,
    shared::REGION,
    shared::URL_STYLE,
    shared::KEY_ID,
    shared::SECRET,
    shared::SECRET_FILE,
    shared::MEMORY,
    shared::ENCRYPTION,
    shared::KMS_KEY_ID,
    shared::DELETE_GRACE,
    auth::PUBLIC_KEYS,
    fetch::ALLOWED_HOSTS,
    fetch::PRIVATE_HOSTS,
    credentials::FILE,
    fetch::CREDENTIALS_OVER_HTTP,
    fetch::MAX_BYTES,
    fetch::CONNECT_TIMEOUT,
    fetch::IDLE_TIMEOUT,
    fetch::HEAD_TIMEOUT,
    fetch::TOTAL_TIMEOUT,
    fetch::MIN_RATE,
    fetch::MIN_RATE_WINDOW,
    fetch::RETRY_DELAY,
    fetch::PARALLEL,
    fetch::PROXY,
    fetch::PROXY_CREDENTIALS,
    fetch::NO_PROXY,
    host_tls::FILE,
    modules::FILE,
    package::ALLOW_UNKNOWN_FORMATS,
    package::MAX_ENTRIES,
    package::MAX_UNPACKED_BYTES,
    package::MAX_RATIO,
    package::MAX_DECODER_BYTES,
    package::MAX_CPU,
    package::DECODER_MEMORY,
    TIME_ZONE,
    log::FILTER,
    log::FORMAT,
    traces::DISABLED,
    traces::EXPORTER,
    traces::ENDPOINT,
    traces::TRACES_ENDPOINT,
    traces::HEADERS,
    traces::TRACES_HEADERS,
    traces::TIMEOUT,
    traces::TRACES_TIMEOUT,
    traces::PROTOCOL,
    traces::TRACES_PROTOCOL,
    traces::COMPRESSION,
    traces::TRACES_COMPRESSION,
    traces::SERVICE_NAME,
    traces::RESOURCE,
    traces::SAMPLER,
    traces::SAMPLER_ARG,
];

const DATA_DIR: &str = "LINKGATE_DATA_DIR";
const MIN_FREE: &str = "LINKGATE_STORE_MIN_FREE_BYTES";
const TIME_ZONE: &str = "LINKGATE_TIME_ZONE";
/// Where a store with the feature `failpoints` ends or stands still.
const FAILPOINT: &str = "LINKGATE_STORE_FAILPOINT";
/// For how long it tries requests to the bucket again.
const RETRY_TIMEOUT: &str = "LINKGATE_S3_RETRY_TIMEOUT_MS";
/// Known only to a store with the feature `failpoints`; to any other one they are typos.
const OF_TESTS: [&str; 2] = [FAILPOINT, RETRY_TIMEOUT];
/// What variables were called before the first release, and what they are called now.
const RENAMED: [(&str, &str); 2] = [
    ("LINKGATE_PACKAGE_OPAQUE", package::ALLOW_UNKNOWN_FORMATS),
    ("LINKGATE_STORE_JOBS_KEPT_S", maintenance::JOB_RETENTION),
];
/// Variables of these families are ours alone, so one that we do not know is a typo.
const OWN_PREFIXES: [&str; 7] = [
    "LINKGATE_STORE_",
    "LINKGATE_FETCH_",
    "LINKGATE_PACKAGE_",
    "LINKGATE_QUOTA_",
    "LINKGATE_RETENTION_",
    "LINKGATE_DATABASE_",
    "LINKGATE_S3_",
];

impl Config {
    /// Reads all settings.
    ///
    /// # Errors
    /// [`BadConfig`] names every setting that cannot be used, not only the first.
    pub fn from_vars(vars: &impl Vars) -> Result<Self, BadConfig> {
        let mut reader = Reader::new(vars);
        refuse_typos(&mut reader);
        let fetch = fetch::read_fetch_config(&mut reader);
        let packages = package::read_settings(&mut reader);
        let data_dir = reader.required(DATA_DIR).map(PathBuf::from).unwrap_or_default();
        let is_shared = shared::is_meant(&mut reader);
        let config = Self {
            shared: shared::read_shared(&mut reader, &data_dir),
            server: ServerConfig::read_settings(&mut reader),
            auth: AuthConfig::read_settings(&mut reader),
            inspection: package::read_inspection(&mut reader, &packages, fetch.total_timeout),
            fetch,
            modules: modules::read_settings(&mut reader),
            packages,
            quotas: rules::read_quotas(&mut reader),
            retention: rules::read_retention(&mut reader),
            data_dir,
            min_free_bytes: reader.number(MIN_FREE, 64 << 20, 0..=1 << 50),
            time_zone: read_time_zone(&mut reader),
            keys: KeyConfig::read_settings(&mut reader, is_shared),
            public_url: links::read_public_url(&mut reader),
            maintenance: MaintenanceConfig::read_settings(&mut reader),
            log: LogConfig::read_settings(&mut reader),
            traces: TraceConfig::read_settings(&mut reader),
        };
        #[cfg(feature = "failpoints")]
        let config = hurry(&mut reader, config);
        reader.finish(config)
    }
}

impl CommandConfig {
    /// Reads these settings; the others may be missing or wrong.
    ///
    /// # Errors
    /// [`BadConfig`] names every setting that cannot be used.
    pub fn from_vars(vars: &impl Vars) -> Result<Self, BadConfig> {
        let mut reader = Reader::new(vars);
        refuse_typos(&mut reader);
        let data_dir = reader.required(DATA_DIR).map(PathBuf::from).unwrap_or_default();
        let config = Self {
            shared: shared::read_shared(&mut reader, &data_dir),
            data_dir,
            maintenance: MaintenanceConfig::read_settings(&mut reader),
            retention: rules::read_retention(&mut reader),
            log: LogConfig::read_settings(&mut reader),
        };
        reader.finish(config)
    }
}

fn refuse_typos(reader: &mut Reader<'_, impl Vars>) {
    for name in reader.names() {
        let is_of_tests = cfg!(feature = "failpoints") && OF_TESTS.contains(&name.as_str());
        let known = VARIABLES.contains(&name.as_str()) || is_of_tests;
        if known || !OWN_PREFIXES.iter().any(|p| name.starts_with(p)) {
            continue;
        }
        match RENAMED.iter().find(|(old, _)| *old == name) {
            Some((_, new)) => reader.fault(&name, format!("is now called `{new}`: set that instead")),
            None => reader.fault(&name, "is not a setting of the store"),
        }
    }
    #[cfg(feature = "failpoints")]
    if let Some(fault) = reader.read_text(FAILPOINT).and_then(|text| linkgate_store_core::failpoint::arm(&text).err()) {
        reader.fault(FAILPOINT, fault);
    }
}

/// Tests wait for what in production takes a minute.
#[cfg(feature = "failpoints")]
fn hurry(reader: &mut Reader<'_, impl Vars>, mut config: Config) -> Config {
    if let Some(shared) = &mut config.shared {
        let usual = u64::try_from(shared.bucket.retry_timeout.as_millis()).unwrap_or(u64::MAX);
        shared.bucket.retry_timeout =
            std::time::Duration::from_millis(reader.number(RETRY_TIMEOUT, usual, 100..=600_000));
    }
    config
}

fn read_time_zone(reader: &mut Reader<'_, impl Vars>) -> TimeZone {
    let name = reader.read_text(TIME_ZONE).unwrap_or_else(|| "Asia/Shanghai".to_owned());
    TimeZone::get(&name).unwrap_or_else(|_| {
        reader.fault(TIME_ZONE, format!("is `{name}`, which is no IANA time zone such as `Asia/Shanghai`"));
        TimeZone::UTC
    })
}

#[cfg(test)]
mod tests;
