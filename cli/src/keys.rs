//! `linkgate keys generate`: the pair that the gate signs its tokens with.
//!
//! Promises: the private key is readable by its owner only, from the first byte on; neither file is ever overwritten.

use std::fs::{DirBuilder, symlink_metadata};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey, KeypairBytes};

use crate::error::Error;
use crate::files::{Existing, write_whole};

/// The private key's file, PKCS#8.
pub const PRIVATE: &str = "jwt-private.pem";
/// The public key's file, SPKI.
pub const PUBLIC: &str = "jwt-public.pem";

/// Makes the pair in a folder, which is made for the owner only if it is not there.
pub fn generate(folder: &Path) -> Result<String, Error> {
    let (private, public) = (folder.join(PRIVATE), folder.join(PUBLIC));
    for path in [&private, &public] {
        if symlink_metadata(path).is_ok() {
            return Err(Error::KeyExists(path.clone()));
        }
    }
    let (private_pem, public_pem) = new_pair()?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| Error::file("make", folder, e))?;
    write_whole(&private, private_pem.as_bytes(), 0o600, Existing::Keep)?;
    write_whole(&public, public_pem.as_bytes(), 0o644, Existing::Keep)?;
    Ok(format!(
        "{}: for the gate, give its text to Envoy as LINKGATE_JWT_PRIVATE_KEY and keep it secret\n\
         {}: for the store, name it in LINKGATE_JWT_PUBLIC_KEYS\n",
        private.display(),
        public.display()
    ))
}

/// A fresh pair as PEM texts. The private one is the plain PKCS#8 of RFC 8410, without the public key inside, because
/// older tools cannot read the other.
pub fn new_pair() -> Result<(Zeroizing<String>, String), Error> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut()).map_err(Error::Random)?;
    let key = SigningKey::from_bytes(&seed);
    let bytes = KeypairBytes { secret_key: *seed, public_key: None };
    let private = bytes.to_pkcs8_pem(LineEnding::LF).map_err(|e| Error::Encode(e.to_string()))?;
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|e| Error::Encode(e.to_string()))?;
    Ok((private, public))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::VerifyingKey;
    use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};

    use super::*;

    #[test]
    fn the_public_key_belongs_to_the_private_one() {
        let (private, public) = new_pair().unwrap();
        let key = SigningKey::from_pkcs8_pem(&private).unwrap();
        assert_eq!(key.verifying_key(), VerifyingKey::from_public_key_pem(&public).unwrap());
    }

    #[test]
    fn two_pairs_differ() {
        assert_ne!(*new_pair().unwrap().0, *new_pair().unwrap().0);
    }
}
