//! Looks inside a package while it is written, in a thread of its own beside the writer's.
//!
//! Promises: memory for at most [`QUEUED_PARTS`] of the network's buffers besides what the inspection itself needs; the
//! upload learns of a refusal at its next part, not only at the end. Decoding keeps its pace: a package that unpacks
//! slower than it comes is read slower, for the queue is full.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::LinkError;
use super::ports::{BlobError, Sealed};
use crate::inspect::{Inspected, Inspector, Limits, Package, Refused, inspect_zip};

/// Some 3 MiB of the network's largest buffers; bridges the time when either side is held up.
const QUEUED_PARTS: usize = 8;

/// What is told to the thread.
enum Part {
    Bytes(Bytes),
    /// The package ends here. A queue that ends without it was given up.
    End,
}

/// An inspection that goes on beside the upload.
pub(super) struct Inside {
    limits: Limits,
    parts: mpsc::Sender<Part>,
    thread: JoinHandle<Result<Option<Inspected>, Refused>>,
    /// What the thread said before the end.
    early: Option<Inspected>,
}

impl Inside {
    /// Begins; nothing has come yet.
    pub(super) fn begin(limits: &Limits) -> Self {
        let (parts, queue) = mpsc::channel(QUEUED_PARTS);
        let inspector = Inspector::new(limits.clone());
        let thread = spawn_blocking(move || inspect(inspector, queue));
        Self { limits: limits.clone(), parts, thread, early: None }
    }

    /// The next bytes of the package.
    pub(super) async fn push(&mut self, bytes: &Bytes) -> Result<(), LinkError> {
        self.tell(Part::Bytes(bytes.clone())).await
    }

    /// What the package is, now that all of it has come and is written.
    pub(super) async fn package<S: Sealed>(mut self, sealed: S) -> Result<(S, Package), LinkError> {
        self.tell(Part::End).await?;
        let said = match self.early {
            None => self.said().await?,
            early => early,
        };
        match said {
            Some(Inspected::Package(package)) => Ok((sealed, package)),
            Some(Inspected::Zip) => {
                let read = move || {
                    let package = inspect_zip(&mut sealed.open()?, &self.limits)?;
                    Ok((sealed, package))
                };
                spawn_blocking(read).await.map_err(|_| BlobError::WriterGone)?
            }
            None => Err(BlobError::WriterGone.into()),
        }
    }

    async fn tell(&mut self, part: Part) -> Result<(), LinkError> {
        // A thread that has said all has no queue any more.
        if self.early.is_none() && self.parts.send(part).await.is_err() {
            self.early = self.said().await?;
        }
        Ok(())
    }

    async fn said(&mut self) -> Result<Option<Inspected>, LinkError> {
        Ok((&mut self.thread).await.map_err(|_| BlobError::WriterGone)??)
    }
}

/// The thread. Says nothing of a package that was given up.
fn inspect(mut inspector: Inspector, mut queue: mpsc::Receiver<Part>) -> Result<Option<Inspected>, Refused> {
    while inspector.wants_more() {
        match queue.blocking_recv() {
            Some(Part::Bytes(bytes)) => inspector.push(&bytes)?,
            Some(Part::End) => break,
            None => return Ok(None),
        }
    }
    inspector.finish().map(Some)
}
