//! Keys for tokens: the gate's own, to sign with, and those of other gateways, to verify by. Ed25519 (`EdDSA`) or RSA
//! (`RS512`).
//!
//! Promises: a key stands for one algorithm, so a token cannot choose another; nothing prints a private key. RSA keys
//! have at least 2048 bits.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signer, Verifier};
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::signature::SignatureEncoding;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::{Digest as _, Sha512};

/// Smaller RSA keys can be broken.
const MIN_RSA_BITS: u32 = 2048;
/// Larger ones only cost time: a signature with 8192 bits takes most of a second.
const MAX_RSA_BITS: u32 = 4096;

/// What stands before the 32 bytes of an Ed25519 key in the standard form of public keys (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The gate's private key.
pub struct SigningKey(Private);

enum Private {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Rsa(Box<rsa::pkcs1v15::SigningKey<Sha512>>),
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing there.
    #[error("the signing key is missing: set LINKGATE_JWT_PRIVATE_KEY in the proxy's environment")]
    Missing,
    /// Neither kind of private key.
    #[error("the signing key must be an Ed25519 or RSA private key, PKCS#8 (or PKCS#1 for RSA) as PEM or base64 of it")]
    NotPrivate,
    /// Neither kind of public key.
    #[error("must be an Ed25519 or RSA public key as PEM")]
    NotPublic,
    /// RSA of another size than is safe and quick enough.
    #[error("RSA keys need {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this one has {bits}")]
    RsaSize {
        /// What it has.
        bits: u32,
    },
}

impl SigningKey {
    /// Reads PKCS#8 (or PKCS#1 for RSA), as PEM or as base64 of PEM or DER (for places where a variable must stay on one
    /// line).
    ///
    /// # Errors
    /// [`InvalidKey`], which never quotes the text.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidKey::Missing);
        }
        if text.starts_with("-----BEGIN") {
            return Self::from_pem(text);
        }
        let bytes = STANDARD.decode(text).map_err(|_| InvalidKey::NotPrivate)?;
        match std::str::from_utf8(&bytes) {
            Ok(pem) if pem.starts_with("-----BEGIN") => Self::from_pem(pem.trim()),
            _ => Self::from_der(&bytes),
        }
    }

    fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
            return Ok(Self(Private::Ed25519(Box::new(key))));
        }
        let rsa = RsaPrivateKey::from_pkcs8_pem(pem).ok().or_else(|| RsaPrivateKey::from_pkcs1_pem(pem).ok());
        Self::from_rsa(rsa)
    }

    fn from_der(der: &[u8]) -> Result<Self, InvalidKey> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Ok(Self(Private::Ed25519(Box::new(key))));
        }
        let rsa = RsaPrivateKey::from_pkcs8_der(der).ok().or_else(|| RsaPrivateKey::from_pkcs1_der(der).ok());
        Self::from_rsa(rsa)
    }

    fn from_rsa(key: Option<RsaPrivateKey>) -> Result<Self, InvalidKey> {
        let key = key.ok_or(InvalidKey::NotPrivate)?;
        check_size(key.n().bits())?;
        Ok(Self(Private::Rsa(Box::new(rsa::pkcs1v15::SigningKey::new(key)))))
    }

    /// The name of its algorithm in a token.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.0 {
            Private::Ed25519(_) => "EdDSA",
            Private::Rsa(_) => "RS512",
        }
    }

    /// A number that everybody with this key has, and nobody else.
    pub(crate) fn salt(&self) -> u64 {
        let signature = self.sign(b"linkgate: slots of shared data").unwrap_or_default();
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(sha2::Sha256::digest(signature));
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Signs; `None` only if the key is broken.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.0 {
            Private::Ed25519(key) => Some(key.sign(message).to_bytes().to_vec()),
            Private::Rsa(key) => Some(key.try_sign(message).ok()?.to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

fn check_size(bits: u32) -> Result<(), InvalidKey> {
    if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) { Ok(()) } else { Err(InvalidKey::RsaSize { bits }) }
}

/// Another gateway's public key.
#[derive(Debug)]
pub(crate) enum PublicKey {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    Rsa(Box<rsa::pkcs1v15::VerifyingKey<Sha512>>),
}

impl PublicKey {
    /// Reads PEM: SPKI, or PKCS#1 for RSA.
    pub(crate) fn parse(pem: &str) -> Result<Self, InvalidKey> {
        let pem = pem.trim();
        if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_pem(pem) {
            return Ok(Self::Ed25519(Box::new(key)));
        }
        let rsa = RsaPublicKey::from_public_key_pem(pem).ok().or_else(|| RsaPublicKey::from_pkcs1_pem(pem).ok());
        let key = rsa.ok_or(InvalidKey::NotPublic)?;
        check_size(key.n().bits())?;
        Ok(Self::Rsa(Box::new(rsa::pkcs1v15::VerifyingKey::new(key))))
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS512",
        }
    }

    /// SHA-256 of its standard form, if it is one for Ed25519: what stores call their keys by.
    pub(crate) fn ed25519_id(&self) -> Option<String> {
        let Self::Ed25519(key) = self else { return None };
        let form = [&ED25519_SPKI[..], key.as_bytes()].concat();
        Some(hex::encode(sha2::Sha256::digest(form)))
    }

    /// About how many microseconds it takes to verify a signature in a proxy's VM; with RSA it grows with the square of the size.
    pub(crate) fn work_us(&self) -> u32 {
        match self {
            Self::Ed25519(_) => 200,
            Self::Rsa(key) => {
                let key: &RsaPublicKey = key.as_ref().as_ref();
                let size = key.n().bits().div_ceil(1024);
                250 * size * size
            }
        }
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature);
                signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::Rsa(key) => {
                let signature = rsa::pkcs1v15::Signature::try_from(signature);
                signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Keys for tests, made anew for each run.

    use std::sync::OnceLock;

    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
    use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};

    /// A private key and its public one, both as PEM.
    pub(crate) struct Pair {
        pub(crate) private: String,
        pub(crate) public: String,
    }

    fn openssl(args: &[&str], input: &str) -> String {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut command = Command::new("openssl");
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl makes RSA keys for tests");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    /// An RSA pair of 2048 bits; one for all tests of a process, for it takes a while.
    pub(crate) fn rsa() -> &'static Pair {
        static PAIR: OnceLock<Pair> = OnceLock::new();
        PAIR.get_or_init(|| rsa_of("2048"))
    }

    pub(crate) fn rsa_of(bits: &str) -> Pair {
        let private = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")], "");
        let public = openssl(&["pkey", "-pubout"], &private);
        Pair { private, public }
    }

    /// An Ed25519 pair.
    pub(crate) fn ed25519(seed: u8) -> Pair {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        Pair {
            private: key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string(),
            public: key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_key_signs_its_own_public_key_verifies_and_no_other() {
        for (own, other) in [(testing::ed25519(7), testing::rsa()), (testing::ed25519(8), &testing::ed25519(7))] {
            for (signer, stranger) in [(&own, other), (other, &own)] {
                let key = SigningKey::parse(&signer.private).unwrap();
                let signature = key.sign(b"message").unwrap();
                let public = PublicKey::parse(&signer.public).unwrap();
                assert_eq!(public.algorithm(), key.algorithm());
                assert!(public.verifies(b"message", &signature) && !public.verifies(b"messagf", &signature));
                assert!(!public.verifies(b"message", &signature[1..]) && !public.verifies(b"message", b""));
                assert!(!PublicKey::parse(&stranger.public).unwrap().verifies(b"message", &signature));
            }
        }
    }

    #[test]
    fn a_public_key_is_named_as_openssl_and_the_store_name_it() {
        let pair = testing::ed25519(7);
        let der = STANDARD.decode(pair.public.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
        let id = PublicKey::parse(&pair.public).unwrap().ed25519_id();
        assert_eq!(id, Some(hex::encode(sha2::Sha256::digest(der))));
        assert_eq!(PublicKey::parse(&testing::rsa().public).unwrap().ed25519_id(), None);
    }

    #[test]
    fn a_private_key_is_read_as_pem_or_base64_and_never_shown() {
        for pair in [&testing::ed25519(7), testing::rsa()] {
            let der =
                STANDARD.decode(pair.private.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
            for text in [pair.private.clone(), STANDARD.encode(&pair.private), STANDARD.encode(&der)] {
                let key = SigningKey::parse(&format!(" {text}\n")).unwrap();
                assert_eq!(format!("{key:?}"), "SigningKey(..)");
            }
        }
        assert_eq!(SigningKey::parse(" ").unwrap_err(), InvalidKey::Missing);
        for bad in ["nonsense", "AAAA", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert_eq!(SigningKey::parse(bad).unwrap_err(), InvalidKey::NotPrivate);
            assert_eq!(PublicKey::parse(bad).unwrap_err(), InvalidKey::NotPublic);
        }
        assert_eq!(SigningKey::parse(&testing::rsa().public).unwrap_err(), InvalidKey::NotPrivate);
    }

    #[test]
    fn a_small_rsa_key_is_refused() {
        let small = testing::rsa_of("1024");
        assert_eq!(SigningKey::parse(&small.private).unwrap_err(), InvalidKey::RsaSize { bits: 1024 });
        assert_eq!(PublicKey::parse(&small.public).unwrap_err(), InvalidKey::RsaSize { bits: 1024 });
    }
}
