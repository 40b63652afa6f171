//! Used nonces, in the catalog of PostgreSQL.
//!
//! Promises: who is first is decided by the key of the table, for all processes; time is that of the server. A caller's bound may
//! be passed by as many as use one up at the same moment, and the bound in sum holds as long as no more processes than
//! [`PROCESSES`] do.

use linkgate_contract::SignedNonce;
use linkgate_store_core::budget::{Bounds, Exhausted, Owner};
use linkgate_store_core::ingest::ports::{CatalogError, NonceError, UsedNonces};
use sqlx::PgPool;
use uuid::Uuid;

use super::PostgresCatalog;
use super::database::{failed, limit};
use crate::again::{Again, Failure, retried};
use crate::shared::{RowBudget, account};

/// Nonces that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: i64 = 1_000;
/// Processes that share what is free.
const PROCESSES: usize = 8;

/// How many are remembered.
pub(super) struct NonceRows {
    per_owner: usize,
    in_sum: RowBudget,
}

impl NonceRows {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { per_owner: bounds.per_owner, in_sum: RowBudget::new(bounds.in_sum, PROCESSES) }
    }

    /// Whether one more may be there in sum.
    async fn check_sum(&self, pool: &PgPool) -> Result<(), NonceError> {
        if self.in_sum.take() {
            return Ok(());
        }
        let rows: i64 = sqlx::query_scalar("select count(*) from used_nonce").fetch_one(pool).await.map_err(broken)?;
        self.in_sum.has_counted(u64::try_from(rows).unwrap_or_default());
        if self.in_sum.take() { Ok(()) } else { Err(self.in_sum.exhausted().into()) }
    }
}

fn broken(error: sqlx::Error) -> NonceError {
    NonceError::Database(error.into())
}

impl Failure for NonceError {
    fn again(&self) -> Again {
        match self {
            Self::Database(cause) => cause.again(),
            Self::Used | Self::Expired | Self::Full(_) => Again::Never,
        }
    }
}

impl UsedNonces for PostgresCatalog {
    async fn use_nonce(&self, owner: &Owner, nonce: SignedNonce) -> Result<(), NonceError> {
        let (owner, attempt) = (account(owner), Uuid::new_v4());
        retried!(try_to_use(&self.pool, &self.nonces, &owner, nonce, attempt))
    }

    async fn expire_nonces(&self) -> Result<u64, CatalogError> {
        // Those who looked at the clock before this have long been there or been refused.
        let query = "delete from used_nonce where digest in
             (select digest from used_nonce where until < clock_timestamp() - interval '1 minute' order by until limit $1)";
        let done = sqlx::query(query).bind(FORGOTTEN_AT_A_TIME).execute(&self.pool).await;
        done.map(|done| done.rows_affected()).map_err(failed)
    }
}

/// One statement, which mostly is all.
async fn try_to_use(
    pool: &PgPool,
    rows: &NonceRows,
    owner: &str,
    nonce: SignedNonce,
    attempt: Uuid,
) -> Result<(), NonceError> {
    rows.check_sum(pool).await?;
    let done = sqlx::query(
        "insert into used_nonce (digest, owner, attempt, until)
         select $1, $2, $3, to_timestamp($4) where to_timestamp($4) > clock_timestamp()
             and (select count(*) from (select from used_nonce where owner = $2 limit $5) as held) < $5
         on conflict do nothing",
    )
    .bind(&nonce.digest.as_bytes()[..])
    .bind(owner)
    .bind(attempt)
    .bind(seconds(nonce))
    .bind(limit(rows.per_owner))
    .execute(pool)
    .await
    .map_err(broken)?;
    if done.rows_affected() == 1 { Ok(()) } else { find_reason(pool, rows, nonce, attempt).await }
}

/// Why it was not written; or it was, by this very attempt, whose answer was lost.
async fn find_reason(pool: &PgPool, rows: &NonceRows, nonce: SignedNonce, attempt: Uuid) -> Result<(), NonceError> {
    let query = "select (select attempt from used_nonce where digest = $1), to_timestamp($2) <= clock_timestamp()";
    let query = sqlx::query_as(query).bind(&nonce.digest.as_bytes()[..]).bind(seconds(nonce));
    let (used_by, is_over): (Option<Uuid>, bool) = query.fetch_one(pool).await.map_err(broken)?;
    match used_by {
        Some(by) if by == attempt => Ok(()),
        Some(_) => Err(NonceError::Used),
        None if is_over => Err(NonceError::Expired),
        None => Err(Exhausted::Owner { bound: rows.per_owner }.into()),
    }
}

/// The server reckons in seconds with a fraction.
fn seconds(nonce: SignedNonce) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "exact for some million years")]
    let seconds = nonce.last_second() as f64;
    seconds
}
