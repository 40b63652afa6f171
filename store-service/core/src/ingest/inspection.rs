//! Inspects a package while it is written, in a thread of its own beside the writer's.
//!
//! Promises: holds at most [`QUEUED_BLOCKS`] blocks, and the one it looks at, besides what the inspection itself needs; the
//! upload learns of a refusal at its next block, not only at the end. Decoding keeps its pace: a package that unpacks
//! slower than it comes is read slower, for the queue is full.

use bytes::Bytes;
use linkgate_archive::{ArchiveError, Inspection, Inspector, Limits, Package, inspect_zip};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::IngestError;
use super::ports::{BlobError, FinishedBlob};

/// Bridges the time when either side is held up.
const QUEUED_BLOCKS: usize = 2;

/// What the thread gets.
enum Order {
    Inspect(Bytes),
    /// The package ends here. A queue that ends without it was given up.
    End,
}

/// An inspection that goes on beside the upload.
pub(super) struct StreamInspection {
    limits: Limits,
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<Result<Option<Inspection>, ArchiveError>>,
    /// What the thread returned before the end.
    early: Option<Inspection>,
}

impl StreamInspection {
    /// Begins; nothing has come yet.
    pub(super) fn begin(limits: &Limits) -> Self {
        let (orders, queue) = mpsc::channel(QUEUED_BLOCKS);
        let inspector = Inspector::new(limits.clone());
        let thread = spawn_blocking(move || inspect(inspector, queue));
        Self { limits: limits.clone(), orders, thread, early: None }
    }

    /// The next bytes of the package.
    pub(super) async fn push(&mut self, bytes: &Bytes) -> Result<(), IngestError> {
        self.send(Order::Inspect(bytes.clone())).await
    }

    /// What the package is, now that all of it has come and is written.
    pub(super) async fn package<S: FinishedBlob>(mut self, finished: S) -> Result<(S, Package), IngestError> {
        self.send(Order::End).await?;
        let result = match self.early {
            None => self.result().await?,
            early => early,
        };
        match result {
            Some(Inspection::Package(package)) => Ok((finished, package)),
            Some(Inspection::Zip) => {
                let read = move || {
                    let package = inspect_zip(&mut finished.open_seekable()?, &self.limits)?;
                    Ok((finished, package))
                };
                spawn_blocking(read).await.map_err(|_| BlobError::WriterGone)?
            }
            None => Err(BlobError::WriterGone.into()),
        }
    }

    async fn send(&mut self, order: Order) -> Result<(), IngestError> {
        // A thread that has returned has no queue any more.
        if self.early.is_none() && self.orders.send(order).await.is_err() {
            self.early = self.result().await?;
        }
        Ok(())
    }

    async fn result(&mut self) -> Result<Option<Inspection>, IngestError> {
        Ok((&mut self.thread).await.map_err(|_| BlobError::WriterGone)??)
    }
}

/// The thread. Returns nothing for a package that was given up.
fn inspect(mut inspector: Inspector, mut queue: mpsc::Receiver<Order>) -> Result<Option<Inspection>, ArchiveError> {
    while inspector.wants_more() {
        match queue.blocking_recv() {
            Some(Order::Inspect(bytes)) => inspector.push(&bytes)?,
            Some(Order::End) => break,
            None => return Ok(None),
        }
    }
    inspector.finish().map(Some)
}
