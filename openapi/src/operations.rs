//! What each operation takes and gives: the one place where that is said, row by row of the table of endpoints.

use linkgate_contract::{
    CleanupPlan, DownloadUrl, ErrorCode, EventDocument, JobDocument, JobPage, Members, ModulePage, Operation,
    PackageDocument, Page, PinDocument, SourcePackage, UsageDocument,
};
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

const LANGUAGE: Parameter = Parameter::new(
    "blueking-language",
    text,
    "The language of `detail`: English if it begins with `en`, Chinese if with `zh`. Else `Accept-Language` says; without both, Chinese",
);
const PREFER: Parameter =
    Parameter::new("Prefer", text, "`respond-async`: 202 with a job, without waiting for the upload");
const IDEMPOTENCY_KEY: Parameter = Parameter::new(
    "Idempotency-Key",
    || json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]*$"}),
    "The same key with the same request is answered as the first time, for a day; with another request it is \
     `IDEMPOTENCY_KEY_REUSED`",
);
const SOURCE_AUTHORIZATION: Parameter = Parameter::new(
    "X-Linkgate-Source-Authorization",
    text,
    "What the source of the package is to get as `Authorization`, where the operator allows that: 1 to 8192 visible ASCII characters \
     with single blanks within",
);
const ACCEPT: Parameter = Parameter::new(
    "Accept",
    text,
    "`text/event-stream`: the job as events, until it has ended, if its `q` is not below that of `application/json`",
);
const LAST_EVENT_ID: Parameter =
    Parameter::new("Last-Event-ID", text, "The last event that was read, of a client that comes back: a state");

/// What may be done to a package that a reply shows.
const ON_A_PACKAGE: &[Operation] = &[
    Operation::GetSourcePackage,
    Operation::DownloadSourcePackage,
    Operation::GetSourcePackageAttestation,
    Operation::CreateSourcePackageDownloadUrl,
    Operation::DeleteSourcePackage,
    Operation::RestoreSourcePackage,
];

/// What refuses a package, however it comes.
const PACKAGE_CODES: &[ErrorCode] = &[
    ErrorCode::Validation,
    ErrorCode::UnsupportedSourceOrigin,
    ErrorCode::PackageAlreadyExists,
    ErrorCode::PackageInUse,
    ErrorCode::PackageQuotaExceeded,
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
        Operation::UploadSourcePackage => upload_by_file(bodies::file_or_form(), schemas),
        Operation::PutSourcePackage => upload_by_file(bodies::file(), schemas),
        Operation::DownloadSourcePackage => download(),
        Operation::GetSourcePackageAttestation => get_attestation(schemas),
        Operation::CreateSourcePackageDownloadUrl => create_download_url(schemas),
        Operation::ListSourcePackages => list_packages(schemas),
        Operation::GetSourcePackage => get_package(schemas),
        Operation::GetSourcePackageUsage => get_usage(schemas),
        Operation::ListSourcePackageEvents => list_events(schemas),
        Operation::DeleteSourcePackage => delete(schemas),
        Operation::RestoreSourcePackage => restore(schemas),
        Operation::PinSourcePackage => pin(schemas),
        Operation::UnpinSourcePackage => unpin(schemas),
        Operation::ExplainSourcePackageCleanup => explain_cleanup(schemas),
        Operation::RunSourcePackageCleanup => run_cleanup(schemas),
        Operation::ListSourcePackageJobs => list_jobs(schemas),
        Operation::ListSourcePackageMembers => list_members(schemas),
        Operation::ListModules => list_modules(schemas),
        #[cfg(feature = "test-endpoint")]
        Operation::ShowTestQuery => show_test_query(),
    }
}

fn upload_by_link(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "It is downloaded, inspected and stored. The reply comes when it is stored, or at once with \
            `Prefer: respond-async`. A request for an upload that is in progress (same module, all fields alike) joins that.",
        headers: &[LANGUAGE, PREFER, IDEMPOTENCY_KEY, SOURCE_AUTHORIZATION],
        body: Some(bodies::upload_by_link()),
        success: vec![
            Success::json::<SourcePackage>(200, "The package, stored", schemas).leading_to(ON_A_PACKAGE),
            Success::json::<JobDocument>(202, "The job that uploads the package", schemas)
                .with_header("Location", "Where to ask for the job, relative to the URL of the request: `{job_id}/`")
                .with_header("Preference-Applied", "`respond-async`"),
        ],
        codes: PACKAGE_CODES,
    }
}

const CONTENT_DIGEST: Parameter = Parameter::new(
    "Content-Digest",
    text,
    "Of the body, which may be a form, as RFC 9530 writes it: `sha-256=:…:` or `sha-512=:…:`; others are ignored",
);
const REPR_DIGEST: Parameter = Parameter::new("Repr-Digest", text, "The same as `Content-Digest`");
const CONTENT_MD5: Parameter = Parameter::new("Content-MD5", text, "Of the body, in base64");
const CHECKSUM: Parameter = Parameter::new("X-Checksum-Sha256", text, "Of the file, in hexadecimal digits");
const PREFER_EXISTING: Parameter = Parameter::new(
    "Prefer",
    text,
    "`return=existing`: if the version is there with these very bytes, that is 200 with its row, and nothing changes. Where \
     `X-Checksum-Sha256` names the digest, the reply comes before the body is read",
);
const IF_VERSION: Parameter = Parameter::new(
    "If-Match",
    text,
    "Only if the version is there in this state, `\"{id}.{revision}\"` or `\"{sha256}\"`, else 412. To replace it takes `allow_overwrite` \
     as ever",
);
const IF_NO_VERSION: Parameter = Parameter::new(
    "If-None-Match",
    text,
    "`*`: only if the version is not there, with `allow_overwrite`, too; else 412",
);

/// What refuses a file beside what refuses any package.
const FILE_CODES: &[ErrorCode] = &[
    ErrorCode::Validation,
    ErrorCode::UnsupportedSourceOrigin,
    ErrorCode::PackageAlreadyExists,
    ErrorCode::PackageInUse,
    ErrorCode::PackageQuotaExceeded,
    ErrorCode::ChecksumMismatch,
    ErrorCode::SizeMismatch,
    ErrorCode::PackageFormatUnsupported,
    ErrorCode::PackageBroken,
    ErrorCode::PackageMemberRefused,
    ErrorCode::PackageLimitExceeded,
    ErrorCode::PackageDescriptionInvalid,
    ErrorCode::FileTooLarge,
    ErrorCode::UploadTimeout,
    ErrorCode::PreconditionFailed,
    ErrorCode::ObjectStore,
    ErrorCode::InsufficientStorage,
    ErrorCode::TooManyUploads,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::UnsupportedMediaType,
];

fn upload_by_file(body: Value, schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Inspects and stores the file while it comes. Every digest that is given must match. What is refused or cut off \
            leaves nothing behind.",
        headers: &[
            LANGUAGE,
            CONTENT_DIGEST,
            REPR_DIGEST,
            CONTENT_MD5,
            CHECKSUM,
            IDEMPOTENCY_KEY,
            PREFER_EXISTING,
            IF_VERSION,
            IF_NO_VERSION,
        ],
        body: Some(body),
        success: vec![Success::json::<SourcePackage>(200, "The package, stored", schemas).leading_to(ON_A_PACKAGE)],
        codes: FILE_CODES,
    }
}

fn get_job(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "As it is now, or with `Accept: text/event-stream` as events until it has ended.",
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
        description: "From `storing` on it is too late, and the document says how the job ended instead. Whoever waits for the same \
            upload is refused with `UPLOAD_CANCELLED`.",
        headers: &[LANGUAGE],
        body: None,
        success: vec![Success::json::<JobDocument>(200, "The job, as it ended", schemas)],
        codes: &[],
    }
}

const RANGE: Parameter = Parameter::new(
    "Range",
    text,
    "One range: `bytes=0-99`, `bytes=100-`, `bytes=-100`. Several, and what is no range, get the whole package",
);
const IF_RANGE: Parameter = Parameter::new(
    "If-Range",
    text,
    "The range only if the package is still this one, by its `ETag`, else all of it. A date counts only for packages that were never \
     overwritten",
);
const IF_MATCH: Parameter =
    Parameter::new("If-Match", text, "Only if the package is still this one, by its `ETag`, else 412");
const IF_NONE_MATCH: Parameter =
    Parameter::new("If-None-Match", text, "Only if the package is another one, by its `ETag`, else 304");
const IF_MODIFIED_SINCE: Parameter =
    Parameter::new("If-Modified-Since", text, "Only if the package changed since then, else 304");
const IF_UNMODIFIED_SINCE: Parameter =
    Parameter::new("If-Unmodified-Since", text, "Only if the package did not change since then, else 412");

/// What refuses whoever asks for bytes.
const DOWNLOAD_CODES: &[ErrorCode] = &[
    ErrorCode::PackageDeleted,
    ErrorCode::PackagePurged,
    ErrorCode::PackageChanged,
    ErrorCode::PreconditionFailed,
    ErrorCode::RangeNotSatisfiable,
    ErrorCode::SignatureExpired,
    ErrorCode::SignatureInvalid,
    ErrorCode::ObjectStore,
];

/// The headers that tell one version of the bytes from another.
fn with_validators(success: Success) -> Success {
    success
        .with_header("ETag", "The SHA-256 of the package, in quotes")
        .with_header("Last-Modified", "When the package was uploaded, overwritten or restored last")
        .with_header("Cache-Control", "`private, no-transform`")
}

fn with_bytes(success: Success) -> Success {
    let binary = || json!({"type": "string", "format": "binary"});
    let media_types =
        ["application/x-tar", "application/gzip", "application/zip", "application/octet-stream", "application/x-bzip2"];
    let media_types = media_types.into_iter().chain(["application/x-xz", "application/zstd"]);
    let success = media_types.fold(success, |success, media_type| success.or_media(media_type, binary()));
    with_validators(success)
        .with_header("Accept-Ranges", "`bytes`")
        .with_header("Content-Length", "The bytes that follow")
        .with_header("Content-Disposition", "`attachment`, with a name in ASCII and, as `filename*`, in UTF-8: the `package_name` with `-` in the place of `:`, and a suffix by the format if it has none")
        .with_header("Repr-Digest", "The SHA-256 of the whole package, also with a part, as RFC 9530 writes it")
        .with_header("X-Checksum-Sha256", "The same in hexadecimal digits")
        .with_header("X-Content-Type-Options", "`nosniff`")
}

fn download() -> Described {
    Described {
        description: "All of its bytes, or one range of them. A download that has begun goes on with the same version, \
            whatever becomes of the package. With the parameter of a signed URL it needs no other credentials.",
        headers: &[LANGUAGE, RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE],
        body: None,
        success: vec![
            with_bytes(Success::empty(200, "All of it")),
            with_bytes(Success::empty(206, "One range of it")).with_header("Content-Range", "Which bytes these are"),
            Success::empty(302, "By a signed URL, where the storage sends the bytes itself")
                .with_header("Location", "Where they are, for five minutes")
                .with_header("X-Checksum-Sha256", "Their SHA-256"),
            with_validators(Success::empty(304, "It is still the one that the caller has")),
        ],
        codes: DOWNLOAD_CODES,
    }
}

fn get_attestation(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "An in-toto statement in a DSSE envelope, which the store signed at the upload of these bytes; also of a deleted \
            package.",
        headers: &[LANGUAGE, IF_MATCH, IF_NONE_MATCH],
        body: None,
        success: vec![
            Success::empty(200, "The envelope")
                .or_media(
                    "application/vnd.dsse.envelope.v1+json",
                    schemas.subschema_for::<bodies::Envelope>().to_value(),
                )
                .with_header("ETag", "The SHA-256 of the envelope, in quotes")
                .with_header("Cache-Control", "`private, no-cache`"),
            Success::empty(304, "It is still the one that the caller has"),
        ],
        codes: &[ErrorCode::PreconditionFailed],
    }
}

fn create_download_url(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "The link is for the bytes that the package has now, as long as its maker may `download` and `sign`.",
        headers: &[LANGUAGE],
        body: Some(bodies::download_url()),
        success: vec![
            Success::json::<DownloadUrl>(200, "The link", schemas).with_header("Cache-Control", "`no-store`"),
        ],
        codes: &[ErrorCode::UnsupportedMediaType, ErrorCode::PackageDeleted, ErrorCode::PackagePurged],
    }
}

const IF_STATE: Parameter = Parameter::new(
    "If-Match",
    text,
    "Only if the package is in this state, `\"{id}.{revision}\"` or `\"{sha256}\"`, else 412",
);
const IF_OTHER_STATE: Parameter = Parameter::new("If-None-Match", text, "Only if it is in no such state, else 412");
const CHANGE_HEADERS: &[Parameter] = &[LANGUAGE, IF_STATE, IF_OTHER_STATE];
const IF_NEW_STATE: Parameter =
    Parameter::new("If-None-Match", text, "Only if it is in no such state, in the same form, else 304");

fn with_state(success: Success) -> Success {
    success.with_header("ETag", "The state of the package, `\"{id}.{revision}\"`")
}

const STRICT: Parameter =
    Parameter::new("Prefer", text, "`handling=strict`: unknown and unreadable parameters are refused, not passed over");

fn with_links(success: Success) -> Success {
    success
        .with_header("Link", "The pages `next` and `prev`, as the body has them")
        .with_header("X-Linkgate-Count", "`at-least`, where there are more than `count` says")
        .with_header("Preference-Applied", "`handling=strict`")
}

fn list_packages(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Every order ends in `id`, so that a walk shows each package once; by `before_id` also while packages come in.",
        headers: &[LANGUAGE, STRICT],
        body: None,
        success: vec![with_links(Success::json::<Page<SourcePackage>>(200, "A page", schemas))],
        codes: &[ErrorCode::Validation],
    }
}

fn get_package(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "All that is known of it, also of a deleted one.",
        headers: &[LANGUAGE, IF_STATE, IF_NEW_STATE],
        body: None,
        success: vec![
            with_state(Success::json::<PackageDocument>(200, "The package", schemas)),
            with_state(Success::empty(304, "It is still in the state that the caller knows")),
        ],
        codes: &[ErrorCode::Validation, ErrorCode::PreconditionFailed],
    }
}

fn get_usage(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "How many packages, how many bytes, and how many there may be.",
        headers: &[LANGUAGE],
        body: None,
        success: vec![Success::json::<UsageDocument>(200, "The sums", schemas)],
        codes: &[],
    }
}

fn list_events(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Every change of a package is an event, and so are deletions that a pin refused and uploads that a quota refused.",
        headers: &[LANGUAGE, STRICT],
        body: None,
        success: vec![with_links(Success::json::<Page<EventDocument>>(200, "A page", schemas))],
        codes: &[ErrorCode::Validation],
    }
}

fn list_jobs(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Those under way, and those that have ended for as long as they are known.",
        headers: &[LANGUAGE, STRICT],
        body: None,
        success: vec![Success::json::<JobPage>(200, "The jobs", schemas)],
        codes: &[ErrorCode::Validation],
    }
}

fn list_members(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "In the order of the archive, which is read for it.",
        headers: &[LANGUAGE],
        body: None,
        success: vec![Success::json::<Members>(200, "The members", schemas)],
        codes: &[ErrorCode::PackageDeleted, ErrorCode::PackagePurged, ErrorCode::ObjectStore],
    }
}

fn list_modules(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Only modules for which the caller has a grant with the action `read`; a caller who has none at all is refused.",
        headers: &[LANGUAGE, STRICT],
        body: None,
        success: vec![with_links(Success::json::<ModulePage>(200, "A page", schemas))],
        codes: &[ErrorCode::Validation],
    }
}

fn delete(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Its version is free at once, and its bytes stay for as long as the operator says. One that is deleted already \
            stays as it is. One that is pinned is deleted only with `force=true`.",
        headers: CHANGE_HEADERS,
        body: None,
        success: vec![with_state(
            Success::json::<PackageDocument>(200, "The package, deleted", schemas).leading_to(ON_A_PACKAGE),
        )],
        codes: &[ErrorCode::PreconditionFailed, ErrorCode::PackageInUse],
    }
}

fn restore(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "It has its `id` and `created` as before, and its version, or another one if the body names it. One that is live \
            stays as it is.",
        headers: CHANGE_HEADERS,
        body: Some(bodies::restore()),
        success: vec![with_state(
            Success::json::<PackageDocument>(200, "The package, live", schemas).leading_to(ON_A_PACKAGE),
        )],
        codes: &[
            ErrorCode::PreconditionFailed,
            ErrorCode::PackageAlreadyExists,
            ErrorCode::PackageQuotaExceeded,
            ErrorCode::PackagePurged,
            ErrorCode::UnsupportedMediaType,
            ErrorCode::ObjectStore,
        ],
    }
}

fn pin(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Says that something uses the package: it is not deleted unless by force. Says anew what a pin of the same name \
            says. A package has 64 pins at most.",
        headers: CHANGE_HEADERS,
        body: Some(bodies::pin()),
        success: vec![with_state(Success::json::<PinDocument>(200, "The pin", schemas))],
        codes: &[
            ErrorCode::PreconditionFailed,
            ErrorCode::PackageQuotaExceeded,
            ErrorCode::PackageDeleted,
            ErrorCode::PackagePurged,
            ErrorCode::UnsupportedMediaType,
        ],
    }
}

fn unpin(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Also from a deleted package. Shows the pin once more; 404 if there is none of this name.",
        headers: CHANGE_HEADERS,
        body: None,
        success: vec![with_state(Success::json::<PinDocument>(200, "The pin that was", schemas))],
        codes: &[ErrorCode::PreconditionFailed],
    }
}

fn explain_cleanup(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "By the operator's rule for this module, as of now; and what it keeps and why.",
        headers: &[LANGUAGE],
        body: None,
        success: vec![Success::json::<CleanupPlan>(200, "The plan", schemas)],
        codes: &[],
    }
}

fn run_cleanup(schemas: &mut SchemaGenerator) -> Described {
    Described {
        description: "Exactly that, whatever the rule's `mode`; or nothing, where the plan would be another by now.",
        headers: &[LANGUAGE],
        body: Some(bodies::run_cleanup()),
        success: vec![Success::json::<CleanupPlan>(200, "The plan, done", schemas)],
        codes: &[ErrorCode::PlanChanged, ErrorCode::UnsupportedMediaType],
    }
}

#[cfg(feature = "test-endpoint")]
fn show_test_query() -> Described {
    Described { description: "For tests.", headers: &[], body: None, success: Vec::new(), codes: &[] }
}
