//! Copies blobs, with the statements about them, out of the bucket into a directory.
//!
//! Promises: the directory has the form of a data directory and of its backups, so a store with a directory reads it as
//! it is. Under the name of a blob there is always the whole of it; once the export is finished all of it is durable. Refuses
//! an object that has other than its bytes in number; whether they are the right ones verify finds out.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use linkgate_contract::Sha256;
use linkgate_store_core::data_dir::{FILE_MODE, attestations, blob_path, make_dir, statements_path, sync_dir};
use linkgate_store_core::ingest::ports::{BlobError, BlobExport, BlobKeys, BlobObject, BlobReader as _, Exported};
use tempfile::NamedTempFile;

use super::client::statements_of;
use super::error::key_error;
use super::part::blocking;
use super::reader::S3BlobReader;
use super::store::Shared;

/// Blobs that are copied at once.
const AT_ONCE: usize = 4;
/// What is written at a time.
const WRITE: usize = 1 << 20;

/// Blobs that are being copied.
pub struct S3Export<K> {
    shared: Arc<Shared<K>>,
    into: PathBuf,
}

impl<K: BlobKeys> S3Export<K> {
    pub(crate) async fn begin(shared: Arc<Shared<K>>, into: PathBuf) -> Result<Self, BlobError> {
        let folders = [blobs(&into), attestations(&into)];
        let make = move || folders.iter().try_for_each(|folder| make_dir(folder).map(drop));
        blocking("making the folders of a copy", make).await?;
        Ok(Self { shared, into })
    }

    async fn copy_one(&self, sha256: Sha256) -> Result<Exported, BlobError> {
        let Some(found) = self.shared.cleaner.keys.find(sha256).await.map_err(key_error)? else {
            return Ok(Exported::Missing(sha256));
        };
        let object = found.object;
        match self.copy_bytes(&object).await {
            Err(BlobError::NotFound) => return Ok(Exported::Missing(sha256)),
            copied => copied?,
        }
        if let Some(statements) = self.shared.cleaner.bucket.read_all(&statements_of(&object.key)).await? {
            let to = statements_path(&self.into, &sha256);
            let mut file = self.temp_file().await?;
            blocking("copying statements", move || {
                file.write_all(&statements)?;
                give_name(file, &to)
            })
            .await?;
        }
        Ok(Exported::Copied { bytes: object.size_bytes, is_linked: false })
    }

    async fn copy_bytes(&self, object: &BlobObject) -> Result<(), BlobError> {
        let bucket = self.shared.cleaner.bucket.clone();
        let mut reader = S3BlobReader::open(bucket, object, 0..object.size_bytes).await?;
        let mut file = self.temp_file().await?;
        while let Some(chunk) = reader.read_chunk(WRITE).await? {
            file = blocking("copying a blob", move || {
                file.write_all(&chunk)?;
                Ok(file)
            })
            .await?;
        }
        let (_, to) = blob_path(&blobs(&self.into), &object.sha256);
        blocking("copying a blob", move || give_name(file, &to)).await
    }

    /// Beside `blobs/`, where nothing but blobs may be.
    async fn temp_file(&self) -> Result<NamedTempFile, BlobError> {
        let into = self.into.clone();
        blocking("making a temporary file", move || {
            tempfile::Builder::new().prefix(".copy-").permissions(Permissions::from_mode(FILE_MODE)).tempfile_in(into)
        })
        .await
    }
}

impl<K: BlobKeys> BlobExport for S3Export<K> {
    async fn copy(&mut self, blobs: Vec<Sha256>) -> Result<Vec<Exported>, BlobError> {
        let copies = blobs.into_iter().map(|sha256| self.copy_one(sha256));
        futures_util::stream::iter(copies).buffered(AT_ONCE).try_collect().await
    }

    async fn finish(self) -> Result<(), BlobError> {
        blocking("making copied blobs durable", move || sync(&self.into)).await
    }
}

fn blobs(root: &Path) -> PathBuf {
    root.join("blobs")
}

fn give_name(file: NamedTempFile, to: &Path) -> std::io::Result<()> {
    if let Some(dir) = to.parent() {
        make_dir(dir)?;
    }
    file.as_file().sync_all()?;
    file.persist(to).map(drop).map_err(|e| e.error)
}

fn sync(into: &Path) -> std::io::Result<()> {
    for tree in [blobs(into), attestations(into)] {
        for folder in fs::read_dir(&tree)? {
            sync_dir(&folder?.path())?;
        }
        sync_dir(&tree)?;
    }
    Ok(())
}
