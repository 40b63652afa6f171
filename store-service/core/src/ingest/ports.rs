//! What the use case needs from the world: where bytes come from, where they are kept, where the books are.
//!
//! Each port names its own failures, free of HTTP and of any adapter, with values instead of ready-made sentences.

mod blob;
mod catalog;
mod job;

pub use blob::{BlobError, BlobStore, BlobWriter, FinishedBlob};
pub use catalog::{Catalog, CatalogError, Entry, Held, NewEntry, Provenance, Recorded};
pub use job::{Failure, JobEnd, JobKey, JobRecord, JobRequest, JobState, JobView};
pub use linkgate_fetch::{Cause, Chunk, Fetched, Phase, Progress, Source, SourceError, SourceStream, Wanted};
