//! `linkgate keys`: the pairs that gates and stores sign with, made and, after a rotation, removed.
//!
//! Promises: the private key is readable by its owner only, from the first byte on; neither file is ever overwritten. A
//! pair that was asked for with `--keep` is whole afterwards or the command fails.

use std::fs::{self, DirBuilder, symlink_metadata};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use ed25519_dalek::pkcs8::spki::der::pem::{self, LineEnding};
use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::args::{Algorithm, Pair};
use crate::error::Error;
use crate::files::{Existing, read_text, write_atomically};

impl Pair {
    /// The private key's file, PKCS#8.
    pub fn private(&self) -> PathBuf {
        self.to.join(format!("{}-private.pem", self.name))
    }

    /// The public key's file, SPKI.
    pub fn public(&self) -> PathBuf {
        self.public_folder().join(format!("{}-public.pem", self.name))
    }

    fn public_folder(&self) -> &PathBuf {
        self.public_to.as_ref().unwrap_or(&self.to)
    }
}

/// Makes the pair; folders that are not there are made for the owner only.
pub fn generate_pair(pair: &Pair, algorithm: Algorithm, keep: bool) -> Result<String, Error> {
    let (private, public) = (pair.private(), pair.public());
    let there = |path: &Path| symlink_metadata(path).is_ok();
    if keep && there(&private) && there(&public) {
        return Ok(format!("{} and {} are there already and stay as they are\n", private.display(), public.display()));
    }
    // Half a pair is never made whole: the other half that fits it is not known here.
    for path in [&private, &public] {
        if there(path) {
            return Err(Error::KeyExists(path.clone()));
        }
    }
    let (private_pem, public_pem) = new_pair(algorithm)?;
    for folder in [&pair.to, pair.public_folder()] {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| Error::file("make", folder, e))?;
    }
    // The public half first: a gate must never sign with a key whose public half no store can have.
    write_atomically(&public, public_pem.as_bytes(), 0o644, Existing::Refuse)?;
    write_atomically(&private, private_pem.as_bytes(), 0o600, Existing::Refuse)?;
    Ok(format!(
        "{}: keep it secret. For the gate, give its text to Envoy as LINKGATE_JWT_PRIVATE_KEY; for stores that share what they \
         store, name it in LINKGATE_STORE_STATEMENT_KEY_FILE or LINKGATE_STORE_URL_KEY_FILE\n\
         {}: for whoever checks what was signed, such as the store: LINKGATE_JWT_PUBLIC_KEYS\n",
        private.display(),
        public.display()
    ))
}

/// The SHA-256 of a public key in DER.
pub fn print_id(file: &Path) -> Result<String, Error> {
    let key = VerifyingKey::from_public_key_pem(&read_text(file)?);
    let der = key.and_then(|key| key.to_public_key_der());
    let der = der.map_err(|_| Error::NoPublicKey(file.to_owned()))?;
    Ok(format!("{}\n", hex::encode(Sha256::digest(der.as_bytes()))))
}

/// Removes a pair; a half that is gone already is no fault.
pub fn remove_pair(pair: &Pair) -> Result<String, Error> {
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if !is_there(&pair.private()) && !is_there(&pair.public()) {
        return Err(Error::NoPair(pair.private()));
    }
    let mut report = String::new();
    for path in [pair.private(), pair.public()] {
        match fs::remove_file(&path) {
            Ok(()) => report += &format!("{} is removed\n", path.display()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                report += &format!("{} is not there\n", path.display());
            }
            Err(source) => return Err(Error::file("remove", &path, source)),
        }
    }
    Ok(report)
}

/// A fresh pair as PEM texts: the private one in PKCS#8, the public one as SPKI.
pub fn new_pair(algorithm: Algorithm) -> Result<(Zeroizing<String>, String), Error> {
    match algorithm {
        Algorithm::EdDsa => new_ed25519_pair(),
        Algorithm::Rs512 => new_rsa_pair(),
    }
}

/// The private key is the plain form of RFC 8410, without the public key inside, because older tools cannot read the other.
fn new_ed25519_pair() -> Result<(Zeroizing<String>, String), Error> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut()).map_err(Error::Random)?;
    let key = SigningKey::from_bytes(&seed);
    let bytes = KeypairBytes { secret_key: *seed, public_key: None };
    let private = bytes.to_pkcs8_pem(LineEnding::LF).map_err(|e| Error::Encode(e.to_string()))?;
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|e| Error::Encode(e.to_string()))?;
    Ok((private, public))
}

fn new_rsa_pair() -> Result<(Zeroizing<String>, String), Error> {
    let failed = |_: Unspecified| Error::Encode("the RSA key could not be made".to_owned());
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let private: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(failed)?;
    Ok((to_pem("PRIVATE KEY", private.as_ref())?, to_pem("PUBLIC KEY", public.as_ref())?.to_string()))
}

fn to_pem(label: &'static str, der: &[u8]) -> Result<Zeroizing<String>, Error> {
    let pem = pem::encode_string(label, LineEnding::LF, der);
    pem.map(Zeroizing::new).map_err(|e| Error::Encode(e.to_string()))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::pkcs8::DecodePrivateKey;

    use super::*;

    fn pair(folder: &Path, name: &str) -> Pair {
        Pair { to: folder.join("private"), public_to: Some(folder.join("public")), name: name.to_owned() }
    }

    #[test]
    fn the_id_of_a_key_is_the_digest_of_its_der() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        fs::write(&file, pem).unwrap();
        // openssl pkey -pubin -in key.pem -outform DER | sha256sum
        let want = "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9\n";
        assert_eq!(print_id(&file).unwrap(), want);
        fs::write(&file, "no key").unwrap();
        assert!(matches!(print_id(&file), Err(Error::NoPublicKey(_))));
    }

    #[test]
    fn a_pair_is_made_once_and_removed_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (pair(folder.path(), "jwt"), pair(folder.path(), "next"));
        generate_pair(&old, Algorithm::EdDsa, true).unwrap();
        let before = fs::read(old.private()).unwrap();
        generate_pair(&old, Algorithm::EdDsa, true).unwrap();
        generate_pair(&new, Algorithm::Rs512, false).unwrap();
        assert_eq!(fs::read(old.private()).unwrap(), before);
        assert!(matches!(generate_pair(&old, Algorithm::EdDsa, false), Err(Error::KeyExists(_))));
        remove_pair(&old).unwrap();
        assert!(matches!(remove_pair(&old), Err(Error::NoPair(_))));
        fs::write(old.public(), "").unwrap();
        assert!(remove_pair(&old).unwrap().contains("is not there"));
        let left = |path: &str| fs::read_dir(folder.path().join(path)).unwrap().count();
        assert_eq!((left("private"), left("public"), new.private().exists()), (1, 1, true));
    }

    #[test]
    fn half_a_pair_is_never_made_whole() {
        let folder = tempfile::tempdir().unwrap();
        let pair = pair(folder.path(), "jwt");
        generate_pair(&pair, Algorithm::EdDsa, true).unwrap();
        fs::remove_file(pair.public()).unwrap();
        assert!(matches!(generate_pair(&pair, Algorithm::EdDsa, true), Err(Error::KeyExists(_))));
        assert!(!pair.public().exists());
    }

    #[test]
    fn the_public_key_belongs_to_the_private_one() {
        let (private, public) = new_pair(Algorithm::EdDsa).unwrap();
        let key = SigningKey::from_pkcs8_pem(&private).unwrap();
        assert_eq!(key.verifying_key(), VerifyingKey::from_public_key_pem(&public).unwrap());
    }

    #[test]
    fn a_gate_signs_with_either_kind_of_key() {
        for (algorithm, name) in [(Algorithm::EdDsa, "EdDSA"), (Algorithm::Rs512, "RS512")] {
            let key = linkgate_gate::SigningKey::parse(&new_pair(algorithm).unwrap().0).unwrap();
            assert_eq!(key.algorithm(), name);
        }
    }

    #[test]
    fn the_public_rsa_key_belongs_to_the_private_one() {
        let (private, public) = new_pair(Algorithm::Rs512).unwrap();
        let (_, private) = pem::decode_vec(private.as_bytes()).unwrap();
        let key = KeyPair::from_pkcs8(&private).unwrap();
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        assert_eq!(pem::decode_vec(public.as_bytes()).unwrap(), ("PUBLIC KEY", spki.as_ref().to_vec()));
    }

    #[test]
    fn two_pairs_differ() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Rs512] {
            assert_ne!(*new_pair(algorithm).unwrap().0, *new_pair(algorithm).unwrap().0);
        }
    }
}
