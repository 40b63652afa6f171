//! Where packages came from, in the catalog of PostgreSQL.

use linkgate_contract::{ModuleRef, PackageId, Sha256};
use linkgate_store_core::ingest::ports::{BytesFrom, CatalogError, JobRecord, Provenance};
use sqlx::{PgPool, Postgres, Transaction};

use super::database::failed;
use crate::shared::{caller_text, tenant_text};

/// Statements that are given for one hash. A package that more rows share says the same in the rest.
const STATEMENTS: i64 = 100;

/// Records where the package of a row came from, in the place of what was known of the row before.
pub(super) async fn record(
    tx: &mut Transaction<'_, Postgres>,
    package_id: i64,
    job: &JobRecord,
    provenance: &Provenance,
) -> Result<(), sqlx::Error> {
    let JobRecord { view, request, .. } = job;
    // Bytes that a caller sent have no link: so have those of releases that did not record it.
    let (final_url, etag, last_modified, origin) = match &provenance.bytes {
        BytesFrom::Source(fetched) => {
            (Some(&fetched.final_url), fetched.etag.as_ref(), fetched.last_modified.as_ref(), None)
        }
        BytesFrom::Stored(origin) => {
            (Some(&origin.final_url), origin.etag.as_ref(), origin.last_modified.as_ref(), Some(origin))
        }
        BytesFrom::Caller => (None, None, None, None),
    };
    sqlx::query(
        "insert into provenance
            (package_id, source_url, final_url, etag, last_modified, attempts, caller_app, operator, request_id, job_id,
             started_ms, ended_ms, store_version, statement, origin_url, origin_job, tenant_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         on conflict (package_id) do update set
            source_url = excluded.source_url, final_url = excluded.final_url, etag = excluded.etag,
            last_modified = excluded.last_modified, attempts = excluded.attempts, caller_app = excluded.caller_app,
            operator = excluded.operator, request_id = excluded.request_id, job_id = excluded.job_id,
            started_ms = excluded.started_ms, ended_ms = excluded.ended_ms, store_version = excluded.store_version,
            statement = excluded.statement, origin_url = excluded.origin_url, origin_job = excluded.origin_job,
            tenant_id = excluded.tenant_id",
    )
    .bind(package_id)
    .bind(&request.source_url)
    .bind(final_url)
    .bind(etag)
    .bind(last_modified)
    .bind(i64::from(view.attempts))
    .bind(caller_text(request))
    .bind(request.operator.as_str())
    .bind(&request.request_id)
    .bind(view.id.to_string())
    .bind(view.started_ms)
    .bind(provenance.ended_ms)
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(&provenance.statement)
    .bind(origin.map(|origin| &origin.url))
    .bind(origin.map(|origin| origin.job_id.to_string()))
    .bind(tenant_text(request))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The statements of the live rows that point at a hash.
pub(super) async fn statements(pool: &PgPool, sha256: &Sha256) -> Result<Vec<String>, CatalogError> {
    sqlx::query_scalar(
        "select statement from provenance join source_package on id = package_id
         where sha256 = $1 and not is_deleted order by ended_ms desc, id limit $2",
    )
    .bind(sha256.to_string())
    .bind(STATEMENTS)
    .fetch_all(pool)
    .await
    .map_err(failed)
}

/// The statement of a package of a module.
pub(super) async fn find_statement(
    pool: &PgPool,
    target: &ModuleRef,
    id: PackageId,
) -> Result<Option<String>, CatalogError> {
    sqlx::query_scalar(
        "select statement from provenance join source_package on id = package_id
         where id = $1 and app_code = $2 and module = $3",
    )
    .bind(id.row())
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .fetch_optional(pool)
    .await
    .map_err(failed)
}
