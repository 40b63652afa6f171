//! Inspects a package while it is written, in a thread of its own beside the writer's.
//!
//! Promises: holds at most [`QUEUED_BLOCKS`] blocks, and the one it looks at, besides what the inspection itself needs; the
//! upload learns of a refusal at its next block, not only at the end. Decoding keeps its speed: a package that unpacks
//! slower than it comes is read slower, for the queue is full; so is one that waits for memory. An inspection whose result
//! nobody waits for ends by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use linkgate_archive::{ArchiveError, Inspection, Inspector, Limit, Limits, Package, Resources, inspect_zip};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::IngestError;
use super::decoder_memory::{DecoderMemory, Loan, StopOnDrop};
use super::ports::{BlobError, FinishedBlob};
use crate::metrics::Metrics;
use crate::settings::InspectionRules;

/// Bridges the time when either side is held up.
const QUEUED_BLOCKS: usize = 2;

/// What the thread gets.
enum Order {
    Inspect(Bytes),
    /// The package ends here. A queue that ends without it was given up.
    End,
}

/// What every inspection of this process has in common.
pub(super) struct Inspections {
    rules: InspectionRules,
    memory: Arc<DecoderMemory>,
}

/// What one inspection takes of the process.
struct Share {
    loan: Loan,
    deadline: Instant,
    stopped: Arc<AtomicBool>,
    cpu_limit: Duration,
    /// When its thread began to work for it, by the thread's own clock.
    cpu_begun: Option<Duration>,
}

impl Inspections {
    pub(super) fn new(rules: InspectionRules, metrics: Metrics) -> Self {
        Self { rules, memory: DecoderMemory::new(rules.decoder_memory_bytes, metrics) }
    }

    fn share(&self, owner: &str, stop: &StopOnDrop) -> Share {
        Share {
            loan: self.memory.loan(owner.to_owned()),
            deadline: Instant::now() + self.rules.memory_timeout,
            stopped: stop.flag(),
            cpu_limit: self.rules.cpu_limit,
            cpu_begun: None,
        }
    }

    /// Begins; nothing has come yet. `owner` is the calling application.
    pub(super) fn begin(&self, limits: &Limits, owner: &str) -> StreamInspection {
        let (orders, queue) = mpsc::channel(QUEUED_BLOCKS);
        let stop = StopOnDrop::new(&self.memory);
        let inspector = Inspector::new(limits.clone(), self.share(owner, &stop));
        let thread = spawn_blocking(move || inspect(inspector, queue));
        StreamInspection {
            limits: limits.clone(),
            orders,
            thread,
            early: None,
            zip: self.share(owner, &stop),
            _stop: stop,
        }
    }
}

impl Resources for Share {
    fn hold_memory(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let taken = self.loan.replace(bytes, self.deadline, &self.stopped);
        if taken { Ok(()) } else { Err(ArchiveError::Interrupted) }
    }

    fn check_time(&mut self) -> Result<(), ArchiveError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ArchiveError::Interrupted);
        }
        let now = thread_cpu_time();
        let begun = *self.cpu_begun.get_or_insert(now);
        let limit_s = self.cpu_limit.as_secs();
        let over = ArchiveError::LimitExceeded(Limit::CpuTime { limit_s });
        if now.saturating_sub(begun) > self.cpu_limit { Err(over) } else { Ok(()) }
    }
}

/// For how long this thread has worked. One that waits, or that the machine has no time for, does not get older.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// An inspection that goes on beside the upload.
pub(super) struct StreamInspection {
    limits: Limits,
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<Result<Option<Inspection>, ArchiveError>>,
    /// What the thread returned before the end.
    early: Option<Inspection>,
    /// For the second pass that a zip takes.
    zip: Share,
    _stop: StopOnDrop,
}

impl StreamInspection {
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
                let (limits, mut share) = (self.limits, self.zip);
                let read = move || {
                    let package = inspect_zip(&mut finished.open_seekable()?, &limits, &mut share)?;
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
