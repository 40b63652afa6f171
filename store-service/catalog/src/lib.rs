//! The catalog of packages, modules and jobs, in SQLite or PostgreSQL.
//!
//! Promises: what the ports [`Catalog`](linkgate_store_core::ingest::ports::Catalog),
//! [`PackageReader`](linkgate_store_core::ingest::ports::PackageReader) and
//! [`JobQueue`](linkgate_store_core::ingest::ports::JobQueue) promise, and that a recorded package
//! survives a power cut; a database of an older release is brought up to date when it is opened, and one of the next release
//! is still read (`migrations/README.md`). SQLite is for one process, PostgreSQL for any number of them. Refuses to start on an
//! SQLite that can corrupt its own database, and on a PostgreSQL that is too old. The only crate with SQL; knows
//! nothing of the bytes of blobs or of HTTP, but PostgreSQL knows which object of an object storage holds which blob
//! ([`BlobKeys`](linkgate_store_core::ingest::ports::BlobKeys)).

mod again;
mod postgres;
mod rows;
mod shared;
mod sqlite;
mod tables;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "for tests only")]
pub mod testing;

pub use postgres::{
    BucketMark, CatalogRestoreError, PostgresBlobKeys, PostgresCatalog, PostgresLease, PostgresReservation,
    PostgresStartError, Replica, ReplicaAbout, ReplicaState, RestoreBegun, SealingKeyError, SigningKeyError,
    SigningPurpose,
};
pub use shared::{EventFilter, EventLog, EventRecord};
pub use sqlite::{CatalogStartError, SqliteCatalog, SqliteReader, SqliteReservation};
