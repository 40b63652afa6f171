//! Whether there is a pooler between that takes from connections what the catalog relies on.
//!
//! Promises: one that hands connections of the server around is found as long as it has one at rest, which it has when two in
//! turn ask for one; one that passes on no settings of connections is found always.

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, PgConnection, Row as _, raw_sql};

use super::PostgresStartError;
use super::database::connect;

/// How often two connections are held against each other: others may ask in between.
const TIMES: u32 = 4;

/// Refuses a pooler that cannot be used.
pub(super) async fn refuse_pooler(options: &PgConnectOptions) -> Result<(), PostgresStartError> {
    let mut one = connect(options).await?;
    let mut other = connect(options).await?;
    for _ in 0..TIMES {
        // Two that are open at once are two of the server's, unless somebody lends them out by turns.
        if backend(&mut one).await? == backend(&mut other).await? {
            return Err(PostgresStartError::Pooler("hands connections around"));
        }
    }
    let timeout: String = ask(&mut one, "select current_setting('statement_timeout')").await?.try_get(0)?;
    if timeout == "0" {
        return Err(PostgresStartError::Pooler("does not pass on the timeouts of connections"));
    }
    one.close().await?;
    other.close().await?;
    Ok(())
}

async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    ask(connection, "select pg_backend_pid()").await?.try_get(0)
}

/// Prepares nothing: what is prepared may stay behind on a connection that others get.
async fn ask(connection: &mut PgConnection, query: &'static str) -> Result<PgRow, sqlx::Error> {
    raw_sql(query).fetch_one(connection).await
}
