//! The shape of the database: brought up to date by stores, and held against this release by everybody else.
//!
//! Promises: a database that does not fit is refused before anything in it is changed.

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::database::connect;
use super::{PostgresStartError, restore};

/// The first release that has all that is asked of it.
const OLDEST_SERVER: i32 = 130_000;

/// All that make a database fit for this release.
fn migrations() -> Migrator {
    sqlx::migrate!("migrations/postgres")
}

/// The lock of migrations is the connection's, and they may take long: nothing bounds them but the server's own settings.
pub(super) async fn migrate(address: &PgConnectOptions) -> Result<(), PostgresStartError> {
    let mut connection = connect(address).await?;
    refuse_unfit(&mut connection).await?;
    // The release after this one may be here already: what it added is made for this one to work on (migrations/README.md).
    migrations().set_ignore_missing(true).run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Refuses a database that lacks what this release works on.
pub(super) async fn refuse_other_release(address: &PgConnectOptions) -> Result<(), PostgresStartError> {
    let mut connection = connect(address).await?;
    refuse_unfit(&mut connection).await?;
    let is_made: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&mut connection).await?;
    if !is_made {
        return Err(PostgresStartError::Empty);
    }
    let done: Vec<i64> =
        sqlx::query_scalar("select version from _sqlx_migrations where success").fetch_all(&mut connection).await?;
    connection.close().await?;
    let is_whole = migrations().iter().all(|migration| done.contains(&migration.version));
    if is_whole { Ok(()) } else { Err(PostgresStartError::EarlierRelease) }
}

/// Refuses a database that holds half of a restore.
pub(super) async fn refuse_half_restored(pool: &PgPool) -> Result<(), PostgresStartError> {
    if restore::is_half_done(pool).await? { Err(PostgresStartError::HalfRestored) } else { Ok(()) }
}

async fn refuse_unfit(connection: &mut PgConnection) -> Result<(), PostgresStartError> {
    let (number, found, encoding): (i32, String, String) = sqlx::query_as(
        "select current_setting('server_version_num')::int, current_setting('server_version'),
             current_setting('server_encoding')",
    )
    .fetch_one(connection)
    .await?;
    if number < OLDEST_SERVER {
        return Err(PostgresStartError::OldServer { found });
    }
    if encoding == "UTF8" { Ok(()) } else { Err(PostgresStartError::Encoding { found: encoding }) }
}
