//! How much modules keep, in the catalog of SQLite, and what uploads that are under way have announced.
//!
//! Promises: what is announced counts for others until its upload has ended, however it ends; the sums are those that triggers
//! keep, so no question goes through the packages. Announcements are in the memory of the one process that has the database.

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
pub(super) struct Announced(Arc<Mutex<HashMap<JobId, (ModuleRef, Demand)>>>);

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
        claim.quota.judge(beside(&all, claim.job, &claim.target, used), demand)?;
        all.insert(claim.job, (claim.target.clone(), demand));
        Ok(())
    }

    /// What is used and announced by others than this upload.
    pub(super) fn beside(&self, job: JobId, target: &ModuleRef, used: UsageOfTarget) -> UsageOfTarget {
        beside(&self.all(), job, target, used)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<JobId, (ModuleRef, Demand)>> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn beside(
    all: &HashMap<JobId, (ModuleRef, Demand)>,
    job: JobId,
    target: &ModuleRef,
    used: UsageOfTarget,
) -> UsageOfTarget {
    let others = all.iter().filter(|(id, (of, _))| **id != job && of.app == target.app);
    others.fold(used, |used, (_, (of, demand))| UsageOfTarget {
        module: if of == target { used.module + *demand } else { used.module },
        application: used.application + *demand,
    })
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
        self.announced.all().remove(&self.claim.job);
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
