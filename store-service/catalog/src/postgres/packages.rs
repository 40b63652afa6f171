//! Packages in the catalog of PostgreSQL.
//!
//! Promises: of a module and version there is one row that is not deleted; an upload makes it or replaces what it says.

use linkgate_contract::{ModuleRef, PackageId, PackageVersion, Sha256};
use linkgate_store_core::conditions::Existing;
use linkgate_store_core::ingest::ports::{
    CatalogError, LivePackage, NewPackage, PackageRow, StoredFile, StoredPackage,
};
use linkgate_store_core::settings::SourceOrigin;
use linkgate_store_core::version_order::natural_key;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{PgPool, Postgres, Row as _, Transaction};

use super::columns::{columns, select};
use super::database::{failed, storable};
use super::search::search_text;
use crate::rows::{read_file, read_row, read_stored};
use crate::shared::{signed, unsigned};

/// A row that reused bytes passes on where those came from.
pub(super) const FIND_STORED: &str =
    "select size_bytes, format, relative_path, meta_info, declared_version, entries, unpacked_bytes,
        coalesce(origin_url, source_url) as origin_url, coalesce(origin_job, job_id) as origin_job,
        final_url, etag, last_modified
    from source_package join provenance on package_id = id
    where sha256 = $1 and app_code = $2 and module = $3 and not is_deleted and format is not null
        and final_url is not null limit 1";

/// The row that an upload would replace.
pub(super) struct Live {
    pub(super) id: i64,
    /// `None` if somebody wrote something else into the table: no blob is left behind by it.
    pub(super) sha256: Option<Sha256>,
    pub(super) size_bytes: u64,
    revision: i64,
}

impl Live {
    /// What requests may want to be true of it.
    pub(super) fn existing(&self) -> Existing {
        Existing { id: PackageId::from_row(self.id), revision: self.revision, sha256: self.sha256 }
    }
}

pub(super) async fn find_live(
    tx: &mut Transaction<'_, Postgres>,
    entry: &NewPackage,
) -> Result<Option<Live>, sqlx::Error> {
    let row = sqlx::query(
        "select id, sha256, size_bytes, revision from source_package
            where app_code = $1 and module = $2 and version = $3 and not is_deleted",
    )
    .bind(entry.target.app.as_str())
    .bind(entry.target.module.as_str())
    .bind(entry.version.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let read = |row: PgRow| {
        let sha256 = row.try_get::<&str, _>("sha256")?.parse().ok();
        let (id, revision) = (row.try_get("id")?, row.try_get("revision")?);
        Ok(Live { id, sha256, size_bytes: unsigned(row.try_get("size_bytes")?)?, revision })
    };
    row.map(read).transpose()
}

/// The same, whole, for those who only look.
pub(super) async fn find_live_package(
    reader: &PgPool,
    target: &ModuleRef,
    version: &PackageVersion,
) -> Result<Option<LivePackage>, CatalogError> {
    let row = sqlx::query(select!(
        package,
        " from source_package where app_code = $1 and module = $2 and version = $3 and not is_deleted"
    ))
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(version.as_str())
    .fetch_optional(reader)
    .await
    .map_err(failed)?;
    let read = |row: &PgRow| Ok(LivePackage { row: read_row(row)?, revision: row.try_get("revision")? });
    row.as_ref().map(read).transpose().map_err(failed)
}

pub(super) async fn register_module(
    tx: &mut Transaction<'_, Postgres>,
    entry: &NewPackage,
    now: i64,
) -> Result<(), sqlx::Error> {
    // Another first upload to the same module may have been quicker; both register the same origin.
    sqlx::query(
        "insert into module (app_code, module, source_origin, created_ms) values ($1, $2, $3, $4) on conflict do nothing",
    )
    .bind(entry.target.app.as_str())
    .bind(entry.target.module.as_str())
    .bind(SourceOrigin::BkLesscode.number())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// What an upload says of its package: the values 1 to 12 of both statements below.
fn bind_package<'q>(query: Query<'q>, entry: &'q NewPackage, now: i64) -> Result<Query<'q>, sqlx::Error> {
    let package = &entry.package;
    Ok(query
        .bind(storable(&entry.package_name))
        .bind(signed(entry.size_bytes)?)
        .bind(entry.sha256.to_string())
        .bind(entry.operator.as_str())
        .bind(now)
        .bind(package.format.name())
        .bind(storable(&package.relative_path))
        .bind(package.meta_info.as_deref().map(storable))
        .bind(package.version.as_ref().map(PackageVersion::as_str))
        .bind(signed(package.entries)?)
        .bind(signed(package.unpacked_bytes)?)
        .bind(search_text(entry.version.as_str(), &entry.package_name, entry.size_bytes)))
}

pub(super) async fn insert(
    tx: &mut Transaction<'_, Postgres>,
    entry: &NewPackage,
    now: i64,
) -> Result<PackageRow, sqlx::Error> {
    let query = sqlx::query(concat!(
        "insert into source_package
            (package_name, size_bytes, sha256, operator, created_ms, updated_ms, format, relative_path, meta_info,
             declared_version, entries, unpacked_bytes, search_text, app_code, module, version, version_key)
         values ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) returning ",
        columns!(package)
    ));
    let row = bind_package(query, entry, now)?
        .bind(entry.target.app.as_str())
        .bind(entry.target.module.as_str())
        .bind(entry.version.as_str())
        .bind(natural_key(entry.version.as_str()))
        .fetch_one(&mut **tx)
        .await?;
    read_row(&row)
}

pub(super) async fn replace(
    tx: &mut Transaction<'_, Postgres>,
    id: i64,
    entry: &NewPackage,
    now: i64,
) -> Result<PackageRow, sqlx::Error> {
    let query = sqlx::query(concat!(
        "update source_package
         set package_name = $1, size_bytes = $2, sha256 = $3, operator = $4, updated_ms = $5, format = $6,
             relative_path = $7, meta_info = $8, declared_version = $9, entries = $10, unpacked_bytes = $11,
             search_text = $12, revision = revision + 1
         where id = $13 returning ",
        columns!(package)
    ));
    let row = bind_package(query, entry, now)?.bind(id).fetch_one(&mut **tx).await?;
    read_row(&row)
}

/// What is known of a package with this digest that the module has.
pub(super) async fn find_stored(
    reader: &PgPool,
    target: &ModuleRef,
    sha256: &Sha256,
) -> Result<Option<StoredPackage>, CatalogError> {
    let query = sqlx::query(FIND_STORED).bind(sha256.to_string());
    let query = query.bind(target.app.as_str()).bind(target.module.as_str());
    let row = query.fetch_optional(reader).await.map_err(failed)?;
    row.as_ref().map(read_stored).transpose().map_err(failed)
}

/// Where the source of a module comes from, if it is known.
pub(super) async fn find_origin(reader: &PgPool, target: &ModuleRef) -> Result<Option<SourceOrigin>, CatalogError> {
    let number: Option<i64> =
        sqlx::query_scalar("select source_origin from module where app_code = $1 and module = $2")
            .bind(target.app.as_str())
            .bind(target.module.as_str())
            .fetch_optional(reader)
            .await
            .map_err(failed)?;
    Ok(number.and_then(SourceOrigin::from_number))
}

/// Whether a version is there.
pub(super) async fn has_live(
    reader: &PgPool,
    target: &ModuleRef,
    version: &PackageVersion,
) -> Result<bool, CatalogError> {
    sqlx::query_scalar(
        "select exists(select from source_package
            where app_code = $1 and module = $2 and version = $3 and not is_deleted)",
    )
    .bind(target.app.as_str())
    .bind(target.module.as_str())
    .bind(version.as_str())
    .fetch_one(reader)
    .await
    .map_err(failed)
}

/// What downloading needs to know of a package of a module.
pub(super) async fn find_file(
    reader: &PgPool,
    target: &ModuleRef,
    id: PackageId,
) -> Result<Option<StoredFile>, CatalogError> {
    let query = sqlx::query(
        "select version, package_name, size_bytes, sha256, format, created_ms, updated_ms, is_deleted, purged_ms
         from source_package where id = $1 and app_code = $2 and module = $3",
    );
    let query = query.bind(id.row()).bind(target.app.as_str()).bind(target.module.as_str());
    let row = query.fetch_optional(reader).await.map_err(failed)?;
    row.as_ref().map(read_file).transpose().map_err(failed)
}
