//! The client library of Linkgate: typed calls of every operation.
//!
//! Promises: replies have the very types that the store writes; a request is repeated only if that cannot do anything
//! twice, and not before the time that the gateway named; what is uploaded or downloaded has the digest that the
//! other side says, or the call fails; a secret stands in one header of the request and nowhere else, or in none if
//! requests are signed. Never follows a redirect, so that credentials go to nobody else.
//!
//! ```no_run
//! # async fn example() -> Result<(), linkgate_client::Error> {
//! use linkgate_client::{Client, Credentials, PackageQuery, Settings};
//!
//! let credentials = Credentials::default().app_code("ci").secret("…".into()).ticket("…".into());
//! let client = Client::new(Settings::new("https://gateway.example.com/prod", credentials)?)?;
//! let module = "app_code/default".parse().map_err(|_| linkgate_client::Error::Setting("no module".into()))?;
//! let page = client.list_packages(&module, &PackageQuery::default()).await?;
//! println!("{} packages", page.count);
//! # Ok(())
//! # }
//! ```

mod call;
mod changes;
mod client;
mod credentials;
mod download;
mod error;
mod event_stream;
mod file_body;
mod jobs;
mod key;
mod packages;
mod refusal;
mod retry;
mod settings;
mod signature;
mod statement;
mod upload;

pub use changes::{DeleteOptions, PinRequest, UrlRequest};
pub use client::Client;
pub use credentials::Credentials;
pub use download::{DownloadHead, Pulled};
pub use error::Error;
pub use jobs::JobWatch;
pub use key::IdempotencyKey;
pub use packages::{EventQuery, ModuleQuery, PackageQuery};
pub use refusal::Refusal;
pub use retry::{RetryNotice, RetryPolicy};
pub use settings::Settings;
pub use statement::{Envelope, EnvelopeSignature, PublicKey, Statement, StatementError};
pub use upload::{Accepted, FileSource, FileUpload, LinkUpload};
