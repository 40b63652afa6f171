//! Copies of the catalog in PostgreSQL, as backups have it: in SQLite, whichever database they are of.
//!
//! Promises: what is copied is of one moment, while others go on writing, and durable once it is there. Needs memory for a few
//! rows. Jobs that nobody was told of are left out, as they are in SQLite, and so is what only means something to processes that
//! run: places on the queue, leases, announcements.

use std::path::Path;

use futures_util::TryStreamExt as _;
use linkgate_store_core::data_dir::open_file;
use linkgate_store_core::ingest::ports::{CatalogError, CatalogReader as _};
use linkgate_store_core::settings::QueueLimits;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _, Sqlite, SqliteConnection};

use super::database::failed;
use crate::{SqliteCatalog, SqliteReader};

/// Begins to read, however long that takes.
const BEGIN: &str = "begin isolation level repeatable read read only; set local statement_timeout = 0;
    set local idle_in_transaction_session_timeout = 0";

/// How a column is copied.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Flag,
    Bytes,
    Id,
}

use Kind::{Bytes, Flag, Id, Number, Text};

struct Table {
    name: &'static str,
    /// The columns of both databases.
    columns: &'static [(&'static str, Kind)],
    /// Which rows.
    rows: &'static str,
}

/// All of them, those that others point at first.
const TABLES: [Table; 7] = [
    Table {
        name: "module",
        columns: &[("app_code", Text), ("module", Text), ("source_origin", Number), ("created_ms", Number)],
        rows: "true order by app_code, module",
    },
    Table {
        name: "source_package",
        columns: &[
            ("id", Number),
            ("app_code", Text),
            ("module", Text),
            ("version", Text),
            ("version_key", Bytes),
            ("package_name", Text),
            ("size_bytes", Number),
            ("sha256", Text),
            ("operator", Text),
            ("created_ms", Number),
            ("updated_ms", Number),
            ("format", Text),
            ("relative_path", Text),
            ("meta_info", Text),
            ("declared_version", Text),
            ("entries", Number),
            ("unpacked_bytes", Number),
            ("revision", Number),
            ("is_deleted", Flag),
            ("deleted_ms", Number),
            ("purge_after_ms", Number),
            ("purged_ms", Number),
        ],
        rows: "true order by id",
    },
    Table {
        name: "provenance",
        columns: &[
            ("package_id", Number),
            ("source_url", Text),
            ("final_url", Text),
            ("etag", Text),
            ("last_modified", Text),
            ("attempts", Number),
            ("caller_app", Text),
            ("operator", Text),
            ("tenant_id", Text),
            ("request_id", Text),
            ("job_id", Text),
            ("started_ms", Number),
            ("ended_ms", Number),
            ("store_version", Text),
            ("statement", Text),
            ("origin_url", Text),
            ("origin_job", Text),
        ],
        rows: "true order by package_id",
    },
    Table {
        name: "pin",
        columns: &[
            ("package_id", Number),
            ("name", Text),
            ("until_ms", Number),
            ("protect_bytes", Flag),
            ("caller_app", Text),
            ("operator", Text),
            ("created_ms", Number),
            ("updated_ms", Number),
        ],
        rows: "true order by package_id, name",
    },
    Table {
        name: "event",
        columns: &[
            ("id", Number),
            ("at_ms", Number),
            ("action", Text),
            ("app_code", Text),
            ("module", Text),
            ("package_id", Number),
            ("version", Text),
            ("sha256_before", Text),
            ("sha256_after", Text),
            ("caller_app", Text),
            ("operator", Text),
            ("request_id", Text),
            ("client_address", Text),
            ("reason", Text),
        ],
        rows: "true order by id",
    },
    Table {
        name: "job",
        columns: &[
            ("id", Id),
            ("app_code", Text),
            ("module", Text),
            ("state", Text),
            ("request", Text),
            ("private_hosts", Text),
            ("credentials", Text),
            ("sealed_credential", Bytes),
            ("opaque", Flag),
            ("source_url", Text),
            ("caller_app", Text),
            ("operator", Text),
            ("tenant_id", Text),
            ("request_id", Text),
            ("client_address", Text),
            ("created_ms", Number),
            ("started_ms", Number),
            ("ended_ms", Number),
            ("received_bytes", Number),
            ("total_bytes", Number),
            ("attempts", Number),
            ("lives", Number),
            ("outcome", Text),
        ],
        rows: "is_accepted or ended_ms is not null order by id",
    },
    Table {
        name: "job_key",
        columns: &[("key", Bytes), ("fingerprint", Bytes), ("job_id", Id), ("created_ms", Number)],
        rows: "exists(select from job where job.id = job_id and (is_accepted or ended_ms is not null)) order by key",
    },
];

/// Writes the catalog as it is now into a new file, and opens that.
pub(super) async fn write(pool: &PgPool, into: &Path) -> Result<SqliteReader, CatalogError> {
    // Made here, so that it gets our mode and not SQLite's.
    open_file(into).map_err(|e| CatalogError::Database(e.into()))?;
    let copy = SqliteCatalog::open(into, QueueLimits::default()).await.map_err(|e| CatalogError::Database(e.into()))?;
    let copied = copy_all(pool, &copy).await;
    copy.close().await;
    copied.map_err(failed)?;
    let file = tokio::fs::File::open(into).await.map_err(|e| CatalogError::Database(e.into()))?;
    file.sync_all().await.map_err(|e| CatalogError::Database(e.into()))?;
    SqliteReader::open(into).await
}

async fn copy_all(pool: &PgPool, copy: &SqliteCatalog) -> Result<(), sqlx::Error> {
    let mut from = pool.begin_with(BEGIN).await?;
    let mut to = copy.begin_copy().await?;
    for table in &TABLES {
        table.copy(&mut from, &mut to).await?;
    }
    to.commit().await?;
    from.commit().await
}

impl Table {
    async fn copy(&self, from: &mut PgConnection, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let (reading, writing) = (AssertSqlSafe(self.reading()), self.writing());
        let mut rows = sqlx::query(reading).fetch(from);
        while let Some(row) = rows.try_next().await? {
            self.bind(sqlx::query(AssertSqlSafe(writing.clone())), &row)?.execute(&mut *to).await?;
        }
        Ok(())
    }

    fn reading(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, kind)| read(name, *kind)).collect();
        format!("select {} from {} where {}", columns.join(", "), self.name, self.rows)
    }

    fn writing(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let values = vec!["?"; names.len()];
        format!("insert into {} ({}) values ({})", self.name, names.join(", "), values.join(", "))
    }

    fn bind<'q>(&self, mut query: Query<'q>, row: &PgRow) -> Result<Query<'q>, sqlx::Error> {
        for (at, (_, kind)) in self.columns.iter().enumerate() {
            query = match kind {
                Text | Id => query.bind(row.try_get::<Option<String>, _>(at)?),
                Number | Flag => query.bind(row.try_get::<Option<i64>, _>(at)?),
                Bytes => query.bind(row.try_get::<Option<Vec<u8>>, _>(at)?),
            };
        }
        Ok(query)
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A column in the words of PostgreSQL, as SQLite has it.
fn read(name: &str, kind: Kind) -> String {
    match kind {
        // There a job that has not ended has none.
        Text if name == "state" => "case when ended_ms is not null then state end".to_owned(),
        Text | Bytes | Number => name.to_owned(),
        Flag => format!("{name}::int::bigint"),
        Id => format!("{name}::text"),
    }
}
