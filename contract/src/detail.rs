//! What callers read of a stored package's life: all that is known of it, its pins, and plans to clean up.

use serde::{Deserialize, Serialize};

use crate::{AppCode, JobDocument, ModuleName, Operator, PackageId, PackageVersion, PinName, SourcePackage};

/// All that is known of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PackageDocument {
    /// What its upload's reply says.
    #[serde(flatten)]
    pub package: SourcePackage,
    /// `tar`, `tar.gz`, `tar.bz2`, `tar.xz`, `tar.zst`, `zip`, or `opaque` for a file that is no archive; null if no store has
    /// looked inside.
    pub format: Option<String>,
    /// Where in the archive the source is: the folder of its description, `./` or `name/`.
    pub relative_path: String,
    /// Members of the archive.
    pub entries: Option<i64>,
    /// Their bytes when unpacked.
    pub unpacked_bytes: Option<i64>,
    /// Grows with each change of the package.
    pub revision: i64,
    /// What uses it; none that has run out.
    pub pins: Vec<PinDocument>,
    /// When it was deleted.
    pub deleted: Option<String>,
    /// From when on its bytes may go, and it cannot be restored any more.
    pub purge_after: Option<String>,
    /// When its bytes went.
    pub purged: Option<String>,
    /// The link that it came from, without its query, or `file` if its caller sent it.
    pub source: Option<String>,
}

/// That something uses a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PinDocument {
    /// The name of what uses it.
    pub name: PinName,
    /// When it runs out; null: never.
    pub until: Option<String>,
    /// Whether the package may not even be overwritten.
    pub protect_bytes: bool,
    /// The user who says so.
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
    /// The rule that is for the module; null: there is none, and nothing goes.
    pub rule: Option<String>,
    /// `enforce`: the store does this by itself once a day; `report`: it does not.
    pub mode: String,
    /// The plan's name, good for a day; empty where there is no rule.
    pub plan: String,
    /// Whether this request deleted it.
    pub is_done: bool,
    /// Packages that go, the newest first; 1000 at most.
    pub would_delete: Vec<CleanupEntry>,
    /// The first 1000 packages that stay.
    pub kept: Vec<CleanupEntry>,
    /// The bytes of all that go.
    pub bytes: u64,
    /// How many packages go.
    pub would_delete_count: u64,
    /// How many packages stay.
    pub kept_count: u64,
    /// Whether more would go than a plan may name: run the next plan after this one.
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
    /// Why. Of one that goes, how many newer ones there are and how old it is; of one that stays `pinned`, `uploading`,
    /// `keep_last`, `remove_after_days`, `keep_versions` or `remove_versions`.
    pub reason: String,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Page"))]
pub struct Page<T> {
    /// How many there are in all, or at least, as `X-Linkgate-Count` says. `before_id` does not change it.
    pub count: u64,
    /// The next page: a query relative to this one, or absolute where the operator says where the gateway is; null: there is none.
    pub next: Option<String>,
    /// The query of the page before, in the same form.
    pub previous: Option<String>,
    /// The rows of this page.
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
    /// How many bytes a package may have; null: no quota says.
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
    /// Deleted packages whose bytes were not freed yet.
    pub deleted_packages: u64,
    /// Those bytes.
    pub deleted_bytes: u64,
    /// How many live packages there may be; null: no quota says.
    pub max_packages: Option<u64>,
    /// How many bytes live and deleted packages may have; null: no quota says.
    pub max_bytes: Option<u64>,
}

/// What happened to a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventDocument {
    /// Its number; later ones are greater.
    pub id: i64,
    /// When: `YYYY-MM-DD HH:MM:SS` in the store's time zone.
    pub time: String,
    /// What was done: `upload`, `overwrite`, `delete`, `restore`, `purge`, `pin`, `unpin`, `cleanup`; or refused:
    /// `delete_refused`, `upload_refused`.
    pub action: String,
    /// To which package, if one came of it.
    pub package_id: Option<PackageId>,
    /// Its version.
    pub version: Option<String>,
    /// The SHA-256 of its bytes before; null where it had none.
    pub sha256_before: Option<String>,
    /// And after.
    pub sha256_after: Option<String>,
    /// The calling application; null where none was verified, or the store did it by itself, as in the next three.
    pub app: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The gateway's id of the request.
    pub request_id: Option<String>,
    /// The caller's address.
    pub client_ip: Option<String>,
    /// `user`, or the name of the rule or quota by which the store did or refused it.
    pub reason: String,
}

/// A module that has packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModuleSummary {
    /// The application that owns it.
    pub app_code: AppCode,
    /// Its name.
    pub module: ModuleName,
    /// Live packages.
    pub packages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A page of modules.
pub type ModulePage = Page<ModuleSummary>;

/// Uploads by link of a module, under way or ended, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobPage {
    /// The uploads.
    pub results: Vec<JobDocument>,
}

/// What is in a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Members {
    /// The format of the archive, as that of a package; `opaque` for a file that is none, and has no members.
    pub format: String,
    /// How many members the archive has.
    pub entries: u64,
    /// Whether it has more than are listed here.
    pub truncated: bool,
    /// The members, in the order of the archive.
    pub results: Vec<Member>,
}

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Member {
    /// Its path in the archive.
    pub path: String,
    /// What it is.
    pub kind: MemberKind,
    /// The bytes of a file when unpacked.
    pub size: Option<u64>,
    /// Where a link leads.
    pub target: Option<String>,
}

/// What a member of an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Another name of a file of the same archive.
    Hardlink,
}
