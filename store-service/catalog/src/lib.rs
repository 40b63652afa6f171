//! The catalog of packages, modules and jobs, in SQLite.
//!
//! Promises: what the ports [`Catalog`](linkgate_store_core::ingest::ports::Catalog),
//! [`PackageReader`](linkgate_store_core::ingest::ports::PackageReader) and
//! [`JobQueue`](linkgate_store_core::ingest::ports::JobQueue) promise, and that a recorded package
//! survives a power cut; a database of an older release is brought up to date when it is opened, and one of the next release
//! is still read (`migrations/README.md`). Refuses to start on an SQLite that can corrupt its own database. The only crate
//! with SQL; knows nothing of blobs or of HTTP.

mod shared;
mod sqlite;

pub use shared::{EventFilter, EventRecord};
pub use sqlite::{CatalogStartError, SqliteCatalog, SqliteReader, SqliteReservation};
