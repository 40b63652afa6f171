//! The nonce of a signed request, as the gate tells the store of it.

use serde::{Deserialize, Serialize};

use crate::{InvalidArgs, Sha256};

/// A nonce that its request uses up. A gate judges it by what its own workers know; the store, by what all gates have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedNonce {
    /// Stands for the application, the nonce and the time stamp.
    pub digest: Sha256,
    /// The last second, since the epoch, in which a gate takes the signature.
    pub until: i64,
}

impl SignedNonce {
    /// How long a request may be on its way after a gate has judged it, in seconds. For so long a nonce is remembered beyond its
    /// end, and whoever comes later is refused: so it serves once, whatever is forgotten then.
    pub const ON_ITS_WAY_S: i64 = 300;
    /// Of one that was used.
    pub const USED: InvalidArgs = InvalidArgs("parameter bk_nonce has been used before");
    /// Of one whose time stamp is too old.
    pub const EXPIRED: InvalidArgs = InvalidArgs("parameter bk_timestamp has expired");

    /// Of these three; no other three have the same digest.
    #[must_use]
    #[cold]
    pub fn new(app_code: &str, nonce: &str, timestamp: i64, until: i64) -> Self {
        let parts = [b"nonce", app_code.as_bytes(), nonce.as_bytes(), &timestamp.to_le_bytes()];
        Self { digest: Sha256::digest_parts(parts), until }
    }

    /// The last second in which a store takes it.
    #[must_use]
    pub fn last_second(&self) -> i64 {
        self.until.saturating_add(Self::ON_ITS_WAY_S)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_stands_for_application_nonce_and_time_stamp() {
        let of = |app: &str, nonce: &str, timestamp| SignedNonce::new(app, nonce, timestamp, 0).digest;
        assert_eq!(of("a", "12", 3), of("a", "12", 3));
        for other in [of("b", "12", 3), of("a", "1", 3), of("a", "12", 4), of("a1", "2", 3)] {
            assert_ne!(other, of("a", "12", 3));
        }
    }

    #[test]
    fn it_is_written_as_digest_and_second() {
        let nonce = SignedNonce { digest: Sha256::from_bytes([0xab; 32]), until: 7 };
        assert_eq!(serde_json::to_value(nonce).unwrap(), json!({"digest": "ab".repeat(32), "until": 7}));
        assert_eq!(nonce.last_second(), 307);
        assert_eq!(SignedNonce { until: i64::MAX, ..nonce }.last_second(), i64::MAX);
    }
}
