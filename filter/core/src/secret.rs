//! Secrets as the policy has them: only their SHA-256, compared in constant time.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 of a secret.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

/// A secret as it came, for as long as it is needed; nothing prints it, and its memory is wiped when it goes.
#[derive(Clone, Debug)]
pub(crate) struct Secret(SecretString);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, to be hashed or sent to the service that knows it.
    pub(crate) fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    /// Does not tell by its duration where the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.reveal().as_bytes().ct_eq(other.reveal().as_bytes()).into()
    }
}

impl Eq for Secret {}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits, the SHA-256 of the secret; make it with `linkgate secret hash`")]
pub struct InvalidDigest;

impl Digest {
    /// The digest of a secret as a caller sends it.
    #[must_use]
    pub fn of_secret(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`InvalidDigest`] on anything else.
    pub fn from_hex(text: &str) -> Result<Self, InvalidDigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidDigest)?;
        Ok(Self(bytes))
    }

    /// Compares without telling by its duration where the two differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Eight bytes to find candidates by. A caller cannot steer them without inverting SHA-256, so a lookup by them
    /// tells nothing; what is found is still compared with [`Digest::matches`].
    #[must_use]
    pub fn slot(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

/// Digests of weak secrets can be looked up in tables: they are not printed either.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        let hex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert!(Digest::of_secret("secret").matches(&Digest::from_hex(hex).unwrap()));
        assert!(Digest::of_secret("secret").matches(&Digest::from_hex(&hex.to_uppercase()).unwrap()));
        assert!(!Digest::of_secret("Secret").matches(&Digest::from_hex(hex).unwrap()));
        assert_eq!(format!("{:?}", Digest::of_secret("secret")), "Digest(..)");
    }

    #[test]
    fn a_secret_is_compared_and_not_printed() {
        assert!(Secret::new("t0p") == Secret::new("t0p") && Secret::new("t0p") != Secret::new("t0q"));
        assert!(!format!("{:?}", Secret::new("t0p")).contains("t0p"));
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_digest() {
        for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            assert!(Digest::from_hex(bad).is_err(), "{bad}");
        }
    }
}
