//! Packages in a directory, each blob named by its SHA-256.
//!
//! Promises: what the port [`BlobStore`](linkgate_store_core::ingest::ports::BlobStore) promises; under the name of a blob
//! there is always the whole of it, also after a power cut; some bytes of the disk stay free, whatever is uploaded. Refuses
//! to write what would find no space. Relies on the data directory's lock. Knows nothing of the catalog or of HTTP.

mod directory;
mod export;
mod list;
mod reader;
mod space;
mod writer;

pub use directory::DirectoryBlobStore;
pub use export::DirectoryExport;
pub use reader::FileReader;
pub use writer::{DirectoryBlobWriter, FinishedFile};
