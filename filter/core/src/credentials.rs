//! The credentials that a caller presents, read as BlueKing's gateway reads it.
//!
//! Promises: one reading, or a refusal with the reason that callers know; a header that is there, even a broken one, shuts
//! out every other place. Refuses a repeated header (the gateway takes the first; what a proxy in between appended must
//! never win). `Debug` prints nothing secret.

use std::borrow::Cow;

use linkgate_contract::{Field, Fields, NoObject};
use serde_json::Value;

use crate::head::{Head, HeaderField};
use crate::reason::Reason;
use crate::secret::Secret;

/// The strongest kind of credential that is there decides; a bad one never falls back to a weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    Jwt,
    AccessToken,
    InnerJwt,
    Plain,
}

/// The credentials that a caller presents: bounded, not yet verified.
#[derive(Clone, Debug)]
pub(crate) struct PresentedCredentials {
    pub(crate) app_code: String,
    pub(crate) app_secret: Secret,
    pub(crate) jwt: Option<Secret>,
    pub(crate) access_token: Option<Secret>,
    pub(crate) inner_jwt: Option<Secret>,
    pub(crate) bk_token: Option<Secret>,
    pub(crate) bk_ticket: Option<Secret>,
    pub(crate) has_username: bool,
    /// Whether the browser added token or ticket by itself.
    has_login_of_cookies: bool,
}

/// The fields by which somebody says who calls.
pub(crate) const PRESENTING_NAMES: [&str; 9] = [
    "bk_app_code",
    "app_code",
    "bk_app_secret",
    "app_secret",
    "bk_token",
    "bk_ticket",
    "access_token",
    "jwt",
    "inner_jwt",
];

/// No token comes near this; hashing more would be work for nothing.
const MAX_TOKEN: usize = 16 << 10;
/// These go into a query: one that a service's front end refuses for its length must not look like a service that fails.
const MAX_LOGIN: usize = 2 << 10;

impl PresentedCredentials {
    /// Reads the header; `None` if there is none, so that another place may be looked at.
    pub(crate) fn from_header(head: &Head<'_>) -> Result<Option<Self>, Reason> {
        let Some(value) = head.first(HeaderField::Authorization) else { return Ok(None) };
        if head.is_repeated(HeaderField::Authorization) {
            return Err(Reason::REPEATED);
        }
        if value.trim_ascii().is_empty() {
            return Err(Reason::NO_APP_CODE);
        }
        let fields = match Fields::from_json(value) {
            Ok(fields) => fields,
            // The gateway's Lua has one table type: an array is an object without fields.
            Err(NoObject::Other(Value::Array(_))) => Fields::default(),
            Err(_) => return Err(Reason::NOT_JSON),
        };
        Self::from_fields(&fields, &Cookies::from_head(head)).map(Some)
    }

    /// Reads the fields of a header, query or body. What a browser adds by itself counts only where the caller presents
    /// neither token nor ticket.
    pub(crate) fn from_fields(fields: &Fields<'_>, cookies: &Cookies) -> Result<Self, Reason> {
        let [bk_token, bk_ticket] = ["bk_token", "bk_ticket"].map(|name| read_token(fields, name).map(Secret::new));
        let has_login_of_cookies = (&bk_token, &bk_ticket) == (&None, &None) && cookies.have_login();
        let (bk_token, bk_ticket) = match (bk_token, bk_ticket) {
            (None, None) => (cookies.bk_token.clone(), cookies.bk_ticket.clone()),
            presented => presented,
        };
        let credentials = Self {
            app_code: read_alias(fields, "bk_app_code", "app_code"),
            app_secret: Secret::new(read_alias(fields, "bk_app_secret", "app_secret")),
            jwt: read_token(fields, "jwt").map(Secret::new),
            access_token: read_token(fields, "access_token").map(Secret::new),
            inner_jwt: read_token(fields, "inner_jwt").map(Secret::new),
            bk_token,
            bk_ticket,
            has_username: !read_alias(fields, "bk_username", "username").is_empty(),
            has_login_of_cookies,
        };
        if credentials.secrets().any(|secret| secret.reveal().chars().any(char::is_control)) {
            return Err(Reason::CONTROL_CHARACTERS);
        }
        let is_over = |secret: &Option<Secret>, most| secret.as_ref().is_some_and(|s: &Secret| s.reveal().len() > most);
        let Self { jwt, access_token, inner_jwt, bk_token, bk_ticket, .. } = &credentials;
        let is_long = [jwt, access_token, inner_jwt].into_iter().any(|token| is_over(token, MAX_TOKEN))
            || [bk_token, bk_ticket].into_iter().any(|login| is_over(login, MAX_LOGIN));
        if is_long { Err(Reason::TOO_LONG) } else { Ok(credentials) }
    }

    /// Reads cookies and nothing else.
    pub(crate) fn from_cookies(head: &Head<'_>) -> Result<Self, Reason> {
        Self::from_fields(&Fields::default(), &Cookies::from_head(head))
    }

    /// Whether what the browser added by itself says who the user is.
    pub(crate) fn is_by_cookie(&self) -> bool {
        self.has_login_of_cookies && self.kind() == CredentialKind::Plain
    }

    /// Whatever a service may be asked about; the app code has a rule of its own.
    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let Self { app_secret, jwt, access_token, inner_jwt, bk_token, bk_ticket, .. } = self;
        let tokens = [jwt, access_token, inner_jwt, bk_token, bk_ticket].into_iter().flatten();
        tokens.chain([app_secret])
    }

    pub(crate) fn kind(&self) -> CredentialKind {
        if self.jwt.is_some() {
            CredentialKind::Jwt
        } else if self.access_token.is_some() {
            CredentialKind::AccessToken
        } else if self.inner_jwt.is_some() {
            CredentialKind::InnerJwt
        } else {
            CredentialKind::Plain
        }
    }

    /// Whether there is an app code to verify.
    pub(crate) fn check_app_code(&self) -> Result<(), Reason> {
        if self.app_code.is_empty() {
            return Err(Reason::NO_APP_CODE);
        }
        Ok(())
    }

    /// BlueKing's limits, in bytes, and the characters that a service can be asked about; judged only where there is
    /// something to verify, the code before the secret.
    pub(crate) fn check_form(&self) -> Result<(), Reason> {
        const MAX_APP_CODE: usize = 32;
        const MAX_APP_SECRET: usize = 128;
        if self.app_code.len() > MAX_APP_CODE {
            return Err(Reason::APP_CODE_TOO_LONG);
        }
        if self.app_code.bytes().any(|b| !b.is_ascii_graphic() || b"<>/?#%\\".contains(&b)) {
            return Err(Reason::APP_CODE_INVALID);
        }
        if self.app_secret.reveal().len() > MAX_APP_SECRET {
            return Err(Reason::APP_SECRET_TOO_LONG);
        }
        Ok(())
    }
}

/// Tokens that browsers carry by themselves. They count only beside a header that no foreign page can make a browser
/// send, or where a request proves that no such page sends it; else that page could upload in its visitor's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cookies {
    bk_token: Option<Secret>,
    bk_ticket: Option<Secret>,
}

impl Cookies {
    fn have_login(&self) -> bool {
        self.bk_token.is_some() || self.bk_ticket.is_some()
    }

    pub(crate) fn from_head(head: &Head<'_>) -> Self {
        let read = |name| read_cookie(head, name).map(Secret::new);
        Self { bk_token: read("bk_token"), bk_ticket: read("bk_ticket") }
    }
}

/// The first name that is present wins, even when it is empty; a number is read as its text.
fn read_alias(fields: &Fields<'_>, name: &str, old_name: &str) -> String {
    match fields.get(name).or_else(|| fields.get(old_name)) {
        Some(Field::Text(text)) => text.as_ref().to_owned(),
        Some(Field::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A token that is not a string counts as absent.
fn read_token(fields: &Fields<'_>, name: &str) -> Option<String> {
    match fields.get(name) {
        Some(Field::Text(token)) if !token.is_empty() => Some(token.as_ref().to_owned()),
        _ => None,
    }
}

/// The first cookie of that name, percent-decoded as browsers and BlueKing's pages write it.
pub(crate) fn read_cookie(head: &Head<'_>, name: &str) -> Option<String> {
    let values = head.all(HeaderField::Cookie).filter_map(|value| std::str::from_utf8(value).ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, value)| *key == name && !value.is_empty())?;
    // A plus sign is itself in a cookie; the decoder of forms would make it a space.
    let encoded = format!("v={}", value.trim_matches('"').replace('+', "%2B").replace('&', "%26"));
    let decoded = form_urlencoded::parse(encoded.as_bytes()).next().map(|(_, value)| value.into_owned());
    decoded.filter(|value| !value.is_empty())
}

/// The fields of a query or form, decoded.
pub(crate) fn decode_form(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// As an object; the first of several of one name counts.
pub(crate) fn fields_of_form(pairs: Vec<(String, String)>) -> Fields<'static> {
    let fields = pairs.into_iter().map(|(name, value)| (Cow::Owned(name), Field::Text(Cow::Owned(value))));
    // Of the fields of an object, the last one counts.
    fields.rev().collect()
}

#[cfg(test)]
mod tests;
