//! A caller's own credential for a source, while the store has it, and what it asked for, whose link may hold a signature.
//!
//! Promises: what is written down of a credential is sealed (AES-256-GCM, a fresh nonce each time) under a key that stands in no file
//! of the store, and opens for the job alone for which it was sealed. Without that key nothing of it is written down. Two of
//! them are compared by a keyed hash, from which nobody without the key can tell a guess. With that key what was asked for is
//! sealed in the same way.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_contract::{JobId, Sha256};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

/// The key that the operator gives to seal with.
#[derive(Debug)]
pub struct SealingKey(SecretBox<[u8; KEY_BYTES]>);

const KEY_BYTES: usize = 32;
/// What a sealed request begins with. One that is not is a JSON object.
const SEALED_REQUEST: &str = "sealed:";

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits that nobody can guess, as `openssl rand -hex 32` prints them")]
pub struct InvalidSealingKey;

impl SealingKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`InvalidSealingKey`].
    pub fn parse(text: &SecretString) -> Result<Self, InvalidSealingKey> {
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.expose_secret().trim(), &mut key).map_err(|_| InvalidSealingKey)?;
        // Nobody's digits are all the same.
        if key.iter().all(|byte| key.first() == Some(byte)) {
            Err(InvalidSealingKey)
        } else {
            Ok(Self(SecretBox::new(Box::new(key))))
        }
    }

    /// A key of its own for each use.
    fn derive(&self, what: &str) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(HMAC_SHA256, self.0.expose_secret()), what.as_bytes())
    }
}

/// Seals, opens and compares. A copy uses the same keys.
#[derive(Clone)]
pub struct Sealer(Arc<Keys>);

struct Keys {
    seal: Option<RandomizedNonceKey>,
    compare: hmac::Key,
}

/// A caller's own credential.
#[derive(Clone)]
pub struct CallersOwn {
    /// What the source gets as `Authorization`.
    pub value: SecretString,
    /// By which two of them are compared.
    pub fingerprint: Sha256,
}

/// The same as it may be written down.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// It was sealed with another key, for another job, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was sealed cannot be opened")]
pub struct CannotOpen;

impl Sealer {
    /// One that seals with this key; without one it only compares, by a key that ends with it.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(key: Option<&SealingKey>) -> Result<Self, Unspecified> {
        let keys = match key {
            Some(key) => Keys {
                seal: Some(RandomizedNonceKey::new(&AES_256_GCM, key.derive("linkgate: seal").as_ref())?),
                compare: hmac::Key::new(HMAC_SHA256, key.derive("linkgate: compare").as_ref()),
            },
            None => {
                Keys { seal: None, compare: hmac::Key::generate(HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())? }
            }
        };
        Ok(Self(Arc::new(keys)))
    }

    /// Whether anything can be written down.
    #[must_use]
    pub fn can_seal(&self) -> bool {
        self.0.seal.is_some()
    }

    /// Takes what a caller sent.
    #[must_use]
    pub fn take(&self, value: SecretString) -> CallersOwn {
        let tag = hmac::sign(&self.0.compare, value.expose_secret().as_bytes());
        CallersOwn { fingerprint: Sha256::digest_parts([tag.as_ref()]), value }
    }

    /// Seals it for a job; `None` without a key.
    pub(crate) fn seal(&self, id: JobId, own: &CallersOwn) -> Option<Sealed> {
        self.seal_text(credential_of(id), own.value.expose_secret()).map(Sealed)
    }

    /// Opens what was sealed for this job.
    pub(crate) fn open(&self, id: JobId, sealed: &Sealed) -> Result<CallersOwn, CannotOpen> {
        self.open_text(credential_of(id), &sealed.0).map(|value| self.take(value.into()))
    }

    /// Seals what a job was asked for, as a text that is none of the API; `None` without a key.
    pub(crate) fn seal_request(&self, id: JobId, body: &str) -> Option<String> {
        let sealed = self.seal_text(request_of(id), body)?;
        Some(format!("{SEALED_REQUEST}{}", STANDARD.encode(sealed)))
    }

    /// What a job was asked for, be it sealed or not.
    pub(crate) fn open_request(&self, id: JobId, body: &str) -> Result<String, CannotOpen> {
        match body.strip_prefix(SEALED_REQUEST) {
            Some(sealed) => self.open_text(request_of(id), &STANDARD.decode(sealed).map_err(|_| CannotOpen)?),
            None => Ok(body.to_owned()),
        }
    }

    fn seal_text(&self, bound_to: Aad<String>, text: &str) -> Option<Vec<u8>> {
        let mut bytes = text.as_bytes().to_vec();
        let nonce = self.0.seal.as_ref()?.seal_in_place_append_tag(bound_to, &mut bytes).ok()?;
        Some([&nonce.as_ref()[..], &bytes].concat())
    }

    fn open_text(&self, bound_to: Aad<String>, sealed: &[u8]) -> Result<String, CannotOpen> {
        let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN).ok_or(CannotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CannotOpen)?;
        let mut bytes = bytes.to_vec();
        let key = self.0.seal.as_ref().ok_or(CannotOpen)?;
        let opened = key.open_in_place(nonce, bound_to, &mut bytes).map_err(|_| CannotOpen)?;
        std::str::from_utf8(opened).map(str::to_owned).map_err(|_| CannotOpen)
    }
}

fn credential_of(id: JobId) -> Aad<String> {
    Aad::from(format!("linkgate: the caller's own credential of job {id}"))
}

fn request_of(id: JobId) -> Aad<String> {
    Aad::from(format!("linkgate: the request of job {id}"))
}

impl Sealed {
    /// What was written down.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What to write down.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.can_seal() { "Sealer(with a key)" } else { "Sealer(without a key)" })
    }
}

impl fmt::Debug for CallersOwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallersOwn")
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digits: &str) -> SealingKey {
        SealingKey::parse(&digits.repeat(16).into()).unwrap()
    }

    fn id(last: u8) -> JobId {
        format!("0198c3a4-5f00-7abc-8def-0123456789{last:02x}").parse().unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_its_job_and_with_its_key_alone() {
        let (sealer, again) = (Sealer::new(Some(&key("01ab"))).unwrap(), Sealer::new(Some(&key("01ab"))).unwrap());
        let own = sealer.take("Bearer s3cret".into());
        let sealed = sealer.seal(id(1), &own).unwrap();
        let opened = again.open(id(1), &sealed).unwrap();
        assert_eq!((opened.value.expose_secret(), opened.fingerprint), ("Bearer s3cret", own.fingerprint));
        assert_ne!(sealer.seal(id(1), &own).unwrap(), sealed, "with another nonce");
        assert!(!sealed.as_bytes().windows(6).any(|part| part == b"s3cret"));
        assert_eq!(sealer.open(id(2), &sealed).unwrap_err(), CannotOpen);
        assert!(Sealer::new(Some(&key("01ac"))).unwrap().open(id(1), &sealed).is_err());
        assert!(Sealer::new(None).unwrap().open(id(1), &sealed).is_err());
        for at in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] ^= 1;
            assert!(sealer.open(id(1), &Sealed::from_bytes(bytes)).is_err(), "{at}");
        }
        for short in [0, 1, NONCE_LEN, NONCE_LEN + 1] {
            assert!(sealer.open(id(1), &Sealed::from_bytes(vec![0; short])).is_err(), "{short}");
        }
    }

    #[test]
    fn a_request_opens_for_its_job_and_with_its_key_alone_and_one_that_is_not_sealed_as_it_is() {
        let (sealer, none) = (Sealer::new(Some(&key("01ab"))).unwrap(), Sealer::new(None).unwrap());
        let body = r#"{"package_url": "https://h/p?sig=s3cret"}"#;
        let sealed = sealer.seal_request(id(1), body).unwrap();
        assert!(sealed.starts_with("sealed:") && !sealed.contains("s3cret"), "{sealed}");
        for (opened, want) in [
            (sealer.open_request(id(1), &sealed), Ok(body.to_owned())),
            (sealer.open_request(id(2), &sealed), Err(CannotOpen)),
            (none.open_request(id(1), &sealed), Err(CannotOpen)),
            (sealer.open_request(id(1), "sealed:!"), Err(CannotOpen)),
            (none.open_request(id(1), body), Ok(body.to_owned())),
        ] {
            assert_eq!(opened, want);
        }
        assert_eq!(none.seal_request(id(1), body), None);
    }

    #[test]
    fn without_a_key_nothing_is_sealed_and_two_are_compared_all_the_same() {
        let sealer = Sealer::new(None).unwrap();
        let fingerprint = |value: &str| sealer.take(value.into()).fingerprint;
        assert!(!sealer.can_seal() && sealer.seal(id(1), &sealer.take("a".into())).is_none());
        assert_eq!(fingerprint("Bearer a"), fingerprint("Bearer a"));
        assert_ne!(fingerprint("Bearer a"), fingerprint("Bearer b"));
        assert_ne!(fingerprint("a"), Sealer::new(None).unwrap().take("a".into()).fingerprint, "nobody else can tell");
    }

    #[test]
    fn a_key_is_32_bytes_that_were_not_made_up() {
        for bad in ["", "x", &"0".repeat(64), &"ab".repeat(32), &"01".repeat(31), &"0g".repeat(32)] {
            assert_eq!(SealingKey::parse(&(*bad).into()).unwrap_err(), InvalidSealingKey, "{bad}");
        }
        assert!(SealingKey::parse(&format!("{}\n", "01ab".repeat(16)).into()).is_ok());
    }

    #[test]
    fn no_secret_is_shown() {
        let (key, sealer) = (key("5ec2"), Sealer::new(Some(&key("5ec2"))).unwrap());
        let own = sealer.take("Bearer s3cret".into());
        let shown = format!("{key:?} {sealer:?} {own:?} {:?}", sealer.seal(id(1), &own));
        assert!(!shown.contains("s3cret") && !shown.contains("5ec2") && !shown.contains("94"), "{shown}");
    }
}
