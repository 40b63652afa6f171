//! Downloads of packages: requests about a package that is there, and replies with any bytes.

use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::LinkRequestBuilder;
use crate::stack::{Caller, TestStack};

/// What came back, as bytes.
#[derive(Clone, Debug)]
pub struct Downloaded {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Downloaded {
    /// Reads a reply to its end.
    ///
    /// # Errors
    /// What the client says of a body that breaks off.
    pub async fn read(reply: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        Ok(Self { status, headers, bytes: reply.bytes().await?.to_vec() })
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| std::str::from_utf8(value.as_bytes()).unwrap())
    }

    /// The `code` of a refusal.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.bytes).expect("a refusal is JSON");
        body.get("code_name").unwrap_or(&body["code"]).as_str().expect("a refusal has a code").to_owned()
    }
}

/// The path of something below a package of `app_code/default`.
#[must_use]
pub fn package_path(id: i64, below: &str) -> String {
    format!("/bkapps/applications/app_code/modules/default/source_package/{id}/{below}")
}

/// What the gate's token must let its caller do.
fn action(below: &str) -> &'static str {
    match below {
        "download/" => "download",
        "download_url/" => "sign",
        _ => "read",
    }
}

impl<S> TestStack<S> {
    /// A request about a package of `app_code/default`, without a body.
    #[must_use]
    pub fn about_package(&self, method: Method, id: i64, below: &str) -> LinkRequestBuilder {
        let request = self.request("").method(method).path(package_path(id, below));
        let request = request.raw_body("").content_type(None).in_english();
        match &self.caller {
            Caller::Gate(mint) => request.token(Some(mint.token_for(action(below)))),
            Caller::App(_) => request,
        }
    }

    /// Downloads a package, or what of it these headers ask for.
    ///
    /// # Panics
    /// If the reply breaks off.
    pub async fn download(&self, id: i64, headers: &[(&str, &str)]) -> Downloaded {
        self.fetch(Method::GET, id, "download/", headers).await
    }

    /// Fetches something of a package.
    ///
    /// # Panics
    /// If the reply breaks off.
    pub async fn fetch(&self, method: Method, id: i64, below: &str, headers: &[(&str, &str)]) -> Downloaded {
        let request = self.about_package(method, id, below);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        Downloaded::read(request.open(&self.base).await).await.expect("the reply is whole")
    }
}
