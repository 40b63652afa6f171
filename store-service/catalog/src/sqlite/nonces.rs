//! Used nonces, in the catalog of SQLite.
//!
//! Promises: there is one writer at a time, so who is first is told so, and bounds hold to the row.

use linkgate_contract::SignedNonce;
use linkgate_store_core::budget::{Bounds, Exhausted, Owner};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{CatalogError, NonceError, UsedNonces};
use sqlx::{SqliteConnection, SqlitePool};

use super::SqliteCatalog;
use super::database::{BEGIN, failed};
use crate::shared::{RowBudget, account};

/// Nonces that are forgotten in one transaction.
const FORGOTTEN_AT_A_TIME: i64 = 1_000;

/// How many are remembered.
pub(super) struct NonceRows {
    per_owner: usize,
    in_sum: RowBudget,
}

impl NonceRows {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { per_owner: bounds.per_owner, in_sum: RowBudget::new(bounds.in_sum, 1) }
    }

    /// Whether one more may be there.
    async fn check(&self, tx: &mut SqliteConnection, owner: &str) -> Result<(), NonceError> {
        let bound = i64::try_from(self.per_owner).unwrap_or(i64::MAX);
        let of_owner = "select count(*) from (select 1 from used_nonce where owner = ? limit ?)";
        let held: i64 =
            sqlx::query_scalar(of_owner).bind(owner).bind(bound).fetch_one(&mut *tx).await.map_err(broken)?;
        if held >= bound {
            return Err(Exhausted::Owner { bound: self.per_owner }.into());
        }
        if self.in_sum.take() {
            return Ok(());
        }
        let rows: i64 = sqlx::query_scalar("select count(*) from used_nonce").fetch_one(tx).await.map_err(broken)?;
        self.in_sum.has_counted(u64::try_from(rows).unwrap_or_default());
        if self.in_sum.take() { Ok(()) } else { Err(self.in_sum.exhausted().into()) }
    }
}

fn broken(error: sqlx::Error) -> NonceError {
    NonceError::Database(error.into())
}

impl UsedNonces for SqliteCatalog {
    async fn use_nonce(&self, owner: &Owner, nonce: SignedNonce) -> Result<(), NonceError> {
        let (owner, until_ms) = (account(owner), nonce.last_second().saturating_mul(1_000));
        let mut tx = self.writer.begin_with(BEGIN).await.map_err(broken)?;
        // Once it is the writer: nobody forgets it in between.
        if until_ms <= now_ms() {
            return Err(NonceError::Expired);
        }
        let query = "select exists(select 1 from used_nonce where digest = ?)";
        let is_used = sqlx::query_scalar(query).bind(&nonce.digest.as_bytes()[..]).fetch_one(&mut *tx).await;
        if is_used.map_err(broken)? {
            return Err(NonceError::Used);
        }
        self.nonces.check(&mut tx, &owner).await?;
        sqlx::query("insert into used_nonce (digest, owner, until_ms) values (?, ?, ?)")
            .bind(&nonce.digest.as_bytes()[..])
            .bind(owner)
            .bind(until_ms)
            .execute(&mut *tx)
            .await
            .map_err(broken)?;
        tx.commit().await.map_err(broken)
    }

    async fn expire_nonces(&self) -> Result<u64, CatalogError> {
        expire(&self.writer, now_ms()).await
    }
}

async fn expire(writer: &SqlitePool, now: i64) -> Result<u64, CatalogError> {
    let query = "delete from used_nonce where digest in
         (select digest from used_nonce where until_ms <= ? order by until_ms limit ?)";
    let done = sqlx::query(query).bind(now).bind(FORGOTTEN_AT_A_TIME).execute(writer).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use linkgate_contract::CallerApp;
    use linkgate_store_core::settings::QueueLimits;
    use sqlx::Row as _;

    use super::*;

    #[tokio::test]
    async fn nonces_are_forgotten_a_part_at_a_time_and_only_when_their_time_is_over() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        let owner = Owner::App(CallerApp::new("ci").unwrap());
        let now = now_ms() / 1_000;
        let nonce = |n: u64| SignedNonce::new("ci", &n.to_string(), now, now);
        let parts = u64::try_from(FORGOTTEN_AT_A_TIME).unwrap();
        for n in 0..parts + 3 {
            catalog.use_nonce(&owner, nonce(n)).await.unwrap();
        }
        let end_ms = nonce(0).last_second() * 1_000;
        assert_eq!(expire(&catalog.writer, end_ms - 1).await.unwrap(), 0);
        assert_eq!(expire(&catalog.writer, end_ms).await.unwrap(), parts);
        assert_eq!(expire(&catalog.writer, end_ms).await.unwrap(), 3);
        assert_eq!(expire(&catalog.writer, end_ms).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn nothing_is_gone_through_to_see_what_is_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        for (query, want) in [
            ("select digest from used_nonce where until_ms <= 0 order by until_ms limit 9", "used_nonce_until"),
            ("select 1 from used_nonce where owner = '' limit 9", "used_nonce_owner"),
        ] {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("explain query plan {query}")));
            let plan = plan.fetch_one(&catalog.reader.pool).await.unwrap();
            let step: String = plan.get("detail");
            assert!(step.contains(want) && step.starts_with("SEARCH"), "{step}");
        }
    }
}
