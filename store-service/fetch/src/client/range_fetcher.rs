//! Fetches several ranges of one large file at a time, from sources that are slow by connection.
//!
//! Promises: ranges come in order and without a gap; at most [`FetchConfig::parallel`](crate::config::FetchConfig::parallel)
//! ranges of [`RANGE_BYTES`] are read or wait, and only [`MAX_RANGE_FETCHERS`] downloads of this store fetch so at once, for
//! ranges are held in memory. A source that is fast alone is left alone. Refuses every range that is not exactly what was
//! asked for; the download then goes on with one connection, as after any other failure.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http::StatusCode;
use linkgate_contract::AllowList;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::redirects::{RedirectFollower, refuse_encoded_body};
use super::representation::Representation;
use super::retry::{FailedAttempt, RetryPolicy};
use crate::source::SourceError;

/// Files from this size on.
const FROM_BYTES: u64 = 64 << 20;
/// What one request asks for. Each has a connection of its own, so smaller ranges would wait more than they read.
const RANGE_BYTES: u64 = 4 << 20;
/// So much is read before a source's speed is judged: long enough to be past a connection's slow start.
const PROBE_BYTES: u64 = 8 << 20;
/// Bytes per second at which one connection is fast enough: more of them would only compete.
const FAST_ENOUGH: u128 = 64 << 20;
/// What is given away at a time. Whoever queues pieces would queue whole ranges otherwise.
const PIECE_BYTES: usize = 256 << 10;
/// Downloads of a store that fetch ranges at once.
const MAX_RANGE_FETCHERS: usize = 2;

/// Whether it is time to judge a download's speed, and it is slow.
pub(super) fn is_worth_fetching_ranges(bytes_in_ranges: Option<u64>, given: u64, waited: Duration) -> bool {
    let is_large = bytes_in_ranges.is_some_and(|total| total >= FROM_BYTES && given < total - RANGE_BYTES);
    is_large && given >= PROBE_BYTES && u128::from(given) * 1_000 < FAST_ENOUGH * waited.as_millis()
}

/// Gives out permits to fetch ranges; a copy gives out of the same.
#[derive(Clone)]
pub(super) struct RangePermits(Arc<Semaphore>);

impl RangePermits {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_RANGE_FETCHERS)))
    }

    /// A permit, if one is free.
    fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// The ranges of a file from some byte on.
pub(super) struct RangeFetcher {
    ranges: BoxStream<'static, Result<Bytes, FailedAttempt>>,
    /// What is left of the range that is being given away.
    ready: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl RangeFetcher {
    /// Begins, if a permit is free. Nothing is asked for before the first range is.
    pub(super) fn begin(
        follower: &Arc<RedirectFollower>,
        permits: &RangePermits,
        private: &AllowList,
        representation: &Arc<Representation>,
        from: u64,
    ) -> Option<Self> {
        let total = representation.bytes_in_ranges()?;
        let (permit, at_once) = (permits.try_acquire()?, follower.config().parallel);
        let requester = Arc::new(RangeRequester {
            follower: Arc::clone(follower),
            private: private.clone(),
            representation: Arc::clone(representation),
        });
        let ranges =
            stream::iter(split_into_ranges(from, total)).map(move |range| Arc::clone(&requester).fetch_range(range));
        Some(Self { ranges: ranges.buffered(at_once).boxed(), ready: Bytes::new(), _permit: permit })
    }

    /// The next bytes; `None` at the end of the file.
    pub(super) async fn next_bytes(&mut self) -> Result<Option<Bytes>, FailedAttempt> {
        if self.ready.is_empty() {
            let Some(range) = self.ranges.next().await else { return Ok(None) };
            self.ready = range?;
        }
        Ok(Some(self.ready.split_to(self.ready.len().min(PIECE_BYTES))))
    }
}

fn split_into_ranges(from: u64, total: u64) -> impl Iterator<Item = RangeInclusive<u64>> + Send {
    let begin = move |n: u64| n.checked_mul(RANGE_BYTES)?.checked_add(from).filter(|at| *at < total);
    (0..).map_while(begin).map(move |at| at..=at.saturating_add(RANGE_BYTES).min(total) - 1)
}

/// What every range is asked for with.
struct RangeRequester {
    follower: Arc<RedirectFollower>,
    private: AllowList,
    representation: Arc<Representation>,
}

impl RangeRequester {
    async fn fetch_range(self: Arc<Self>, range: RangeInclusive<u64>) -> Result<Bytes, FailedAttempt> {
        self.fetch_exactly(&range).await.map_err(retry_with_one_connection)
    }

    async fn fetch_exactly(&self, range: &RangeInclusive<u64>) -> Result<Bytes, FailedAttempt> {
        let headers = self.representation.headers_for_range(range).ok_or(SourceError::Changed)?;
        let mut response = self.follower.send_request(&self.representation.url, &self.private, headers).await?;
        let len = range.end() - range.start() + 1;
        let is_it =
            self.representation.is_continued_by(&response, *range.start()) && response.content_length() == Some(len);
        if response.status() != StatusCode::PARTIAL_CONTENT || !is_it {
            return Err(FailedAttempt::from_status(&response, self.representation.credential.as_deref()));
        }
        refuse_encoded_body(&response)?;
        // Copied: held as they come, small pieces would each keep the network's whole buffer.
        let mut bytes = BytesMut::with_capacity(usize::try_from(len).unwrap_or_default());
        let mut min_rate = self.follower.config().begin_min_rate();
        loop {
            let begun = Instant::now();
            let Some(piece) = self.follower.read_chunk(&mut response).await? else { return Ok(bytes.freeze()) };
            min_rate.record_bytes(piece.len(), begun.elapsed())?;
            bytes.extend_from_slice(&piece);
        }
    }
}

/// One connection may get what several do not. And it alone can tell a slow source from a slow reader, for ranges go on only
/// while somebody waits for them.
fn retry_with_one_connection(FailedAttempt { error, retry }: FailedAttempt) -> FailedAttempt {
    match (&error, retry) {
        (SourceError::Status { .. } | SourceError::TooSlow { .. }, RetryPolicy::Never) => {
            FailedAttempt { error, retry: RetryPolicy::After(None) }
        }
        _ => FailedAttempt { error, retry },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_connections_do_not_get_is_judged_by_one_but_refusals_stay() {
        let retry_of = |error: SourceError| retry_with_one_connection(error.into()).retry;
        let slow = SourceError::TooSlow { min_rate: 1, over: Duration::from_secs(1) };
        for passing in [SourceError::Status { status: 403 }, slow] {
            assert_eq!(retry_of(passing), RetryPolicy::After(None));
        }
        let forbidden = SourceError::ForbiddenAddress { host: "x".into(), address: [10, 0, 0, 1].into() };
        for (error, want) in [
            (forbidden, RetryPolicy::Never),
            (SourceError::Encoded, RetryPolicy::Never),
            (SourceError::Changed, RetryPolicy::FromStart),
        ] {
            assert_eq!(retry_of(error), want);
        }
        let told = FailedAttempt {
            error: SourceError::Status { status: 503 },
            retry: RetryPolicy::After(Some(Duration::MAX)),
        };
        assert_eq!(retry_with_one_connection(told).retry, RetryPolicy::After(Some(Duration::MAX)));
    }

    #[test]
    fn only_a_large_file_of_a_slow_source_is_worth_it() {
        let (large, probed) = (Some(FROM_BYTES), PROBE_BYTES);
        let slow = Duration::from_millis(126);
        assert!(is_worth_fetching_ranges(large, probed, slow));
        assert!(is_worth_fetching_ranges(large, FROM_BYTES - RANGE_BYTES - 1, Duration::from_secs(9)));
        for (total, given, waited) in [
            (None, probed, slow),
            (Some(FROM_BYTES - 1), probed, slow),
            (large, probed - 1, slow),
            (large, probed, Duration::from_millis(125)),
            (large, probed, Duration::ZERO),
            (large, FROM_BYTES - RANGE_BYTES, Duration::from_secs(9)),
        ] {
            assert!(!is_worth_fetching_ranges(total, given, waited), "{total:?} {given} {waited:?}");
        }
    }

    #[test]
    fn parts_cover_the_rest_without_a_gap() {
        let list = |from, total| split_into_ranges(from, total).collect::<Vec<_>>();
        assert_eq!(list(3, RANGE_BYTES + 3), [3..=RANGE_BYTES + 2]);
        assert_eq!(list(3, RANGE_BYTES + 4), [3..=RANGE_BYTES + 2, RANGE_BYTES + 3..=RANGE_BYTES + 3]);
        assert_eq!(list(7, 8), [7..=7]);
        assert!(list(8, 8).is_empty());
        let end = u64::MAX;
        assert_eq!(list(end - RANGE_BYTES - 1, end), [end - RANGE_BYTES - 1..=end - 2, end - 1..=end - 1]);
    }
}
