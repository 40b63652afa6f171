//! An upload that starts valid; a test changes one thing.

use std::sync::LazyLock;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use crate::TokenMint;

/// A request to link a package.
#[derive(Clone, Debug)]
pub struct LinkRequestBuilder {
    method: Method,
    path: String,
    fields: Map<String, Value>,
    raw_body: Option<Vec<u8>>,
    chunked: bool,
    content_type: Option<String>,
    headers: Vec<(String, String)>,
    token: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl LinkRequestBuilder {
    /// Version `0.0.5` of this link, for the module `default` of `app_code`, by `admin`.
    #[must_use]
    pub fn new(package_url: impl Into<String>, mint: &TokenMint) -> Self {
        let mut fields = Map::new();
        fields.insert("package_url".into(), package_url.into().into());
        fields.insert("version".into(), "0.0.5".into());
        Self {
            method: Method::POST,
            path: "/bkapps/applications/app_code/modules/default/source_package/link/".into(),
            fields,
            raw_body: None,
            chunked: false,
            content_type: Some("application/json".into()),
            headers: Vec::new(),
            token: Some(mint.token()),
        }
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Another path.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Something else about the packages of the same module, without a body.
    #[must_use]
    pub fn below(mut self, method: Method, path: &str) -> Self {
        let module = self.path.strip_suffix("link/").expect("a request for an upload").to_owned();
        self.path = format!("{module}{path}");
        self.method(method).raw_body("").content_type(None)
    }

    /// Its path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.path
    }

    /// A JSON object as the body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.raw_body(body.to_string()).content_type(Some("application/json"))
    }

    /// Another application and module.
    #[must_use]
    pub fn module(self, app_code: &str, module: &str) -> Self {
        self.path(format!("/bkapps/applications/{app_code}/modules/{module}/source_package/link/"))
    }

    /// Another version.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        self.field("version", version)
    }

    /// Replace what is there.
    #[must_use]
    pub fn overwriting(self) -> Self {
        self.field("allow_overwrite", true)
    }

    /// Any field; `package_url` and `version` can be replaced.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.remove(name);
        self
    }

    /// A body of any bytes.
    #[must_use]
    pub fn raw_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.raw_body = Some(body.into());
        self
    }

    /// Without a `Content-Length`.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Another content type, or none.
    #[must_use]
    pub fn content_type(mut self, value: Option<&str>) -> Self {
        self.content_type = value.map(str::to_owned);
        self
    }

    /// One more header; several of one name are sent as several.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Asks for English.
    #[must_use]
    pub fn in_english(self) -> Self {
        self.header("blueking-language", "en")
    }

    /// Another token, or none.
    #[must_use]
    pub fn token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// Sends it to `http://host:port`.
    pub async fn send(self, base: &str) -> Reply {
        self.try_send(base).await.expect("the store answers")
    }

    /// Sends it where the connection may well break, for a task of its own.
    ///
    /// # Errors
    /// What the client says.
    pub fn try_send_owned(self, base: &str) -> impl Future<Output = Result<Reply, reqwest::Error>> + use<> {
        let base = base.to_owned();
        async move { self.try_send(&base).await }
    }

    /// Sends it where the connection may well break.
    ///
    /// # Errors
    /// What the client says.
    pub async fn try_send(self, base: &str) -> Result<Reply, reqwest::Error> {
        self.try_send_by(client(), base).await
    }

    /// Sends it by a client of the test's own, which trusts an authority, for one.
    ///
    /// # Errors
    /// What the client says.
    pub async fn try_send_by(self, client: &reqwest::Client, base: &str) -> Result<Reply, reqwest::Error> {
        Reply::read(self.begin(client, base).send().await?).await
    }

    /// Sends it and leaves the body to be read, or not.
    pub async fn open(self, base: &str) -> reqwest::Response {
        self.try_open(base).await.expect("the store answers")
    }

    /// The same where the connection may well break.
    ///
    /// # Errors
    /// What the client says.
    pub async fn try_open(self, base: &str) -> Result<reqwest::Response, reqwest::Error> {
        self.begin(client(), base).send().await
    }

    fn begin(self, client: &reqwest::Client, base: &str) -> reqwest::RequestBuilder {
        let mut request = client.request(self.method, format!("{base}{}", self.path));
        let body = self.raw_body.unwrap_or_else(|| Value::Object(self.fields).to_string().into_bytes());
        let body = if self.chunked {
            reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(body)]))
        } else {
            body.into()
        };
        request = request.body(body);
        if let Some(value) = self.content_type {
            request = request.header("content-type", value);
        }
        if let Some(token) = self.token {
            request = request.header("x-bkapi-jwt", token);
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request
    }
}

/// One for all, since making one takes longer than a request; each request has a connection of its own.
fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap());
    &CLIENT
}

/// Fetches `http://host:port/path`.
pub async fn get(base: &str, path: &str) -> Reply {
    get_with(base, path, &[]).await
}

/// The same with headers.
pub async fn get_with(base: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let request = client().get(format!("{base}{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Reply::read(request.send().await.expect("the server answers")).await.unwrap()
}

impl Reply {
    /// Reads a reply to its end.
    ///
    /// # Errors
    /// What the client says of a body that breaks off.
    pub async fn read(reply: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        Ok(Self { status, headers, body: reply.text().await? })
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The token that a page of the console has for its script.
    ///
    /// # Panics
    /// If it is no such page.
    #[must_use]
    pub fn csrf_token(&self) -> &str {
        let (_, rest) = self.body.split_once("name=\"csrf-token\" content=\"").unwrap();
        rest.split_once('"').unwrap().0
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| std::str::from_utf8(v.as_bytes()).unwrap())
    }
}
