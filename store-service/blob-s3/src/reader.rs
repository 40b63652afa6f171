//! Reads a blob out of its object, piece by piece.
//!
//! Promises: no more is in memory than what the connection brought; a connection that breaks is made again where it broke,
//! as long as that brings bytes. An object that ends early, or has another length than it had, is an error.

use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt as _;
use linkgate_store_core::ingest::ports::{BlobError, BlobObject, BlobReader, ObjectKey};

use super::client::{Bucket, ByteStream};
use super::error::{blob_error, ended_early, wrong_size};

/// A blob that is being read.
pub struct S3BlobReader {
    bucket: Bucket,
    key: ObjectKey,
    /// What is still to come from the connection.
    left: Range<u64>,
    stream: ByteStream,
    /// What came and nobody has read yet.
    came: Bytes,
    /// Where the connection was made.
    connected_at: u64,
}

impl S3BlobReader {
    /// Reads these bytes of an object, which has them.
    pub(crate) async fn open(bucket: Bucket, object: &BlobObject, range: Range<u64>) -> Result<Self, BlobError> {
        let (size_bytes, stream) = if range.is_empty() {
            // There is no request for no bytes, but it must be there.
            (bucket.size(&object.key).await?.ok_or(BlobError::NotFound)?, futures_util::stream::empty().boxed())
        } else {
            bucket.stream(&object.key, range.clone()).await?
        };
        if size_bytes != object.size_bytes {
            return Err(wrong_size("reading an object", object.size_bytes, size_bytes));
        }
        let key = object.key.clone();
        Ok(Self { bucket, key, connected_at: range.start, left: range, stream, came: Bytes::new() })
    }

    async fn receive(&mut self) -> Result<(), BlobError> {
        let failed = match self.stream.next().await {
            Some(Ok(bytes)) => {
                self.left.start += bytes.len() as u64;
                self.came = bytes;
                return Ok(());
            }
            Some(Err(e)) => blob_error("reading an object", e),
            None => ended_early(self.left.end - self.left.start),
        };
        if self.left.start == self.connected_at {
            return Err(failed);
        }
        self.connected_at = self.left.start;
        (_, self.stream) = self.bucket.stream(&self.key, self.left.clone()).await?;
        Ok(())
    }
}

impl BlobReader for S3BlobReader {
    async fn read_chunk(&mut self, at_most: usize) -> Result<Option<Bytes>, BlobError> {
        while self.came.is_empty() {
            if self.left.is_empty() {
                return Ok(None);
            }
            self.receive().await?;
        }
        Ok(Some(self.came.split_to(at_most.min(self.came.len()))))
    }
}
