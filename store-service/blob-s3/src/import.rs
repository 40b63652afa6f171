//! Copies blobs from another store into the bucket.
//!
//! Promises: what is there already is not sent again; bytes that have another digest than their name leave nothing.

use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{
    BlobError, BlobKeys, BlobReader as _, BlobStore, BlobWriter as _, FinishedBlob as _,
};

use super::store::S3BlobStore;

/// What is read at a time.
const READ: usize = 128 << 10;

/// What became of a blob that was to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is here now, and has so many bytes.
    New(u64),
    /// It was here.
    Existing(u64),
    /// The other store has none.
    Missing,
    /// The other store has other bytes under its name.
    Corrupt,
}

impl<K: BlobKeys> S3BlobStore<K> {
    /// Copies a blob out of another store, be it a backup in a directory, unless it is here.
    ///
    /// # Errors
    /// [`BlobError`] if either storage fails.
    pub async fn import(&self, from: &impl BlobStore, sha256: Sha256) -> Result<Imported, BlobError> {
        if let Some(stat) = self.stat(sha256).await? {
            return Ok(Imported::Existing(stat.size_bytes));
        }
        let Some(stat) = from.stat(sha256).await? else { return Ok(Imported::Missing) };
        let mut reader = from.open(sha256, None).await?;
        let mut writer = self.open_writer(Some(stat.size_bytes)).await?;
        while let Some(chunk) = reader.read_chunk(READ).await? {
            writer.write(chunk).await?;
        }
        let finished = writer.finish().await?;
        if finished.sha256() != sha256 {
            finished.object.discard().await;
            return Ok(Imported::Corrupt);
        }
        let bytes = finished.size_bytes();
        self.commit(finished).await?;
        Ok(Imported::New(bytes))
    }
}
