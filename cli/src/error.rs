//! What can go wrong, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that was read is wrong; one line per fault, `file:line:column: …`.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
    /// A file is larger than it has any reason to be.
    #[error("{}: is over {limit_bytes} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// A file is not UTF-8.
    #[error("{}: is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// A key would have been overwritten.
    #[error("{} is already there and is not overwritten: move it away first, or choose another folder with --to", .0.display())]
    KeyExists(PathBuf),
    /// What should be a public key is something else.
    #[error("{} is no public Ed25519 key as PEM", .0.display())]
    NoPublicKey(PathBuf),
    /// There is no pair of that name.
    #[error("{} is not there, nor is its public half: name the pair with --name and its folders with --to and --public-to", .0.display())]
    NoPair(PathBuf),
    /// The filter is not where it is looked for.
    #[error("{} is not there: copy the filter to this place, or name it with --wasm PATH", .0.display())]
    NoWasm(PathBuf),
    /// The folder to deploy to is missing.
    #[error("{} is no folder: make it first, or choose another with --to", .0.display())]
    NoFolder(PathBuf),
    /// Nobody said where to, and clap asks for one of the two.
    #[error("say where to deploy to, with --to or --format")]
    NoTarget,
    /// A listener of Envoy Gateway is not named in full.
    #[error("name the listener with --listener NAMESPACE/GATEWAY/LISTENER, as Envoy Gateway does")]
    NoListener,
    /// The policy is too large for one resource.
    #[error("the policy makes a resource of {bytes} bytes, and a ConfigMap takes at most {limit_bytes}")]
    ManifestTooLarge {
        /// How large it is.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// There is nothing to go back to.
    #[error("{} is not there: nothing was deployed over another policy here yet, so there is none to go back to", .0.display())]
    NoPrevious(PathBuf),
    /// What should be the resource is something else.
    #[error("{} is no resource that `linkgate policy deploy` wrote: deploy a policy instead", .0.display())]
    NotResource(PathBuf),
    /// Envoy cannot be asked before anything is written.
    #[error("Envoy's admin interface cannot be asked, so nothing was written: {0}; see --admin, or leave out --wait")]
    NoAdmin(String),
    /// Envoy was given the policy and did not take it.
    #[error(
        "Envoy refused version {version} and {}. Its log says why: look for `policy refused` and `config update`. \
         {} holds the refused one, with which Envoy must not start again: `linkgate policy rollback --to {}` puts back \
         the one before",
        goes_on(.in_force), .resource.display(), .folder.display()
    )]
    Refused {
        /// The policy.
        version: String,
        /// What Envoy accepted last; empty: nothing.
        in_force: String,
        /// The file.
        resource: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// Nobody said in time that every worker serves the policy.
    #[error(
        "{} holds version {version}, but it was not confirmed within {}: {why}",
        .resource.display(), humantime::format_duration(*.waited)
    )]
    NotConfirmed {
        /// The policy.
        version: String,
        /// The file.
        resource: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// How far it came.
        why: String,
    },
    /// Envoy cannot be asked, or says something odd.
    #[error("Envoy's admin interface cannot be asked: {0}; see --admin")]
    Admin(String),
    /// Envoy runs and does not serve.
    #[error("Envoy is not ready: {0}")]
    NotReady(String),
    /// Requests did not come to an end in time.
    #[error("{requests} requests are still under way after {}", humantime::format_duration(*.waited))]
    StillBusy {
        /// How many.
        requests: u64,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A described request leads to a question whose answer is not described.
    #[error("the gate would ask {service} about {about}; say in services.{about} what it answers")]
    NoAnswer {
        /// The service.
        service: &'static str,
        /// The kind of credential.
        about: &'static str,
    },
    /// A path cannot be written into JSON.
    #[error("{}: the path is not UTF-8, so it cannot be written into the resource", .0.display())]
    PathNotText(PathBuf),
    /// The secret is empty.
    #[error("the secret is empty: pipe it in, for example `linkgate secret hash < secret.txt`")]
    EmptySecret,
    /// The secret could be guessed.
    #[error(
        "the secret is too easy to guess, and its digest would tell it: take a random one of at least 20 letters and digits, for example from `openssl rand -hex 32`"
    )]
    WeakSecret,
    /// The secret is longer than any credential.
    #[error("the secret is over {limit_bytes} bytes")]
    LongSecret {
        /// The limit.
        limit_bytes: u64,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(getrandom::Error),
    /// A key could not be written down.
    #[error("the key could not be encoded: {0}")]
    Encode(String),
    /// The system refused something.
    #[error("cannot {action} {subject}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        subject: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// An error of the system.
    pub fn io(action: &'static str, subject: &str, source: io::Error) -> Self {
        Self::Io { action, subject: subject.to_owned(), source }
    }

    /// An error of the system about a file.
    pub fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, subject: path.display().to_string(), source }
    }

    /// 1: what was given is wrong. 2: the command could not work. 3: done, but nobody confirmed it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Faults(_)
            | Self::TooLarge { .. }
            | Self::NotText(_)
            | Self::EmptySecret
            | Self::NoPair(_)
            | Self::NoPublicKey(_)
            | Self::WeakSecret
            | Self::LongSecret { .. }
            | Self::NoAnswer { .. }
            | Self::NotReady(_)
            | Self::Refused { .. } => 1,
            Self::NotConfirmed { .. } | Self::StillBusy { .. } => 3,
            _ => 2,
        }
    }
}

fn goes_on(version: &str) -> String {
    match version {
        "" => "has no policy in force".to_owned(),
        version => format!("goes on with {version}"),
    }
}
