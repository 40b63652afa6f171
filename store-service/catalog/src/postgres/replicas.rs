//! Which processes serve on this database, and how they do.
//!
//! Promises: whoever serves says so again every few seconds and takes it back when it ends in good order; whoever ended
//! otherwise, or stands still, is told apart. All times are by the clock of the server. Nothing rests on it: leases decide who
//! may do what.

use std::time::Duration;

use linkgate_store_core::ingest::ports::CatalogError;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;
use uuid::Uuid;

use super::PostgresCatalog;
use super::database::failed;

/// Between two signs of life.
const EVERY: Duration = Duration::from_secs(5);
/// Two of them may be late.
const SILENT_AFTER_S: i64 = 15;
/// Longer than anybody is stopped who is to go on.
const GONE_AFTER_S: i64 = 600;

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAbout {
    /// The machine.
    pub host: String,
    /// Where it listens.
    pub address: String,
    /// Its release.
    pub version: String,
}

/// A process that serves, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// In whose name its jobs are. New with every start.
    pub holder: String,
    /// The machine.
    pub host: String,
    /// Where it listens there.
    pub address: String,
    /// Its release.
    pub version: String,
    /// How it does.
    pub state: ReplicaState,
    /// When it began, in UTC, as RFC 3339 has it.
    pub started: String,
    /// Its last sign of life, likewise.
    pub seen: String,
    /// How long ago that was.
    pub seen_seconds_ago: i64,
    /// Jobs that it works on.
    pub claimed: i64,
    /// Maintenance that it does now, for all.
    pub chores: Vec<String>,
}

/// How a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// It shows signs of life.
    Running,
    /// It has shown none for a while: it stands still, is cut off from the database, or was killed.
    Silent,
    /// It will not come back. It is forgotten a day after its last sign of life.
    Gone,
}

impl ReplicaState {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Silent => "silent",
            Self::Gone => "gone",
        }
    }

    fn of(silent_s: i64) -> Self {
        if silent_s <= SILENT_AFTER_S {
            Self::Running
        } else if silent_s <= GONE_AFTER_S {
            Self::Silent
        } else {
            Self::Gone
        }
    }
}

impl PostgresCatalog {
    /// Says that this process serves, from now until the catalog is closed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn announce(&self, about: ReplicaAbout) -> Result<(), CatalogError> {
        let (pool, process) = (self.pool.clone(), self.state.process);
        begin(&pool, process, &about).await.map_err(failed)?;
        let saying = tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Err(error) = go_on(&pool, process, &about).await {
                    debug!(error = %error, "Cannot say that this store runs; trying again in {EVERY:?}");
                }
            }
        });
        self.background.add([saying.abort_handle()]);
        Ok(())
    }

    /// All that serve or did, the oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn replicas(&self) -> Result<Vec<Replica>, CatalogError> {
        let rows = sqlx::query(
            r#"select holder::text as holder, host, address, version,
                 to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as started,
                 to_char(seen_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as seen,
                 extract(epoch from clock_timestamp() - seen_at)::bigint as seen_seconds_ago,
                 (select count(*) from job where process = replica.holder and state = 'claimed') as claimed,
                 array(select task from maintenance_lease
                       where process = replica.holder and lease_until > clock_timestamp() order by task) as chores
             from replica order by started_at, replica.holder"#,
        );
        let rows = rows.fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
    }

    /// How many jobs there are in each state.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn job_counts(&self) -> Result<Vec<(String, i64)>, CatalogError> {
        let query = sqlx::query_as(
            "select states.name, count(job.id)
             from unnest(array['waiting', 'ready', 'claimed', 'parked', 'done', 'failed', 'cancelled'])
                 with ordinality as states (name, place)
             left join job on job.state = states.name group by states.name, states.place order by states.place",
        );
        query.fetch_all(&self.pool).await.map_err(failed)
    }
}

fn read(row: &PgRow) -> Result<Replica, sqlx::Error> {
    let seen_seconds_ago = row.try_get("seen_seconds_ago")?;
    Ok(Replica {
        holder: row.try_get("holder")?,
        host: row.try_get("host")?,
        address: row.try_get("address")?,
        version: row.try_get("version")?,
        state: ReplicaState::of(seen_seconds_ago),
        started: row.try_get("started")?,
        seen: row.try_get("seen")?,
        seen_seconds_ago,
        claimed: row.try_get("claimed")?,
        chores: row.try_get("chores")?,
    })
}

/// Whether there is another one that runs.
pub(super) async fn has_others(pool: &PgPool, process: Uuid) -> Result<bool, sqlx::Error> {
    let query = "select exists(select from replica
        where holder <> $1 and seen_at > clock_timestamp() - make_interval(secs => $2))";
    sqlx::query_scalar(query).bind(process).bind(SILENT_AFTER_S as f64).fetch_one(pool).await
}

/// Forgets as well who has not been seen for a day.
async fn begin(pool: &PgPool, process: Uuid, about: &ReplicaAbout) -> Result<(), sqlx::Error> {
    let begin = sqlx::query(
        "with forgotten as (delete from replica where seen_at < clock_timestamp() - interval '1 day' and holder <> $1)
         insert into replica (holder, host, address, version) values ($1, $2, $3, $4)
         on conflict (holder) do update set seen_at = excluded.seen_at",
    );
    let begin = begin.bind(process).bind(&about.host).bind(&about.address).bind(&about.version);
    begin.execute(pool).await.map(|_| ())
}

/// Only who is not there any more is written anew: a process that has just ended must not come back.
async fn go_on(pool: &PgPool, process: Uuid, about: &ReplicaAbout) -> Result<(), sqlx::Error> {
    let query = sqlx::query("update replica set seen_at = clock_timestamp() where holder = $1").bind(process);
    if query.execute(pool).await?.rows_affected() == 0 { begin(pool, process, about).await } else { Ok(()) }
}

/// Whether somebody shows signs of life.
pub(super) async fn is_anybody_running(tx: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar(
        "select exists(select from replica where seen_at > clock_timestamp() - make_interval(secs => $1))",
    );
    query.bind(Duration::from_secs(SILENT_AFTER_S.unsigned_abs()).as_secs_f64()).fetch_one(tx).await
}

/// This process does not serve any more.
pub(super) async fn leave(pool: &PgPool, process: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from replica where holder = $1").bind(process).execute(pool).await.map(|_| ())
}
