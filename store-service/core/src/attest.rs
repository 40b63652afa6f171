//! Says where packages came from, in a form that others can check: in-toto statements, signed in DSSE envelopes.
//!
//! Promises: each data directory has one key, made at the first start and never shown, unless the operator gives one; whoever
//! has its public half can tell a statement of this store from any other. Refuses to go on with a key that cannot be read.

mod statement;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_contract::Sha256;
use serde_json::{Value, json};

use crate::own_key::{KeyError, KeyFiles, OwnKey};
pub use statement::{Intake, Source};

/// The key of statements.
pub const KEY_FILES: KeyFiles = KeyFiles { private: "attestation.key", public: "attestation.pub.pem" };

/// Signs statements.
pub struct Signer(Arc<OwnKey>);

/// What a statement in its envelope is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// The store vouches for these bytes.
    Vouched(Sha256),
    /// Another key signed it, which may be as good.
    OtherKey,
    /// It is no statement, or its signature is wrong.
    Nothing,
}

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

impl Signer {
    /// Signs with the operator's key or that of a data directory that nobody else uses, see [`OwnKey::given_or_open`].
    ///
    /// # Errors
    /// [`KeyError`] if it cannot be read, made, or is no key.
    pub fn open(data_dir: &Path, given: Option<Arc<OwnKey>>) -> Result<Self, KeyError> {
        OwnKey::given_or_open(given, data_dir, KEY_FILES).map(Self)
    }

    /// SHA-256 of the public half in its standard form.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.0.id()
    }

    /// The statement in an envelope, as one line of JSON.
    #[must_use]
    pub fn attest(&self, intake: &Intake<'_>) -> String {
        let payload = intake.statement().to_string();
        let signature = self.0.sign(&pre_authentication(&payload));
        json!({
            "payload": STANDARD.encode(&payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": self.0.id(), "sig": STANDARD.encode(signature)}],
        })
        .to_string()
    }

    /// What an envelope is worth.
    #[must_use]
    pub fn judge(&self, envelope: &str) -> Worth {
        let Ok(envelope) = serde_json::from_str::<Value>(envelope) else { return Worth::Nothing };
        match envelope["signatures"][0]["keyid"].as_str() {
            Some(id) if id == self.0.id() => self.vouched(&envelope).map_or(Worth::Nothing, Worth::Vouched),
            Some(_) => Worth::OtherKey,
            None => Worth::Nothing,
        }
    }

    /// The digest that an envelope of this key vouches for.
    fn vouched(&self, envelope: &Value) -> Option<Sha256> {
        let payload = String::from_utf8(STANDARD.decode(envelope["payload"].as_str()?).ok()?).ok()?;
        let signature = STANDARD.decode(envelope["signatures"][0]["sig"].as_str()?).ok()?;
        if envelope["payloadType"] != PAYLOAD_TYPE || !self.0.has_signed(&pre_authentication(&payload), &signature) {
            return None;
        }
        let statement: Value = serde_json::from_str(&payload).ok()?;
        statement["subject"][0]["digest"]["sha256"].as_str()?.parse().ok()
    }
}

/// What is signed: the type belongs to it, and lengths keep the two apart.
fn pre_authentication(payload: &str) -> Vec<u8> {
    format!("DSSEv1 {} {PAYLOAD_TYPE} {} {payload}", PAYLOAD_TYPE.len(), payload.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use linkgate_contract::{AppCode, CallerApp, ModuleName, ModuleRef, Operator, PackageVersion};

    use super::*;

    const DIGEST: Sha256 = Sha256::from_bytes([0xab; 32]);

    /// What a statement of a test is about.
    struct Upload {
        target: ModuleRef,
        version: PackageVersion,
        link: String,
        caller: CallerApp,
        operator: Operator,
    }

    impl Upload {
        fn new() -> Self {
            Self {
                target: ModuleRef { app: AppCode::new("app").unwrap(), module: ModuleName::new("default").unwrap() },
                version: PackageVersion::new("1").unwrap(),
                link: "https://example.com/a.tgz".to_owned(),
                caller: CallerApp::new("ci").unwrap(),
                operator: Operator::new("admin").unwrap(),
            }
        }

        fn intake(&self, sha256: Sha256) -> Intake<'_> {
            Intake {
                package_name: "example:1",
                sha256,
                size_bytes: 7,
                target: &self.target,
                version: &self.version,
                asked_for: &self.link,
                source: Source::Fetched { final_url: "https://h/a", etag: None, last_modified: None, attempts: 1 },
                caller_app: Some(&self.caller),
                operator: &self.operator,
                request_id: "r",
                job_id: "0198c3a4-5f00-7abc-8def-0123456789ab".parse().unwrap(),
                started_ms: None,
                ended_ms: 1_724_153_820_123,
            }
        }
    }

    #[test]
    fn what_is_signed_is_what_the_standard_says() {
        assert_eq!(pre_authentication("hello"), b"DSSEv1 28 application/vnd.in-toto+json 5 hello");
    }

    #[test]
    fn a_statement_is_believed_from_its_own_key_and_unchanged_only() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path(), None).unwrap();
        let upload = Upload::new();
        let envelope = signer.attest(&upload.intake(DIGEST));
        assert_eq!(signer.judge(&envelope), Worth::Vouched(DIGEST));
        assert_eq!(Signer::open(dir.path(), None).unwrap().judge(&envelope), Worth::Vouched(DIGEST), "the key stays");
        let other = Signer::open(tempfile::tempdir().unwrap().path(), None).unwrap();
        assert_eq!(other.judge(&envelope), Worth::OtherKey);
        let mut forged: Value = serde_json::from_str(&envelope).unwrap();
        forged["payload"] =
            STANDARD.encode(upload.intake(Sha256::from_bytes([0xcd; 32])).statement().to_string()).into();
        assert_eq!(signer.judge(&forged.to_string()), Worth::Nothing);
        for nonsense in ["", "{}", "[]", r#"{"payload": "!", "signatures": []}"#] {
            assert_eq!(signer.judge(nonsense), Worth::Nothing, "{nonsense}");
        }
    }
}
