//! Where packages and modules are recorded.

use crate::settings::{Quota, QuotaExceeded, RetentionOrder, SourceOrigin, UsageOfTarget};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use linkgate_archive::{Format, Package};
use linkgate_contract::{JobId, ModuleRef, Operator, PackageId, PackageVersion, Sha256};
use serde::{Deserialize, Serialize};

use super::{Cause, Fence, Fetched, JobRecord, Pin};
use crate::conditions::{Conditions, Existing, NotMet};

/// Where packages and modules are recorded. A copy is another handle on the same.
pub trait Catalog: CatalogReader {
    /// What an upload has announced.
    type Reservation: QuotaReservation;

    /// The recorded origin of a module.
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
    /// The package of a version that is there and not deleted.
    fn find_live(
        &self,
        target: &ModuleRef,
        version: &PackageVersion,
    ) -> impl Future<Output = Result<Option<LivePackage>, CatalogError>> + Send;
    /// The pins in force by which a live version may not be overwritten.
    fn protecting_pins(
        &self,
        target: &ModuleRef,
        version: &PackageVersion,
    ) -> impl Future<Output = Result<Vec<Pin>, CatalogError>> + Send;
    /// What a module and its application keep.
    fn usage(&self, target: &ModuleRef) -> impl Future<Output = Result<UsageOfTarget, CatalogError>> + Send;
    /// Announces a package, if its quota lets it: until the reservation is dropped it counts for others as if it were there.
    fn reserve(&self, claim: QuotaClaim) -> impl Future<Output = Result<Self::Reservation, CatalogError>> + Send;
    /// Records a package, its module if that is new, and its job as done, in one transaction.
    ///
    /// [`CatalogError::Condition`] if the package's conditions are not met by the row that it would replace, and
    /// [`CatalogError::Fenced`] if the job has a claim and this fence is not that of its last one: nothing is recorded. So it is with
    /// [`CatalogError::KeyTaken`] if a key of a job that is not queued stands for another one by then.
    fn record(
        &self,
        package: NewPackage,
        job: JobRecord,
        fence: Option<Fence>,
    ) -> impl Future<Output = Result<Recorded, CatalogError>> + Send;
    /// A package of this module with these bytes, if it was looked into and it is known where they came from.
    fn find_stored(
        &self,
        target: &ModuleRef,
        sha256: &Sha256,
    ) -> impl Future<Output = Result<Option<StoredPackage>, CatalogError>> + Send;
    /// The statements of the rows that reference a blob, the newest hundred of them.
    fn statements(&self, sha256: &Sha256) -> impl Future<Output = Result<Vec<String>, CatalogError>> + Send;
    /// What downloading a package of this module needs to know of it, deleted or not.
    fn find_file(
        &self,
        target: &ModuleRef,
        id: PackageId,
    ) -> impl Future<Output = Result<Option<StoredFile>, CatalogError>> + Send;
    /// The statement of where a package of this module came from, deleted or not.
    fn find_statement(
        &self,
        target: &ModuleRef,
        id: PackageId,
    ) -> impl Future<Output = Result<Option<String>, CatalogError>> + Send;
    /// Proves that it can be written.
    fn check(&self) -> impl Future<Output = Result<(), CatalogError>> + Send;
}

/// The catalog for those who look after what is stored: page by page, by digest, without changing anything. Rows count that
/// need their bytes: all of them, deleted or not, until they are purged.
pub trait CatalogReader: Clone + Send + Sync + 'static {
    /// Kept while a blob and its rows are brought in line, so that no blob is deleted as referenced by no row while an upload
    /// is about to record a row for the same bytes. Who only reads beside a running store cannot have it, and an adapter whose
    /// blobs have names that are never used again needs none: both give an empty one.
    type BlobLock: Send + 'static;
    /// A copy of the catalog, to be read.
    type Snapshot: CatalogReader;

    /// Waits until nobody else publishes or frees this blob. Whoever has one lock asks for no second one.
    fn lock_blob(&self, sha256: &Sha256) -> impl Future<Output = Self::BlobLock> + Send;
    /// The blobs that rows reference, in order of their digests, those after the given one; empty after the last.
    fn references_after(&self, sha256: &str) -> impl Future<Output = Result<Vec<Reference>, CatalogError>> + Send;
    /// What rows say of one blob; `None` if none references it.
    fn reference(&self, sha256: &Sha256) -> impl Future<Output = Result<Option<Reference>, CatalogError>> + Send;
    /// Whether a row references a blob.
    fn is_referenced(&self, sha256: &Sha256) -> impl Future<Output = Result<bool, CatalogError>> + Send;
    /// The rows that reference a blob, the first hundred of them.
    fn referencing_rows(&self, sha256: &str) -> impl Future<Output = Result<Vec<RowName>, CatalogError>> + Send;
    /// Live packages of a module, the newest first, those behind the cursor; empty after the last.
    fn candidates_after(
        &self,
        target: &ModuleRef,
        order: RetentionOrder,
        after: Option<CandidateCursor>,
    ) -> impl Future<Output = Result<Vec<Candidate>, CatalogError>> + Send;
    /// Modules that have or had packages, in the order of their names, those behind this one; empty after the last.
    fn modules_after(
        &self,
        after: Option<&ModuleRef>,
    ) -> impl Future<Output = Result<Vec<ModuleRef>, CatalogError>> + Send;
    /// What is wrong with the database itself, if anything: also an index that does not tell what its table holds.
    fn find_damage(&self) -> impl Future<Output = Result<Option<String>, CatalogError>> + Send;
    /// Writes the catalog as it is at one moment into a new file, durably, while others go on writing in it; and opens that.
    fn snapshot(&self, into: &Path) -> impl Future<Output = Result<Self::Snapshot, CatalogError>> + Send;
    /// What all rows of the catalog come to, as copies of it have them; `None` if the catalog is of another release.
    fn sum_up(&self) -> impl Future<Output = Result<Option<CatalogSum>, CatalogError>> + Send;
    /// Lets go of it; what is done with it afterwards fails.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// What a catalog needs to have done when nobody uploads. (Its snapshots are the reader's.)
pub trait Maintenance: Catalog {
    /// That this process does a piece of maintenance, and no other one. Dropping it lets others do it.
    type Lease: Send + Sync + 'static;

    /// Takes a piece of maintenance that is to be done so often, if it is time to and no other process that is alive does it.
    fn begin_chore(
        &self,
        chore: Chore,
        every: Duration,
    ) -> impl Future<Output = Result<Turn<Self::Lease>, CatalogError>> + Send;
    /// Settles what a commit of unknown outcome left, so that rows which nobody sees now cannot turn up later.
    fn settle(&self) -> impl Future<Output = Result<(), CatalogError>> + Send;
    /// Forgets jobs that ended before then, and says how many.
    fn expire_jobs(&self, ended_before_ms: i64) -> impl Future<Output = Result<u64, CatalogError>> + Send;
    /// Forgets what happened to packages before then, a part of it, and says how much; 0 when nothing is left of it.
    fn expire_events(&self, before_ms: i64) -> impl Future<Output = Result<u64, CatalogError>> + Send;
}

/// A piece of maintenance that one process does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Deletes what no row references.
    CollectGarbage,
    /// Frees the bytes of what was deleted long ago.
    Purge,
    /// Deletes by the operator's rules.
    CleanUp,
    /// Forgets jobs and events.
    Expire,
    /// Forgets used nonces whose time is over.
    ForgetNonces,
    /// Reads everything again.
    Scrub,
}

impl Chore {
    /// As it is written down.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CollectGarbage => "gc",
            Self::Purge => "purge",
            Self::CleanUp => "cleanup",
            Self::Expire => "expire",
            Self::ForgetNonces => "nonces",
            Self::Scrub => "scrub",
        }
    }
}

/// Whether a piece of maintenance is to be done here.
#[derive(Debug)]
pub enum Turn<L> {
    /// It is, for as long as this is held.
    Now(L),
    /// It is not. To be asked again after this time.
    Later(Duration),
}

/// What an upload has announced. Dropping it takes it back.
pub trait QuotaReservation: Send + 'static {
    /// Announces so many bytes in the place of those that were, if the quota lets it.
    fn grow(&mut self, bytes: u64) -> impl Future<Output = Result<(), CatalogError>> + Send;
}

/// A package that an upload announces.
#[derive(Clone, Debug)]
pub struct QuotaClaim {
    /// The upload. Whatever it announced before no longer counts.
    pub job: JobId,
    /// Whose package it is.
    pub target: ModuleRef,
    /// Its version: the package that is there counts against it.
    pub version: PackageVersion,
    /// Its bytes, as far as they are known.
    pub bytes: u64,
    /// What holds for the module.
    pub quota: Quota,
}

/// A live package that a rule may delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: PackageId,
    /// Its version.
    pub version: PackageVersion,
    /// Its bytes.
    pub size_bytes: u64,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
    /// Grows with each change.
    pub revision: i64,
    /// Whether a pin is in force.
    pub is_pinned: bool,
}

/// Where a page of candidates ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateCursor {
    /// That by which they are ordered.
    pub place: CandidatePlace,
    /// Of several of one place, which.
    pub id: PackageId,
}

/// Where a candidate stands in the order of its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidatePlace {
    /// Milliseconds since the epoch.
    Time(i64),
    /// Its version's natural key.
    Version(Vec<u8>),
}

/// A package to record.
#[derive(Clone, Debug)]
pub struct NewPackage {
    /// Whose it is.
    pub target: ModuleRef,
    /// Whether the module is recorded along with it.
    pub registers_module: bool,
    /// Its version.
    pub version: PackageVersion,
    /// Its display name.
    pub package_name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// What is inside.
    pub package: Package,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Who uploads it.
    pub operator: Operator,
    /// Whether a live row of the same version is replaced.
    pub allow_overwrite: bool,
    /// What must be true of that row, or of there being none.
    pub conditions: Conditions,
    /// What holds for its module.
    pub quota: Quota,
}

/// Where a package comes from, beside what its upload says.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Where its bytes came from.
    pub bytes: BytesFrom,
    /// Milliseconds since the epoch.
    pub ended_ms: i64,
    /// All of it, signed.
    pub statement: String,
}

/// Where the bytes of a package came from.
#[derive(Clone, Debug)]
pub enum BytesFrom {
    /// The source that its upload asked.
    Source(Fetched),
    /// The module had them: nobody asked the upload's link.
    Stored(Origin),
    /// The caller sent them.
    Caller,
}

/// Which upload downloaded bytes that are stored, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// That upload.
    pub job_id: JobId,
    /// The link that it asked for, without its query.
    pub url: String,
    /// The link that gave the bytes in the end, without its query.
    pub final_url: String,
    /// Of the reply that gave them.
    pub etag: Option<String>,
    /// The same.
    pub last_modified: Option<String>,
}

/// A package whose bytes are stored already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPackage {
    /// Its bytes.
    pub size_bytes: u64,
    /// What is inside.
    pub package: Package,
    /// Where they came from.
    pub origin: Origin,
}

/// A recorded package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRow {
    /// The row's number.
    pub id: PackageId,
    /// Its version.
    pub version: PackageVersion,
    /// Its display name.
    pub package_name: String,
    /// Its bytes.
    pub size_bytes: i64,
    /// Its digest.
    pub sha256: Sha256,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
    /// Who uploaded it.
    pub operator: Operator,
}

/// A package as it is downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its version.
    pub version: PackageVersion,
    /// Its display name.
    pub package_name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// What it is; `None` if it was never looked into.
    pub format: Option<Format>,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
    /// Whether its bytes are for callers.
    pub state: FileState,
}

/// Whether a package's bytes are for callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// They are.
    Live,
    /// The package was deleted, and may be restored.
    Deleted,
    /// It was deleted, and needs its bytes no more.
    Purged,
}

/// A package that is there and not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePackage {
    /// What is recorded of it.
    pub row: PackageRow,
    /// How often it was changed, and one.
    pub revision: i64,
}

impl LivePackage {
    /// What requests may want to be true of it.
    #[must_use]
    pub fn existing(&self) -> Existing {
        Existing { id: self.row.id, revision: self.revision, sha256: Some(self.row.sha256) }
    }
}

/// What recording did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The row.
    pub row: PackageRow,
    /// The blob that the row referenced before.
    pub replaced: Option<Sha256>,
    /// How long others held the database meanwhile.
    pub waited: Duration,
}

/// What rows that need their bytes say of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The digest as it is recorded; somebody may have written something else into the table.
    pub digest_text: String,
    /// How many rows reference it.
    pub rows: i64,
    /// The smallest size that one of them says.
    pub least_bytes: i64,
    /// And the largest; the two are equal unless the catalog is wrong.
    pub most_bytes: i64,
}

/// What the rows of a catalog come to. Two catalogs that come to the same hold the same, whatever they are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogSum {
    /// The tables, and how many rows each has.
    pub counts: Vec<(&'static str, u64)>,
    /// Of all of them, in their order.
    pub sha256: Sha256,
}

impl fmt::Display for CatalogSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (table, count) in &self.counts {
            write!(f, "{between}{table} {count}")?;
            between = ", ";
        }
        write!(f, "; SHA-256 {}", self.sha256)
    }
}

/// A row, for people: as it is recorded, for it may be a damaged one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowName {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub app_code: String,
    /// And of which module.
    pub module: String,
    /// Its version.
    pub version: String,
    /// The bytes that it says the package has.
    pub size_bytes: i64,
}

/// Why the catalog refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The version is there and may not be overwritten.
    #[error("the version is there already")]
    AlreadyExists,
    /// What the request wants to be true of the version is not.
    #[error(transparent)]
    Condition(#[from] NotMet),
    /// The version is there, and pins say that it may not be overwritten.
    #[error("the version is in use and may not be overwritten")]
    InUse(Vec<Pin>),
    /// Its module or application keeps as much as it may.
    #[error("a quota is used up: {0}")]
    QuotaExceeded(QuotaExceeded),
    /// A key of the upload stands for another one.
    #[error("the Idempotency-Key stands for another upload")]
    KeyTaken,
    /// Somebody else has claimed the job meanwhile, or it was taken off the queue.
    #[error("the job's claim has run out")]
    Fenced,
    /// As much is read as may be at a time.
    #[error("too many read at a time")]
    Busy,
    /// What was asked for would take longer than anybody may hold the database.
    #[error("what is asked for takes too long")]
    TooCostly,
    /// The database is away, or cannot do it now. What was to be changed may be changed.
    #[error("the database is away")]
    Unavailable(#[source] Cause),
    /// The database failed. What was to be changed may be changed.
    #[error("the database failed")]
    Database(#[source] Cause),
}
