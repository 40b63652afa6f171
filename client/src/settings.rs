//! Where the gateway is, who calls, and how patient the client is.

use std::sync::Arc;
use std::time::Duration;

use linkgate_contract::TenantId;
use url::Url;

use crate::credentials::Credentials;
use crate::error::Error;
use crate::retry::{RetryNotice, RetryPolicy};

/// What is told of each repetition before its pause.
pub(crate) type RetryListener = Arc<dyn Fn(&RetryNotice<'_>) + Send + Sync>;

/// What a [`Client`](crate::Client) is made of.
#[derive(Clone)]
pub struct Settings {
    pub(crate) base: Url,
    pub(crate) credentials: Credentials,
    pub(crate) retries: RetryPolicy,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) authorities: Vec<Vec<u8>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) listener: Option<RetryListener>,
}

impl Settings {
    /// A gateway, by its address with its prefix, as in `https://gateway.example.com/prod`, and who calls it.
    ///
    /// # Errors
    /// [`Error::Setting`] if the address is none.
    pub fn new(address: &str, credentials: Credentials) -> Result<Self, Error> {
        Ok(Self {
            base: parse_base(address)?,
            credentials,
            retries: RetryPolicy::default(),
            tenant: None,
            authorities: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            listener: None,
        })
    }

    /// How often, and after which pauses, a request is repeated.
    #[must_use]
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.retries = retries;
        self
    }

    /// The tenant that requests are for.
    #[must_use]
    pub fn tenant(mut self, tenant: Option<TenantId>) -> Self {
        self.tenant = tenant;
        self
    }

    /// Trusts these certificates, PEM, beside those of the system.
    #[must_use]
    pub fn trust(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Is told of every repetition before its pause.
    #[must_use]
    pub fn on_retry(mut self, listener: impl Fn(&RetryNotice<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }
}

fn parse_base(address: &str) -> Result<Url, Error> {
    let wrong = |why: &str| Error::Setting(format!("the gateway's address `{address}` {why}"));
    let base = Url::parse(address.trim_end_matches('/')).map_err(|_| wrong("is no URL"))?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err(wrong("begins with neither https:// nor http://"));
    }
    if !base.username().is_empty() || base.password().is_some() {
        // The address is not repeated: it has a password in it.
        return Err(Error::Setting("the gateway's address may not hold a user name or password".to_owned()));
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(wrong("may not have a query or a fragment"));
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_nothing_behind_its_path() {
        for good in ["https://gateway.example.com", "http://127.0.0.1:8080/stag", "https://g.example.com/api/x/"] {
            assert!(parse_base(good).is_ok(), "{good}");
        }
        for bad in ["", "gateway.example.com", "ftp://g.example.com", "https://g.example.com/?a=1", "https://g/#x"] {
            assert!(matches!(parse_base(bad), Err(Error::Setting(_))), "{bad}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let refused = parse_base("https://me:hunter2@g.example.com").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
