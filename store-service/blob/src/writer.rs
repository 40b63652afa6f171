//! The byte path: from the network to the disk in one pass.
//!
//! Promises: every byte is hashed and written once, in order; memory stays flat, for at most [`QUEUED`] pieces and the two at
//! either end are held. Whatever ends a writer before it is finished (an error, a cancellation, a panic) removes its file.
//!
//! Each writer has a thread, which hashes and writes while the next bytes come.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use linkgate_contract::Sha256;
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::hasher::Hasher;
use linkgate_store_core::ingest::ports::{BlobError, BlobWriter, FinishedBlob};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::space::SpaceReservation;

/// One is being written, the others bridge the time when either side is held up.
const QUEUED: usize = 2;

/// A file that is removed unless it is renamed.
pub struct TempFile {
    file: File,
    path: Option<PathBuf>,
}

impl TempFile {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path: Some(path) }
    }

    /// Locks it, as the sign that it has an owner.
    pub(super) fn own(&self) -> io::Result<()> {
        self.file.try_lock().map_err(io::Error::from)
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Another handle, at the file's beginning.
    fn reopen(&self) -> io::Result<File> {
        self.path.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), File::open)
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
pub struct FinishedFile {
    pub(super) temp: TempFile,
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
}

impl FinishedBlob for FinishedFile {
    type Seekable = File;

    fn open_seekable(&self) -> Result<File, BlobError> {
        self.temp.reopen().map_err(|e| BlobError::from_io("reading a package", e))
    }

    fn sha256(&self) -> Sha256 {
        self.sha256
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// What the writer's thread is told: write this, or sync the file and seal it.
enum Order {
    Write(Bytes),
    Finish,
}

/// A package that is being written.
pub struct DirectoryBlobWriter {
    orders: mpsc::Sender<Order>,
    writer: JoinHandle<Result<FinishedFile, BlobError>>,
}

impl DirectoryBlobWriter {
    pub(super) fn start(temp: TempFile, reservation: SpaceReservation) -> Self {
        let (orders, queue) = mpsc::channel(QUEUED);
        let writer = tokio::task::spawn_blocking(move || write_all(temp, reservation, queue));
        Self { orders, writer }
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

impl BlobWriter for DirectoryBlobWriter {
    type Finished = FinishedFile;

    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.order(Order::Write(bytes)).await
    }

    async fn finish(mut self) -> Result<FinishedFile, BlobError> {
        self.order(Order::Finish).await?;
        self.writer.await.unwrap_or(Err(BlobError::WriterGone))
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
    mut reservation: SpaceReservation,
    mut queue: mpsc::Receiver<Order>,
) -> Result<FinishedFile, BlobError> {
    let (mut hash, mut size_bytes) = (Hasher::default(), 0);
    let failed = |e| BlobError::from_io("writing a package", e);
    while let Some(order) = queue.blocking_recv() {
        match order {
            Order::Write(piece) => {
                let bytes = piece.len() as u64;
                hash.update(&piece);
                reservation.check_write(bytes).map_err(failed)?;
                temp.file().write_all(&piece).map_err(failed)?;
                reached(Step::BlockWritten);
                reservation.consume(bytes);
                size_bytes += bytes;
            }
            Order::Finish => {
                reached(Step::BlobWritten);
                temp.file().sync_all().map_err(failed)?;
                reached(Step::BlobSynced);
                return Ok(FinishedFile { temp, sha256: hash.finish(), size_bytes });
            }
        }
    }
    Err(BlobError::WriterGone)
}
