//! Which process does which piece of maintenance.
//!
//! Promises: one that is alive at a time, and no sooner than it is to be done again, by the clock of the server and no other.
//! What a process that died was doing, another one does within a minute. Two may do the same for a moment, when one of them was cut off
//! from the server; what they do bears it.

use std::time::Duration;

use linkgate_store_core::ingest::ports::{Chore as Task, Turn};
use sqlx::PgPool;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use uuid::Uuid;

use super::chores::{Chore, Chores};

/// How long a process is believed to go on without a sign of life, and how often it shows one.
const LEASE: Duration = Duration::from_secs(30);
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How long nobody asks whether it is their turn, at least and at most.
const ASK_AFTER: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_secs(60);

/// As it is written down.
pub(super) type Name = &'static str;

/// That this process does a piece of maintenance. Dropping it lets others do it.
pub struct PostgresLease {
    what: Name,
    chores: Chores,
    renewing: AbortHandle,
}

impl Drop for PostgresLease {
    fn drop(&mut self) {
        self.renewing.abort();
        self.chores.add(Chore::EndMaintenance { what: self.what });
    }
}

/// Takes it, if it is time to and nobody who is alive has it. What its last holder did not end is begun again at once.
pub(super) async fn begin(
    pool: &PgPool,
    chores: &Chores,
    process: Uuid,
    task: Task,
    every: Duration,
) -> Result<Turn<PostgresLease>, sqlx::Error> {
    let what = task.name();
    let taken = sqlx::query(
        "insert into maintenance_lease as held (task, process, lease_until, begun_at)
         values ($1, $2, clock_timestamp() + $3, clock_timestamp())
         on conflict (task) do update
             set process = excluded.process, lease_until = excluded.lease_until, begun_at = excluded.begun_at
             where held.lease_until < clock_timestamp()
                 or held.process is null and held.begun_at <= clock_timestamp() - $4::interval",
    )
    .bind(what)
    .bind(process)
    .bind(LEASE)
    .bind(every)
    .execute(pool)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(Turn::Later(time_left(pool, what, every).await?));
    }
    let renewing = tokio::spawn(renew(pool.clone(), process, what)).abort_handle();
    Ok(Turn::Now(PostgresLease { what, chores: chores.clone(), renewing }))
}

/// How long it will surely not be anybody's turn.
async fn time_left(pool: &PgPool, what: Name, every: Duration) -> Result<Duration, sqlx::Error> {
    let seconds: Option<f64> = sqlx::query_scalar(
        "select extract(epoch from coalesce(lease_until, begun_at + $2::interval) - clock_timestamp())::float8
         from maintenance_lease where task = $1",
    )
    .bind(what)
    .bind(every)
    .fetch_optional(pool)
    .await?;
    let left = Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default();
    Ok(left.clamp(ASK_AFTER, ASK_EVERY))
}

/// Shows that this process goes on, until it is stopped. One that fails is made up for by the next.
async fn renew(pool: PgPool, process: Uuid, what: Name) {
    loop {
        sleep(RENEW_EVERY).await;
        let renewed = sqlx::query(
            "update maintenance_lease set lease_until = clock_timestamp() + $3 where task = $1 and process = $2",
        );
        let _made_up_for_by_the_next = renewed.bind(what).bind(process).bind(LEASE).execute(&pool).await;
    }
}

/// Lets others do it, once it is to be done again.
pub(super) async fn end(pool: &PgPool, process: Uuid, what: Name) -> Result<(), sqlx::Error> {
    sqlx::query("update maintenance_lease set process = null, lease_until = null where task = $1 and process = $2")
        .bind(what)
        .bind(process)
        .execute(pool)
        .await
        .map(|_| ())
}
