//! The fixture of tests that need a running store: one [`TestStack`] in three sizes.
//!
//! A store in this process ([`crate::TestStore`]), a store that is its own process ([`crate::StoreProcess`]), and all that an
//! upload needs, wired as an operator would ([`crate::WholeStack`]). What they have in common is here; each size adds what
//! only it can do.

use linkgate_contract::Endpoint;
use reqwest::Method;

use crate::gateway::Credentials;
use crate::whole::{authorized, stranger};
use crate::{DataDirectory, LinkRequestBuilder, Reply, Row, TokenMint};

/// A running store and whatever stands before it.
pub struct TestStack<S> {
    /// `http://host:port` to which requests go.
    pub(crate) base: String,
    pub(crate) directory: DataDirectory,
    pub(crate) caller: Caller,
    pub(crate) size: S,
}

/// Who sends requests.
pub(crate) enum Caller {
    /// The gate, whose tokens the store believes.
    Gate(Box<TokenMint>),
    /// An application before the gateway.
    App(Credentials),
}

impl<S> TestStack<S> {
    /// `http://host:port` to which requests go.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The key whose tokens the store believes.
    ///
    /// # Panics
    /// If a gateway stands before the store, which has the key for itself.
    #[must_use]
    pub fn mint(&self) -> &TokenMint {
        match &self.caller {
            Caller::Gate(mint) => mint,
            Caller::App(_) => panic!("only the gateway has the key"),
        }
    }

    /// What the store holds on disk.
    #[must_use]
    pub fn directory(&self) -> &DataDirectory {
        &self.directory
    }

    /// Names of the packages that it holds.
    #[must_use]
    pub fn stored_files(&self) -> Vec<String> {
        self.directory.stored_files()
    }

    /// Its rows.
    pub async fn rows(&self) -> Vec<Row> {
        self.directory.rows().await
    }

    /// A valid request to upload what this link leads to, to be changed.
    #[must_use]
    pub fn request(&self, package_url: impl Into<String>) -> LinkRequestBuilder {
        match &self.caller {
            Caller::Gate(mint) => LinkRequestBuilder::new(package_url, mint),
            Caller::App(credentials) => authorized(stranger(package_url), credentials),
        }
    }

    /// A valid request about the packages of the same module, without a body.
    #[must_use]
    pub fn below(&self, method: Method, path: &str) -> LinkRequestBuilder {
        self.judged(self.request("").below(method.clone(), path), &method)
    }

    /// The same of another module, to the store itself.
    #[must_use]
    pub fn below_module(&self, app_code: &str, module: &str, method: Method, path: &str) -> LinkRequestBuilder {
        self.judged(self.request("").module(app_code, module).below(method.clone(), path), &method)
    }

    /// With a token for what it asks for, if the gate is played.
    fn judged(&self, request: LinkRequestBuilder, method: &Method) -> LinkRequestBuilder {
        let Caller::Gate(mint) = &self.caller else { return request };
        let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
        match Endpoint::find(method.as_str(), path) {
            Ok(route) => {
                let token = mint.token_for(route.endpoint.token_action(query).name());
                request.token(Some(token))
            }
            Err(_) => request,
        }
    }

    /// A valid request to read what lies below the packages of the same module, to be changed.
    #[must_use]
    pub fn reading(&self, below: &str) -> LinkRequestBuilder {
        let path = format!("/bkapps/applications/app_code/modules/default/source_package/{below}");
        self.request("").method(reqwest::Method::GET).raw_body("").content_type(None).path(path)
    }

    /// Reads it.
    pub async fn read(&self, below: &str) -> Reply {
        self.send(self.reading(below)).await
    }

    /// Sends a request.
    pub async fn send(&self, request: LinkRequestBuilder) -> Reply {
        request.send(&self.base).await
    }

    /// Fetches a path.
    pub async fn get(&self, path: &str) -> Reply {
        crate::request::get(&self.base, path).await
    }
}
