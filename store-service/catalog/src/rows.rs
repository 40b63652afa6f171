//! Rows of the tables, read alike from both databases.
//!
//! Promises: what a column cannot hold in this program is an error of decoding, never a default.

use linkgate_archive::{Format, Package};
use linkgate_contract::{
    AllowList, AppCode, CallerApp, CredentialName, HostRule, JobId, ModuleName, ModuleRef, Operator, PackageId,
    PackageVersion, PinName, TenantId,
};
use linkgate_store_core::ingest::Allowance;
use linkgate_store_core::ingest::ports::{
    Candidate, EventRow, FileState, JobRequest, ModuleSums, Origin, PackageDetail, PackageRow, Pin, Reference, RowName,
    StoredFile, StoredPackage, Sums,
};
use linkgate_store_core::sealing::Sealed;
use linkgate_store_core::settings::Usage;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row, Sqlite, Type};

use crate::shared::{EventRecord, undecodable, unsigned};

/// What columns of both databases can hold.
pub(crate) trait ColumnValue<'r>:
    Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite>
{
}

impl<'r, T: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite>> ColumnValue<'r> for T {}

/// A row of either database.
pub(crate) trait CatalogRow {
    /// What a column holds.
    fn try_get<'r, T: ColumnValue<'r>>(&'r self, name: &str) -> Result<T, sqlx::Error>;
}

impl CatalogRow for PgRow {
    fn try_get<'r, T: ColumnValue<'r>>(&'r self, name: &str) -> Result<T, sqlx::Error> {
        Row::try_get(self, name)
    }
}

impl CatalogRow for SqliteRow {
    fn try_get<'r, T: ColumnValue<'r>>(&'r self, name: &str) -> Result<T, sqlx::Error> {
        Row::try_get(self, name)
    }
}

pub(crate) fn read_id(id: &str) -> Result<JobId, sqlx::Error> {
    id.parse().map_err(|_| undecodable("a job's id"))
}

pub(crate) fn read_operator(row: &impl CatalogRow) -> Result<Operator, sqlx::Error> {
    Operator::new(row.try_get::<&str>("operator")?).map_err(|_| undecodable("an operator"))
}

fn read_tenant(row: &impl CatalogRow) -> Result<Option<TenantId>, sqlx::Error> {
    let tenant: Option<&str> = row.try_get("tenant_id")?;
    tenant.map(|id| TenantId::new(id).map_err(|_| undecodable("a tenant"))).transpose()
}

fn read_allowance(row: &impl CatalogRow) -> Result<Allowance, sqlx::Error> {
    let entries: Vec<String> =
        serde_json::from_str(row.try_get("private_hosts")?).map_err(|e| sqlx::Error::Decode(e.into()))?;
    // They were written from a list of such.
    let rules = entries.iter().filter_map(|entry| HostRule::new(entry).ok()).collect();
    let (private_hosts, opaque) = (AllowList::new(rules), row.try_get("opaque")?);
    Ok(Allowance { private_hosts, opaque, credentials: read_credentials(row)? })
}

/// Their names; releases that did not know them wrote none.
fn read_credentials(row: &impl CatalogRow) -> Result<Vec<CredentialName>, sqlx::Error> {
    let Some(text) = row.try_get::<Option<&str>>("credentials")? else { return Ok(Vec::new()) };
    let names: Vec<String> = serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(e.into()))?;
    names.into_iter().map(|name| CredentialName::new(name).map_err(|_| undecodable("a credential"))).collect()
}

/// What was asked for, of a job.
pub(crate) fn read_request(row: &impl CatalogRow) -> Result<JobRequest, sqlx::Error> {
    Ok(JobRequest {
        body: row.try_get("request")?,
        allowance: read_allowance(row)?,
        source_url: row.try_get("source_url")?,
        caller_app: Some(row.try_get("caller_app")?)
            .filter(|name: &&str| !name.is_empty())
            .map(|name| CallerApp::new(name).map_err(|_| undecodable("a calling application")))
            .transpose()?,
        operator: read_operator(row)?,
        tenant: read_tenant(row)?,
        request_id: row.try_get("request_id")?,
        client_address: row.try_get("client_address")?,
        sealed: row.try_get::<Option<Vec<u8>>>("sealed_credential")?.map(Sealed::from_bytes),
    })
}

/// What lists and replies show of a row.
pub(crate) fn read_row(row: &impl CatalogRow) -> Result<PackageRow, sqlx::Error> {
    Ok(PackageRow {
        id: PackageId::from_row(row.try_get("id")?),
        version: PackageVersion::new(row.try_get("version")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
        package_name: row.try_get("package_name")?,
        size_bytes: row.try_get("size_bytes")?,
        sha256: row.try_get::<&str>("sha256")?.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        is_deleted: row.try_get("is_deleted")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        operator: read_operator(row)?,
    })
}

pub(crate) fn read_stored(row: &impl CatalogRow) -> Result<StoredPackage, sqlx::Error> {
    let format: &str = row.try_get("format")?;
    let declared: Option<&str> = row.try_get("declared_version")?;
    let package = Package {
        format: Format::from_name(format).ok_or_else(|| sqlx::Error::Decode("an unknown format".into()))?,
        relative_path: row.try_get("relative_path")?,
        meta_info: row.try_get("meta_info")?,
        version: declared.map(PackageVersion::new).transpose().map_err(|e| sqlx::Error::Decode(e.into()))?,
        entries: unsigned(row.try_get("entries")?)?,
        members: Vec::new(),
        unpacked_bytes: unsigned(row.try_get("unpacked_bytes")?)?,
        // Else it would not have been stored.
        proves_whole: true,
        version_fault: None,
    };
    let origin = Origin {
        job_id: read_id(row.try_get("origin_job")?)?,
        url: row.try_get("origin_url")?,
        final_url: row.try_get("final_url")?,
        etag: row.try_get("etag")?,
        last_modified: row.try_get("last_modified")?,
    };
    Ok(StoredPackage { size_bytes: unsigned(row.try_get("size_bytes")?)?, package, origin })
}

pub(crate) fn read_file(row: &impl CatalogRow) -> Result<StoredFile, sqlx::Error> {
    let (is_deleted, purged_ms): (bool, Option<i64>) = (row.try_get("is_deleted")?, row.try_get("purged_ms")?);
    let state = match (purged_ms, is_deleted) {
        (Some(_), _) => FileState::Purged,
        (None, true) => FileState::Deleted,
        (None, false) => FileState::Live,
    };
    Ok(StoredFile {
        version: PackageVersion::new(row.try_get("version")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
        package_name: row.try_get("package_name")?,
        size_bytes: unsigned(row.try_get("size_bytes")?)?,
        sha256: row.try_get::<&str>("sha256")?.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        format: row.try_get::<Option<&str>>("format")?.and_then(Format::from_name),
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        state,
    })
}

pub(crate) fn read_detail(row: &impl CatalogRow, pins: Vec<Pin>) -> Result<PackageDetail, sqlx::Error> {
    Ok(PackageDetail {
        row: read_row(row)?,
        format: row.try_get("format")?,
        relative_path: row.try_get("relative_path")?,
        entries: row.try_get("entries")?,
        unpacked_bytes: row.try_get("unpacked_bytes")?,
        revision: row.try_get("revision")?,
        pins,
        deleted_ms: row.try_get("deleted_ms")?,
        purge_after_ms: row.try_get("purge_after_ms")?,
        purged_ms: row.try_get("purged_ms")?,
        source: row.try_get("source_url")?,
    })
}

pub(crate) fn read_pin(row: &impl CatalogRow) -> Result<Pin, sqlx::Error> {
    Ok(Pin {
        name: PinName::new(row.try_get::<&str>("name")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
        until_ms: row.try_get("until_ms")?,
        protect_bytes: row.try_get("protect_bytes")?,
        by: read_operator(row)?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}

pub(crate) fn read_candidate(row: &impl CatalogRow) -> Result<Candidate, sqlx::Error> {
    Ok(Candidate {
        id: PackageId::from_row(row.try_get("id")?),
        version: PackageVersion::new(row.try_get("version")?).map_err(|e| sqlx::Error::Decode(e.into()))?,
        size_bytes: unsigned(row.try_get("size_bytes")?)?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        revision: row.try_get("revision")?,
        is_pinned: row.try_get("is_pinned")?,
    })
}

pub(crate) fn read_reference(row: &impl CatalogRow) -> Result<Reference, sqlx::Error> {
    Ok(Reference {
        digest_text: row.try_get("sha256")?,
        rows: row.try_get("rows")?,
        least_bytes: row.try_get("least")?,
        most_bytes: row.try_get("most")?,
    })
}

pub(crate) fn read_name(row: &impl CatalogRow) -> Result<RowName, sqlx::Error> {
    Ok(RowName {
        id: row.try_get("id")?,
        app_code: row.try_get("app_code")?,
        module: row.try_get("module")?,
        version: row.try_get("version")?,
        size_bytes: row.try_get("size_bytes")?,
    })
}

pub(crate) fn read_event(row: &impl CatalogRow) -> Result<EventRow, sqlx::Error> {
    Ok(EventRow {
        id: row.try_get("id")?,
        at_ms: row.try_get("at_ms")?,
        action: row.try_get("action")?,
        package: row.try_get::<Option<i64>>("package_id")?.map(PackageId::from_row),
        version: row.try_get("version")?,
        sha256_before: row.try_get("sha256_before")?,
        sha256_after: row.try_get("sha256_after")?,
        caller_app: row.try_get("caller_app")?,
        operator: row.try_get("operator")?,
        request_id: row.try_get("request_id")?,
        client_address: row.try_get("client_address")?,
        reason: row.try_get("reason")?,
    })
}

pub(crate) fn read_module(row: &impl CatalogRow) -> Result<ModuleRef, sqlx::Error> {
    let (app, module): (&str, &str) = (row.try_get("app_code")?, row.try_get("module")?);
    Ok(ModuleRef {
        app: AppCode::new(app).map_err(|e| sqlx::Error::Decode(e.into()))?,
        module: ModuleName::new(module).map_err(|e| sqlx::Error::Decode(e.into()))?,
    })
}

pub(crate) fn read_sums(row: &impl CatalogRow) -> Result<Sums, sqlx::Error> {
    let sum = |column: &str| unsigned(row.try_get(column)?);
    Ok(Sums {
        packages: sum("packages")?,
        bytes: sum("bytes")?,
        deleted_packages: sum("deleted_packages")?,
        deleted_bytes: sum("deleted_bytes")?,
    })
}

pub(crate) fn read_module_sums(row: &impl CatalogRow) -> Result<ModuleSums, sqlx::Error> {
    Ok(ModuleSums { target: read_module(row)?, sums: read_sums(row)? })
}

pub(crate) fn read_usage(row: &impl CatalogRow, packages: &str, bytes: &str) -> Result<Usage, sqlx::Error> {
    Ok(Usage { packages: unsigned(row.try_get(packages)?)?, bytes: unsigned(row.try_get(bytes)?)? })
}

/// With its time as a text, `at`.
pub(crate) fn read_event_record(row: &impl CatalogRow) -> Result<EventRecord, sqlx::Error> {
    Ok(EventRecord {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        action: row.try_get("action")?,
        app_code: row.try_get("app_code")?,
        module: row.try_get("module")?,
        package_id: row.try_get("package_id")?,
        version: row.try_get("version")?,
        sha256_before: row.try_get("sha256_before")?,
        sha256_after: row.try_get("sha256_after")?,
        caller_app: row.try_get("caller_app")?,
        operator: row.try_get("operator")?,
        request_id: row.try_get("request_id")?,
        client_address: row.try_get("client_address")?,
        reason: row.try_get("reason")?,
    })
}
