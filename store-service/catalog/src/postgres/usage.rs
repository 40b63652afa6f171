//! How much modules keep, in the catalog of PostgreSQL, and what uploads that are under way have announced.
//!
//! Promises: what is announced counts for others, in every process, until its upload has ended, however it ends, or the lease of
//! its process has run out; the sums are those that triggers keep, so no question goes through the packages.

use std::time::Duration;

use linkgate_contract::{JobId, ModuleRef, PackageVersion};
use linkgate_store_core::ingest::ports::{CatalogError, QuotaClaim, QuotaReservation};
use linkgate_store_core::settings::{Demand, Usage, UsageOfTarget};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::chores::{Chore, Chores};
use super::database::{Waiting, failed};
use crate::again::retried;
use crate::rows::read_usage;
use crate::shared::{signed, unsigned};

/// What one upload has announced; taken back when it is dropped.
pub struct PostgresReservation {
    claim: QuotaClaim,
    waiting: Waiting,
    process: Uuid,
    lease: Duration,
    token: Uuid,
    chores: Chores,
}

impl PostgresReservation {
    pub(super) async fn make(
        claim: QuotaClaim,
        waiting: Waiting,
        process: Uuid,
        lease: Duration,
        chores: Chores,
    ) -> Result<Self, CatalogError> {
        // What this process has taken back no longer counts.
        chores.are_done().await;
        let (bytes, token) = (claim.bytes, Uuid::new_v4());
        let reservation = Self { claim, waiting, process, lease, token, chores };
        reservation.announce(bytes).await?;
        Ok(reservation)
    }

    async fn announce(&self, bytes: u64) -> Result<(), CatalogError> {
        retried!(while it is away, self.try_announce(bytes))
    }

    /// In the place of what this upload had announced, if it fits beside what others have. A crash of the server may forget it:
    /// whoever records a package is judged once more.
    async fn try_announce(&self, bytes: u64) -> Result<(), CatalogError> {
        let QuotaClaim { job, target, version, quota, .. } = &self.claim;
        let mut tx = self.waiting.begin_for(target.app.as_str()).await.map_err(failed)?;
        sqlx::query("set local synchronous_commit = off").execute(&mut *tx).await.map_err(failed)?;
        let replaced = live_bytes(&mut tx, target, version).await.map_err(failed)?;
        let used = beside(&mut tx, *job, target, version).await.map_err(failed)?;
        let demand = Demand::of_package(bytes, replaced);
        quota.judge(used, demand).map_err(CatalogError::QuotaExceeded)?;
        self.write(&mut tx, demand).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }

    async fn write(&self, tx: &mut PgConnection, demand: Demand) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into reservation (job_id, token, process, app_code, module, packages, bytes, lease_until, version)
             values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8, $9)
             on conflict (job_id) do update set token = excluded.token, process = excluded.process,
                 packages = excluded.packages, bytes = excluded.bytes, lease_until = excluded.lease_until",
        )
        .bind(self.claim.job.as_uuid())
        .bind(self.token)
        .bind(self.process)
        .bind(self.claim.target.app.as_str())
        .bind(self.claim.target.module.as_str())
        .bind(signed(demand.packages)?)
        .bind(signed(demand.bytes)?)
        .bind(self.lease)
        .bind(self.claim.version.as_str())
        .execute(tx)
        .await?;
        Ok(())
    }
}

impl QuotaReservation for PostgresReservation {
    async fn grow(&mut self, bytes: u64) -> Result<(), CatalogError> {
        self.announce(bytes).await
    }
}

impl Drop for PostgresReservation {
    fn drop(&mut self) {
        self.chores.add(Chore::TakeBack { job: self.claim.job, token: self.token });
    }
}

/// It counts among what is used from now on. Whoever records next must not count it twice.
pub(super) async fn forget(tx: &mut PgConnection, job: JobId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from reservation where job_id = $1").bind(job.as_uuid()).execute(tx).await.map(|_| ())
}

/// Takes back what an upload has announced, unless it has announced something else since.
pub(super) async fn take_back(pool: &PgPool, job: JobId, token: Uuid) -> Result<(), sqlx::Error> {
    let query = sqlx::query("delete from reservation where job_id = $1 and token = $2").bind(job.as_uuid()).bind(token);
    query.execute(pool).await.map(|_| ())
}

/// What a module and its application keep, and what others than this upload have announced: uploads of the same version, one of
/// which is this upload's, have announced one package together.
pub(super) async fn beside(
    tx: &mut PgConnection,
    job: JobId,
    target: &ModuleRef,
    version: &PackageVersion,
) -> Result<UsageOfTarget, sqlx::Error> {
    let used = of_target(tx, target).await?;
    let row = sqlx::query(
        "select coalesce(sum(packages), 0)::bigint as app_packages, coalesce(sum(bytes), 0)::bigint as app_bytes,
             coalesce(sum(packages) filter (where module = $2), 0)::bigint as packages,
             coalesce(sum(bytes) filter (where module = $2), 0)::bigint as bytes
         from (
             select module, max(packages) as packages, max(bytes) as bytes from reservation
             where app_code = $1 and job_id <> $3 and (module <> $2 or version is distinct from $4)
             group by module, coalesce(version, job_id::text)
         ) as announced",
    )
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(job.as_uuid())
    .bind(version.as_str())
    .fetch_one(tx)
    .await?;
    let announced = read_both(&row)?;
    Ok(UsageOfTarget {
        module: add(used.module, announced.module),
        application: add(used.application, announced.application),
    })
}

fn add(one: Usage, other: Usage) -> Usage {
    Usage { packages: one.packages.saturating_add(other.packages), bytes: one.bytes.saturating_add(other.bytes) }
}

/// What a module and its application keep.
pub(super) async fn of_target(connection: &mut PgConnection, target: &ModuleRef) -> Result<UsageOfTarget, sqlx::Error> {
    let row = sqlx::query(
        "select coalesce(sum(live_packages), 0)::bigint as app_packages,
             coalesce(sum(live_bytes + deleted_bytes), 0)::bigint as app_bytes,
             coalesce(sum(live_packages) filter (where module = $2), 0)::bigint as packages,
             coalesce(sum(live_bytes + deleted_bytes) filter (where module = $2), 0)::bigint as bytes
         from module_usage where app_code = $1",
    )
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .fetch_one(connection)
    .await?;
    read_both(&row)
}

fn read_both(row: &PgRow) -> Result<UsageOfTarget, sqlx::Error> {
    let module = read_usage(row, "packages", "bytes")?;
    Ok(UsageOfTarget { module, application: read_usage(row, "app_packages", "app_bytes")? })
}

/// The bytes of the live package of a version, if there is one.
async fn live_bytes(
    connection: &mut PgConnection,
    target: &ModuleRef,
    version: &PackageVersion,
) -> Result<Option<u64>, sqlx::Error> {
    let size: Option<i64> = sqlx::query_scalar(
        "select size_bytes from source_package where app_code = $1 and module = $2 and version = $3 and not is_deleted",
    )
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(version.as_str())
    .fetch_optional(connection)
    .await?;
    size.map(unsigned).transpose()
}
