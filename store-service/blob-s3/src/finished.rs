//! A blob that is in the bucket, under no digest yet, and its bytes in any order.
//!
//! Promises: reading touches the bucket only for what is not among the last bytes, which are held; a little more is read
//! than asked for, so that readers who go on need no further request. Whoever reads must not be within the runtime.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::{Buf as _, Bytes};
use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{BlobError, BlobKeys, BlobObject, FinishedBlob, ObjectKey};
use tokio::runtime::Handle;

use super::client::Bucket;
use super::tail::Tail;
use super::unpublished::Unpublished;

/// What is read at a time.
const READ_AHEAD: u64 = 256 << 10;

/// A blob that is durable, under no digest yet. Dropping it discards it.
pub struct S3FinishedBlob<K: BlobKeys> {
    pub(crate) blob: BlobObject,
    pub(crate) object: Unpublished<K>,
    tail: Tail,
    bucket: Bucket,
    runtime: Handle,
}

impl<K: BlobKeys> S3FinishedBlob<K> {
    /// Called within the runtime.
    pub(crate) fn new(blob: BlobObject, object: Unpublished<K>, tail: Tail, bucket: Bucket) -> Self {
        Self { blob, object, tail, bucket, runtime: Handle::current() }
    }
}

impl<K: BlobKeys> FinishedBlob for S3FinishedBlob<K> {
    type Seekable = ObjectFile;

    fn open_seekable(&self) -> Result<ObjectFile, BlobError> {
        Ok(ObjectFile {
            bucket: self.bucket.clone(),
            runtime: self.runtime.clone(),
            key: self.blob.key.clone(),
            size_bytes: self.blob.size_bytes,
            tail: self.tail.clone(),
            place: 0,
            ahead: (0, Bytes::new()),
        })
    }

    fn sha256(&self) -> Sha256 {
        self.blob.sha256
    }

    fn size_bytes(&self) -> u64 {
        self.blob.size_bytes
    }
}

/// An object, read as if it were a file.
pub struct ObjectFile {
    bucket: Bucket,
    runtime: Handle,
    key: ObjectKey,
    size_bytes: u64,
    tail: Tail,
    place: u64,
    /// What was read last, and from where.
    ahead: (u64, Bytes),
}

impl ObjectFile {
    /// At least one byte from here on, unless this is the end.
    fn next_bytes(&mut self) -> io::Result<Bytes> {
        if self.place >= self.size_bytes {
            return Ok(Bytes::new());
        }
        if self.place >= self.tail.start() {
            return Ok(self.tail.at(self.place));
        }
        let held = self.held();
        if !held.is_empty() {
            return Ok(held);
        }
        let end = self.place.saturating_add(READ_AHEAD).min(self.tail.start());
        let read =
            self.runtime.block_on(self.bucket.read(&self.key, self.place..end)).map_err(BlobError::into_read_error)?;
        self.ahead = (self.place, read.clone());
        Ok(read)
    }

    /// What of the bytes from here on was read before.
    fn held(&self) -> Bytes {
        let (start, bytes) = &self.ahead;
        let skipped = self.place.checked_sub(*start).and_then(|skipped| usize::try_from(skipped).ok());
        skipped.filter(|skipped| *skipped < bytes.len()).map_or_else(Bytes::new, |skipped| bytes.slice(skipped..))
    }
}

impl Read for ObjectFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut bytes = self.next_bytes()?;
        let len = bytes.len().min(into.len());
        if let Some(into) = into.get_mut(..len) {
            bytes.copy_to_slice(into);
        }
        self.place += len as u64;
        Ok(len)
    }
}

impl Seek for ObjectFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.size_bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}
