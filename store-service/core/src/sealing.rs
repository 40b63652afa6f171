//! A caller's own credential for a source, while the store has it, and what it asked for, whose link may hold a signature.
//!
//! Promises: what is written down of a credential is sealed (AES-256-GCM, a fresh nonce each time) under a key that stands in no file
//! of the store, and opens for the job alone for which it was sealed. Without that key nothing of it is written down. Two of
//! them are compared by a keyed hash, from which nobody without the key can tell a guess. With that key what was asked for is
//! sealed in the same way. A key is exchanged while uploads wait: the new one seals, and the old one still opens.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_contract::{JobId, Sha256};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

/// The keys that the operator gives, or none: the first one seals, and what was sealed opens with each of them.
#[derive(Debug, Default)]
pub struct SealingKeys(Vec<SealingKey>);

#[derive(Debug)]
struct SealingKey(SecretBox<[u8; KEY_BYTES]>);

const KEY_BYTES: usize = 32;
/// What a sealed request begins with. One that is not is a JSON object.
const SEALED_REQUEST: &str = "sealed:";

/// The text is no key, nor several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 64 hexadecimal digits that nobody can guess, as `openssl rand -hex 32` prints them; an older key may follow on a \
     line of its own"
)]
pub struct InvalidSealingKey;

impl SealingKeys {
    /// Reads one key, or several with space between them.
    ///
    /// # Errors
    /// [`InvalidSealingKey`].
    pub fn parse(text: &SecretString) -> Result<Self, InvalidSealingKey> {
        let keys: Vec<_> = text.expose_secret().split_whitespace().map(SealingKey::parse).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidSealingKey) } else { Ok(Self(keys)) }
    }

    /// Whether nothing can be sealed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By which others know them, and learn nothing of them.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|key| hex::encode(key.derive("linkgate: id"))).collect()
    }
}

impl SealingKey {
    fn parse(text: &str) -> Result<Self, InvalidSealingKey> {
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text, &mut key).map_err(|_| InvalidSealingKey)?;
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
    /// The first one seals.
    seal: Vec<RandomizedNonceKey>,
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
    /// One that seals with these keys; without one it only compares, by a key that ends with it.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(keys: &SealingKeys) -> Result<Self, Unspecified> {
        let sealing = |key: &SealingKey| RandomizedNonceKey::new(&AES_256_GCM, key.derive("linkgate: seal").as_ref());
        let compare = match keys.0.first() {
            Some(key) => hmac::Key::new(HMAC_SHA256, key.derive("linkgate: compare").as_ref()),
            None => hmac::Key::generate(HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())?,
        };
        Ok(Self(Arc::new(Keys { seal: keys.0.iter().map(sealing).collect::<Result<_, _>>()?, compare })))
    }

    /// Whether anything can be written down.
    #[must_use]
    pub fn can_seal(&self) -> bool {
        !self.0.seal.is_empty()
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
        let nonce = self.0.seal.first()?.seal_in_place_append_tag(bound_to, &mut bytes).ok()?;
        Some([&nonce.as_ref()[..], &bytes].concat())
    }

    fn open_text(&self, bound_to: Aad<String>, sealed: &[u8]) -> Result<String, CannotOpen> {
        let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN).ok_or(CannotOpen)?;
        let open = |key: &RandomizedNonceKey| {
            let (nonce, mut bytes) = (Nonce::try_assume_unique_for_key(nonce).ok()?, bytes.to_vec());
            let opened = key.open_in_place(nonce, Aad::from(bound_to.as_ref()), &mut bytes).ok()?;
            std::str::from_utf8(opened).ok().map(str::to_owned)
        };
        self.0.seal.iter().find_map(open).ok_or(CannotOpen)
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

    fn keys(digits: &[&str]) -> SealingKeys {
        let lines: Vec<_> = digits.iter().map(|digits| digits.repeat(16)).collect();
        SealingKeys::parse(&lines.join("\n").into()).unwrap()
    }

    fn sealer(digits: &[&str]) -> Sealer {
        Sealer::new(&keys(digits)).unwrap()
    }

    fn keyless() -> Sealer {
        Sealer::new(&SealingKeys::default()).unwrap()
    }

    fn id(last: u8) -> JobId {
        format!("0198c3a4-5f00-7abc-8def-0123456789{last:02x}").parse().unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_its_job_and_with_its_key_alone() {
        let (sealer, again, other) = (sealer(&["01ab"]), sealer(&["01ab"]), sealer(&["01ac"]));
        let own = sealer.take("Bearer s3cret".into());
        let sealed = sealer.seal(id(1), &own).unwrap();
        let opened = again.open(id(1), &sealed).unwrap();
        assert_eq!((opened.value.expose_secret(), opened.fingerprint), ("Bearer s3cret", own.fingerprint));
        assert_ne!(sealer.seal(id(1), &own).unwrap(), sealed, "with another nonce");
        assert!(!sealed.as_bytes().windows(6).any(|part| part == b"s3cret"));
        assert_eq!(sealer.open(id(2), &sealed).unwrap_err(), CannotOpen);
        assert!(other.open(id(1), &sealed).is_err() && keyless().open(id(1), &sealed).is_err());
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
    fn the_first_key_seals_and_each_opens() {
        let (old, both, new) = (sealer(&["01ab"]), sealer(&["02ab", "01ab"]), sealer(&["02ab"]));
        for (from, to, opens) in [(&old, &both, true), (&both, &new, true), (&both, &old, false), (&old, &new, false)] {
            let (own, request) = (from.take("Bearer s3cret".into()), from.seal_request(id(1), "{}").unwrap());
            assert_eq!(to.open(id(1), &from.seal(id(1), &own).unwrap()).is_ok(), opens);
            assert_eq!(to.open_request(id(1), &request).is_ok(), opens);
        }
        let fingerprint = |sealer: &Sealer| sealer.take("Bearer s3cret".into()).fingerprint;
        assert!(fingerprint(&new) == fingerprint(&both) && fingerprint(&old) != fingerprint(&both));
        let ids = keys(&["02ab", "01ab"]).ids();
        assert_eq!((ids.len(), &ids[1..]), (2, &keys(&["01ab"]).ids()[..]));
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 64 && !"02ab".repeat(16).contains(id)));
    }

    #[test]
    fn a_request_opens_for_its_job_and_with_its_key_alone_and_one_that_is_not_sealed_as_it_is() {
        let (sealer, none) = (sealer(&["01ab"]), keyless());
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
        let sealer = keyless();
        let fingerprint = |value: &str| sealer.take(value.into()).fingerprint;
        assert!(!sealer.can_seal() && sealer.seal(id(1), &sealer.take("a".into())).is_none());
        assert_eq!(fingerprint("Bearer a"), fingerprint("Bearer a"));
        assert_ne!(fingerprint("Bearer a"), fingerprint("Bearer b"));
        assert_ne!(fingerprint("a"), keyless().take("a".into()).fingerprint, "nobody else can tell");
    }

    #[test]
    fn a_key_is_32_bytes_that_were_not_made_up() {
        let good = "01ab".repeat(16);
        for bad in ["", "\n", "x", &"0".repeat(64), &"ab".repeat(32), &"01".repeat(31), &"0g".repeat(32)] {
            assert_eq!(SealingKeys::parse(&(*bad).into()).unwrap_err(), InvalidSealingKey, "{bad}");
            let behind = SealingKeys::parse(&format!("{good}\n{bad}").into());
            assert_eq!(behind.is_err(), !bad.trim().is_empty(), "{bad}");
        }
        assert!(SealingKeys::parse(&format!("{good}\n").into()).is_ok());
    }

    #[test]
    fn no_secret_is_shown() {
        let (key, sealer) = (keys(&["5ec2"]), sealer(&["5ec2"]));
        let own = sealer.take("Bearer s3cret".into());
        let shown = format!("{key:?} {sealer:?} {own:?} {:?}", sealer.seal(id(1), &own));
        assert!(!shown.contains("s3cret") && !shown.contains("5ec2") && !shown.contains("94"), "{shown}");
    }
}
