//! The words that the gate and the store share.
//!
//! Promises: pure code, no I/O, no clock, the same answers on every target; whatever the gate accepts here the store
//! accepts too, because both call it. Refuses: anything that can be read in two ways, rather than picking one reading.

mod allow;
mod app;
mod claims;
mod error;
mod fields;
pub mod headers;
mod job;
mod language;
mod media_type;
mod origin;
mod package;
mod path;
mod request;
mod sha256;
mod url;
mod version;

pub use allow::{AllowList, HostRule, InvalidHostRule};
pub use app::{AppCode, InvalidName, ModuleName};
pub use claims::{AppClaim, Claims, Extension, UserClaim};
pub use error::{ErrorCode, Problem};
pub use fields::{Field, Fields, NoObject};
pub use job::JobId;
pub use language::{Language, Text};
pub use media_type::{MediaType, is_of_type};
pub use origin::Origin;
pub use package::{PackageName, SourcePackage};
pub use path::{InvalidPrefix, LinkPath, PathPrefix, UploadPath};
pub use request::{Link, LinkRequest, LinkRules, read_fields};
pub use sha256::{InvalidSha256, Sha256};
pub use url::{InvalidUrl, PackageUrl};
pub use version::{InvalidVersion, PackageVersion};
