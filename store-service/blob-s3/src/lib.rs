//! Packages in an S3 bucket, each an object under a key that is never used twice.
//!
//! Promises: what the port [`BlobStore`](linkgate_store_core::ingest::ports::BlobStore) promises, for any number of stores on
//! one bucket and one database, which knows which object holds which blob
//! ([`BlobKeys`](linkgate_store_core::ingest::ports::BlobKeys)). A blob has a digest only after its object was seen in the
//! bucket with all its bytes. All uploads together hold no more memory than they may; what finds no place in it goes through
//! temporary files. Whatever ends a writer, its object and its parts are deleted: by this store at once, or by any store later.
//! Relies on nothing but PUT, GET with ranges, HEAD, DELETE and multipart uploads: no conditional writes, no copies, and lists
//! of the bucket only to find uploads whose names nobody noted, and to see whether anybody has used it. The only crate that speaks S3.

mod budget;
mod client;
mod digest;
mod erase;
mod error;
mod export;
mod finished;
mod hold;
mod import;
mod keeper;
mod list;
mod part;
mod probe;
mod reader;
mod sending;
mod settings;
mod store;
mod sweep;
mod tail;
mod tie;
mod unknown;
mod unpublished;
mod upload;
mod writer;

pub use error::S3StartError;
pub use export::S3Export;
pub use finished::{ObjectFile, S3FinishedBlob};
pub use hold::S3Hold;
pub use import::Imported;
pub use reader::S3BlobReader;
pub use settings::{Encryption, InvalidS3Settings, Memory, S3Credentials, S3Settings, UrlStyle};
pub use store::S3BlobStore;
pub use tie::NotTied;
pub use writer::S3BlobWriter;
