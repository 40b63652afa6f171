//! What each operation takes and gives: the one place where that is said, row by row of the table of endpoints.

use linkgate_contract::{ErrorCode, JobDocument, Operation, SourcePackage};
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use crate::bodies;
use crate::parameters::{Parameter, text};
use crate::responses::Success;

/// An operation, beside what the table says of it.
pub(crate) struct Described {
    pub(crate) description: &'static str,
    pub(crate) headers: &'static [Parameter],
    pub(crate) body: Option<Value>,
    pub(crate) success: Vec<Success>,
    /// What the store refuses it with, beside what any operation is refused with.
    pub(crate) codes: &'static [ErrorCode],
}

const LANGUAGE: Parameter =
    Parameter::new("blueking-language", text, "The language of errors: English if it begins with `en`, else Chinese");
const PREFER: Parameter = Parameter::new("Prefer", text, "`respond-async`: do not wait for the upload");
const IDEMPOTENCY_KEY: Parameter = Parameter::new(
    "Idempotency-Key",
    || json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]*$"}),
    "The same key with the same request is answered as the first time, for a day",
);
const SOURCE_AUTHORIZATION: Parameter = Parameter::new(
    "X-Linkgate-Source-Authorization",
    text,
    "What the source of the package is to get as `Authorization`, where the operator allows it",
);
const ACCEPT: Parameter = Parameter::new("Accept", text, "`text/event-stream`: the job as events, until it has ended");
const LAST_EVENT_ID: Parameter = Parameter::new("Last-Event-ID", text, "The last event that was read");

/// What refuses a package, however it comes.
const PACKAGE_CODES: &[ErrorCode] = &[
    ErrorCode::Validation,
    ErrorCode::UnsupportedSourceOrigin,
    ErrorCode::PackageAlreadyExists,
    ErrorCode::PackageTooLarge,
    ErrorCode::ChecksumMismatch,
    ErrorCode::SizeMismatch,
    ErrorCode::PackageFormatUnsupported,
    ErrorCode::PackageBroken,
    ErrorCode::PackageMemberRefused,
    ErrorCode::PackageLimitExceeded,
    ErrorCode::PackageDescriptionInvalid,
    ErrorCode::SourceUnreachable,
    ErrorCode::SourceTimeout,
    ErrorCode::ObjectStore,
    ErrorCode::InsufficientStorage,
    ErrorCode::TooManyUploads,
    ErrorCode::UploadCancelled,
    ErrorCode::UploadAbandoned,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::UnsupportedMediaType,
];

/// Describes an operation.
pub(crate) fn describe(operation: Operation, schemas: &mut SchemaGenerator) -> Described {
    match operation {
        Operation::UploadSourcePackageViaLink => upload_by_link(schemas),
        Operation::GetSourcePackageJob => get_job(schemas),
        Operation::CancelSourcePackageJob => cancel_job(schemas),
        #[cfg(feature = "test-endpoint")]
        Operation::ShowTestQuery => show_test_query(),
    }
}

fn upload_by_link(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Downloads the package behind the link, inspects and stores it. The answer comes when it is stored, or at once \
            with `Prefer: respond-async`. An equal request that is under way is joined.",
        headers: &[LANGUAGE, PREFER, IDEMPOTENCY_KEY, SOURCE_AUTHORIZATION],
        body: Some(bodies::upload_by_link()),
        success: vec![
            Success::json::<SourcePackage>(200, "The package, stored", schemas),
            Success::json::<JobDocument>(202, "The job that uploads it", schemas)
                .with_header("Location", "Where to ask for the job")
                .with_header("Preference-Applied", "`respond-async`"),
        ],
        codes: PACKAGE_CODES,
    }
}

fn get_job(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "The job as it is now, or with `Accept: text/event-stream` as events until it has ended.",
        headers: &[LANGUAGE, ACCEPT, LAST_EVENT_ID],
        body: None,
        success: vec![
            Success::json::<JobDocument>(200, "The job", schemas).or_media("text/event-stream", text()),
            Success::empty(204, "Nothing comes after the event that `Last-Event-ID` names"),
        ],
        codes: &[],
    }
}

fn cancel_job(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Cancels the job. Once its package is being stored that is too late, and the document says how it ended instead.",
        headers: &[LANGUAGE],
        body: None,
        success: vec![Success::json::<JobDocument>(200, "The job, as it ended", schemas)],
        codes: &[],
    }
}

#[cfg(feature = "test-endpoint")]
fn show_test_query() -> Described {
    Described { description: "For tests.", headers: &[], body: None, success: Vec::new(), codes: &[] }
}
