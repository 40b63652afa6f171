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
/// How long nobody asks whether it is their turn, at least and at most. While nobody does it all ask when it is due, and while
/// somebody does when the lease is over; so the longest wait is only for stores that do it more rarely than another one.
const ASK_AFTER: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_secs(600);

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

/// Takes it, if it is time to and nobody who is alive has it; or says how long that will surely not be so. What its last holder did
/// not end is begun again at once. One statement: every process asks for each piece of maintenance.
pub(super) async fn begin(
    pool: &PgPool,
    chores: &Chores,
    process: Uuid,
    task: Task,
    every: Duration,
) -> Result<Turn<PostgresLease>, sqlx::Error> {
    let what = task.name();
    let (is_taken, seconds_left): (bool, Option<f64>) = sqlx::query_as(
        "with taken as (
             insert into maintenance_lease as held (task, process, lease_until, begun_at)
             values ($1, $2, clock_timestamp() + $3, clock_timestamp())
             on conflict (task) do update
                 set process = excluded.process, lease_until = excluded.lease_until, begun_at = excluded.begun_at
                 where held.lease_until < clock_timestamp()
                     or held.process is null and held.begun_at <= clock_timestamp() - $4::interval
             returning 1)
         select exists(select from taken),
             (select extract(epoch from coalesce(lease_until, begun_at + $4::interval) - clock_timestamp())::float8
              from maintenance_lease where task = $1)",
    )
    .bind(what)
    .bind(process)
    .bind(LEASE)
    .bind(every)
    .fetch_one(pool)
    .await?;
    if !is_taken {
        // Whoever took it at this very moment is not seen, and is asked after soon.
        let left = Duration::try_from_secs_f64(seconds_left.unwrap_or_default()).unwrap_or_default();
        return Ok(Turn::Later(left.clamp(ASK_AFTER, ASK_EVERY)));
    }
    let renewing = tokio::spawn(renew(pool.clone(), process, what)).abort_handle();
    Ok(Turn::Now(PostgresLease { what, chores: chores.clone(), renewing }))
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
