//! Where bytes come from.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use linkgate_contract::{AllowList, CredentialName, InvalidUrl, PackageUrl};
use secrecy::SecretString;

/// The client's own error, kept for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Where bytes come from.
pub trait Source: Send + Sync + 'static {
    /// One download.
    type Stream: SourceStream;

    /// Asks for the link and waits until its body begins.
    fn open(&self, request: FetchRequest<'_>) -> impl Future<Output = Result<Self::Stream, SourceError>> + Send;
}

/// How far a download is, for those who only watch.
#[derive(Debug, Default)]
pub struct Progress {
    received: AtomicU64,
    /// 0 as long as the source has not said.
    total: AtomicU64,
    attempts: AtomicU32,
}

impl Progress {
    /// The source is asked once more.
    pub fn count_attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// The file has so many bytes, as far as the source says.
    pub fn set_total(&self, bytes: Option<u64>) {
        self.total.store(bytes.unwrap_or_default(), Ordering::Relaxed);
    }

    /// So many bytes are here now.
    pub fn set_received(&self, bytes: u64) {
        self.received.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that are here.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes that there will be, if the source said.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0)
    }

    /// How often the source was asked.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }
}

/// What to download.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'a> {
    /// The link.
    pub url: &'a PackageUrl,
    /// Hosts that may have addresses that are not public, in this download and beside those that the source knows as
    /// such; they must be allowed like any other.
    pub private: &'a AllowList,
    /// What it may prove to its source.
    pub access: Access<'a>,
    /// How many bytes it must have, if the caller said so.
    pub size: Option<u64>,
    /// Where the source tells how often it was asked and what is to come.
    pub progress: &'a Arc<Progress>,
}

/// What a download may prove to its source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access<'a> {
    /// The credentials of the operator that it may use.
    pub credentials: &'a [CredentialName],
    /// What the caller wants to be sent as `Authorization`; it goes in the place of any other.
    pub callers_own: Option<&'a SecretString>,
}

/// The bytes of one download, in order.
pub trait SourceStream: Send {
    /// What comes next; `None` once all has come.
    fn next(&mut self) -> impl Future<Output = Result<Option<Chunk>, SourceError>> + Send;
    /// Where the bytes since the last restart come from.
    fn fetched(&self) -> Fetched;
}

/// What a source said of the bytes that it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The link that gave them in the end, without its query.
    pub final_url: String,
    /// The validator by which the source tells versions of the file.
    pub etag: Option<String>,
    /// When the source says that the file was changed.
    pub last_modified: Option<String>,
    /// Whether the source said how long the body is or where it ends. A body that ends with its connection looks the same
    /// when it was cut off.
    pub has_marked_end: bool,
}

/// A step of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// The next bytes.
    Data(Bytes),
    /// The source has to begin again: all bytes so far are void, the first one comes next.
    Restart,
}

/// Why a source gave no package.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The host has an address that is not public. For the log only: a caller must not learn what our resolver sees.
    #[error("{host} has the address {address}, which is not public")]
    ForbiddenAddress {
        /// The host.
        host: String,
        /// The first address that is not public.
        address: IpAddr,
    },
    /// A redirect leads to a host that is not allowed.
    #[error("redirected to {host}, which is not allowed")]
    RedirectNotAllowed {
        /// The host.
        host: String,
    },
    /// A redirect leads to something that is no link.
    #[error("redirected to something that {0}")]
    RedirectInvalid(InvalidUrl),
    /// A redirect leads from https to http.
    #[error("redirected from https to http")]
    RedirectDowngrade,
    /// One redirect after the other.
    #[error("redirected more than {limit} times")]
    TooManyRedirects {
        /// How many are followed.
        limit: usize,
    },
    /// Not 200.
    #[error("answered {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// A credential for the source was not sent, or not taken.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The body is encoded, though we asked for it as it is.
    #[error("answered with a content encoding")]
    Encoded,
    /// An HTML page where a package was due: a login, an error, a list of files.
    #[error("gave an HTML page")]
    Page,
    /// The file is another one than when its download began.
    #[error("changed while it was read")]
    Changed,
    /// Nobody said how long the file is, and the file does not tell either.
    #[error("did not say where the file ends")]
    NoEnd,
    /// More or fewer bytes than the caller named.
    #[error("has another size: expected {expected} bytes, got {}", found.map_or("more".to_owned(), |n| n.to_string()))]
    SizeMismatch {
        /// What the caller named.
        expected: u64,
        /// What was announced or came; `None` if it was cut off when it became more.
        found: Option<u64>,
    },
    /// More bytes than a package may have.
    #[error("has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Too slow.
    #[error("was too slow: {phase} took over {after:?}")]
    TimedOut {
        /// What took so long.
        phase: Phase,
        /// How long we waited.
        after: Duration,
    },
    /// Bytes come, but too few.
    #[error("was too slow: it sent less than {min_rate} bytes per second for {over:?}")]
    TooSlow {
        /// Bytes per second that are due.
        min_rate: u64,
        /// For how long they were not met.
        over: Duration,
    },
    /// No such name, no connection, no TLS, or a body that broke off.
    #[error("could not be read ({phase})")]
    Transport {
        /// What failed.
        phase: Phase,
        /// What can be said of it to whoever gave the link.
        reason: Unreachable,
        /// The client's error.
        #[source]
        cause: Cause,
    },
}

/// What is wrong with a credential for a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The source does not take it.
    #[error("answered {status} to {whose}")]
    Refused {
        /// Which one it is.
        whose: SentCredential,
        /// The status.
        status: u16,
    },
    /// The gate's policy names one that the operator did not give to the store.
    #[error("the policy names the credential `{name}`, which the store does not have")]
    Unknown {
        /// Its name.
        name: CredentialName,
    },
    /// It would go over plain HTTP.
    #[error("a credential may not be sent over plain HTTP")]
    OverHttp,
}

/// Whose credential was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentCredential {
    /// The operator's of this name.
    Named(CredentialName),
    /// The caller's own.
    CallersOwn,
}

impl std::fmt::Display for SentCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => write!(f, "the credential `{name}`"),
            Self::CallersOwn => f.write_str("the caller's own credential"),
        }
    }
}

/// Why a source could not be read, as far as its caller may know: never an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No name server knows the host.
    UnknownName,
    /// Nothing listens at the port.
    ConnectionRefused,
    /// There is no way to the host, or the connection broke off.
    NoConnection,
    /// Its certificate has ended, or has not begun.
    CertificateTime,
    /// Its certificate is for another name.
    CertificateName,
    /// Nobody whom this machine trusts issued its certificate.
    CertificateIssuer,
    /// Its certificate is bad in another way.
    Certificate,
    /// The two could not agree on TLS.
    Tls,
    /// It asks for a client certificate, and the operator set up none for it.
    ClientCertificateMissing,
    /// It does not accept the client certificate that the operator set up for it.
    ClientCertificateRefused,
    /// What it answered is not HTTP/1.1.
    NotHttp,
    /// The reply broke off.
    BrokeOff,
    /// The operator's proxy cannot be connected to, or speaks no HTTP.
    ProxyUnreachable,
    /// The operator's proxy does not let us through to it.
    ProxyRefused,
    /// The operator's proxy finds no way to it.
    ProxyCannotReach,
}

impl SourceError {
    /// What it is called in metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ForbiddenAddress { .. }
            | Self::RedirectNotAllowed { .. }
            | Self::RedirectInvalid(_)
            | Self::RedirectDowngrade
            | Self::TooManyRedirects { .. } => "source_forbidden",
            Self::Credential(_) => "source_credential",
            Self::Status { .. } | Self::Encoded | Self::Page | Self::Changed | Self::NoEnd => "source_refused",
            Self::SizeMismatch { .. } => "size_mismatch",
            Self::TooLarge { .. } => "too_large",
            Self::TimedOut { .. } | Self::TooSlow { .. } => "source_timeout",
            Self::Transport { .. } => "source_unreachable",
        }
    }
}

/// A part of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Name, connection, TLS.
    Connect,
    /// From the request to the head of the reply.
    Head,
    /// The body.
    Body,
    /// All of it.
    Whole,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Head => "the head",
            Self::Body => "the body",
            Self::Whole => "the whole download",
        })
    }
}

/// An error with its causes, for the log. A cause that an error names itself is not named again.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| if text.ends_with(&cause) { text } else { format!("{text}: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the folder cannot be used: {0}")]
    struct Naming(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the store cannot start")]
    struct Silent(#[source] Naming);

    #[test]
    fn each_cause_is_named_once() {
        let error = Silent(Naming(std::io::Error::other("it is a file")));
        assert_eq!(chain(&error), "the store cannot start: the folder cannot be used: it is a file");
    }
}
