//! Which key the stores of one database seal with.
//!
//! Promises: a store that cannot open what the others seal does not start, so that it ends no upload of theirs. Whoever has
//! their key can put another one in its place, and whoever names it can give it up.

use sqlx::PgPool;
use tracing::info;

/// Why a store must not take up what others have sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    /// It does not have the key of the others.
    #[error("the stores that share this database seal with the key {recorded}, which this one does not have")]
    Missing {
        /// The key of the others.
        recorded: String,
    },
    /// It cannot be found out.
    #[error("the database does not say which key its stores seal with: {0}")]
    Database(#[from] sqlx::Error),
}

/// Holds the keys of a store, of which the first one seals, against the one that others seal with. It is theirs from now on.
pub(super) async fn agree(pool: &PgPool, held: &[String], given_up: &[String]) -> Result<(), SealingKeyError> {
    let mut tx = pool.begin().await?;
    // Whoever else begins just now waits here for this one.
    sqlx::query("lock table sealing_key in exclusive mode").execute(&mut *tx).await?;
    let recorded: Option<String> =
        sqlx::query_scalar("select key_id from sealing_key").fetch_optional(&mut *tx).await?;
    if recorded.as_ref() == held.first() {
        return Ok(());
    }
    if let Some(recorded) =
        recorded.as_ref().filter(|recorded| !held.contains(recorded) && !given_up.contains(recorded))
    {
        return Err(SealingKeyError::Missing { recorded: recorded.clone() });
    }
    sqlx::query("delete from sealing_key").execute(&mut *tx).await?;
    if let Some(first) = held.first() {
        sqlx::query("insert into sealing_key (key_id) values ($1)").bind(first).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    if let Some(recorded) = recorded {
        let sealing = held.first().map(String::as_str);
        info!(key.id = sealing, key.replaced = recorded, "Replaced the key that the stores of this database seal with");
    }
    Ok(())
}
