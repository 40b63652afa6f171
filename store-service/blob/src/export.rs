//! Copies blobs, with the statements about them, from one directory into another.
//!
//! Promises: blobs are linked where the file system can, so that a copy costs no space, and copied where it cannot; once
//! the export is finished all of it is durable.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use linkgate_contract::Sha256;
use linkgate_store_core::data_dir::{attestations, blob_path, make_dir, open_file, statements_path, sync_dir};
use linkgate_store_core::ingest::ports::{BlobError, BlobExport, Exported};

use super::directory::run_blocking;

/// Blobs that are being copied.
#[derive(Clone)]
pub struct DirectoryExport {
    from: PathBuf,
    into: PathBuf,
}

impl DirectoryExport {
    /// Blocks.
    pub(super) fn begin(from: &Path, into: PathBuf) -> io::Result<Self> {
        for folder in [blobs(&into), attestations(&into)] {
            make_dir(&folder)?;
        }
        Ok(Self { from: from.to_owned(), into })
    }

    fn copy_one(&self, sha256: Sha256) -> io::Result<Exported> {
        let ((_, from), (dir, to)) = (blob_path(&blobs(&self.from), &sha256), blob_path(&blobs(&self.into), &sha256));
        let metadata = match fs::symlink_metadata(&from) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Exported::Missing(sha256)),
            metadata => metadata?,
        };
        if !metadata.is_file() {
            return Ok(Exported::Missing(sha256));
        }
        make_dir(&dir)?;
        let is_linked = link_or_copy(&from, &to)?;
        let (from, to) = (statements_path(&self.from, &sha256), statements_path(&self.into, &sha256));
        if let Some(dir) = to.parent().filter(|_| from.exists()) {
            make_dir(dir)?;
            link_or_copy(&from, &to)?;
        }
        Ok(Exported::Copied { bytes: metadata.len(), is_linked })
    }

    /// The files are durable already, linked ones since they were uploaded.
    fn sync(&self) -> io::Result<()> {
        for tree in [blobs(&self.into), attestations(&self.into)] {
            for folder in fs::read_dir(&tree)? {
                sync_dir(&folder?.path())?;
            }
            sync_dir(&tree)?;
        }
        Ok(())
    }
}

impl BlobExport for DirectoryExport {
    async fn copy(&mut self, blobs: Vec<Sha256>) -> Result<Vec<Exported>, BlobError> {
        let export = self.clone();
        run_blocking("copying blobs", move || blobs.into_iter().map(|sha256| export.copy_one(sha256)).collect()).await
    }

    async fn finish(self) -> Result<(), BlobError> {
        run_blocking("making copied blobs durable", move || self.sync()).await
    }
}

fn blobs(root: &Path) -> PathBuf {
    root.join("blobs")
}

/// `true` if it shares its bytes with where it came from. Whatever keeps a link from being made (another file system, one
/// without links, too many of them), the copy either works or says what is wrong.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<bool> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(true);
    }
    let mut copy = open_file(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all().map(|()| false)
}
