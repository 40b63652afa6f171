//! Reads a source package from the caller's link, as a stream.
//!
//! Promises: every redirect is judged anew, by the same [`PackageUrl`](linkgate_contract::PackageUrl) that is then connected
//! to: allow-list, no step down from https, and addresses that are public unless the operator, or the caller of this one
//! download, lists that very host and port as private. The connection goes to an address that was checked. At most
//! [`FetchConfig::max_bytes`] are read, whatever the source says. A download that breaks is tried again, and goes on where
//! it stood only if the source proves that the rest belongs to the same version of the file; the same holds for the parts
//! of a large file that are read at once. Refuses encoded bodies, HTML
//! pages, statuses other than 200 (206 for the rest of a file) and more than `MAX_REDIRECTS`
//! redirects. Sends no cookies and no referer, and a credential only to the source for which it is; uses no proxy but the
//! operator's ([`EgressProxy`]), which then resolves names in the place of this crate.

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod config;
#[cfg(feature = "client")]
mod credentials;
mod min_rate;
#[cfg(feature = "client")]
mod proxy;
mod shared_list;
mod source;
#[cfg(feature = "client")]
mod trust;

#[cfg(feature = "client")]
pub use client::{ClientError, HttpSource};
#[cfg(feature = "client")]
pub use config::FetchConfig;
#[cfg(feature = "client")]
pub use credentials::{Credential, Credentials, InvalidScope, InvalidSecretHeader, Scope, SecretHeader};
pub use min_rate::MinRate;
#[cfg(feature = "client")]
pub use proxy::{EgressProxy, InvalidException, InvalidProxy, ProxyException};
pub use shared_list::SharedList;
pub use source::{
    Access, Cause, Chunk, CredentialError, FetchRequest, Fetched, Phase, Progress, SentCredential, Source, SourceError,
    SourceStream, Unreachable, chain,
};
#[cfg(feature = "client")]
pub use trust::{Certificates, ClientIdentity, HostTls, InvalidEntry, InvalidPem, TlsEntry};
