//! The commands of those who upload and download packages.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use linkgate_contract::{FileName, JobId, PackageId, PackageVersion, PinName, Sha256};

/// What callers do to packages.
#[derive(Subcommand)]
pub enum CallerCommand {
    /// Try the credentials, and say what they allow
    Login(Login),
    /// Upload packages: by link, of files, or what comes on standard input
    Push(Push),
    /// List the packages of a module
    List(List),
    /// Show a package
    Show(Show),
    /// Download a package, and check its digest
    Pull(Pull),
    /// Delete a package, which can be restored for a while
    Rm(Rm),
    /// Restore a deleted package
    Restore(Restore),
    /// Pin a package, so that nothing deletes it
    Pin(Pin),
    /// Take a pin away
    Unpin(Unpin),
    /// Make a link by which whoever has it downloads a package, for a while
    Url(MakeUrl),
    /// Show or run what the retention rules would delete
    #[command(subcommand)]
    Cleanup(Cleanup),
    /// Show what a module and its application take
    Usage(Usage),
    /// List what happened to the packages of a module, the latest first
    Events(Events),
    /// Show, watch or cancel an upload by link
    #[command(subcommand)]
    Job(Job),
    /// Check a file against its signed statement and the store's public key
    Verify(Verify),
}

/// Which gateway is called, for whom, and how results are shown.
#[derive(Args, Clone)]
pub struct Common {
    /// A profile of the configuration file [default: its `default_profile`]
    #[arg(long, value_name = "NAME", env = "LINKGATE_PROFILE", help_heading = "Where and who")]
    pub profile: Option<String>,
    /// The configuration file [default: ~/.config/linkgate/config.toml]
    #[arg(long, value_name = "FILE", env = "LINKGATE_CONFIG", help_heading = "Where and who")]
    pub config: Option<PathBuf>,
    /// The gateway with its prefix, as in `https://gateway.example.com/prod`
    #[arg(long, value_name = "URL", env = "LINKGATE_GATEWAY_URL", help_heading = "Where and who")]
    pub gateway: Option<String>,
    /// The code of the calling application
    #[arg(long, value_name = "CODE", env = "LINKGATE_APP_CODE", help_heading = "Where and who")]
    pub app_code: Option<String>,
    /// The application whose packages these are [default: the calling one]
    #[arg(long, value_name = "CODE", env = "LINKGATE_APP", help_heading = "Where and who")]
    pub app: Option<String>,
    /// Its module [default: default]
    #[arg(long, value_name = "NAME", env = "LINKGATE_MODULE", help_heading = "Where and who")]
    pub module: Option<String>,
    /// Whether the secret is sent, or signs the request [default: secret]
    #[arg(long, value_enum, value_name = "HOW", env = "LINKGATE_AUTH", help_heading = "Where and who")]
    pub auth: Option<Auth>,
    #[command(flatten)]
    pub show: ShowOptions,
}

/// How results are shown.
#[derive(Args, Clone)]
pub struct ShowOptions {
    /// Print JSON (docs/CLI.md), also of errors
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// How progress is shown on standard error
    #[arg(long, value_enum, value_name = "HOW", default_value_t, help_heading = "Output")]
    pub progress: ProgressMode,
}

/// What becomes of the application's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// It goes with every request
    Secret,
    /// It signs every request and goes with none; files cannot be uploaded so
    Signature,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, lines elsewhere
    #[default]
    Auto,
    /// Bars
    Bar,
    /// Lines
    Plain,
    /// A line of JSON for each change
    Json,
    /// Nothing
    None,
}

/// A package, by its id or its version.
#[derive(Args, Clone)]
#[group(required = true, multiple = false)]
pub struct WhichPackage {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: Option<PackageId>,
    /// The live package of this version
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub version: Option<PackageVersion>,
}

/// `linkgate login`
#[derive(Args)]
pub struct Login {
    /// Save what was given as this profile; the secret is read from standard input unless a command gives it
    #[arg(long, value_name = "NAME")]
    pub save: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate push`
#[derive(Args)]
pub struct Push {
    /// Links (http:// or https://), files, or `-` for standard input
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// The version [default: what the package's app_desc.yaml says]
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub version: Option<PackageVersion>,
    /// Take each file's name without the ending of an archive as its version
    #[arg(long, conflicts_with = "version")]
    pub version_from_name: bool,
    /// Replace a package of the same version
    #[arg(long)]
    pub overwrite: bool,
    /// The SHA-256 that the package must have
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    pub sha256: Option<Sha256>,
    /// Be content if the version is there with these very bytes (files only)
    #[arg(long)]
    pub if_missing: bool,
    /// The name of the package's file [default: that of the file, or `package`]
    #[arg(long, value_name = "NAME", value_parser = parse_file_name)]
    pub name: Option<FileName>,
    /// Do not wait for an upload by link: print its job
    #[arg(long, conflicts_with = "wait_timeout")]
    pub no_wait: bool,
    #[command(flatten)]
    pub wait: Wait,
    /// How many files are sent at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub parallel: u8,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate list`
#[derive(Args)]
pub struct List {
    /// Rows at most; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u64,
    /// The order: id, version, version_natural, package_name, package_size, created or updated, with `-` for the
    /// greatest first
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    pub order_by: Option<String>,
    /// Terms that occur in version, name or size
    #[arg(long, value_name = "TERMS")]
    pub search: Option<String>,
    /// Only this version
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub version: Option<PackageVersion>,
    /// Only packages of this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Only packages with these bytes
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    pub sha256: Option<Sha256>,
    /// Only what this user uploaded
    #[arg(long, value_name = "USER")]
    pub operator: Option<String>,
    /// Only deleted packages
    #[arg(long)]
    pub deleted: bool,
    /// Only pinned packages
    #[arg(long)]
    pub pinned: bool,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate show`
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    pub package: WhichPackage,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate pull`
#[derive(Args)]
pub struct Pull {
    #[command(flatten)]
    pub package: WhichPackage,
    /// The file or folder to write, or `-` for standard output [default: the package's own name, here]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// The SHA-256 that the package must have
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    pub sha256: Option<Sha256>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate rm`
#[derive(Args)]
pub struct Rm {
    #[command(flatten)]
    pub package: WhichPackage,
    /// Also if it is pinned
    #[arg(long)]
    pub force: bool,
    /// Only in this state: `ID.REVISION`, or the SHA-256 of its bytes
    #[arg(long, value_name = "STATE")]
    pub if_match: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate restore`
#[derive(Args)]
pub struct Restore {
    /// The package's id
    #[arg(value_name = "ID")]
    pub id: PackageId,
    /// As another version
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub as_version: Option<PackageVersion>,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate pin`
#[derive(Args)]
pub struct Pin {
    #[command(flatten)]
    pub package: WhichPackage,
    /// The name of what uses it
    #[arg(long, value_name = "NAME", value_parser = parse_pin_name)]
    pub name: PinName,
    /// When it runs out, as RFC 3339 or `YYYY-MM-DD HH:MM:SS` [default: never]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// It may not even be overwritten
    #[arg(long)]
    pub protect_bytes: bool,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate unpin`
#[derive(Args)]
pub struct Unpin {
    #[command(flatten)]
    pub package: WhichPackage,
    /// The name of the pin
    #[arg(long, value_name = "NAME", value_parser = parse_pin_name)]
    pub name: PinName,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate url`
#[derive(Args)]
pub struct MakeUrl {
    #[command(flatten)]
    pub package: WhichPackage,
    /// How long it is good for, from 1m to 1d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub expires_in: Duration,
    /// An address or network from which it may be used; may be given several times [default: anywhere]
    #[arg(long = "client-ip", value_name = "NETWORK")]
    pub client_ips: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate cleanup …`
#[derive(Subcommand)]
pub enum Cleanup {
    /// Show what would be deleted now, and the name of that plan
    Plan {
        #[command(flatten)]
        common: Common,
    },
    /// Delete exactly what a plan shows
    Run {
        /// The plan's name
        #[arg(value_name = "PLAN")]
        plan: String,
        #[command(flatten)]
        common: Common,
    },
}

/// `linkgate usage`
#[derive(Args)]
pub struct Usage {
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate events`
#[derive(Args)]
pub struct Events {
    /// Rows at most; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u64,
    /// Only events of this action, as `upload` or `delete_refused`
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only events of this package
    #[arg(long, value_name = "ID")]
    pub package: Option<PackageId>,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate job …`
#[derive(Subcommand)]
pub enum Job {
    /// Show how far it is
    Show(WhichJob),
    /// Watch it until it has ended
    Watch(WatchJob),
    /// Cancel it
    Cancel(WhichJob),
}

/// An upload by link.
#[derive(Args)]
pub struct WhichJob {
    /// The job, as `push` printed it
    #[arg(value_name = "JOB")]
    pub job: JobId,
    #[command(flatten)]
    pub common: Common,
}

/// `linkgate job watch`
#[derive(Args)]
pub struct WatchJob {
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub job: WhichJob,
}

/// How long a command waits for an upload by link.
#[derive(Args)]
pub struct Wait {
    /// Wait so long for an upload by link, and no longer [default: until it has ended]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub wait_timeout: Option<Duration>,
}

/// `linkgate verify`
#[derive(Args)]
pub struct Verify {
    /// The package's file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The store's public key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The signed statement [default: ask the gateway for that of --id or --version]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "version"])]
    pub statement: Option<PathBuf>,
    /// The package whose statement to ask for
    #[arg(long, value_name = "ID", conflicts_with = "version")]
    pub id: Option<PackageId>,
    /// The version whose statement to ask for
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub version: Option<PackageVersion>,
    #[command(flatten)]
    pub common: Common,
}

fn parse_version(text: &str) -> Result<PackageVersion, String> {
    PackageVersion::new(text).map_err(|error| error.to_string())
}

fn parse_digest(text: &str) -> Result<Sha256, String> {
    Sha256::parse_any_case(text).map_err(|error| error.to_string())
}

fn parse_file_name(text: &str) -> Result<FileName, String> {
    FileName::new(text).map_err(|error| error.to_string())
}

fn parse_pin_name(text: &str) -> Result<PinName, String> {
    PinName::new(text).map_err(|error| error.to_string())
}
