//! Where recorded packages are looked up, by those who may read them: page by page, one by one, in sums; and what happened to
//! them.

use linkgate_contract::{ModuleRef, Operator, PackageId, PackageVersion, Sha256};

use super::{CatalogError, PackageDetail, PackageRow};

/// Recorded packages, to be read. A copy is another handle on the same.
///
/// Promises: whoever asks for a module hears nothing of any other one. A page of live packages without a search costs the
/// same however many packages the module has. Whatever else is asked for costs no more than a bound:
/// [`CatalogError::TooCostly`] is the answer beyond it. Readers never hold up whoever records packages.
pub trait PackageReader: Clone + Send + Sync + 'static {
    /// A page of a module's packages. A walk in any order shows each package once, as long as nothing changes meanwhile; one
    /// by [`PackageQuery::before`] also while packages come in.
    fn list_packages(
        &self,
        target: &ModuleRef,
        query: &PackageQuery,
    ) -> impl Future<Output = Result<PackagePage, CatalogError>> + Send;
    /// All that is known of a package of this module, also of a deleted one.
    fn find_package(
        &self,
        target: &ModuleRef,
        id: PackageId,
    ) -> impl Future<Output = Result<Option<PackageDetail>, CatalogError>> + Send;
    /// Modules that have packages, or had some, by application and name, behind this one.
    fn list_modules(
        &self,
        after: Option<&ModuleRef>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<ModuleSums>, CatalogError>> + Send;
    /// Those of these packages that have a pin that has not run out.
    fn pinned_among(
        &self,
        target: &ModuleRef,
        packages: &[PackageId],
    ) -> impl Future<Output = Result<Vec<PackageId>, CatalogError>> + Send;
    /// What a module and its application take.
    fn package_sums(&self, target: &ModuleRef) -> impl Future<Output = Result<PackageSums, CatalogError>> + Send;
    /// A page of what happened to a module's packages, the latest first.
    fn list_events(
        &self,
        target: &ModuleRef,
        query: &EventQuery,
    ) -> impl Future<Output = Result<EventPage, CatalogError>> + Send;
}

/// Which packages are asked for, in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageQuery {
    /// What they must be like.
    pub filter: PackageFilter,
    /// By what they are ordered, what comes first before the rest; what is equal by all of it is in the order of ids, in the
    /// direction of the last. Empty: by their creation, the latest first.
    pub order: Vec<PackageOrder>,
    /// Only packages with smaller ids are shown. They count all the same.
    pub before: Option<PackageId>,
    /// At most so many.
    pub limit: u32,
    /// So many are left out first.
    pub offset: u64,
}

/// What packages must be like. Each part that is there must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageFilter {
    /// Each must occur in the version, the name or the decimal size. The case of letters does not count: as Unicode's simple
    /// folding has it, but where more than [`CANDIDATES`] packages have all of the terms, or a term has fewer than three
    /// characters, for letters beyond ASCII only as far as all of a term is in one case.
    pub terms: Vec<String>,
    /// The very version.
    pub version: Option<PackageVersion>,
    /// The very name.
    pub package_name: Option<String>,
    /// The digest.
    pub sha256: Option<Sha256>,
    /// Who uploaded it last.
    pub operator: Option<Operator>,
    /// Whether it is deleted.
    pub deletion: Liveness,
    /// Whether it has a pin that has not run out.
    pub is_pinned: Option<bool>,
    /// When it was created.
    pub created: TimeSpan,
    /// When it was uploaded last, or changed otherwise.
    pub updated: TimeSpan,
}

/// Packages that a search goes through in any order. What is found more often is looked for in the order of the page.
pub const CANDIDATES: u32 = 10_000;

/// How far packages are counted that meet a filter.
pub const COUNTED: u64 = 10_000;

/// Whether deleted packages are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Liveness {
    /// Those that are not.
    #[default]
    Live,
    /// Those that are.
    Deleted,
    /// Both.
    All,
}

/// From a time, itself included, to another, itself left out. Milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSpan {
    /// Without it: from the beginning.
    pub from_ms: Option<i64>,
    /// Without it: for ever.
    pub until_ms: Option<i64>,
}

/// What packages can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageKey {
    /// By id.
    Id,
    /// By the version as text, byte by byte.
    Version,
    /// By the version as people count: [`crate::version_order`].
    NaturalVersion,
    /// By the name, byte by byte.
    PackageName,
    /// By the size as a number.
    PackageSize,
    /// By when it was created.
    Created,
    /// By when it was updated.
    Updated,
}

/// A key and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageOrder {
    /// What counts.
    pub key: PackageKey,
    /// Whether what is greater comes first.
    pub is_descending: bool,
}

/// A page of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagePage {
    /// In their order.
    pub rows: Vec<PackageRow>,
    /// Whether there are more behind them.
    pub has_more: bool,
    /// How many meet the filter.
    pub count: Count,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// So many or more: nobody counted on.
    AtLeast(u64),
}

impl Count {
    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Exactly(number) | Self::AtLeast(number) => number,
        }
    }
}

/// What packages take, of a module and of its application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackageSums {
    /// The module's.
    pub module: Sums,
    /// All modules' of the application.
    pub application: Sums,
}

/// A module, and what its packages take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSums {
    /// Which one.
    pub target: ModuleRef,
    /// What its packages take.
    pub sums: Sums,
}

/// What packages take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Live packages.
    pub packages: u64,
    /// Their bytes. Each package counts, also where several have the same bytes.
    pub bytes: u64,
    /// Deleted packages whose bytes were not freed yet.
    pub deleted_packages: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
}

/// Which events are asked for, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only of this action.
    pub action: Option<String>,
    /// Only of this package.
    pub package: Option<PackageId>,
    /// Only events with smaller ids are shown. They count all the same.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The latest first.
    pub rows: Vec<EventRow>,
    /// Whether there are more behind them.
    pub has_more: bool,
    /// How many there are.
    pub count: Count,
}

/// What happened to a package, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its number; a later event has a greater one.
    pub id: i64,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// What was done, or refused.
    pub action: String,
    /// To which package, if one came of it.
    pub package: Option<PackageId>,
    /// Its version.
    pub version: Option<String>,
    /// Its digest before.
    pub sha256_before: Option<String>,
    /// And after.
    pub sha256_after: Option<String>,
    /// Which application did it. Empty: none, as in the next three where the store did it by itself.
    pub caller_app: String,
    /// Who did it.
    pub operator: String,
    /// The gateway's id of the request.
    pub request_id: String,
    /// From where.
    pub client_address: String,
    /// Why: `user`, or the name of a rule.
    pub reason: String,
}
