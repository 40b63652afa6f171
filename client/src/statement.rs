//! Statements of where packages came from: read, and held against a public key and a file.
//!
//! Promises: nothing of a statement is believed before its signature is checked, and the digest that it names is the
//! one that is compared with the file. Knows one key and one form: Ed25519, and in-toto in a DSSE envelope.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use ed25519_dalek::{Signature, VerifyingKey};
use linkgate_contract::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;

/// What is signed.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A signed statement, as DSSE wraps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The media type of what was signed.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The statement, in base64.
    pub payload: String,
    /// Who signed it.
    pub signatures: Vec<EnvelopeSignature>,
}

/// A signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeSignature {
    /// Which key made it.
    #[serde(default)]
    pub keyid: String,
    /// In base64.
    pub sig: String,
}

/// A store's public key.
#[derive(Clone, Debug)]
pub struct PublicKey(VerifyingKey);

/// A statement whose signature is good.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The digest of the package.
    pub sha256: Sha256,
    /// What the package is called.
    pub name: String,
    /// The key that signed it.
    pub keyid: String,
    /// All that it says.
    pub document: Value,
}

/// Why a statement proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The key cannot be read.
    #[error("the key is no public Ed25519 key as PEM")]
    NoKey,
    /// The envelope cannot be read.
    #[error("the statement is no DSSE envelope: {0}")]
    NoEnvelope(String),
    /// It holds something else.
    #[error("the envelope holds `{0}` and no in-toto statement")]
    OtherType(String),
    /// The key did not sign it.
    #[error("the key {key} has not signed the statement, which names the keys {signers}")]
    BadSignature {
        /// The key that was tried.
        key: String,
        /// Those that the envelope names.
        signers: String,
    },
    /// It is signed, and still of no use.
    #[error("the statement is signed, but names no package: {0}")]
    NoSubject(&'static str),
    /// It is of another package.
    #[error("the statement is of a package with the SHA-256 {stated}, and the file has {found}")]
    OtherPackage {
        /// What it says.
        stated: Sha256,
        /// What the file has.
        found: Sha256,
    },
}

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`StatementError::NoKey`] if it is none.
    pub fn from_pem(pem: &str) -> Result<Self, StatementError> {
        VerifyingKey::from_public_key_pem(pem).map(Self).map_err(|_| StatementError::NoKey)
    }

    /// By what statements name it: the SHA-256 of its DER form.
    #[must_use]
    pub fn id(&self) -> String {
        let der = self.0.to_public_key_der();
        der.map_or_else(|_| String::new(), |der| hex::encode(sha2::Sha256::digest(der.as_bytes())))
    }
}

impl Envelope {
    /// Reads an envelope; of several lines, the first.
    ///
    /// # Errors
    /// [`StatementError::NoEnvelope`] if it is none.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let first = serde_json::Deserializer::from_str(text).into_iter().next();
        match first {
            Some(Ok(envelope)) => Ok(envelope),
            Some(Err(error)) => Err(StatementError::NoEnvelope(error.to_string())),
            None => Err(StatementError::NoEnvelope("it is empty".to_owned())),
        }
    }

    /// Checks the signature, and gives what was signed.
    ///
    /// # Errors
    /// [`StatementError`] says why it proves nothing.
    pub fn open(&self, key: &PublicKey) -> Result<Statement, StatementError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(StatementError::OtherType(self.payload_type.clone()));
        }
        let no_base64 = |error: base64::DecodeError| StatementError::NoEnvelope(error.to_string());
        let payload = STANDARD.decode(&self.payload).map_err(no_base64)?;
        let signed = pre_authentication(&payload);
        let by_key = |signature: &&EnvelopeSignature| {
            let bytes = STANDARD.decode(&signature.sig).ok();
            let signature = bytes.and_then(|bytes| Signature::from_slice(&bytes).ok());
            signature.is_some_and(|signature| key.0.verify_strict(&signed, &signature).is_ok())
        };
        if !self.signatures.iter().any(|signature| by_key(&signature)) {
            let signers: Vec<_> = self.signatures.iter().map(|signature| signature.keyid.as_str()).collect();
            return Err(StatementError::BadSignature { key: key.id(), signers: signers.join(", ") });
        }
        let document: Value =
            serde_json::from_slice(&payload).map_err(|_| StatementError::NoSubject("it is no JSON"))?;
        let [subject] = document["subject"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(StatementError::NoSubject("it has not one subject"));
        };
        let digest = subject["digest"]["sha256"].as_str().and_then(|digits| digits.parse().ok());
        let sha256 = digest.ok_or(StatementError::NoSubject("its subject has no SHA-256"))?;
        let name = subject["name"].as_str().unwrap_or_default().to_owned();
        Ok(Statement { sha256, name, keyid: key.id(), document })
    }
}

impl Statement {
    /// Holds it against the digest of a file.
    ///
    /// # Errors
    /// [`StatementError::OtherPackage`] if it is of another one.
    pub fn check(&self, found: Sha256) -> Result<(), StatementError> {
        if self.sha256 == found { Ok(()) } else { Err(StatementError::OtherPackage { stated: self.sha256, found }) }
    }
}

/// What a DSSE signature is over.
fn pre_authentication(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
    use ed25519_dalek::{Signer as _, SigningKey};
    use serde_json::json;

    use super::*;

    const DIGITS: &str = "00ff10a5b4c3d2e1f00123456789abcdef0123456789abcdef0123456789abcd";

    fn key() -> (SigningKey, PublicKey) {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let key = SigningKey::from_bytes(&seed);
        let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
        (key, PublicKey::from_pem(&pem).unwrap())
    }

    fn signed(key: &SigningKey, statement: &Value) -> Envelope {
        let payload = statement.to_string();
        let signature = key.sign(&pre_authentication(payload.as_bytes()));
        Envelope {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![EnvelopeSignature { keyid: "k".to_owned(), sig: STANDARD.encode(signature.to_bytes()) }],
        }
    }

    fn statement() -> Value {
        json!({"subject": [{"name": "app.tgz", "digest": {"sha256": DIGITS}}]})
    }

    #[test]
    fn a_signed_statement_is_believed_about_its_own_package() {
        let (private, public) = key();
        let envelope = signed(&private, &statement());
        let text = format!("{}\n{{}}\n", serde_json::to_string(&envelope).unwrap());
        let opened = Envelope::parse(&text).unwrap().open(&public).unwrap();
        assert_eq!((opened.name.as_str(), opened.keyid.len()), ("app.tgz", 64));
        assert_eq!(opened.check(DIGITS.parse().unwrap()), Ok(()));
        let other = Sha256::from_bytes([1; 32]);
        assert!(matches!(opened.check(other), Err(StatementError::OtherPackage { .. })));
    }

    #[test]
    fn nothing_else_is() {
        let ((private, public), (_, stranger)) = (key(), key());
        let envelope = signed(&private, &statement());
        assert!(matches!(envelope.open(&stranger), Err(StatementError::BadSignature { .. })));
        let changed = Envelope { payload: STANDARD.encode(statement().to_string() + " "), ..envelope.clone() };
        assert!(matches!(changed.open(&public), Err(StatementError::BadSignature { .. })));
        let unsigned = Envelope { signatures: Vec::new(), ..envelope.clone() };
        assert!(matches!(unsigned.open(&public), Err(StatementError::BadSignature { .. })));
        let other = Envelope { payload_type: "text/plain".to_owned(), ..envelope };
        assert_eq!(other.open(&public), Err(StatementError::OtherType("text/plain".to_owned())));
        for odd in [json!({}), json!({"subject": []}), json!({"subject": [{"name": "x", "digest": {}}]})] {
            assert!(matches!(signed(&private, &odd).open(&public), Err(StatementError::NoSubject(_))), "{odd}");
        }
        for text in ["", "{", "[]", r#"{"payload": 1}"#] {
            assert!(matches!(Envelope::parse(text), Err(StatementError::NoEnvelope(_))), "{text}");
        }
        assert_eq!(PublicKey::from_pem("no key").unwrap_err(), StatementError::NoKey);
    }
}
