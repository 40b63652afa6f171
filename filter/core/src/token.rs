//! The token by which the store knows the gate: `X-Bkapi-JWT`, signed with Ed25519 and cached.
//!
//! Signing costs about 0.1 ms inside a VM, so a token serves its app and user for [`REUSE_S`] seconds. The key comes from
//! the proxy's environment and is shown by nothing.

use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroUsize;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::Signer;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use linkgate_contract::Claims;
use lru::LruCache;
use serde_json::json;

/// How long a token is handed out, in seconds.
pub const REUSE_S: i64 = 600;
/// How long a token is valid beyond that, in seconds: what a request may take on its way to the store.
const MARGIN_S: i64 = 300;
/// How far back it is valid, in seconds, for a store whose clock is behind.
const BACKDATE_S: i64 = 300;
/// Tokens kept; about 600 bytes each.
const CACHED: NonZeroUsize = match NonZeroUsize::new(1024) {
    Some(count) => count,
    None => NonZeroUsize::MIN,
};

/// The gate's private key.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing there.
    #[error("the signing key is missing: set LINKGATE_JWT_PRIVATE_KEY in the proxy's environment")]
    Missing,
    /// Not an Ed25519 key.
    #[error("the signing key must be an Ed25519 private key, PKCS#8 as PEM or as base64 of it")]
    NotEd25519,
}

impl SigningKey {
    /// Reads PKCS#8, as PEM or as base64 of PEM or DER (for places where a variable must stay on one line).
    ///
    /// # Errors
    /// [`InvalidKey`], which never quotes the text.
    pub fn read(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidKey::Missing);
        }
        let key = if text.starts_with("-----BEGIN") {
            ed25519_dalek::SigningKey::from_pkcs8_pem(text).ok()
        } else {
            STANDARD.decode(text).ok().and_then(|bytes| from_pem_or_der(&bytes))
        };
        key.map(Self).ok_or(InvalidKey::NotEd25519)
    }
}

fn from_pem_or_der(bytes: &[u8]) -> Option<ed25519_dalek::SigningKey> {
    match std::str::from_utf8(bytes) {
        Ok(pem) if pem.starts_with("-----BEGIN") => ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim()).ok(),
        _ => ed25519_dalek::SigningKey::from_pkcs8_der(bytes).ok(),
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Makes tokens and keeps them.
pub(crate) struct Tokens {
    kid: String,
    key: SigningKey,
    /// By app and user, both public names: no secret is a key here.
    cache: RefCell<LruCache<(String, String), Token>>,
}

struct Token {
    text: String,
    reuse_until: i64,
}

impl Tokens {
    pub(crate) fn new(kid: &str, key: SigningKey) -> Self {
        Self { kid: kid.to_owned(), key, cache: RefCell::new(LruCache::new(CACHED)) }
    }

    /// A token for this app and user, valid now; `None` only if claims could not be written, which refuses the request.
    pub(crate) fn issue(&self, app_code: &str, username: &str, now: i64) -> Option<String> {
        let slot = (app_code.to_owned(), username.to_owned());
        // The gate is not re-entrant; should a host ever make it so, a token is signed anew rather than trapping.
        let mut cache = self.cache.try_borrow_mut().ok();
        // A clock that was set back makes a token look too young: it is as good, but not for longer than it should.
        let usable = |t: &&Token| now < t.reuse_until && t.reuse_until - now <= REUSE_S;
        if let Some(token) = cache.as_mut().and_then(|c| c.get(&slot)).filter(usable) {
            return Some(token.text.clone());
        }
        let text = self.sign(app_code, username, now)?;
        if let Some(cache) = cache.as_mut() {
            cache.put(slot, Token { text: text.clone(), reuse_until: now + REUSE_S });
        }
        Some(text)
    }

    fn sign(&self, app_code: &str, username: &str, now: i64) -> Option<String> {
        let header = json!({"typ": "JWT", "alg": "EdDSA", "kid": self.kid, "iat": now});
        let claims = Claims::verified(app_code, username, now - BACKDATE_S, now + REUSE_S + MARGIN_S);
        let claims = serde_json::to_vec(&claims).ok()?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.0.sign(signed.as_bytes());
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier;
    use ed25519_dalek::pkcs8::EncodePrivateKey;
    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;

    use super::*;

    fn tokens() -> Tokens {
        Tokens::new("linkgate", SigningKey(ed25519_dalek::SigningKey::from_bytes(&[7; 32])))
    }

    #[test]
    fn a_token_verifies_and_says_who_calls() {
        let token = tokens().issue("app", "admin", 1_000_000).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        key.verify(signed.as_bytes(), &ed25519_dalek::Signature::from_slice(&signature).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!(header, json!({"typ": "JWT", "alg": "EdDSA", "kid": "linkgate", "iat": 1_000_000}));
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(
            claims,
            json!({
                "iss": "APIGW", "nbf": 999_700, "exp": 1_000_900,
                "app": {"version": 1, "app_code": "app", "verified": true, "valid_error_message": ""},
                "user": {"version": 1, "username": "admin", "verified": true, "valid_error_message": ""},
            })
        );
    }

    #[test]
    fn a_token_serves_its_app_and_user_until_it_is_renewed() {
        let tokens = tokens();
        let first = tokens.issue("app", "admin", 1_000).unwrap();
        assert_eq!(tokens.issue("app", "admin", 1_000 + REUSE_S - 1).unwrap(), first);
        assert_ne!(tokens.issue("app", "other", 1_000).unwrap(), first);
        assert_ne!(tokens.issue("app", "admin", 1_000 + REUSE_S).unwrap(), first);
        assert_ne!(tokens.issue("app", "admin", 10).unwrap(), first, "the clock was set back");
    }

    #[test]
    fn the_cache_is_bounded() {
        let tokens = tokens();
        for n in 0..CACHED.get() + 10 {
            tokens.issue(&n.to_string(), "admin", 0).unwrap();
        }
        assert_eq!(tokens.cache.borrow().len(), CACHED.get());
    }

    #[test]
    fn a_key_is_read_as_pem_or_base64_and_never_shown() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        let der = key.to_pkcs8_der().unwrap();
        for text in [pem.to_string(), STANDARD.encode(pem.as_bytes()), STANDARD.encode(der.as_bytes())] {
            let read = SigningKey::read(&format!(" {text}\n")).unwrap();
            assert_eq!(read.0.to_bytes(), [7; 32]);
            assert_eq!(format!("{read:?}"), "SigningKey(..)");
        }
        assert_eq!(SigningKey::read(" ").unwrap_err(), InvalidKey::Missing);
        for bad in ["nonsense", "AAAA", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert_eq!(SigningKey::read(bad).unwrap_err(), InvalidKey::NotEd25519);
        }
    }
}
