//! The bytes of a package on their way to a caller.
//!
//! Promises: memory for a few chunks, whatever the package has and however slowly it is read; exactly the bytes that the
//! reply's head announced, or a connection that breaks, so that nobody takes a part for the whole. Whoever reads slower than
//! the minimum holds no place for long. Refuses nothing: what may be read is settled before.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use linkgate_store_core::budget::Permit;
use linkgate_store_core::ingest::chain;
use linkgate_store_core::ingest::ports::{BlobError, BlobReader};
use linkgate_store_core::metrics::Sending;
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span, error, info};
use warp::Reply as _;

use super::reply::Reply;

/// Read at a time. The server holds about two of them besides.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that are read ahead, so that the disk and the network work at the same time.
const AHEAD: usize = 1;

/// How fast a caller must read on average, once so much time has passed.
#[derive(Clone, Copy, Debug)]
pub struct MinRate {
    /// Bytes in a second; 0: any rate will do.
    pub bytes_per_s: u64,
    /// The time that does not count: what lies in buffers on the way is read later than it is sent.
    pub grace: Duration,
}

/// What a download holds until its end.
pub(super) struct Held {
    pub(super) permit: Permit,
    pub(super) sending: Sending,
    pub(super) request_id: String,
}

/// Why a reply breaks off.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("the blob could not be read")]
    Blob(#[from] BlobError),
    #[error("the blob is shorter than the catalog says")]
    Short,
    #[error("the caller reads too slowly")]
    TooSlow,
}

/// A reply with these bytes as its body; its head is the caller's affair.
pub(super) fn stream<R: BlobReader + 'static>(reader: R, length: u64, min_rate: MinRate, held: Held) -> Reply {
    let (tell, mut told) = mpsc::channel(AHEAD);
    let Held { permit, sending, request_id } = held;
    tokio::spawn(send_all(reader, length, min_rate, sending, request_id, tell).instrument(Span::current()));
    let chunks = stream::poll_fn(move |context| {
        // As long as the server has the body.
        let _held = &permit;
        told.poll_recv(context)
    });
    warp::reply::stream(chunks).into_response()
}

/// Ends when all is handed over, or nobody takes it any more.
async fn send_all<R: BlobReader>(
    reader: R,
    length: u64,
    min_rate: MinRate,
    sending: Sending,
    request_id: String,
    tell: mpsc::Sender<Result<Bytes, BrokenOff>>,
) {
    let ended = send_chunks(reader, length, min_rate, &sending, &tell).await;
    match &ended {
        Ok(true) => sending.end("sent"),
        Ok(false) => drop(sending),
        Err(BrokenOff::TooSlow) => {
            sending.end("too_slow");
            info!(request.id = request_id, "Broke off a download that was read too slowly");
        }
        Err(cause) => {
            sending.end("failed");
            error!(request.id = request_id, "Broke off a download: {}", chain(cause));
        }
    }
    if let Err(cause) = ended {
        let _nobody_listens = tell.send(Err(cause)).await;
    }
}

/// `false` if the caller went away.
async fn send_chunks<R: BlobReader>(
    mut reader: R,
    length: u64,
    min_rate: MinRate,
    sending: &Sending,
    tell: &mpsc::Sender<Result<Bytes, BrokenOff>>,
) -> Result<bool, BrokenOff> {
    let (begun, mut sent) = (Instant::now(), 0);
    while sent < length {
        let chunk = reader.read_chunk(CHUNK_BYTES).await?.ok_or(BrokenOff::Short)?;
        let bytes = chunk.len() as u64;
        if tell.send(Ok(chunk)).await.is_err() {
            return Ok(false);
        }
        sent += bytes;
        sending.sent(bytes);
        if min_rate.is_missed(sent, begun.elapsed()) {
            return Err(BrokenOff::TooSlow);
        }
    }
    Ok(true)
}

impl MinRate {
    /// Whether so few bytes in so much time are too few.
    fn is_missed(self, sent: u64, elapsed: Duration) -> bool {
        let counted = elapsed.saturating_sub(self.grace);
        u128::from(sent) * 1_000 < u128::from(self.bytes_per_s) * counted.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_missed_by_the_average_after_the_grace() {
        let rate = MinRate { bytes_per_s: 100, grace: Duration::from_secs(10) };
        let missed = |sent, seconds| rate.is_missed(sent, Duration::from_secs(seconds));
        assert!(!missed(0, 10) && missed(0, 11));
        assert!(!missed(500, 15) && missed(499, 15));
        let none = MinRate { bytes_per_s: 0, grace: Duration::ZERO };
        assert!(!none.is_missed(0, Duration::from_secs(1_000)));
    }
}
