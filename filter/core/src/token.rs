//! The token by which the store knows the gate: `X-Bkapi-JWT`, signed and cached.
//!
//! Signing costs about 0.1 ms inside a VM with Ed25519 and many times that with RSA, so a token serves whom it names for
//! [`REUSE_S`] seconds, and one that is in use is signed anew before that, between requests.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linkgate_contract::{AppClaim, Claims, Extension, UserClaim};
use lru::LruCache;
use serde_json::json;

use crate::keys::SigningKey;

/// How long a token is handed out, in seconds.
pub const REUSE_S: i64 = 600;
/// When one that is in use is signed anew.
const RENEW_S: i64 = 480;
/// How long a token is valid beyond its use, in seconds: what a request may take on its way to the store.
const MARGIN_S: i64 = 300;
/// How far back it is valid, in seconds, for a store whose clock is behind.
const BACKDATE_S: i64 = 300;
/// Most tokens at a time; about a kilobyte each.
const MAX_TOKENS: usize = 1024;

/// Whom and what a token names; all of it public, so it may be a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    /// The gateway that vouches.
    pub(crate) kid: String,
    pub(crate) app: AppClaim,
    pub(crate) user: UserClaim,
    pub(crate) extension: Extension,
}

struct Token {
    text: Rc<str>,
    signed_at: i64,
    used: bool,
}

impl Token {
    /// A clock that was set back makes a token look too young: it is as good, but not for longer than it should.
    fn is_usable(&self, now: i64) -> bool {
        (0..REUSE_S).contains(&(now - self.signed_at))
    }
}

/// Tokens for reuse.
pub(crate) struct Tokens(RefCell<LruCache<Subject, Token>>);

impl Default for Tokens {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(NonZeroUsize::new(MAX_TOKENS).unwrap_or(NonZeroUsize::MIN))))
    }
}

/// A token, and whether it had to be signed.
pub(crate) struct Issued {
    pub(crate) text: Rc<str>,
    /// Until when it may be handed out without waiter again.
    pub(crate) reuse_until: i64,
    pub(crate) signed: bool,
}

impl Tokens {
    /// A token for this subject, valid now; `None` only if it could not be signed, which refuses the request.
    pub(crate) fn issue(&self, key: &SigningKey, subject: Subject, now: i64) -> Option<Issued> {
        // The gate is not re-entrant; should a host ever make it so, a token is signed anew rather than trapping.
        let mut tokens = self.0.try_borrow_mut().ok();
        let known = tokens.as_mut().and_then(|tokens| tokens.get_mut(&subject)).filter(|token| token.is_usable(now));
        if let Some(token) = known {
            token.used = true;
            let reuse_until = token.signed_at + RENEW_S;
            return Some(Issued { text: Rc::clone(&token.text), reuse_until, signed: false });
        }
        let text: Rc<str> = sign(key, &subject, now)?.into();
        if let Some(tokens) = tokens.as_mut() {
            tokens.put(subject, Token { text: Rc::clone(&text), signed_at: now, used: false });
        }
        Some(Issued { text, reuse_until: now + RENEW_S, signed: true })
    }

    /// Signs up to so many tokens anew that are in use and about to run out; gives how many.
    pub(crate) fn renew_in_use(&self, key: &SigningKey, at_most: usize, now: i64) -> usize {
        let Ok(mut tokens) = self.0.try_borrow_mut() else { return 0 };
        let due = tokens.iter_mut().filter(|(_, token)| token.used && now - token.signed_at >= RENEW_S);
        let mut renewed = 0;
        for (subject, token) in due.take(at_most) {
            let Some(text) = sign(key, subject, now) else { continue };
            *token = Token { text: text.into(), signed_at: now, used: false };
            renewed += 1;
        }
        renewed
    }
}

/// A token for one request, which is not kept. Apart, so that it takes no stack of other requests.
#[cold]
pub(crate) fn sign_once(key: &SigningKey, subject: &Subject, now: i64) -> Option<Rc<str>> {
    sign(key, subject, now).map(Rc::from)
}

fn sign(key: &SigningKey, subject: &Subject, now: i64) -> Option<String> {
    let header = json!({"typ": "JWT", "alg": key.algorithm(), "kid": subject.kid, "iat": now});
    let Subject { app, user, extension, .. } = subject.clone();
    let mut claims = Claims::new(app, user, now - BACKDATE_S, now + REUSE_S + MARGIN_S);
    claims.linkgate = extension;
    let claims = serde_json::to_vec(&claims).ok()?;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(signed.as_bytes())?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::PublicKey;
    use crate::keys::testing::{Pair, ed25519, rsa};

    fn subject(app: &str, user: &str) -> Subject {
        let extension = Extension::default();
        Subject { kid: "linkgate".into(), app: AppClaim::verified(app), user: UserClaim::verified(user), extension }
    }

    fn key() -> SigningKey {
        SigningKey::parse(&ed25519(7).private).unwrap()
    }

    fn parts(pair: &Pair, token: &str) -> (serde_json::Value, serde_json::Value) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(PublicKey::parse(&pair.public).unwrap().verifies(signed.as_bytes(), &signature));
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        (read(header), read(claims))
    }

    #[test]
    fn a_token_verifies_and_says_who_calls_in_blueking_s_form() {
        for (pair, alg) in [(&ed25519(7), "EdDSA"), (rsa(), "RS512")] {
            let key = SigningKey::parse(&pair.private).unwrap();
            let token = Tokens::default().issue(&key, subject("app", "admin"), 1_000_000).unwrap();
            assert!(token.signed);
            let (header, claims) = parts(pair, &token.text);
            assert_eq!(header, json!({"typ": "JWT", "alg": alg, "kid": "linkgate", "iat": 1_000_000}));
            assert_eq!(
                claims,
                json!({
                    "iss": "APIGW", "nbf": 999_700, "exp": 1_000_900,
                    "app": {"version": 1, "app_code": "app", "verified": true, "valid_error_message": ""},
                    "user": {"version": 1, "username": "admin", "verified": true, "valid_error_message": ""},
                })
            );
        }
    }

    #[test]
    fn what_only_the_gate_says_stands_apart() {
        let mut subject = subject("app", "");
        subject.user = UserClaim::unverified("", "no user");
        subject.extension =
            Extension { user_optional: true, private_hosts: vec!["a.internal:8443".into()], ..Extension::default() };
        let token = Tokens::default().issue(&key(), subject, 1_000_000).unwrap();
        let (_, claims) = parts(&ed25519(7), &token.text);
        assert_eq!(claims["linkgate"], json!({"user_optional": true, "private_hosts": ["a.internal:8443"]}));
        assert_eq!(claims["user"]["verified"], json!(false));
    }

    #[test]
    fn a_token_serves_its_subject_until_it_is_renewed() {
        let (tokens, key) = (Tokens::default(), key());
        let issue = |app: &str, now| tokens.issue(&key, subject(app, "admin"), now).unwrap();
        let first = issue("app", 1_000);
        let again = issue("app", 1_000 + REUSE_S - 1);
        assert!(again.text == first.text && !again.signed);
        assert_ne!(issue("other", 1_000).text, first.text);
        assert!(issue("app", 1_000 + REUSE_S).signed);
        assert!(issue("app", 10).signed, "the clock was set back");
    }

    #[test]
    fn a_token_in_use_is_signed_ahead_and_an_idle_one_is_not() {
        let (tokens, key) = (Tokens::default(), key());
        let issue = |app: &str, now| tokens.issue(&key, subject(app, "admin"), now).unwrap();
        issue("idle", 0);
        issue("busy", 0);
        assert!(!issue("busy", 100).signed);
        assert_eq!(tokens.renew_in_use(&key, 4, RENEW_S - 1), 0);
        assert_eq!(tokens.renew_in_use(&key, 4, RENEW_S), 1);
        assert_eq!(tokens.renew_in_use(&key, 4, RENEW_S), 0);
        assert!(!issue("busy", REUSE_S + 10).signed && issue("idle", REUSE_S + 10).signed);
        for n in 0..10 {
            issue(&n.to_string(), 10_000);
            issue(&n.to_string(), 10_000);
        }
        assert_eq!(tokens.renew_in_use(&key, 4, 10_000 + RENEW_S), 4);
    }

    #[test]
    fn the_tokens_tokens_are_bounded() {
        let (tokens, key) = (Tokens::default(), key());
        for n in 0..MAX_TOKENS + 10 {
            tokens.issue(&key, subject(&n.to_string(), "admin"), 0).unwrap();
        }
        assert_eq!(tokens.0.borrow().len(), MAX_TOKENS);
    }
}
