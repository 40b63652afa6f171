//! The console: pages about packages, for people.
//!
//! Promises: a page is made of what the API replies with, and shows what its reader may do and nothing else; it says all there is
//! to read without a script; every text of others is escaped, and nothing stands in a page that its policy of content does not
//! allow. Refuses nothing: who may read what was judged before.
//!
//! A page has the path of what it shows, so that all links are relative and hold behind every prefix.

mod assets;
mod frame;
mod pages;
mod query;
mod units;
mod words;

pub use assets::Asset;
pub use frame::Frame;
pub use pages::cleanup::cleanup;
pub use pages::events::events;
pub use pages::job::job;
pub use pages::jobs::jobs;
pub use pages::members::members;
pub use pages::modules::modules;
pub use pages::package::{PackagePage, Provenance, package};
pub use pages::packages::{PackageRow, packages};
pub use pages::problem::problem;
pub use pages::usage::usage;
pub use query::Query;

/// The media type of pages.
pub const MEDIA_TYPE: &str = "text/html; charset=utf-8";

/// What browsers may do on a page: its own scripts, styles and pictures, and questions to the gateway it came from.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
