//! Which keys the stores of one database sign with.
//!
//! Promises: the first one says it, and all others are held to that; only whoever names the key that is replaced can replace it,
//! so a store that was left behind, or given another's file, cannot.

use std::fmt;

use sqlx::PgPool;
use tracing::info;

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningPurpose {
    /// What the store says of where packages came from.
    Statements,
    /// Links for others.
    Urls,
}

impl SigningPurpose {
    /// As in the table.
    fn name(self) -> &'static str {
        match self {
            Self::Statements => "statements",
            Self::Urls => "urls",
        }
    }
}

impl fmt::Display for SigningPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statements => "statements",
            Self::Urls => "URLs",
        })
    }
}

/// Why a store must not sign with its key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The others have another one.
    #[error("the stores that share this database sign {purpose} with the key {recorded}, this one was given {given}")]
    Other {
        /// What is signed.
        purpose: SigningPurpose,
        /// The key of the others.
        recorded: String,
        /// The key of this one.
        given: String,
    },
    /// It cannot be found out.
    #[error("the database does not say which keys its stores sign with: {0}")]
    Database(#[from] sqlx::Error),
}

/// Holds a key against that of the others. The first one is theirs from now on, and so is one that takes the place of theirs.
pub(super) async fn agree(
    pool: &PgPool,
    purpose: SigningPurpose,
    given: &str,
    replaced: &[String],
) -> Result<(), SigningKeyError> {
    let mut tx = pool.begin().await?;
    sqlx::query("insert into signing_key (purpose, key_id) values ($1, $2) on conflict (purpose) do nothing")
        .bind(purpose.name())
        .bind(given)
        .execute(&mut *tx)
        .await?;
    // Whoever else begins just now waits here for this one.
    let recorded: String = sqlx::query_scalar("select key_id from signing_key where purpose = $1 for update")
        .bind(purpose.name())
        .fetch_one(&mut *tx)
        .await?;
    let takes_its_place = recorded != given && replaced.contains(&recorded);
    if takes_its_place {
        sqlx::query("update signing_key set key_id = $2, since = clock_timestamp() where purpose = $1")
            .bind(purpose.name())
            .bind(given)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    if takes_its_place {
        info!(
            key.id = given,
            key.replaced = recorded,
            "The stores of this database sign {purpose} with another key now"
        );
    } else if recorded != given {
        return Err(SigningKeyError::Other { purpose, recorded, given: given.to_owned() });
    }
    Ok(())
}
