//! Nonces of signed requests, each of which serves once, whichever gate it came by.
//!
//! Promises, of every adapter: of those who use up the same nonce exactly one is told that it is the first, also while the
//! answer to it is lost on the way. What is remembered is bounded, and forgotten only when its time is over; whoever comes later
//! than that is refused.

use linkgate_contract::SignedNonce;

use super::{CatalogError, Cause};
use crate::budget::{Exhausted, Owner};

/// Where used nonces are remembered.
pub trait UsedNonces: Clone + Send + Sync + 'static {
    /// Uses one up, on this caller's account. Durable once it returns.
    fn use_nonce(&self, owner: &Owner, nonce: SignedNonce) -> impl Future<Output = Result<(), NonceError>> + Send;
    /// Forgets those whose time is over, a part of them, and says how many; 0 when no more are left.
    fn expire_nonces(&self) -> impl Future<Output = Result<u64, CatalogError>> + Send;
}

/// Why a nonce does not serve.
#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    /// It has served.
    #[error("the nonce was used before")]
    Used,
    /// The gate took it too long ago.
    #[error("the nonce's time is over")]
    Expired,
    /// As many are remembered as may be.
    #[error("no more nonces are remembered: {0}")]
    Full(#[from] Exhausted),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] Cause),
}
