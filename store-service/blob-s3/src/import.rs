//! Copies blobs from another store into the bucket.
//!
//! Promises: what is there already is not sent again; bytes that have another digest than their name are refused and leave
//! nothing.

use bytes::Bytes;
use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{
    BlobError, BlobKeys, BlobReader as _, BlobStore, BlobWriter as _, Exported, FinishedBlob as _,
};

use super::error::wrong_digest;
use super::store::S3BlobStore;

/// What is read at a time.
const READ: usize = 128 << 10;

impl<K: BlobKeys> S3BlobStore<K> {
    /// Copies a blob out of another store, be it a backup in a directory, unless it is here.
    ///
    /// # Errors
    /// [`BlobError`] if either storage fails, or if the bytes are not those of the name.
    pub async fn import(&self, from: &impl BlobStore, sha256: Sha256) -> Result<Exported, BlobError> {
        if let Some(stat) = self.stat(sha256).await? {
            return Ok(Exported::Copied { bytes: stat.size_bytes, is_linked: true });
        }
        let Some(stat) = from.stat(sha256).await? else { return Ok(Exported::Missing(sha256)) };
        let mut reader = from.open(sha256, None).await?;
        let mut writer = self.open_writer(Some(stat.size_bytes)).await?;
        while let Some(chunk) = reader.read_chunk(READ).await? {
            let chunk: Bytes = chunk;
            writer.write(chunk).await?;
        }
        let finished = writer.finish().await?;
        if finished.sha256() != sha256 {
            finished.object.discard().await;
            return Err(wrong_digest());
        }
        let bytes = finished.size_bytes();
        self.commit(finished).await?;
        Ok(Exported::Copied { bytes, is_linked: false })
    }
}
