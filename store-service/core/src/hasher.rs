//! The digest of bytes that come piece by piece.

use aws_lc_rs::digest::{Context, SHA256};
use linkgate_contract::Sha256;

/// The digest of what has come until now.
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    /// What comes next.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Of all that came.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        Sha256::from_bytes(digest)
    }
}
