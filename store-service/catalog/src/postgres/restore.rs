//! Puts a backup's catalog into PostgreSQL.
//!
//! Promises: the rows of the backup are all there or none is, with their numbers, and they were read back and held against the
//! backup before they count. No store begins on half of a restore. A restore that was cut off is gone on with by the same
//! backup. Refuses a database that holds packages, jobs or events, and whatever another restore has begun.
//!
//! It needs to own the tables: triggers that hold single rows against the rest are off within its transaction, and what they
//! see to is done once for all rows.

use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::ports::{CatalogError, CatalogSum};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::database::failed;
use super::search::search_text;
use super::snapshot::sum_of;
use super::{PostgresCatalog, replicas};
use crate::SqliteCatalog;
use crate::shared::unsigned;
use crate::tables::{JOBS, NUMBERED, PACKAGES, TABLES, Table, Value, write_line};

/// What is sent to the server at a time.
const SENT: usize = 64 << 10;

/// A restore takes as long as it takes.
const BEGIN: &str = "begin isolation level read committed; set local statement_timeout = 0;
    set local idle_in_transaction_session_timeout = 0";

/// Whether somebody has used the database, and what for.
const USED: &str = "select case
    when exists(select from source_package) then 'packages'
    when exists(select from module) then 'modules'
    when exists(select from job) then 'jobs'
    when exists(select from event) then 'events' end";

/// Whether a restore was begun before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreBegun {
    /// It is the first time.
    Now,
    /// It was cut off.
    Before,
}

/// Why a backup's catalog cannot be put there.
#[derive(Debug, thiserror::Error)]
pub enum CatalogRestoreError {
    /// Somebody has used the database.
    #[error("the database holds {0} already: restore into an empty one")]
    Used(String),
    /// They would see half of it.
    #[error("stores serve on the database: stop them first")]
    Serving,
    /// Of another backup.
    #[error(
        "the database holds half of a restore of another backup: restore that one, or begin with an empty database"
    )]
    OtherRestore,
    /// Somebody else has ended it.
    #[error("nobody is restoring into the database any more: another restore has ended it")]
    NotBegun,
    /// What was written is not what was read.
    #[error("the rows that were written are not those of the backup: {written} instead of {read}")]
    Differs {
        /// By the database.
        written: CatalogSum,
        /// By the backup.
        read: CatalogSum,
    },
    /// Rows whose bytes are not there, beside those that are known.
    #[error("{found} packages have no bytes in the bucket, and only {known} of them are missing in the backup")]
    BytesMissing {
        /// How many there are.
        found: u64,
        /// How many are missing in the backup.
        known: u64,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The catalog of the backup failed.
    #[error("the catalog of the backup failed")]
    Backup(#[from] CatalogError),
}

impl PostgresCatalog {
    /// Begins to restore a backup whose rows come to this, before anything of it is written anywhere. Until it is finished no
    /// store begins with this database.
    ///
    /// # Errors
    /// [`CatalogRestoreError`] says why it cannot be restored here.
    pub async fn begin_restore(&self, backup: &CatalogSum) -> Result<RestoreBegun, CatalogRestoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("lock table restore in exclusive mode").execute(&mut *tx).await?;
        refuse_used(&mut tx).await?;
        if replicas::is_anybody_running(&mut tx).await? {
            return Err(CatalogRestoreError::Serving);
        }
        let begun: Option<String> = sqlx::query_scalar("select backup from restore").fetch_optional(&mut *tx).await?;
        match begun {
            Some(other) if other != backup.sha256.to_string() => return Err(CatalogRestoreError::OtherRestore),
            Some(_) => return Ok(RestoreBegun::Before),
            None => {}
        }
        if sqlx::query_scalar("select exists(select from blob)").fetch_one(&mut *tx).await? {
            return Err(CatalogRestoreError::Used("objects of packages".to_owned()));
        }
        let mark = sqlx::query("insert into restore (backup) values ($1)").bind(backup.sha256.to_string());
        mark.execute(&mut *tx).await?;
        // An attempt that was given up, or a store that has stored nothing, may have had another bucket.
        sqlx::query("update bucket_mark set is_written = false").execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(RestoreBegun::Now)
    }

    /// Takes back that a restore was begun, of which nothing is written.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn take_restore_back(&self) -> Result<(), CatalogError> {
        sqlx::query("delete from restore").execute(&self.pool).await.map(|_| ()).map_err(failed)
    }

    /// Puts the rows of the backup there, all of whose blobs are, but for so many that are missing.
    ///
    /// # Errors
    /// [`CatalogRestoreError`]: then none of them is there.
    pub async fn finish_restore(
        &self,
        from: &SqliteCatalog,
        backup: &CatalogSum,
        missing: u64,
    ) -> Result<(), CatalogRestoreError> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        let mark = sqlx::query("delete from restore where backup = $1").bind(backup.sha256.to_string());
        if mark.execute(&mut *tx).await?.rows_affected() == 0 {
            return Err(CatalogRestoreError::NotBegun);
        }
        // Nobody writes a row, and no blob loses its object, until all of it counts.
        sqlx::query("lock table source_package, job, event, blob in share row exclusive mode")
            .execute(&mut *tx)
            .await?;
        refuse_used(&mut tx).await?;
        sqlx::query("alter table source_package disable trigger user").execute(&mut *tx).await?;
        for table in &TABLES {
            load(table, from, &mut tx).await?;
        }
        stand_in_for_triggers(&mut tx, missing).await?;
        sqlx::query("alter table source_package enable trigger user").execute(&mut *tx).await?;
        for table in NUMBERED {
            go_on_counting(table, from, &mut tx).await?;
        }
        let written = sum_of(&mut tx).await?;
        if written != *backup {
            return Err(CatalogRestoreError::Differs { written, read: backup.clone() });
        }
        reached(Step::CommitDue);
        tx.commit().await?;
        reached(Step::Committed);
        Ok(())
    }
}

/// Whether a restore into this database was begun and not finished.
pub(super) async fn is_half_done(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists(select from restore)").fetch_one(pool).await
}

async fn refuse_used(tx: &mut PgConnection) -> Result<(), CatalogRestoreError> {
    let used: Option<String> = sqlx::query_scalar(USED).fetch_one(tx).await?;
    used.map_or(Ok(()), |used| Err(CatalogRestoreError::Used(used)))
}

/// Copies a table as it is.
async fn load(table: &Table, from: &SqliteCatalog, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut columns = table.names();
    if table.name == PACKAGES {
        columns.push("search_text");
    }
    let statement = format!("copy {} ({}) from stdin", table.name, columns.join(", "));
    let mut copy = tx.copy_in_raw(&statement).await?;
    let mut lines = String::new();
    let mut rows = from.rows_of(table);
    while let Some(row) = rows.next().await? {
        write_line(&mut lines, &as_written(table, row));
        if lines.len() >= SENT {
            copy.send(lines.as_bytes()).await?;
            lines.clear();
        }
    }
    copy.send(lines.as_bytes()).await?;
    copy.finish().await.map(|_| ())
}

/// A row with what PostgreSQL has beside it.
fn as_written(table: &Table, mut values: Vec<Value>) -> Vec<Value> {
    match table.name {
        PACKAGES => {
            let text = |column| match table.value(&values, column) {
                Some(Value::Text(text)) => text.as_str(),
                _ => "",
            };
            let size_bytes = match table.value(&values, "size_bytes") {
                Some(Value::Number(size_bytes)) => u64::try_from(*size_bytes).unwrap_or(0),
                _ => 0,
            };
            let search_text = search_text(text("version"), text("package_name"), size_bytes);
            values.push(Value::Text(search_text));
        }
        // Accepted by a process that is gone: anybody may claim it.
        JOBS => {
            if let Some(place) = table.columns.iter().position(|(name, _)| *name == "state")
                && let Some(state @ Value::Nothing) = values.get_mut(place)
            {
                *state = Value::Text("waiting".to_owned());
            }
        }
        _ => {}
    }
    values
}

/// What triggers do for each row, and what a job that was taken up again says of itself.
async fn stand_in_for_triggers(tx: &mut PgConnection, missing: u64) -> Result<(), CatalogRestoreError> {
    for statement in [
        "insert into module_usage (app_code, module, live_packages, live_bytes, deleted_packages, deleted_bytes)
         select app_code, module, count(*) filter (where not is_deleted),
             coalesce(sum(size_bytes) filter (where not is_deleted), 0),
             count(*) filter (where is_deleted and purged_ms is null),
             coalesce(sum(size_bytes) filter (where is_deleted and purged_ms is null), 0)
         from source_package group by app_code, module",
        "update job set is_accepted = true, resumed_at = clock_timestamp() where ended_ms is null",
    ] {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    let without_bytes = "select count(distinct sha256) from source_package
        where purged_ms is null and not exists(select from blob where blob.sha256 = source_package.sha256)";
    let found = unsigned(sqlx::query_scalar(without_bytes).fetch_one(tx).await?)?;
    if found == missing { Ok(()) } else { Err(CatalogRestoreError::BytesMissing { found, known: missing }) }
}

/// Numbers that were given out stay given out, also where their rows are gone.
async fn go_on_counting(
    table: &'static str,
    from: &SqliteCatalog,
    tx: &mut PgConnection,
) -> Result<(), CatalogRestoreError> {
    let last = from.last_number(table).await?;
    if last > 0 {
        let text = format!("select setval(pg_get_serial_sequence('{table}', 'id'), $1)");
        let _last: i64 = sqlx::query_scalar(AssertSqlSafe(text)).bind(last).fetch_one(tx).await?;
    }
    Ok(())
}
