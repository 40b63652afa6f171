//! Who calls, and how that is shown.
//!
//! Promises: no debug text of it shows a secret; the header that carries one is marked, so that no HTTP client prints
//! it.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::error::Error;

/// The calling application, and the user on whose behalf it calls.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    app_code: Option<String>,
    secret: Option<SecretString>,
    signs: bool,
    access_token: Option<SecretString>,
    token: Option<SecretString>,
    ticket: Option<SecretString>,
}

impl Credentials {
    /// The code of the calling application.
    #[must_use]
    pub fn app_code(mut self, code: impl Into<String>) -> Self {
        self.app_code = Some(code.into());
        self
    }

    /// The application's secret, which goes with every request.
    #[must_use]
    pub fn secret(mut self, secret: SecretString) -> Self {
        (self.secret, self.signs) = (Some(secret), false);
        self
    }

    /// The application's secret, which signs every request and goes with none. Files cannot be signed.
    #[must_use]
    pub fn signing_with(mut self, secret: SecretString) -> Self {
        (self.secret, self.signs) = (Some(secret), true);
        self
    }

    /// An access token, of an application or of a user.
    #[must_use]
    pub fn access_token(mut self, token: SecretString) -> Self {
        self.access_token = Some(token);
        self
    }

    /// The user's login token (`bk_token`).
    #[must_use]
    pub fn token(mut self, token: SecretString) -> Self {
        self.token = Some(token);
        self
    }

    /// The user's login ticket (`bk_ticket`).
    #[must_use]
    pub fn ticket(mut self, ticket: SecretString) -> Self {
        self.ticket = Some(ticket);
        self
    }

    /// Whether anything proves the application or a user.
    #[must_use]
    pub fn prove_something(&self) -> bool {
        [&self.secret, &self.access_token, &self.token, &self.ticket].into_iter().any(Option::is_some)
    }

    /// The code of the calling application, where it is known.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.app_code.as_deref()
    }

    /// The secret to sign with, if requests are signed.
    pub(crate) fn signing_secret(&self) -> Option<&SecretString> {
        // An access token decides before a signature does, and a file can be sent with it.
        self.secret.as_ref().filter(|_| self.signs && self.access_token.is_none())
    }

    /// The value of `X-Bkapi-Authorization`.
    pub(crate) fn header(&self) -> Result<HeaderValue, Error> {
        let sent = self.secret.as_ref().filter(|_| !self.signs);
        let named = [
            ("bk_app_secret", sent),
            ("access_token", self.access_token.as_ref()),
            ("bk_token", self.token.as_ref()),
            ("bk_ticket", self.ticket.as_ref()),
        ];
        let mut fields = Map::new();
        fields.extend(self.app_code.as_ref().map(|code| ("bk_app_code".to_owned(), Value::from(code.as_str()))));
        let secrets = named.into_iter().filter_map(|(name, secret)| Some((name, secret?.expose_secret())));
        fields.extend(secrets.map(|(name, secret)| (name.to_owned(), Value::from(secret))));
        let text = SecretString::from(Value::Object(fields).to_string());
        let mut value = HeaderValue::from_bytes(text.expose_secret().as_bytes())
            .map_err(|_| Error::Setting("a credential has a character that no header may have".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credentials: &Credentials) -> String {
        String::from_utf8(credentials.header().unwrap().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_is_there_goes_into_the_header() {
        let credentials = Credentials::default().app_code("ci").secret("s3cret".into()).ticket("t1cket".into());
        assert_eq!(header(&credentials), r#"{"bk_app_code":"ci","bk_app_secret":"s3cret","bk_ticket":"t1cket"}"#);
        let credentials = Credentials::default().access_token("a".into()).token("t".into());
        assert_eq!(header(&credentials), r#"{"access_token":"a","bk_token":"t"}"#);
        assert_eq!(header(&Credentials::default()), "{}");
    }

    #[test]
    fn a_secret_that_signs_is_not_sent() {
        let credentials = Credentials::default().app_code("ci").signing_with("s3cret".into());
        assert_eq!(header(&credentials), r#"{"bk_app_code":"ci"}"#);
        assert!(credentials.signing_secret().is_some() && credentials.prove_something());
        assert!(credentials.access_token("a".into()).signing_secret().is_none(), "a token decides");
    }

    #[test]
    fn no_secret_is_printed() {
        let credentials = Credentials::default().app_code("ci").secret("s3cret".into()).ticket("t1cket".into());
        let printed = format!("{credentials:?} {:?}", credentials.header().unwrap());
        assert!(printed.contains("ci") && !printed.contains("s3cret") && !printed.contains("t1cket"), "{printed}");
    }
}
