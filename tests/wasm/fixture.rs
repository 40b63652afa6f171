//! A good policy, a key made at run time, and the reading of tokens by other code than the filter's.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::Digest as _;

/// The clock of a fresh host, seconds since the epoch.
pub const NOW_S: u64 = 1_800_000_000;
/// The largest body under [`policy`].
pub const BODY_LIMIT: usize = 1024;
/// The longest target under [`policy`].
pub const URI_LIMIT: usize = 256;
/// What no log, reply or forwarded request may hold.
pub const SECRETS: [&str; 4] = ["s3cret-of-app", "s3cret-of-other", "t1cket-of-admin", "t0ken-of-guest"];

fn digest(secret: &str) -> String {
    hex::encode(sha2::Sha256::digest(secret))
}

/// Two apps and two users; a test changes one thing.
pub fn policy() -> Value {
    let [app, other, ticket, token] = SECRETS;
    json!({
        "version": 1,
        "gateway": "linkgate",
        "routes": {"prefixes": ["", "/stag"]},
        "limits": {"body_bytes": BODY_LIMIT, "uri_bytes": URI_LIMIT},
        "packages": {"allowed_hosts": ["example.com"]},
        "grants": [{"name": "all", "callers": ["*"], "targets": ["*"]}],
        "clients": [
            {"app_code": "apigw-api-test", "secret_sha256": [digest(app)]},
            {"app_code": "other", "secret_sha256": [digest(other)]},
        ],
        "users": [
            {"username": "admin", "bk_ticket_sha256": [digest(ticket)]},
            {"username": "guest", "bk_token_sha256": [digest(token)]},
        ],
    })
}

/// This run's key.
pub fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        SigningKey::from_bytes(&seed)
    })
}

/// PKCS#8 of it as DER.
pub fn key_der() -> Vec<u8> {
    key().to_pkcs8_der().unwrap().as_bytes().to_vec()
}

/// PKCS#8 of it as PEM.
pub fn key_text() -> String {
    key().to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

/// The forms in which an operator may give it: PEM, and base64 of PEM or DER.
pub fn key_forms() -> [String; 3] {
    [key_text(), STANDARD.encode(key_text()), STANDARD.encode(key_der())]
}

/// The filter's environment with this key.
pub fn key_variable(text: &str) -> String {
    format!("LINKGATE_JWT_PRIVATE_KEY={text}")
}

/// Header and claims of a token, after its signature was verified with the public key.
#[track_caller]
pub fn read_token(token: &str) -> (Value, Value) {
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    key().verifying_key().verify_strict(signed.as_bytes(), &signature).expect("signed with our key");
    let (header, claims) = signed.split_once('.').expect("three parts");
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(header), json(claims))
}

/// What a token must say.
pub fn claims(app_code: &str, username: &str, now_s: u64) -> (Value, Value) {
    let header = json!({"typ": "JWT", "alg": "EdDSA", "kid": "linkgate", "iat": now_s});
    let claims = json!({
        "iss": "APIGW",
        "nbf": now_s - 300,
        "exp": now_s + 900,
        "app": {"version": 1, "app_code": app_code, "verified": true, "valid_error_message": ""},
        "user": {"version": 1, "username": username, "verified": true, "valid_error_message": ""},
        "linkgate": {"target": "app_code/default", "action": "upload"},
    });
    (header, claims)
}
