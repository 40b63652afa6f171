//! Signs the gate's tokens by hand, so that tests can also sign wrong ones.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

/// `SubjectPublicKeyInfo` of an Ed25519 key, up to the key's own 32 bytes.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A fresh Ed25519 key, as the gate has one.
pub struct TokenMint {
    kid: String,
    key: SigningKey,
    pem: tempfile::NamedTempFile,
}

impl TokenMint {
    /// Makes a key of the name `apigw`.
    #[must_use]
    pub fn new() -> Self {
        Self::named("apigw")
    }

    /// Makes a key of another name.
    #[must_use]
    pub fn named(kid: &str) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let key = SigningKey::from_bytes(&seed);
        let spki = [&SPKI_PREFIX[..], key.verifying_key().as_bytes()].concat();
        let pem = pem_of("PUBLIC KEY", &spki);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        Self { kid: kid.to_owned(), key, pem: file }
    }

    /// The same key once more.
    ///
    /// # Panics
    /// If its public half cannot be written.
    #[must_use]
    pub fn again(&self) -> Self {
        let pem = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(pem.path(), self.pem()).unwrap();
        Self { kid: self.kid.clone(), key: self.key.clone(), pem }
    }

    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The secret half, for a gate that has to sign with the same key.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Where the public half lies.
    #[must_use]
    pub fn pem_path(&self) -> &Path {
        self.pem.path()
    }

    /// The public half.
    #[must_use]
    pub fn pem(&self) -> Vec<u8> {
        std::fs::read(self.pem.path()).unwrap()
    }

    /// What the store's `LINKGATE_JWT_PUBLIC_KEYS` takes.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("{}={}", self.kid, self.pem_path().display())
    }

    /// A good token of the user `admin`.
    #[must_use]
    pub fn token(&self) -> String {
        self.sign(&good_claims())
    }

    /// A good token of the user `admin` that is good for this action, on any module.
    #[must_use]
    pub fn token_for(&self, action: &str) -> String {
        let mut claims = good_claims();
        claims["linkgate"]["action"] = action.into();
        self.sign(&claims)
    }

    /// A good token of the user `admin`, who calls through this application.
    #[must_use]
    pub fn token_of(&self, app: &str) -> String {
        let mut claims = good_claims();
        claims["app"]["app_code"] = app.into();
        self.sign(&claims)
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with_header(&json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid}), claims)
    }

    /// A token with this header, signed with this key whatever the header says.
    #[must_use]
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        jws(header, claims, |message| self.key.sign(message).to_bytes().to_vec())
    }
}

impl Default for TokenMint {
    fn default() -> Self {
        Self::new()
    }
}

/// A fresh RSA key of 2048 bits, as BlueKing's own gateways have one.
pub struct RsaMint(KeyPair);

impl RsaMint {
    /// Makes a key.
    #[must_use]
    pub fn new() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// The private half, PKCS#8.
    #[must_use]
    pub fn private_pem(&self) -> String {
        let der: Pkcs8V1Der<'_> = self.0.as_der().unwrap();
        pem_of("PRIVATE KEY", der.as_ref())
    }

    /// The public half.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        pem_of("PUBLIC KEY", der.as_ref())
    }

    /// A token of this kid with these claims.
    #[must_use]
    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        jws(&json!({"alg": "RS512", "typ": "JWT", "kid": kid}), claims, |message| {
            let mut signature = vec![0; self.0.public_modulus_len()];
            self.0.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        })
    }
}

impl Default for RsaMint {
    fn default() -> Self {
        Self::new()
    }
}

/// PEM, in lines as `openssl` writes it.
fn pem_of(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// A token with a signature of any making.
#[must_use]
pub fn jws(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Seconds since the epoch.
#[must_use]
pub fn now_s() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Claims that the store believes: application `app_code`, user `admin`, good for five minutes.
#[must_use]
pub fn good_claims() -> Value {
    json!({
        "iss": "APIGW",
        "nbf": now_s() - 300,
        "exp": now_s() + 300,
        "app": {"version": 1, "app_code": "app_code", "verified": true, "valid_error_message": ""},
        "user": {"version": 1, "username": "admin", "verified": true, "valid_error_message": ""},
    })
}
