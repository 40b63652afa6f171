//! How recorded packages are changed after their upload, and what is remembered of it.
//!
//! Promises, of every adapter: a change is judged and made in one transaction, together with the event that tells of it; a
//! change that changes nothing is no event. Whoever changes a package says which state of it was seen, or nothing.

use linkgate_contract::{CallerApp, ModuleRef, Operator, PackageId, PackageVersion, PinName, Sha256};
use serde::Serialize;

use super::{CatalogError, Maintenance, PackageReader, PackageRow};
use crate::conditions::{Conditions, Existing};
use crate::settings::{Quota, QuotaExceeded};

/// Changes of recorded packages.
pub trait Changes: Maintenance + PackageReader {
    /// Marks a package as deleted, whose version is free from then on. One that is deleted stays as it is.
    fn delete(
        &self,
        change: &Change,
        deletion: Deletion,
    ) -> impl Future<Output = Result<PackageDetail, ChangeError>> + Send;
    /// Makes a deleted package live again, under another version if one is given. One that is live stays as it is. Called
    /// under the publish lock, by somebody who knows that the bytes are there.
    fn restore(
        &self,
        change: &Change,
        version: Option<&PackageVersion>,
        quota: &Quota,
    ) -> impl Future<Output = Result<PackageDetail, ChangeError>> + Send;
    /// Pins a package that is live, or says anew what a pin of this name says.
    fn pin(
        &self,
        change: &Change,
        pin: NewPin,
    ) -> impl Future<Output = Result<(PackageDetail, Pin), ChangeError>> + Send;
    /// Takes a pin away, also one of a deleted package, and gives it.
    fn unpin(
        &self,
        change: &Change,
        name: &PinName,
    ) -> impl Future<Output = Result<(PackageDetail, Pin), ChangeError>> + Send;
    /// Gives up the bytes of deleted packages whose time has come, a few of them, and names those bytes. Empty when no more
    /// are due.
    fn purge_due(&self, now_ms: i64) -> impl Future<Output = Result<Vec<Purged>, CatalogError>> + Send;
    /// Deletes all that a plan names, or nothing if any of it is not as the plan saw it.
    fn clean_up(&self, cleanup: &Cleanup, actor: &Actor) -> impl Future<Output = Result<(), ChangeError>> + Send;
    /// Notes that an upload was refused by a quota of this name.
    fn note_refusal(
        &self,
        target: &ModuleRef,
        version: Option<&PackageVersion>,
        actor: &Actor,
        quota: &'static str,
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;
    /// How many packages are due, and their bytes.
    fn count_due(&self, now_ms: i64) -> impl Future<Output = Result<(u64, u64), CatalogError>> + Send;
}

/// Who changes something, as its event has it. Nothing of it is known where the store does it by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The calling application, if one was verified.
    pub app: Option<CallerApp>,
    /// On whose behalf, or the application once more.
    pub operator: Option<Operator>,
    /// The gateway's id of the request. May be empty.
    pub request_id: String,
    /// Where the request came from, as the gate saw it. May be empty.
    pub client_address: String,
}

/// Which package is changed, by whom, and what was seen of it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose it is. A package of another module is as good as none.
    pub target: ModuleRef,
    /// Which one.
    pub id: PackageId,
    /// What must be so.
    pub conditions: Conditions,
    /// Who does it.
    pub actor: Actor,
}

impl Change {
    /// Whether the package is what its changer saw.
    #[must_use]
    pub fn holds_for(&self, detail: &PackageDetail) -> bool {
        self.conditions.judge(Some(&detail.existing())).is_ok()
    }
}

/// How a package is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Also if it is pinned.
    pub force: bool,
    /// For how long its bytes stay so that it can be restored. Nothing: it is purged at once.
    pub restore_ms: i64,
}

/// Deletions of one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Whose packages they are.
    pub target: ModuleRef,
    /// The rule that says so.
    pub rule: String,
    /// Which, and the revision in which each was seen.
    pub doomed: Vec<(PackageId, i64)>,
    /// For how long their bytes stay.
    pub restore_ms: i64,
}

/// A package that gave up its bytes. Others may need the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Which one.
    pub id: PackageId,
    /// Its bytes, unless somebody wrote something else into the catalog.
    pub sha256: Option<Sha256>,
    /// How many.
    pub size_bytes: u64,
}

/// All that is known of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageDetail {
    /// What its upload's reply says.
    pub row: PackageRow,
    /// What kind of archive it is; unknown of those that an early release stored.
    pub format: Option<String>,
    /// Where in the archive the source is.
    pub relative_path: String,
    /// Members of the archive.
    pub entries: Option<i64>,
    /// Their bytes.
    pub unpacked_bytes: Option<i64>,
    /// Grows with each change.
    pub revision: i64,
    /// What uses it, by name.
    pub pins: Vec<Pin>,
    /// When it was deleted.
    pub deleted_ms: Option<i64>,
    /// When its bytes may go.
    pub purge_after_ms: Option<i64>,
    /// When they went.
    pub purged_ms: Option<i64>,
    /// The link that it came from, without its query.
    pub source: Option<String>,
}

impl PackageDetail {
    /// What requests may want to be true of it.
    #[must_use]
    pub fn existing(&self) -> Existing {
        Existing { id: self.row.id, revision: self.revision, sha256: Some(self.row.sha256) }
    }
}

/// That something uses a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What uses it.
    pub name: PinName,
    /// Until when; for good if nobody said.
    pub until_ms: Option<i64>,
    /// Whether the package may not even be overwritten.
    pub protect_bytes: bool,
    /// Who says so.
    pub by: Operator,
    /// Since when.
    pub created_ms: i64,
    /// When it was said last.
    pub updated_ms: i64,
}

/// A pin that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPin {
    /// What uses the package.
    pub name: PinName,
    /// Until when; for good if nobody says.
    pub until_ms: Option<i64>,
    /// Whether the package may not even be overwritten.
    pub protect_bytes: bool,
    /// Who says so.
    pub by: Operator,
}

/// Pins of one package that are in force at once.
pub const MAX_PINS: usize = 64;

/// What happened to a package, or was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventAction {
    /// It was stored.
    Upload,
    /// Its version was stored anew.
    Overwrite,
    /// It was deleted.
    Delete,
    /// It was restored.
    Restore,
    /// Its bytes were given up.
    Purge,
    /// It was pinned, or its pin was changed.
    Pin,
    /// A pin was taken away.
    Unpin,
    /// A rule deleted it.
    Cleanup,
    /// It was not deleted, for it is in use.
    DeleteRefused,
    /// It was not stored, for a quota is used up.
    UploadRefused,
}

impl EventAction {
    /// Every action.
    pub const ALL: [Self; 10] = [
        Self::Upload,
        Self::Overwrite,
        Self::Delete,
        Self::Restore,
        Self::Purge,
        Self::Pin,
        Self::Unpin,
        Self::Cleanup,
        Self::DeleteRefused,
        Self::UploadRefused,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Purge => "purge",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::Cleanup => "cleanup",
            Self::DeleteRefused => "delete_refused",
            Self::UploadRefused => "upload_refused",
        }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The module has no such package.
    #[error("the module has no such package")]
    NotFound,
    /// It is not what its changer saw.
    #[error("the package is not what its changer saw")]
    PreconditionFailed,
    /// It is pinned.
    #[error("the package is in use")]
    InUse(Vec<Pin>),
    /// Its version belongs to another package now.
    #[error("the version belongs to another package now")]
    VersionTaken,
    /// It is deleted.
    #[error("the package is deleted")]
    Deleted,
    /// Its bytes are gone.
    #[error("the bytes of the package are gone")]
    Purged,
    /// It has no pin of this name.
    #[error("the package has no such pin")]
    NoPin,
    /// The plan would be another by now.
    #[error("the plan has changed")]
    PlanChanged,
    /// Its module or application keeps as much as it may.
    #[error("a quota is used up: {0}")]
    QuotaExceeded(QuotaExceeded),
    /// It has as many pins as it may.
    #[error("the package has {MAX_PINS} pins, which is as many as it may")]
    TooManyPins,
    /// The catalog failed.
    #[error("the change could not be recorded")]
    Catalog(#[source] CatalogError),
    /// The blobs could not be asked.
    #[error("the bytes of the package could not be looked for")]
    Blob(#[from] super::BlobError),
    /// The queue could not be asked what is being uploaded.
    #[error("the queue could not be asked")]
    Queue(#[source] super::QueueError),
}

impl ChangeError {
    /// What it is called in metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PreconditionFailed => "precondition_failed",
            Self::InUse(_) => "in_use",
            Self::VersionTaken => "version_taken",
            Self::Deleted => "deleted",
            Self::Purged => "purged",
            Self::NoPin => "not_found",
            Self::PlanChanged => "plan_changed",
            Self::QuotaExceeded(_) | Self::TooManyPins => "quota_exceeded",
            Self::Catalog(_) | Self::Blob(_) | Self::Queue(_) => "failed",
        }
    }
}

impl From<CatalogError> for ChangeError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::AlreadyExists => Self::VersionTaken,
            CatalogError::QuotaExceeded(exceeded) => Self::QuotaExceeded(exceeded),
            other => Self::Catalog(other),
        }
    }
}
