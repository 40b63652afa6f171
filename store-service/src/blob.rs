//! Where packages are kept. One adapter today: a directory.

mod fs;
mod list;
mod space;
mod writer;

pub use fs::DirectoryBlobStore;
pub(crate) use fs::{attestations, blob_path, statements_path};
pub use list::{BlobStat, Listed};
