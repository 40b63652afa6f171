//! Tokens: those of the other gateway, made here, and the gate's own, checked here.

use std::cell::RefCell;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer, Verifier};
use linkgate_contract::Claims;
use linkgate_gate::Forward;
use serde::Deserialize;
use serde_json::Value;

use crate::world::{KID, other_gateway, own_key};

/// A token that the other gateway signed.
pub fn sign(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = other_gateway().sign(signed.as_bytes()).to_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The payload of the one token that is right.
pub const PAYLOAD: &str = r#"{"nbf":700,"exp":1900,"app":{"app_code":"mcp_7_ci","verified":true},"user":{"username":"anna","verified":true}}"#;
/// Its header.
pub const HEADER: &str = r#"{"alg":"EdDSA","kid":"bk-apigateway"}"#;

/// The one token that is right.
pub fn valid() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| sign(HEADER.as_bytes(), PAYLOAD.as_bytes()))
}

/// The claims of the gate's own token, its signature checked.
pub fn claims(forward: &Forward) -> Claims {
    let token = forward.set.iter().find(|(name, _)| *name == "x-bkapi-jwt").map(|(_, token)| token).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    thread_local!(static CHECKED: RefCell<String> = const { RefCell::new(String::new()) });
    CHECKED.with_borrow_mut(|checked| {
        if checked != token {
            let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            own_key().verify(signed.as_bytes(), &signature).unwrap();
            checked.clone_from(token);
        }
    });
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header["alg"], "EdDSA");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// What a token says of itself. Fields that nobody asks about are not read, not even as text.
#[derive(Deserialize)]
struct Header {
    alg: Option<Value>,
    kid: Option<Value>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Payload {
    nbf: Option<Value>,
    exp: Option<Value>,
    app: Option<App>,
    user: Option<User>,
}

#[derive(Deserialize)]
struct App {
    app_code: Option<Value>,
    verified: Option<Value>,
}

#[derive(Deserialize)]
struct User {
    username: Option<Value>,
    verified: Option<Value>,
}

/// Whom a token names as app and as user.
pub type Parties = (Option<String>, Option<String>);

/// App and user of a token's parts, if a gate may believe them; the signature is taken for granted.
pub fn parties(header: &[u8], payload: &[u8], now: i64) -> Option<Parties> {
    let header: Header = serde_json::from_slice(header).ok()?;
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    let fits = header.alg? == "EdDSA" && header.kid? == KID && header.crit.is_none();
    let lives = payload.nbf?.as_i64()?.saturating_sub(60) <= now && now < payload.exp?.as_i64()?;
    let party = |name: Option<Value>, verified: Option<Value>| {
        let name = name.filter(|_| verified == Some(Value::Bool(true)))?.as_str()?.to_owned();
        let plain = (1..=128).contains(&name.len()) && !name.chars().any(char::is_control);
        plain.then_some(name)
    };
    let app = payload.app.and_then(|app| party(app.app_code, app.verified));
    let user = payload.user.and_then(|user| party(user.username, user.verified));
    (fits && lives).then_some((app, user))
}
