//! `X-Bkapi-Authorization`, read as BlueKing's gateway reads it.
//!
//! Promises: one reading of the header, or a refusal with the reason that callers know. Refuses a repeated header (the
//! gateway takes the first; what a proxy in between appended must never win). Nothing here is shown by `Debug`.

use serde_json::{Map, Value};

use crate::head::Head;

/// Why nobody could be authenticated; the texts are what callers match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub &'static str);

impl Reason {
    /// More than one header.
    pub const REPEATED: Self = Self("request header X-Bkapi-Authorization must not be repeated");
    /// Not JSON, or JSON of no use.
    pub const NOT_JSON: Self = Self("request header X-Bkapi-Authorization is not a valid JSON");
    /// No app code.
    pub const NO_APP_CODE: Self = Self("app code cannot be empty");
    /// App code over 32 bytes.
    pub const APP_CODE_TOO_LONG: Self = Self("app code cannot be longer than 32 characters");
    /// Secret over 128 bytes.
    pub const APP_SECRET_TOO_LONG: Self = Self("app secret cannot be longer than 128 characters");
    /// No secret.
    pub const NO_APP_SECRET: Self = Self("please provide bk_app_secret or bk_signature to verify app");
    /// Nobody knows the app.
    pub const APP_NOT_FOUND: Self = Self("app not found");
    /// The app is known, the secret is another.
    pub const WRONG_SECRET: Self = Self("bk_app_code or bk_app_secret is incorrect");
    /// No user credential at all.
    pub const NO_USER: Self = Self(
        "user authentication failed, please provide a valid user identity, such as bk_username, bk_token, access_token",
    );
    /// A name and nothing that proves it.
    pub const USER_NOT_VERIFIED: Self =
        Self("user authentication failed, the user indicated by bk_username is not verified");
    /// A login token that nobody knows.
    pub const BAD_TOKEN: Self = Self("user authentication failed, bk_token is not valid");
    /// A login ticket that nobody knows.
    pub const BAD_TICKET: Self = Self("user authentication failed, bk_ticket is not valid");
    /// A kind of credential that nothing here can verify. Never passed over in favour of a weaker one.
    pub const UNSUPPORTED: Self = Self(
        "user authentication failed, access_token, jwt and inner_jwt are not supported here, use bk_token or bk_ticket",
    );
}

/// How a user proves who they are.
pub enum UserCredential {
    /// A login token.
    Token(String),
    /// A login ticket.
    Ticket(String),
    /// A name without a proof.
    Username,
    /// A kind that is not verified here.
    Unsupported,
    /// Nothing.
    Absent,
}

/// What the header says, bounded and not yet verified.
pub struct Credentials {
    /// The calling app.
    pub app_code: String,
    /// Its secret.
    pub app_secret: String,
    /// The strongest user credential in it.
    pub user: UserCredential,
}

/// BlueKing's limits, in bytes.
const MAX_APP_CODE: usize = 32;
const MAX_APP_SECRET: usize = 128;

impl Credentials {
    /// Reads the header.
    ///
    /// # Errors
    /// The [`Reason`] to answer with.
    pub fn read(head: &Head<'_>) -> Result<Self, Reason> {
        let fields = read_object(head)?;
        let app_code = alias(&fields, "bk_app_code", "app_code");
        if app_code.is_empty() {
            return Err(Reason::NO_APP_CODE);
        }
        let app_secret = alias(&fields, "bk_app_secret", "app_secret");
        if app_secret.is_empty() {
            return Err(Reason::NO_APP_SECRET);
        }
        if app_code.len() > MAX_APP_CODE {
            return Err(Reason::APP_CODE_TOO_LONG);
        }
        if app_secret.len() > MAX_APP_SECRET {
            return Err(Reason::APP_SECRET_TOO_LONG);
        }
        Ok(Self { app_code, app_secret, user: read_user(&fields) })
    }
}

fn read_object(head: &Head<'_>) -> Result<Map<String, Value>, Reason> {
    let mut copies = head.all(linkgate_contract::headers::AUTHORIZATION);
    let value = copies.next().unwrap_or_default();
    if copies.next().is_some() {
        return Err(Reason::REPEATED);
    }
    if value.trim_ascii().is_empty() {
        return Err(Reason::NO_APP_CODE);
    }
    match serde_json::from_slice(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        // The gateway's Lua has one table type: an array is an object without fields.
        Ok(Value::Array(_)) => Ok(Map::new()),
        _ => Err(Reason::NOT_JSON),
    }
}

/// The first name that is present wins, even when it is empty; a number is read as its text.
fn alias(fields: &Map<String, Value>, name: &str, old_name: &str) -> String {
    match fields.get(name).or_else(|| fields.get(old_name)) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A token that is not a string counts as absent.
fn token<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|token| !token.is_empty())
}

/// The strongest kind that is present decides: a bad one never falls back to a weaker one.
fn read_user(fields: &Map<String, Value>) -> UserCredential {
    if ["jwt", "access_token", "inner_jwt"].iter().any(|name| token(fields, name).is_some()) {
        return UserCredential::Unsupported;
    }
    if let Some(value) = token(fields, "bk_token") {
        return UserCredential::Token(value.to_owned());
    }
    if let Some(value) = token(fields, "bk_ticket") {
        return UserCredential::Ticket(value.to_owned());
    }
    if alias(fields, "bk_username", "username").is_empty() {
        return UserCredential::Absent;
    }
    UserCredential::Username
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(values: &[&[u8]]) -> Result<Credentials, Reason> {
        let pairs: Vec<(&[u8], &[u8])> = values.iter().map(|v| (&b"x-bkapi-authorization"[..], *v)).collect();
        Credentials::read(&Head::new(&pairs, false, 0, || [0; 16]))
    }

    fn read(value: &str) -> Result<Credentials, Reason> {
        read_all(&[value.as_bytes()])
    }

    #[test]
    fn the_header_of_the_api_document_is_read() {
        let c = read(r#"{"bk_app_code": "apigw-api-test", "bk_app_secret": "s", "bk_ticket": "t"}"#).ok().unwrap();
        assert_eq!((c.app_code.as_str(), c.app_secret.as_str()), ("apigw-api-test", "s"));
        assert!(matches!(c.user, UserCredential::Ticket(t) if t == "t"));
    }

    #[test]
    fn every_refusal_has_the_reason_that_callers_know() {
        let long_code = format!(r#"{{"bk_app_code":"{}","bk_app_secret":"s"}}"#, "a".repeat(33));
        let long_secret = format!(r#"{{"bk_app_code":"a","bk_app_secret":"{}"}}"#, "s".repeat(129));
        let both = format!(r#"{{"bk_app_code":"{}","bk_app_secret":"{}"}}"#, "a".repeat(33), "s".repeat(129));
        let no_secret = format!(r#"{{"bk_app_code":"{}"}}"#, "a".repeat(33));
        let cases = [
            ("", Reason::NO_APP_CODE),
            ("  ", Reason::NO_APP_CODE),
            ("{}", Reason::NO_APP_CODE),
            ("[]", Reason::NO_APP_CODE),
            (r#"[{"bk_app_code":"a"}]"#, Reason::NO_APP_CODE),
            (r#"{"bk_app_code":""}"#, Reason::NO_APP_CODE),
            (r#"{"bk_app_code":"","app_code":"a","app_secret":"s"}"#, Reason::NO_APP_CODE),
            (r#"{"bk_app_code":null,"app_code":"a","app_secret":"s"}"#, Reason::NO_APP_CODE),
            (r#"{"bk_app_code":{},"bk_app_secret":"s"}"#, Reason::NO_APP_CODE),
            ("nonsense", Reason::NOT_JSON),
            ("{", Reason::NOT_JSON),
            ("\"text\"", Reason::NOT_JSON),
            ("7", Reason::NOT_JSON),
            ("null", Reason::NOT_JSON),
            (r#"{"bk_app_code":"a"}"#, Reason::NO_APP_SECRET),
            (r#"{"bk_app_code":"a","bk_app_secret":""}"#, Reason::NO_APP_SECRET),
            (r#"{"bk_app_code":"a","bk_app_secret":"","app_secret":"s"}"#, Reason::NO_APP_SECRET),
            (&no_secret, Reason::NO_APP_SECRET),
            (&long_code, Reason::APP_CODE_TOO_LONG),
            (&both, Reason::APP_CODE_TOO_LONG),
            (&long_secret, Reason::APP_SECRET_TOO_LONG),
        ];
        for (value, reason) in cases {
            assert_eq!(read(value).err(), Some(reason), "{value}");
        }
        assert_eq!(read_all(&[]).err(), Some(Reason::NO_APP_CODE));
        assert_eq!(read_all(&[b"{}", b"{}"]).err(), Some(Reason::REPEATED));
        assert_eq!(read_all(&[b"{\"a\":\"\xff\"}"]).err(), Some(Reason::NOT_JSON));
        assert_eq!(read(&"[".repeat(100_000)).err(), Some(Reason::NOT_JSON));
    }

    #[test]
    fn aliases_and_numbers_are_taken() {
        let c = read(r#"{"app_code": 7, "app_secret": 12}"#).ok().unwrap();
        assert_eq!((c.app_code.as_str(), c.app_secret.as_str()), ("7", "12"));
        let c = read(r#"{"bk_app_code": "a", "app_code": "b", "app_secret": "s"}"#).ok().unwrap();
        assert_eq!(c.app_code, "a");
    }

    #[test]
    fn the_strongest_user_credential_decides() {
        let user = |rest: &str| read(&format!(r#"{{"bk_app_code":"a","bk_app_secret":"s"{rest}}}"#)).ok().unwrap().user;
        assert!(matches!(user(r#","bk_token":"t","bk_ticket":"k","bk_username":"u""#), UserCredential::Token(_)));
        assert!(matches!(user(r#","bk_ticket":"k","bk_username":"u""#), UserCredential::Ticket(_)));
        assert!(matches!(user(r#","bk_username":"u""#), UserCredential::Username));
        assert!(matches!(user(r#","bk_username":7"#), UserCredential::Username));
        assert!(matches!(user(""), UserCredential::Absent));
        assert!(matches!(user(r#","bk_token":7,"bk_ticket":["k"]"#), UserCredential::Absent));
        for kind in ["jwt", "access_token", "inner_jwt"] {
            assert!(matches!(user(&format!(r#","{kind}":"x","bk_token":"t""#)), UserCredential::Unsupported));
            assert!(matches!(user(&format!(r#","{kind}":7,"bk_token":"t""#)), UserCredential::Token(_)));
        }
    }
}
