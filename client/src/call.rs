//! A request before it is sent: what all operations are made of.

use std::time::Duration;

use linkgate_contract::ModuleRef;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Body, Method};
use serde_json::Value;

use crate::error::Error;
use crate::retry::Repeatable;

/// As long as Envoy waits for the store, and a little more.
const PLAIN_TIMEOUT: Duration = Duration::from_secs(90);

/// What goes into a request behind its head.
pub(crate) enum CallBody<'a> {
    None,
    Json(Vec<u8>),
    /// Made anew for each attempt; no signature covers it.
    Stream(&'a (dyn Fn() -> Result<Body, Error> + Sync)),
}

/// A request.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// The module whose packages it is about, if it is about those of one.
    pub(crate) module: Option<&'a ModuleRef>,
    /// The path below its packages, or the whole path.
    pub(crate) below: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: CallBody<'a>,
    pub(crate) repeatable: Repeatable,
    /// How long the head of the reply may take.
    pub(crate) timeout: Duration,
}

impl<'a> Call<'a> {
    /// One about the packages of a module.
    pub(crate) fn new(method: Method, module: &'a ModuleRef, below: impl Into<String>) -> Self {
        Self::about(method, Some(module), below.into())
    }

    /// One that reads what is about no module.
    pub(crate) fn get_whole(path: &str) -> Self {
        Self::about(Method::GET, None, path.to_owned())
    }

    fn about(method: Method, module: Option<&'a ModuleRef>, below: String) -> Self {
        Self {
            method,
            module,
            below,
            query: Vec::new(),
            headers: Vec::new(),
            body: CallBody::None,
            repeatable: Repeatable::Always,
            timeout: PLAIN_TIMEOUT,
        }
    }

    pub(crate) fn get(module: &'a ModuleRef, below: impl Into<String>) -> Self {
        Self::new(Method::GET, module, below)
    }

    /// With a parameter of the query, if there is a value.
    pub(crate) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name.to_owned(), value.to_string())));
        self
    }

    /// With a header, if there is a value.
    pub(crate) fn header(mut self, name: &'static str, value: Option<&str>) -> Result<Self, Error> {
        let Some(value) = value else { return Ok(self) };
        let value = HeaderValue::from_str(value)
            .map_err(|_| Error::Setting(format!("the value of {name} has a character that no header may have")))?;
        self.headers.push((HeaderName::from_static(name), value));
        Ok(self)
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        self.body = CallBody::Json(body.to_string().into_bytes());
        self
    }

    pub(crate) fn repeatable(mut self, repeatable: Repeatable) -> Self {
        self.repeatable = repeatable;
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
