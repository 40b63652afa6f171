//! The catalog in PostgreSQL for those who look after what is stored: page by page, by digest, without changing anything.

use std::path::Path;

use linkgate_contract::{ModuleRef, Sha256};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    Candidate, CandidateCursor, CatalogError, CatalogReader, CatalogSum, Reference, RowName,
};
use linkgate_store_core::settings::RetentionOrder;

use super::database::failed;
use super::{PostgresCatalog, cleanup, queue, replicas, snapshot};
use crate::SqliteReader;
use crate::rows::{read_name, read_reference};

/// Digests on a page: small beside a read of the blobs for each of them.
const PAGE: i64 = 500;
/// Rows that are named for one digest. Enough to know who is concerned.
const NAMED_ROWS: i64 = 100;

/// Sums that are not those of the packages.
const WRONG_SUMS: &str = "
    select coalesce(sums.app_code, counted.app_code) || '/' || coalesce(sums.module, counted.module) from module_usage as sums
    full join (
        select app_code, module, count(*) filter (where not is_deleted) as live_packages,
            coalesce(sum(size_bytes) filter (where not is_deleted), 0) as live_bytes,
            count(*) filter (where is_deleted and purged_ms is null) as deleted_packages,
            coalesce(sum(size_bytes) filter (where is_deleted and purged_ms is null), 0) as deleted_bytes
        from source_package group by app_code, module
    ) as counted on counted.app_code = sums.app_code and counted.module = sums.module
    where (coalesce(sums.live_packages, 0), coalesce(sums.live_bytes, 0), coalesce(sums.deleted_packages, 0),
           coalesce(sums.deleted_bytes, 0))
        <> (coalesce(counted.live_packages, 0), coalesce(counted.live_bytes, 0), coalesce(counted.deleted_packages, 0),
            coalesce(counted.deleted_bytes, 0))
    limit 1";

impl CatalogReader for PostgresCatalog {
    /// Whoever gives bytes up and whoever is about to record a row for the same bytes may be different processes: this keeps
    /// nobody apart, and blobs that are published beside it must have names that are never used again.
    type BlobLock = ();
    /// As backups have it, whichever database they are of.
    type Snapshot = SqliteReader;

    async fn lock_blob(&self, _: &Sha256) {}

    async fn references_after(&self, sha256: &str) -> Result<Vec<Reference>, CatalogError> {
        let rows = sqlx::query(
            "select sha256, count(*) as rows, min(size_bytes) as least, max(size_bytes) as most
             from source_package where purged_ms is null and sha256 > $1 group by sha256 order by sha256 limit $2",
        )
        .bind(sha256)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_reference).collect::<Result<_, _>>().map_err(failed)
    }

    async fn reference(&self, sha256: &Sha256) -> Result<Option<Reference>, CatalogError> {
        let row = sqlx::query(
            "select sha256, count(*) as rows, min(size_bytes) as least, max(size_bytes) as most
             from source_package where purged_ms is null and sha256 = $1 group by sha256",
        )
        .bind(sha256.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        row.as_ref().map(read_reference).transpose().map_err(failed)
    }

    async fn is_referenced(&self, sha256: &Sha256) -> Result<bool, CatalogError> {
        let text = "select exists(select from source_package where sha256 = $1 and purged_ms is null)";
        sqlx::query_scalar(text).bind(sha256.to_string()).fetch_one(&self.pool).await.map_err(failed)
    }

    async fn referencing_rows(&self, sha256: &str) -> Result<Vec<RowName>, CatalogError> {
        let rows = sqlx::query(
            "select id, app_code, module, version, size_bytes from source_package
             where sha256 = $1 and purged_ms is null order by id limit $2",
        )
        .bind(sha256)
        .bind(NAMED_ROWS)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(read_name).collect::<Result<_, _>>().map_err(failed)
    }

    async fn candidates_after(
        &self,
        target: &ModuleRef,
        order: RetentionOrder,
        after: Option<CandidateCursor>,
    ) -> Result<Vec<Candidate>, CatalogError> {
        cleanup::candidates_after(&self.pool, target, order, after, now_ms()).await
    }

    async fn modules_after(&self, after: Option<&ModuleRef>) -> Result<Vec<ModuleRef>, CatalogError> {
        cleanup::modules_after(&self.pool, after).await
    }

    /// Whether the sums are those of the packages. What the server says of its own files is for its operator to ask.
    async fn find_damage(&self) -> Result<Option<String>, CatalogError> {
        let wrong: Option<String> = sqlx::query_scalar(WRONG_SUMS).fetch_optional(&self.pool).await.map_err(failed)?;
        Ok(wrong.map(|module| format!("the sums of module {module} are not those of its packages")))
    }

    async fn snapshot(&self, into: &Path) -> Result<SqliteReader, CatalogError> {
        snapshot::write(&self.pool, into).await
    }

    async fn sum_up(&self) -> Result<Option<CatalogSum>, CatalogError> {
        snapshot::sum_up(&self.pool).await.map(Some).map_err(failed)
    }

    /// What is in the name of this process is free for others at once.
    async fn close(&self) {
        self.chores.are_done().await;
        if let Err(error) = queue::leave(&self.pool, &self.state).await {
            tracing::warn!(error = %error, "Cannot give up the jobs of this process; others take them when their leases run out");
        }
        self.background.stop();
        if let Err(error) = replicas::leave(&self.pool, self.state.process).await {
            tracing::warn!(error = %error, "Cannot say that this process ends; it is shown as silent for a while");
        }
        self.pool.close().await;
        self.listening.close().await;
    }
}
