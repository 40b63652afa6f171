//! Signed URLs: links by which others download one package, for a while.
//!
//! Promises: each data directory has one key for them, made at the first start and never shown, unless the operator gives
//! one; whoever has its public half can tell a link of this store from any other. Nothing is stored for a link.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linkgate_contract::{SignedUrlClaims, SignedUrlHeader};

use crate::csrf::CsrfTokens;
use crate::own_key::{KeyError, KeyFiles, OwnKey};

/// The key of signed URLs.
pub const KEY_FILES: KeyFiles = KeyFiles { private: "signed-urls.key", public: "signed-urls.pub.pem" };

/// Signs URLs.
pub struct UrlSigner(Arc<OwnKey>);

impl UrlSigner {
    /// Signs with the operator's key or that of a data directory that nobody else uses, see [`OwnKey::given_or_open`].
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot be read, made, or is none.
    pub fn open(data_dir: &Path, given: Option<Arc<OwnKey>>) -> Result<Self, KeyError> {
        OwnKey::given_or_open(given, data_dir, KEY_FILES).map(Self)
    }

    /// Tokens for browsers, made with the same key: stores that share it take each other's.
    #[must_use]
    pub fn csrf_tokens(&self) -> CsrfTokens {
        CsrfTokens::new(Arc::clone(&self.0))
    }

    /// SHA-256 of the public half in its standard form.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.0.id()
    }

    /// The token of a link: a compact JWT.
    #[must_use]
    pub fn sign(&self, claims: &SignedUrlClaims) -> String {
        let part = |json: serde_json::Result<Vec<u8>>| URL_SAFE_NO_PAD.encode(json.unwrap_or_default());
        let header = SignedUrlHeader::new(self.key_id());
        let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(claims)));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    use linkgate_contract::Sha256;

    use super::*;

    fn claims() -> SignedUrlClaims {
        SignedUrlClaims {
            iat: 1,
            exp: i64::MAX,
            path: "/bkapps/applications/a/modules/default/source_package/7/download/".into(),
            sha256: Sha256::from_bytes([7; 32]),
            app: "ci".into(),
            user: "anna".into(),
            tenant: None,
            client_ips: vec!["10.0.0.0/8".into()],
        }
    }

    #[test]
    fn a_link_is_believed_by_the_public_half_alone() {
        let dir = tempfile::tempdir().unwrap();
        let signer = UrlSigner::open(dir.path(), None).unwrap();
        let token = signer.sign(&claims());
        let public = std::fs::read(dir.path().join(KEY_FILES.public)).unwrap();
        let read = |pem: &[u8]| {
            let validation = Validation::new(Algorithm::EdDSA);
            decode::<serde_json::Value>(&token, &DecodingKey::from_ed_pem(pem).unwrap(), &validation)
        };
        assert_eq!(SignedUrlClaims::read(&read(&public).unwrap().claims), Some(claims()));
        let other = tempfile::tempdir().unwrap();
        UrlSigner::open(other.path(), None).unwrap();
        assert!(read(&std::fs::read(other.path().join(KEY_FILES.public)).unwrap()).is_err());
    }
}
