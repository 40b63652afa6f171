//! How much modules keep, in the catalog of SQLite, and what uploads that are under way have announced.
//!
//! Promises: what is announced counts for others until its upload has ended, however it ends; the sums are those that triggers
//! keep, so no question goes through the packages. Announcements are in the memory of the one process that has the database.

use std::cmp::max;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linkgate_contract::{JobId, ModuleRef, PackageVersion};
use linkgate_store_core::ingest::ports::{CatalogError, QuotaClaim, QuotaReservation};
use linkgate_store_core::settings::{Demand, QuotaExceeded, UsageOfTarget};
use sqlx::SqliteConnection;

use super::SqliteReader;
use super::database::failed;
use crate::rows::read_usage;
use crate::shared::unsigned;

/// What uploads that are under way have announced. A copy is another handle on the same.
#[derive(Clone, Default)]
pub(super) struct Announced(Arc<Mutex<ByJob>>);

type ByJob = HashMap<JobId, (Slot, Demand)>;

/// What an upload takes: of uploads of one version one package comes in the end, so they count once, the largest of them.
type Slot = (ModuleRef, PackageVersion);

/// What one upload has announced; taken back when it is dropped.
pub struct SqliteReservation {
    claim: QuotaClaim,
    announced: Announced,
    reader: SqliteReader,
}

impl Announced {
    /// Announces it in the place of what this upload had announced, if it fits beside what others have.
    fn announce(&self, claim: &QuotaClaim, used: UsageOfTarget, demand: Demand) -> Result<(), QuotaExceeded> {
        let mut all = self.all();
        let slot = (claim.target.clone(), claim.version.clone());
        claim.quota.judge(beside(&all, claim.job, &slot, used), demand)?;
        all.insert(claim.job, (slot, demand));
        Ok(())
    }

    /// It counts among what is used from now on. Whoever records next must not count it twice.
    pub(super) fn forget(&self, job: JobId) {
        self.all().remove(&job);
    }

    /// What is used and announced by others than this upload.
    pub(super) fn beside(
        &self,
        job: JobId,
        target: &ModuleRef,
        version: &PackageVersion,
        used: UsageOfTarget,
    ) -> UsageOfTarget {
        beside(&self.all(), job, &(target.clone(), version.clone()), used)
    }

    fn all(&self) -> MutexGuard<'_, ByJob> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn beside(all: &ByJob, job: JobId, own: &Slot, used: UsageOfTarget) -> UsageOfTarget {
    let (target, _) = own;
    let others = all.iter().filter(|(id, (slot, _))| **id != job && slot != own && slot.0.app == target.app);
    let mut largest: HashMap<&Slot, Demand> = HashMap::new();
    for (_, (slot, demand)) in others {
        let known = largest.entry(slot).or_default();
        *known = larger(*known, *demand);
    }
    largest.into_iter().fold(used, |used, ((of, _), demand)| UsageOfTarget {
        module: if of == target { used.module + demand } else { used.module },
        application: used.application + demand,
    })
}

fn larger(one: Demand, other: Demand) -> Demand {
    Demand {
        packages: max(one.packages, other.packages),
        bytes: max(one.bytes, other.bytes),
        package_bytes: max(one.package_bytes, other.package_bytes),
    }
}

impl SqliteReservation {
    pub(super) async fn make(
        claim: QuotaClaim,
        announced: Announced,
        reader: SqliteReader,
    ) -> Result<Self, CatalogError> {
        let bytes = claim.bytes;
        let mut reservation = Self { claim, announced, reader };
        reservation.announce(bytes).await?;
        Ok(reservation)
    }

    async fn announce(&mut self, bytes: u64) -> Result<(), CatalogError> {
        let QuotaClaim { target, version, .. } = &self.claim;
        let mut connection = self.reader.pool.acquire().await.map_err(failed)?;
        let replaced = live_bytes(&mut connection, target, version).await.map_err(failed)?;
        let used = of_target(&mut connection, target).await.map_err(failed)?;
        let demand = Demand::of_package(bytes, replaced);
        self.announced.announce(&self.claim, used, demand).map_err(CatalogError::QuotaExceeded)
    }
}

impl QuotaReservation for SqliteReservation {
    async fn grow(&mut self, bytes: u64) -> Result<(), CatalogError> {
        self.announce(bytes).await
    }
}

impl Drop for SqliteReservation {
    fn drop(&mut self) {
        self.announced.forget(self.claim.job);
    }
}

/// What a module and its application keep.
pub(super) async fn of_target(
    connection: &mut SqliteConnection,
    target: &ModuleRef,
) -> Result<UsageOfTarget, sqlx::Error> {
    let row = sqlx::query(
        "select coalesce(sum(live_packages), 0) as app_packages,
             coalesce(sum(live_bytes + deleted_bytes), 0) as app_bytes,
             coalesce(sum(iif(module = ?2, live_packages, 0)), 0) as packages,
             coalesce(sum(iif(module = ?2, live_bytes + deleted_bytes, 0)), 0) as bytes
         from module_usage where app_code = ?1",
    )
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .fetch_one(connection)
    .await?;
    let module = read_usage(&row, "packages", "bytes")?;
    Ok(UsageOfTarget { module, application: read_usage(&row, "app_packages", "app_bytes")? })
}

/// The bytes of the live package of a version, if there is one.
async fn live_bytes(
    connection: &mut SqliteConnection,
    target: &ModuleRef,
    version: &PackageVersion,
) -> Result<Option<u64>, sqlx::Error> {
    let size: Option<i64> = sqlx::query_scalar(
        "select size_bytes from source_package where app_code = ? and module = ? and version = ? and is_deleted = 0",
    )
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(version.as_str())
    .fetch_optional(connection)
    .await?;
    size.map(unsigned).transpose()
}

#[cfg(test)]
mod tests {
    use linkgate_store_core::settings::{Quota, QuotaLimits};
    use linkgate_store_core::testing::conformance::job;
    use linkgate_store_core::testing::example_target;

    use super::*;

    #[test]
    fn uploads_of_one_version_have_announced_one_package() {
        let announced = Announced::default();
        let application = QuotaLimits { max_bytes: Some(100), ..QuotaLimits::default() };
        let quota = Quota { application, ..Quota::default() };
        let announce = |number: u8, version: &str, bytes: u64| {
            let job = job(number, "h", "a").record.view.id;
            let version = PackageVersion::new(version).unwrap();
            let claim = QuotaClaim { job, target: example_target(), version, bytes, quota };
            announced.announce(&claim, UsageOfTarget::default(), Demand::of_package(bytes, None))
        };
        announce(1, "1", 60).unwrap();
        announce(2, "1", 80).unwrap();
        assert!(announce(3, "2", 21).is_err(), "the larger of both counts");
        announce(3, "2", 20).unwrap();
        announce(1, "1", 80).unwrap();
    }
}
