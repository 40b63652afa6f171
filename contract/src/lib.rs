//! The words that the gate and the store share.
//!
//! Promises: pure code, no I/O, no clock, the same answers on every target; whatever the gate accepts here the store
//! accepts too, because both call it. Refuses: anything that can be read in two ways, rather than picking one reading.

mod action;
mod actor;
mod allow;
mod app;
mod claims;
mod credential;
mod detail;
mod endpoint;
mod error;
mod fields;
mod file_request;
mod form;
mod gateway_error;
pub mod headers;
mod job;
mod language;
mod media_type;
mod module_ref;
mod nonce;
mod origin;
mod package;
mod package_id;
mod pattern;
mod prefix;
pub mod release;
mod request;
#[cfg(feature = "schema")]
mod schema;
mod segment;
mod sha256;
mod signed_url;
mod tenant;
mod url;
mod version;

pub use action::{Action, UnknownAction};
pub use actor::{CallerApp, InvalidActor, MAX_NAME_BYTES, Operator, is_printable_name};
pub use allow::{AllowList, HostRule, InvalidHostRule};
pub use app::{AppCode, InvalidName, ModuleName};
pub use claims::{AppClaim, Claims, ConsoleClaim, Extension, GrantClaim, GrantsClaim, UserClaim};
pub use credential::{
    CredentialName, InvalidCallerCredential, InvalidCredentialName, MAX_CALLER_CREDENTIAL_BYTES,
    caller_credential_refused, read_caller_credential,
};
pub use detail::{
    CleanupEntry, CleanupPlan, EventDocument, JobPage, Member, MemberKind, Members, ModulePage, ModuleSummary,
    PackageDocument, Page, PinDocument, SumsDocument, UsageDocument,
};
pub use endpoint::{
    BodyKind, CREDENTIAL_NAMES, Endpoint, ExtraAction, Method, NoEndpoint, Operation, PathParams, ReplyKind, Route,
    UNKNOWN_PARAMETER,
};
pub use error::{ErrorCode, Problem};
pub use fields::{Field, Fields, NoObject};
pub use file_request::UploadByFileRequest;
pub use form::{Boundary, BoundaryLine, InvalidForm, MAX_PARTS, PartHead};
pub use gateway_error::{GatewayErrorRow, InvalidArgs};
pub use job::{InvalidJobId, JobDocument, JobError, JobId, JobState};
pub use language::{Language, Text};
pub use media_type::{MediaType, is_of_type};
pub use module_ref::{InvalidModuleRef, ModuleRef};
pub use nonce::SignedNonce;
pub use origin::Origin;
pub use package::{DownloadUrl, NameTooLong, PackageName, SourcePackage};
pub use package_id::{InvalidPackageId, PackageId};
pub use pattern::{Patterns, pattern_covers};
pub use prefix::{InvalidPrefix, PathPrefix};
pub use request::{
    ParseLink, SourceRules, UploadByLinkRequest, parse_body_fields, read_flag_field, read_version_field,
};
pub use segment::{FileName, InvalidSegment, PinName};
pub use sha256::{InvalidSha256, Sha256, feed_parts};
pub use signed_url::{MAX_CLIENT_IPS, SIGNED_URL_PARAMETER, SignedUrlClaims, SignedUrlHeader};
pub use tenant::{InvalidTenantId, TenantId};
pub use url::{InvalidUrl, PackageUrl};
pub use version::{InvalidVersion, PackageVersion};
