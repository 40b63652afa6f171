//! What the storage and the database of keys say, sorted into the port's errors.
//!
//! Promises: of a refusal the status and its code are told, never the whole reply, which may quote what was signed.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use linkgate_store_core::ingest::ports::{BlobError, KeyError};
use object_store::client::{HttpError, HttpErrorKind};

use super::settings::InvalidS3Settings;
use super::tie::NotTied;

/// How long a text of others may be that is passed on.
const TOLD: usize = 300;
/// What the storage says of credentials that are over, beside its statuses of refusal: others take their place.
const OLD_CREDENTIALS: [&str; 3] = ["ExpiredToken", "RequestExpired", "TokenRefreshRequired"];
/// What some storages say by the status of a refusal where no more may be stored.
const QUOTA: &str = "QuotaExceeded";
/// What the storage says of an upload that has ended.
const NO_SUCH_UPLOAD: &str = "NoSuchUpload";
/// How the client begins what it says of a refusal.
pub(crate) const STATUS: &str = "Server returned non-2xx status code: ";

/// Why blobs cannot be stored in a bucket.
#[derive(Debug, thiserror::Error)]
pub enum S3StartError {
    /// The settings cannot work.
    #[error("the settings of the bucket are wrong")]
    Settings(#[from] InvalidS3Settings),
    /// The client refuses the settings.
    #[error("the settings of the bucket are refused by the client: {0}")]
    Client(String),
    /// Who the store says it is is not known there, its key is another one, or it may not do this.
    #[error("the storage refuses the credentials of the store: {said}")]
    Refused {
        /// What it said.
        said: String,
    },
    /// There is no such bucket.
    #[error("the storage has no bucket `{bucket}`: {said}")]
    NoBucket {
        /// Its name.
        bucket: String,
        /// What it said.
        said: String,
    },
    /// It does not answer, or not as S3 does.
    #[error("the storage cannot {what}: {said}")]
    Unusable {
        /// What was tried.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// The directory for parts cannot be written.
    #[error("the directory for parts of uploads cannot be written")]
    TempDir(#[source] io::Error),
    /// It is not the bucket of this database.
    #[error(transparent)]
    NotTied(#[from] NotTied),
    /// The database of keys.
    #[error("the keys of objects cannot be recorded")]
    Keys(#[from] KeyError),
}

/// What the storage said, as far as it may be told.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// Sorts a failure of the storage.
pub(crate) fn blob_error(doing: &'static str, error: object_store::Error) -> BlobError {
    if matches!(error, object_store::Error::NotFound { .. }) {
        return BlobError::NotFound;
    }
    let said = Said(told(&error));
    if is_outage(&error) {
        return BlobError::Unavailable(format!("{doing} failed: {said}").into());
    }
    BlobError::Io { doing, cause: io::Error::other(said) }
}

/// Sorts a failure of an upload in parts. Nobody ends one but its writer, and whoever sweeps what writers left that seem dead.
pub(crate) fn upload_error(doing: &'static str, error: object_store::Error) -> BlobError {
    let is_ended = causes(&error).any(|cause| tag(&cause.to_string(), "Code") == Some(NO_SUCH_UPLOAD));
    if is_ended { BlobError::Swept } else { blob_error(doing, error) }
}

/// Sorts a failure of the first write.
pub(crate) fn start_error(what: &'static str, bucket: &str, error: &object_store::Error) -> S3StartError {
    use object_store::Error as E;
    let said = told(error);
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => S3StartError::Refused { said },
        E::NotFound { .. } => S3StartError::NoBucket { bucket: bucket.to_owned(), said },
        _ => S3StartError::Unusable { what, said },
    }
}

/// A database that fails says nothing about the storage, but blobs can neither be found nor stored without it: where it is away,
/// they are as good as away.
pub(crate) fn key_error(error: KeyError) -> BlobError {
    match error {
        KeyError::Lost => BlobError::Swept,
        away @ KeyError::Unavailable(_) => BlobError::Unavailable(away.into()),
        failed @ KeyError::Database(_) => BlobError::Io { doing: "asking for a key", cause: io::Error::other(failed) },
    }
}

fn fault(doing: &'static str, what: String) -> BlobError {
    BlobError::Io { doing, cause: io::Error::other(Said(what)) }
}

/// An object that is there but not as it was written.
pub(crate) fn wrong_size(doing: &'static str, expected: u64, found: u64) -> BlobError {
    fault(doing, format!("the object has {found} bytes instead of {expected}"))
}

/// An object that is shorter than it was.
pub(crate) fn ended_early(missing: u64) -> BlobError {
    fault("reading an object", format!("it ended {missing} bytes early"))
}

/// More bytes than an object can have by its parts.
pub(crate) fn no_space(wanted: u64, longest: u64) -> BlobError {
    let said = Said(format!("{wanted} bytes are wanted, and an object has at most {longest} with these parts"));
    BlobError::NoSpace(io::Error::new(io::ErrorKind::StorageFull, said))
}

/// The same, found out while they come.
pub(crate) fn too_many_parts() -> BlobError {
    BlobError::NoSpace(io::Error::new(io::ErrorKind::StorageFull, Said("an upload has too many parts".to_owned())))
}

/// Nothing came for so long.
pub(crate) fn no_reply(after: Duration) -> BlobError {
    BlobError::Unavailable(format!("no reply came in {} seconds", after.as_secs()).into())
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What of an error may be told: the innermost, of which a reply in XML is cut down to its code.
pub(crate) fn told(error: &(dyn StdError + 'static)) -> String {
    let innermost = causes(error).last().map(ToString::to_string).unwrap_or_default();
    let text = match innermost.split_once('<') {
        Some((head, body)) => format!("{} {}", head.trim_end_matches([':', ' ']), tag(body, "Code").unwrap_or("")),
        None => innermost,
    };
    text.trim().chars().take(TOLD).collect()
}

/// What stands between the first such tags of a text in XML.
pub(crate) fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

/// Nobody answered, or somebody who could not do it now, or takes this store for nobody: whoever looks after the credentials, the
/// rights or the clock has something to do, and the bytes are as they were.
fn is_outage(error: &object_store::Error) -> bool {
    causes(error).any(|cause| match cause.downcast_ref::<HttpError>() {
        Some(http) => http.kind() != HttpErrorKind::Decode,
        // The client tells the status by its text only.
        None => is_outage_by_text(&cause.to_string()),
    })
}

fn is_outage_by_text(text: &str) -> bool {
    const FOR_NOW: [&str; 5] = ["5", "429", "408", "401", "403"];
    let Some(said) = text.strip_prefix(STATUS) else { return text.starts_with("Server returned error response") };
    match tag(said, "Code") {
        Some(QUOTA) => false,
        Some(code) if OLD_CREDENTIALS.contains(&code) => true,
        _ => FOR_NOW.iter().any(|status| said.starts_with(status)),
    }
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: &str, body: &str) -> object_store::Error {
        let text = format!("{STATUS}{status}: {body}");
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn a_refusal_is_told_by_its_code_alone() {
        let body =
            "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><StringToSign>x</StringToSign></Error>";
        assert_eq!(
            told(&status("403 Forbidden", body)),
            "Server returned non-2xx status code: 403 Forbidden SignatureDoesNotMatch"
        );
    }

    #[test]
    fn an_outage_is_told_from_a_refusal() {
        for outage in ["503 Service Unavailable", "500 Internal Server Error", "429 Too Many Requests", "403 Forbidden"]
        {
            assert!(matches!(blob_error("x", status(outage, "")), BlobError::Unavailable(_)), "{outage}");
        }
        let full = status("403 Forbidden", "<Error><Code>QuotaExceeded</Code></Error>");
        assert!(matches!(blob_error("x", full), BlobError::Io { .. }), "it is not over by itself");
        let expired = status("400 Bad Request", "<Error><Code>ExpiredToken</Code></Error>");
        assert!(matches!(blob_error("x", expired), BlobError::Unavailable(_)));
        assert!(matches!(blob_error("x", status("400 Bad Request", "503")), BlobError::Io { .. }));
        let refused = HttpError::new(HttpErrorKind::Connect, io::Error::other("refused"));
        let refused = object_store::Error::Generic { store: "S3", source: Box::new(refused) };
        assert!(matches!(blob_error("x", refused), BlobError::Unavailable(_)));
    }

    #[test]
    fn an_upload_that_was_swept_is_told_from_a_bucket_that_is_not_there() {
        let missing = |code: &str| {
            let source = status("404 Not Found", &format!("<Error><Code>{code}</Code></Error>")).into();
            object_store::Error::NotFound { path: "x".to_owned(), source }
        };
        assert!(matches!(upload_error("x", missing("NoSuchUpload")), BlobError::Swept));
        assert!(matches!(upload_error("x", missing("NoSuchBucket")), BlobError::NotFound));
    }
}
