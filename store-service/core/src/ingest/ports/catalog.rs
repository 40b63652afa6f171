//! Where the books are.

use std::time::Duration;

use linkgate_archive::Package;
use linkgate_contract::{AppCode, JobId, ModuleRef, PackageVersion, Sha256};
use serde::{Deserialize, Serialize};

use super::{Cause, Fetched, JobEnd, JobRecord, JobView};
use crate::ingest::SourceOrigin;

/// Where the books are.
pub trait Catalog: Send + Sync + 'static {
    /// The booked origin of a module.
    fn module_origin(
        &self,
        target: &ModuleRef,
    ) -> impl Future<Output = Result<Option<SourceOrigin>, CatalogError>> + Send;
    /// Whether a version is there and not deleted.
    fn has_live(
        &self,
        target: &ModuleRef,
        version: &PackageVersion,
    ) -> impl Future<Output = Result<bool, CatalogError>> + Send;
    /// Books a package, its module if that is new, and the upload as done, in one transaction.
    fn record(&self, entry: NewEntry, job: JobRecord) -> impl Future<Output = Result<Recorded, CatalogError>> + Send;
    /// Books an upload that goes on without its caller; from here on it survives whatever happens to the store. Booked
    /// again, it gets further keys.
    fn accept(&self, job: JobRecord) -> impl Future<Output = Result<(), CatalogError>> + Send;
    /// Books that an upload ended without a package, whether it was booked before or not. Its keys are free again.
    fn give_up(&self, job: JobRecord, end: JobEnd) -> impl Future<Output = Result<(), CatalogError>> + Send;
    /// A booked upload.
    fn job(&self, id: JobId) -> impl Future<Output = Result<Option<JobView>, CatalogError>> + Send;
    /// The upload that a key stands for, if it was used since then, and the request's fingerprint.
    fn job_of_key(
        &self,
        key: [u8; 32],
        since_ms: i64,
    ) -> impl Future<Output = Result<Option<(JobId, [u8; 32])>, CatalogError>> + Send;
    /// Uploads that were accepted and have not ended, the oldest first.
    fn unfinished(&self) -> impl Future<Output = Result<Vec<JobRecord>, CatalogError>> + Send;
    /// A package that a live row of this application points at, if it was looked into.
    fn held(
        &self,
        app_code: &AppCode,
        sha256: &Sha256,
    ) -> impl Future<Output = Result<Option<Held>, CatalogError>> + Send;
    /// The statements of the rows that point at a package, the newest hundred of them.
    fn statements(&self, sha256: &Sha256) -> impl Future<Output = Result<Vec<String>, CatalogError>> + Send;
    /// Whether any row points at a package. A deleted row does not: deleting is how its bytes are given up.
    fn points_at(&self, sha256: &Sha256) -> impl Future<Output = Result<bool, CatalogError>> + Send;
    /// Proves that the books can be written.
    fn check(&self) -> impl Future<Output = Result<(), CatalogError>> + Send;
}

/// A package to book.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Whose it is.
    pub target: ModuleRef,
    /// Whether the module is booked along with it.
    pub registers_module: bool,
    /// Its version.
    pub version: PackageVersion,
    /// Its display name.
    pub package_name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// What is inside.
    pub package: Package,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Who uploads it.
    pub operator: String,
    /// Whether a live row of the same version is replaced.
    pub allow_overwrite: bool,
}

/// Where a package comes from, beside what its upload says.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// What the source said; `None` if the bytes were kept already.
    pub fetched: Option<Fetched>,
    /// Milliseconds since the epoch.
    pub ended_ms: i64,
    /// All of it, signed.
    pub statement: String,
}

/// A package that is kept already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its bytes.
    pub size_bytes: u64,
    /// What is inside.
    pub package: Package,
}

/// A booked package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The row's number.
    pub id: i64,
    /// Its version.
    pub version: String,
    /// Its display name.
    pub package_name: String,
    /// Its bytes.
    pub size_bytes: i64,
    /// Its hash.
    pub sha256: Sha256,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
    /// Who uploaded it.
    pub operator: String,
}

/// What booking did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The row.
    pub entry: Entry,
    /// The package that the row pointed at before.
    pub replaced: Option<Sha256>,
    /// How long others held the database meanwhile.
    pub waited: Duration,
}

/// Why the books refuse or fail.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The version is there and may not be overwritten.
    #[error("the version is there already")]
    AlreadyExists,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Cause),
}
