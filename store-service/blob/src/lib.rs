//! Packages in a directory, each named by its SHA-256.
//!
//! Promises: what the port [`BlobStore`](linkgate_store_core::ingest::ports::BlobStore) promises; under the name of a blob
//! there is always the whole of it, also after a power cut; some bytes of the disk stay free, whatever is uploaded. Refuses
//! to write what would find no space. Relies on the data directory's lock. Knows nothing of the catalog or of HTTP.

mod fs;
mod list;
mod space;
mod writer;

pub use fs::{DirectoryBlobStore, attestations, blob_path, statements_path};
pub use list::{BlobStat, Listed};
