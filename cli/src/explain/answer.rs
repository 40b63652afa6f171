//! What an identity service would say, as the gate would read it from the wire.

use linkgate_gate::OutsideCall;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// What a service says of a credential.
#[derive(Debug)]
pub enum Answer {
    /// Nothing, in time.
    Down,
    /// No such app.
    Unknown,
    /// Whether the secret is the app's.
    Match(bool),
    /// The secrets of the app.
    Keys(Vec<SecretString>),
    /// The tenant that an app belongs to; `None`: to all.
    TenantOf(Option<String>),
    /// It is not good; the service's own words, if there are any.
    Refused(String),
    /// Whose `bk_token` it is, and where that user belongs.
    TokenOf { username: String, tenant_id: Option<String> },
    /// Whose `bk_ticket` it is.
    TicketOf(String),
    /// What an access token stands for.
    AccessToken { app_code: String, username: String, expires_in: i64 },
}

impl Answer {
    /// In a few words, none of them secret.
    pub fn describe(&self) -> String {
        match self {
            Self::Down => "nothing, it is down".to_owned(),
            Self::Unknown => "unknown".to_owned(),
            Self::Match(true) => "match".to_owned(),
            Self::Match(false) => "mismatch".to_owned(),
            Self::Keys(keys) => format!("the app's secrets, {} in number", keys.len()),
            Self::TenantOf(None) => "all tenants".to_owned(),
            Self::TenantOf(Some(tenant)) => format!("tenant `{tenant}`"),
            Self::Refused(_) => "refused".to_owned(),
            Self::TokenOf { username, tenant_id: Some(tenant) } => format!("user `{username}` of tenant `{tenant}`"),
            Self::TokenOf { username, tenant_id: None } | Self::TicketOf(username) => format!("user `{username}`"),
            Self::AccessToken { app_code, username, expires_in } => {
                format!("app `{app_code}`, user `{username}`, {expires_in} s left")
            }
        }
    }

    /// Status and body of the reply to a call; `None`: none came.
    pub fn to_reply(&self, call: &OutsideCall) -> Option<(u16, Value)> {
        let ok = |data: Value| (200, json!({"code": 0, "message": "OK", "data": data}));
        Some(match self {
            Self::Down => return None,
            Self::Unknown => (404, json!({"code": 404, "message": "", "data": null})),
            Self::Match(is_match) => ok(json!({"is_match": is_match})),
            Self::Keys(keys) => ok(keys.iter().map(|key| json!({"bk_app_secret": key.expose_secret()})).collect()),
            Self::TenantOf(None) => ok(json!({"bk_tenant": {"mode": "global", "id": ""}})),
            Self::TenantOf(Some(tenant)) => ok(json!({"bk_tenant": {"mode": "single", "id": tenant}})),
            Self::Refused(words) => refuse(words, call),
            Self::TokenOf { username, tenant_id } => {
                (200, json!({"result": true, "data": {"bk_username": username, "tenant_id": tenant_id}}))
            }
            Self::TicketOf(user) => (200, json!({"ret": 0, "data": {"username": user}})),
            Self::AccessToken { app_code, username, expires_in } => ok(json!({
                "bk_app_code": app_code, "identity": {"username": username}, "expires_in": expires_in,
            })),
        })
    }
}

/// Each service says no in a way of its own.
fn refuse(words: &str, call: &OutsideCall) -> (u16, Value) {
    let path = call.headers.iter().find(|(name, _)| *name == ":path").map_or("", |(_, path)| path.as_str());
    if path.starts_with("/login/api/v3/") {
        (400, json!({"error": {"code": "INVALID", "message": words}}))
    } else if path.starts_with("/login/") {
        (200, json!({"result": false, "bk_error_msg": words}))
    } else if path.starts_with("/api/v1/auth/") {
        (400, json!({"code": 1, "message": words, "data": null}))
    } else {
        (200, json!({"ret": 1, "msg": words}))
    }
}
