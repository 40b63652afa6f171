//! Where packages are kept. One adapter today: a directory.

mod fs;
mod writer;

pub use fs::FsBlobs;
