//! What callers read of a stored package's life: all that is known of it, its pins, and plans to clean up.

use serde::{Deserialize, Serialize};

use crate::{Operator, PackageId, PackageVersion, PinName, SourcePackage};

/// All that is known of a package: the fields of an upload's reply, and the rest behind them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PackageDocument {
    /// What its upload's reply says.
    #[serde(flatten)]
    pub package: SourcePackage,
    /// What kind of archive it is, `opaque` if it is none; unknown of those that an early release stored.
    pub format: Option<String>,
    /// Where in the archive the source is.
    pub relative_path: String,
    /// Members of the archive.
    pub entries: Option<i64>,
    /// Their bytes.
    pub unpacked_bytes: Option<i64>,
    /// Grows with each change.
    pub revision: i64,
    /// What uses it.
    pub pins: Vec<PinDocument>,
    /// When it was deleted.
    pub deleted: Option<String>,
    /// From when on its bytes may go, and it cannot be restored any more.
    pub purge_after: Option<String>,
    /// When they went.
    pub purged: Option<String>,
    /// The link that it came from, without its query, or `file`.
    pub source: Option<String>,
}

/// That something uses a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PinDocument {
    /// What uses it.
    pub name: PinName,
    /// Until when; for good if nobody said.
    pub until: Option<String>,
    /// Whether the package may not even be overwritten.
    pub protect_bytes: bool,
    /// Who says so.
    pub by: Operator,
    /// Since when.
    pub created: String,
    /// When it was said last.
    pub updated: String,
}

/// What the retention rules would delete of a module, or have deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CleanupPlan {
    /// The rule that is for the module; none if no rule is.
    pub rule: Option<String>,
    /// Whether the rule deletes by itself, `enforce`, or only reports, `report`.
    pub mode: String,
    /// The name of the plan, which changes with what it would delete.
    pub plan: String,
    /// Whether it was run.
    pub is_done: bool,
    /// What it deletes.
    pub would_delete: Vec<CleanupEntry>,
    /// What it keeps, as far as it is shown.
    pub kept: Vec<CleanupEntry>,
    /// The bytes of what it deletes.
    pub bytes: u64,
    /// How many packages it deletes.
    pub would_delete_count: u64,
    /// How many it keeps.
    pub kept_count: u64,
    /// Whether there is more to delete than one plan may name.
    pub has_more: bool,
}

/// A package in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CleanupEntry {
    /// Which one.
    pub id: PackageId,
    /// Its version.
    pub version: PackageVersion,
    /// Its bytes, if it is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why.
    pub reason: String,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Page<T> {
    /// How many there are in all, or at least, as `X-Linkgate-Count` says.
    pub count: u64,
    /// The query of the next page, if there is one.
    pub next: Option<String>,
    /// The query of the page before, if there is one.
    pub previous: Option<String>,
    /// What stands on this page.
    pub results: Vec<T>,
}

/// What a module and its application take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageDocument {
    /// The module.
    pub module: SumsDocument,
    /// All modules of its application.
    pub application: SumsDocument,
    /// How many bytes a package may have, if that is limited.
    pub max_package_bytes: Option<u64>,
}

/// Sums of packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SumsDocument {
    /// Live packages.
    pub packages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Deleted packages that still have their bytes.
    pub deleted_packages: u64,
    /// Those bytes.
    pub deleted_bytes: u64,
    /// How many live packages there may be, if that is limited.
    pub max_packages: Option<u64>,
    /// How many bytes live and deleted packages may have, if that is limited.
    pub max_bytes: Option<u64>,
}

/// What happened to a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventDocument {
    /// Its number; later ones are greater.
    pub id: i64,
    /// When.
    pub time: String,
    /// What was done, or refused.
    pub action: String,
    /// To which package, if one came of it.
    pub package_id: Option<PackageId>,
    /// Its version.
    pub version: Option<String>,
    /// The SHA-256 of its bytes before.
    pub sha256_before: Option<String>,
    /// And after.
    pub sha256_after: Option<String>,
    /// The calling application.
    pub app: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The gateway's id of the request.
    pub request_id: Option<String>,
    /// The caller's address.
    pub client_ip: Option<String>,
    /// `user`, or the rule by which the store did it.
    pub reason: String,
}
