//! Where packages are kept. One adapter today: a directory.

mod fs;
mod room;
mod walk;
mod writer;

pub use fs::FsBlobs;
pub(crate) use fs::{attestations, blob_path, statements_path};
pub use walk::{Found, FoundBlob};
