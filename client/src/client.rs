//! Sends requests, and sends them again where that is safe.

use std::time::Duration;

use linkgate_contract::headers;
use reqwest::header::{ACCEPT_LANGUAGE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Body, Response};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::call::{Call, CallBody};
use crate::error::Error;
use crate::refusal::Refusal;
use crate::retry::{Repeatable, RetryNotice};
use crate::settings::Settings;
use crate::signature::{SignedParts, sign};

/// More than any document has: a page of a thousand packages has a tenth of it.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// Between two pieces of a document or of a package.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);

/// A client of one gateway, for one caller. Connections are kept and shared by whatever is called at the same time.
pub struct Client {
    http: reqwest::Client,
    settings: Settings,
    host: String,
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Setting`] if a certificate cannot be read.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(settings.connect_timeout)
            .tcp_nodelay(true)
            .user_agent(concat!("linkgate/", env!("CARGO_PKG_VERSION")));
        for pem in &settings.authorities {
            let wrong = |_| Error::Setting("a certificate authority is no certificate as PEM".to_owned());
            for authority in reqwest::Certificate::from_pem_bundle(pem).map_err(wrong)? {
                builder = builder.add_root_certificate(authority);
            }
        }
        let host = host_of(&settings.base);
        let http = builder.build().map_err(|error| Error::of_transport(error, &host))?;
        Ok(Self { http, settings, host })
    }

    /// Who calls.
    #[must_use]
    pub fn credentials(&self) -> &crate::Credentials {
        &self.settings.credentials
    }

    /// The gateway, as messages name it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request until it is answered with a success, or fails for good.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Response, Error> {
        let mut sent = 0;
        loop {
            match self.send_once(call).await {
                Ok(response) => return Ok(response),
                Err(error) => self.pause_or_fail(error, call.repeatable, &mut sent).await?,
            }
        }
    }

    /// Sends a request and reads the document that it is answered with.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        let mut sent = 0;
        loop {
            let outcome = match self.send_once(call).await {
                Ok(response) => self.read_document(response).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(document) => return Ok(document),
                Err(error) => self.pause_or_fail(error, call.repeatable, &mut sent).await?,
            }
        }
    }

    /// Waits before the next try; without one, the failure is for good.
    pub(crate) async fn pause_or_fail(
        &self,
        error: Error,
        repeatable: Repeatable,
        sent: &mut u32,
    ) -> Result<(), Error> {
        *sent += 1;
        let Some(pause) = self.settings.retries.pause_after(&error, repeatable, *sent) else { return Err(error) };
        self.notify(&error, pause, *sent);
        sleep(pause).await;
        Ok(())
    }

    pub(crate) fn notify(&self, error: &Error, pause: Duration, sent: u32) {
        if let Some(listener) = &self.settings.listener {
            listener(&RetryNotice { error, pause, sent });
        }
    }

    /// Sends a request once; a reply that is no success is an error.
    pub(crate) async fn send_once(&self, call: &Call<'_>) -> Result<Response, Error> {
        let request = self.build(call)?;
        let answered = timeout(call.timeout, self.http.execute(request)).await;
        let response = answered
            .map_err(|_| self.timed_out(call.timeout))?
            .map_err(|error| Error::of_transport(error, &self.host))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // A refusal whose body breaks off is still one.
        let body = self.read_body(response).await.unwrap_or_default();
        if status / 100 == 3 {
            let reason = format!("a redirect ({status}), which is not followed; check the address");
            return Err(self.not_ours(reason));
        }
        Err(Refusal::from_reply(status, &headers, &body).into())
    }

    pub(crate) async fn read_document<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let body = self.read_body(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.not_ours(format!("no document of the API ({error})")))
    }

    async fn read_body(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        loop {
            let piece = timeout(SILENCE, response.chunk()).await.map_err(|_| self.timed_out(SILENCE))?;
            match piece.map_err(|error| Error::of_transport(error, &self.host))? {
                Some(piece) if body.len() + piece.len() <= MAX_DOCUMENT_BYTES => body.extend_from_slice(&piece),
                Some(_) => return Err(self.not_ours(format!("over {MAX_DOCUMENT_BYTES} bytes of a document"))),
                None => return Ok(body),
            }
        }
    }

    pub(crate) fn not_ours(&self, reason: String) -> Error {
        Error::NotOurs { host: self.host.clone(), reason }
    }

    pub(crate) fn timed_out(&self, after: Duration) -> Error {
        Error::TimedOut { host: self.host.clone(), seconds: after.as_secs() }
    }

    /// The URL of a request, without its query.
    pub(crate) fn url_of(&self, call: &Call<'_>) -> Url {
        let mut url = self.settings.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        let path = call.module.map_or_else(|| call.below.clone(), |module| module.path_to(&call.below));
        url.set_path(&format!("{prefix}{path}"));
        url
    }

    fn build(&self, call: &Call<'_>) -> Result<reqwest::Request, Error> {
        let mut url = self.url_of(call);
        let credentials = &self.settings.credentials;
        let added = match credentials.signing_secret() {
            Some(secret) => {
                let body: &[u8] = match &call.body {
                    CallBody::None => b"",
                    CallBody::Json(body) => body,
                    CallBody::Stream(_) => return Err(Error::CannotSignFile),
                };
                sign(&SignedParts { method: call.method.as_str(), path: url.path(), query: &call.query, body }, secret)?
            }
            None => Vec::new(),
        };
        if !call.query.is_empty() || !added.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query.iter().chain(&added));
        }
        let mut request = reqwest::Request::new(call.method.clone(), url);
        let into = request.headers_mut();
        into.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("en"));
        if credentials.prove_something() || credentials.code().is_some() {
            into.insert(headers::AUTHORIZATION, credentials.header()?);
        }
        let tenant = self.settings.tenant.as_ref().and_then(|tenant| HeaderValue::from_str(tenant.as_str()).ok());
        into.extend(tenant.map(|tenant| (reqwest::header::HeaderName::from_static(headers::TENANT_ID), tenant)));
        into.extend(call.headers.iter().cloned());
        *request.body_mut() = match &call.body {
            CallBody::None => None,
            CallBody::Json(body) => Some(Body::from(body.clone())),
            CallBody::Stream(make) => Some(make()?),
        };
        Ok(request)
    }
}

/// `host:port`, the port only where it is not the scheme's own.
fn host_of(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default();
    base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
