//! What a request must show that changes something for a browser's user (CSRF): a page of ours was open there not long ago.
//!
//! Promises: a token is good for one user and a while, at every store that signs with the same key; a page of another origin
//! cannot read one. Nothing is stored for it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::own_key::OwnKey;

/// How long a page may be open. Its script reads a new one by itself.
const GOOD_FOR_S: i64 = 12 * 60 * 60;

/// Makes and judges tokens.
pub struct CsrfTokens(Arc<OwnKey>);

impl CsrfTokens {
    /// With this key, which signs other things, too: nothing else that it signs begins like a token.
    #[must_use]
    pub fn new(key: Arc<OwnKey>) -> Self {
        Self(key)
    }

    /// A token for the user of a page.
    #[must_use]
    pub fn issue(&self, user: &str, now_s: i64) -> String {
        let until = now_s.saturating_add(GOOD_FOR_S);
        format!("{until}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(&message(user, until))))
    }

    /// Whether it was issued to this user, and counts still.
    #[must_use]
    pub fn is_good(&self, token: &str, user: &str, now_s: i64) -> bool {
        let Some((until, signature)) = token.split_once('.') else { return false };
        let (Ok(until), Ok(signature)) = (until.parse(), URL_SAFE_NO_PAD.decode(signature)) else { return false };
        now_s < until && self.0.has_signed(&message(user, until), &signature)
    }
}

fn message(user: &str, until: i64) -> Vec<u8> {
    format!("linkgate csrf\0{until}\0{user}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_key::KeyFiles;

    const FILES: KeyFiles = KeyFiles { private: "test.key", public: "test.pub.pem" };

    fn tokens() -> (tempfile::TempDir, CsrfTokens) {
        let dir = tempfile::tempdir().unwrap();
        let key = OwnKey::open(dir.path(), FILES).unwrap();
        (dir, CsrfTokens::new(Arc::new(key)))
    }

    #[test]
    fn a_token_is_good_for_its_user_until_its_end() {
        let (_dir, tokens) = tokens();
        let token = tokens.issue("admin", 1_000);
        assert!(tokens.is_good(&token, "admin", 1_000) && tokens.is_good(&token, "admin", 1_000 + GOOD_FOR_S - 1));
        assert!(!tokens.is_good(&token, "admin", 1_000 + GOOD_FOR_S), "its time is over");
        assert!(!tokens.is_good(&token, "anna", 1_000), "it is another user's");
    }

    #[test]
    fn nothing_else_is_a_token() {
        let (_dir, tokens) = tokens();
        let (_other_dir, other) = self::tokens();
        let token = tokens.issue("admin", 0);
        let (until, signature) = token.split_once('.').unwrap();
        let later = format!("{}.{signature}", until.parse::<i64>().unwrap() + 1);
        for bad in ["", ".", "1.", "x.y", until, &later, &format!("{token}x"), &other.issue("admin", 0)] {
            assert!(!tokens.is_good(bad, "admin", 0), "{bad}");
        }
    }
}
