//! The byte path: from the network to the disk in one pass.
//!
//! Promises: every byte is hashed and written once, in order; memory stays flat, for a draft owns [`BUFFERS`] buffers and
//! never more. Whatever ends a draft other than sealing (an error, a cancellation, a panic) removes its file.
//!
//! Hashing is done where the bytes arrive, while they are still in the cache of the core that read them, a fraction of a
//! millisecond at a time; writing goes on in a thread of its own meanwhile. On two cores that splits the work of a
//! download about evenly. Bytes are copied into buffers of our own, which come back for the next batch: handing the
//! network's buffers over would save the copy, but then each read needs a new one, and its page faults cost more.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::link::ports::{BlobError, Draft, Sealed, Sha256Hex};

/// How much is written at a time.
const BUFFER_BYTES: usize = 512 << 10;
/// One is being filled, one is being written, the others bridge the time when either side is held up.
const BUFFERS: usize = 4;

/// A file that is removed unless it is renamed.
pub struct TempFile {
    file: File,
    path: Option<PathBuf>,
}

impl TempFile {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path: Some(path) }
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(super) fn rename_to(mut self, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, "A temporary file could not be removed");
        }
    }
}

/// A package whose bytes are durable, under no name yet.
pub struct SealedFile {
    pub(super) temp: TempFile,
    pub(super) sha256: Sha256Hex,
    pub(super) size_bytes: u64,
}

impl Sealed for SealedFile {
    fn sha256(&self) -> Sha256Hex {
        self.sha256.clone()
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

enum Order {
    Write(Vec<u8>),
    Seal,
}

/// A package that is being written.
pub struct FsDraft {
    hash: Context,
    size_bytes: u64,
    buffer: Vec<u8>,
    orders: mpsc::Sender<Order>,
    written: mpsc::Receiver<Vec<u8>>,
    writer: JoinHandle<Result<TempFile, BlobError>>,
}

impl FsDraft {
    pub(super) fn start(temp: TempFile) -> Self {
        let (orders, queue) = mpsc::channel(BUFFERS);
        let (give_back, written) = mpsc::channel(BUFFERS);
        // Empty buffers take no memory: a small package fills one only, and only as far as it reaches.
        (1..BUFFERS).for_each(|_| drop(give_back.try_send(Vec::new())));
        let writer = tokio::task::spawn_blocking(move || write_all(temp, queue, &give_back));
        Self { hash: Context::new(&SHA256), size_bytes: 0, buffer: Vec::new(), orders, written, writer }
    }

    /// Hands the buffer over and waits for another one.
    async fn flush(&mut self) -> Result<(), BlobError> {
        let full = std::mem::take(&mut self.buffer);
        self.order(Order::Write(full)).await?;
        match self.written.recv().await {
            Some(buffer) => self.buffer = buffer,
            None => return Err(self.failure().await),
        }
        Ok(())
    }

    async fn order(&mut self, order: Order) -> Result<(), BlobError> {
        match self.orders.send(order).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// The writer is gone; its own error tells why.
    async fn failure(&mut self) -> BlobError {
        match (&mut self.writer).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => BlobError::WriterGone,
        }
    }
}

impl Draft for FsDraft {
    type Sealed = SealedFile;

    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.hash.update(&bytes);
        self.size_bytes += bytes.len() as u64;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BUFFER_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() == BUFFER_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn seal(mut self) -> Result<SealedFile, BlobError> {
        self.flush().await?;
        self.order(Order::Seal).await?;
        let temp = self.writer.await.unwrap_or(Err(BlobError::WriterGone))?;
        let mut digest = [0; 32];
        digest.copy_from_slice(self.hash.finish().as_ref());
        Ok(SealedFile { temp, sha256: Sha256Hex::from_digest(digest), size_bytes: self.size_bytes })
    }

    async fn discard(self) {
        let Self { orders, writer, .. } = self;
        drop(orders);
        // A writer that failed was waited for already, and may not be waited for twice.
        if !writer.is_finished() {
            let _discarded = writer.await;
        }
    }
}

/// The writer's thread. Ends without a file when the orders end without a seal.
fn write_all(
    mut temp: TempFile,
    mut queue: mpsc::Receiver<Order>,
    give_back: &mpsc::Sender<Vec<u8>>,
) -> Result<TempFile, BlobError> {
    let failed = |e| BlobError::from_io("writing a package", e);
    while let Some(order) = queue.blocking_recv() {
        match order {
            Order::Write(mut buffer) => {
                temp.file().write_all(&buffer).map_err(failed)?;
                buffer.clear();
                // There is room for every buffer; it fails only when nobody wants one any more.
                drop(give_back.try_send(buffer));
            }
            Order::Seal => {
                temp.file().sync_all().map_err(failed)?;
                return Ok(temp);
            }
        }
    }
    Err(BlobError::WriterGone)
}
