//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use linkgate_contract::{JobDocument, Sha256};

use crate::refusal::Refusal;
use crate::statement::StatementError;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway or the store refused the request.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The upload was accepted and ended without a package.
    #[error("{}", describe_job(.0))]
    JobEnded(Box<JobDocument>),
    /// No connection came about, so the request was not sent.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// The gateway.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// The connection ended before the reply did. Whether the request was carried out is not known.
    #[error("the connection to {host} broke off: {reason}")]
    BrokenOff {
        /// The gateway.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("{host} did not answer within {seconds} seconds")]
    TimedOut {
        /// The gateway.
        host: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A reply that is not of Linkgate, as of another service behind the address.
    #[error("{host} answered with something else than Linkgate does: {reason}")]
    NotOurs {
        /// The gateway.
        host: String,
        /// What is odd.
        reason: String,
    },
    /// The bytes here are not those that the other side speaks of.
    #[error("the bytes have the SHA-256 {got}, and should have {expected}")]
    DigestMismatch {
        /// What was promised.
        expected: Sha256,
        /// What was read.
        got: Sha256,
    },
    /// The package was overwritten while it was downloaded.
    #[error("the package was overwritten while it was downloaded; download it again")]
    Overwritten,
    /// A signature covers no file.
    #[error("a request that sends a file cannot be signed; send the secret, or an access token, or upload by link")]
    CannotSignFile,
    /// A setting that cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A statement that proves nothing.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The system refused something.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    /// An error of the HTTP client, in words. Its own text may hold the URL, and that a signature.
    pub(crate) fn of_transport(error: reqwest::Error, host: &str) -> Self {
        let error = error.without_url();
        let (host, reason) = (host.to_owned(), innermost(&error));
        if error.is_builder() {
            Self::Setting(reason)
        } else if error.is_connect() {
            Self::Unreachable { host, reason }
        } else {
            Self::BrokenOff { host, reason }
        }
    }

    /// The refusal behind it, where the other side said why.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal.as_ref().clone()),
            Self::JobEnded(job) => job.error.as_ref().map(Refusal::of_job),
            _ => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// The cause of all causes, which says what happened; those around it say where.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn describe_job(job: &JobDocument) -> String {
    match &job.error {
        Some(error) => format!("{}: {}", error.code, error.detail),
        None => format!("the job {} ended as {}, without a package", job.job_id, job.state.name()),
    }
}
