//! What the tests share: a store in this process or its own, a source and identity services that misbehave on
//! demand, tokens, requests.
//!
//! Promises: builders start valid and a test changes one thing; a store that leaves a temporary file behind fails its
//! test when it is dropped. Nothing here uses the code under test to make what it checks: tokens are signed and packages
//! are hashed by other crates than the store's.

// Panicking is how a test says no; clippy knows that of test functions, but not of their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

pub mod archive;
pub mod bulk;
pub mod channel;
pub mod collector;
pub mod data_directory;
pub mod download;
pub mod egress;
pub mod engine;
pub mod figures;
pub mod file;
pub mod gateway;
pub mod http1;
pub mod identity;
pub mod json;
pub mod measure;
pub mod network;
pub mod nginx;
pub mod postgres_proxy;
pub mod process;
pub mod rate_limits;
pub mod records;
pub mod replicas;
pub mod request;
pub mod s3_proxy;
pub mod screen;
pub mod signature;
pub mod signing_keys;
pub mod source;
pub mod stack;
pub mod store;
pub mod terminal;
pub mod tls;
pub mod token;
pub mod wait;
#[path = "../../store-service/blob-s3/tests/support/weed.rs"]
#[allow(missing_docs, reason = "the tests of the bucket have it for themselves")]
pub mod weed;
pub mod whole;

pub use archive::{Compression, another_package_of_size, package_of, package_of_size, tar, zip};
pub use bulk::Bulk;
pub use channel::{Certificates, Channel};
pub use data_directory::{DataDirectory, EventRow, Row};
pub use download::{Downloaded, package_path};
pub use gateway::{Gateway, GatewayPlan};
pub use identity::{Asked, Identity, Question, Service, ServiceBehaviour};
pub use json::redacted;
pub use network::NameServer;
pub use nginx::Nginx;
pub use postgres_proxy::{Cut, CutCommits, PostgresProxy};
pub use process::{StoreProcess, unknown_formats_allowed};
pub use rate_limits::RateLimits;
pub use replicas::{Reached, Replicas};
pub use request::{LinkRequestBuilder, Reply};
pub use s3_proxy::{Fate, Rule, S3Proxy};
pub use signing_keys::SigningKeys;
pub use source::{Behaviour, FakeSource, RangedFile};
pub use stack::TestStack;
pub use store::{TestStore, allow_unknown_formats, trust};
pub use tls::{Authority, Issued, Manner, Shown, TlsFront};
pub use token::{RsaMint, TokenMint};
pub use wait::{assert_prompt, wait_until, wait_until_holds};
pub use whole::WholeStack;

/// SHA-256 in hex, by another crate than the store's.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// Text that nobody can guess, and that stands nowhere else.
#[must_use]
pub fn random() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).unwrap();
    hex::encode(bytes)
}

/// That many bytes that do not repeat; those of a shorter length are the first of these.
#[must_use]
pub fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}
