//! Several parts of one large file at a time, for sources that are slow by connection.
//!
//! Promises: parts come in order and without a gap; at most [`FetchConfig::parallel`](crate::config::FetchConfig::parallel)
//! parts of [`PART_BYTES`] are read or wait, and only [`PLACES`] downloads of this store read ahead at once, for parts are
//! held in memory. A source that is fast alone is left alone. Refuses every part that is not exactly what was asked for;
//! the download then goes on with one connection, as after any other failure.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use linkgate_contract::AllowList;
use reqwest::StatusCode;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::attempts::refuse_encoded;
use super::hops::Hops;
use super::pace::Pace;
use super::retry::{Again, Failure};
use super::version::Version;
use crate::source::SourceError;

/// Files from this size on.
const FROM_BYTES: u64 = 64 << 20;
/// What one request asks for. Each has a connection of its own, so smaller parts would wait more than they read.
const PART_BYTES: u64 = 4 << 20;
/// So much is read before a source's speed is judged: long enough to be past a connection's slow start.
const PROBE_BYTES: u64 = 8 << 20;
/// Bytes per second at which one connection is fast enough: more of them would only compete.
const FAST_ENOUGH: u128 = 64 << 20;
/// What is given away at a time. Whoever queues pieces would queue whole parts otherwise.
const PIECE_BYTES: usize = 256 << 10;
/// Downloads of a store that read ahead at once.
pub(super) const PLACES: usize = 2;

/// Whether it is time to judge a download's speed, and it is slow.
pub(super) fn is_worth_it(bytes_in_parts: Option<u64>, given: u64, waited: Duration) -> bool {
    let is_large = bytes_in_parts.is_some_and(|total| total >= FROM_BYTES && given < total - PART_BYTES);
    is_large && given >= PROBE_BYTES && u128::from(given) * 1_000 < FAST_ENOUGH * waited.as_millis()
}

/// The parts of a file from some byte on.
pub(super) struct Ahead {
    parts: BoxStream<'static, Result<Bytes, Failure>>,
    /// What is left of the part that is being given away.
    ready: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Ahead {
    /// Begins to read ahead, if there is a place. Nothing is asked for before the first part is.
    pub(super) fn begin(hops: &Arc<Hops>, private: &AllowList, version: &Arc<Version>, from: u64) -> Option<Self> {
        let total = version.bytes_in_parts()?;
        let (place, at_once) = (hops.place_ahead()?, hops.config().parallel);
        let asker = Arc::new(Asker { hops: Arc::clone(hops), private: private.clone(), version: Arc::clone(version) });
        let parts = stream::iter(parts_of(from, total)).map(move |part| Arc::clone(&asker).read(part));
        Some(Self { parts: parts.buffered(at_once).boxed(), ready: Bytes::new(), _place: place })
    }

    /// The next bytes; `None` at the end of the file.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.ready.is_empty() {
            let Some(part) = self.parts.next().await else { return Ok(None) };
            self.ready = part?;
        }
        Ok(Some(self.ready.split_to(self.ready.len().min(PIECE_BYTES))))
    }
}

fn parts_of(from: u64, total: u64) -> impl Iterator<Item = RangeInclusive<u64>> + Send {
    let begin = move |n: u64| n.checked_mul(PART_BYTES)?.checked_add(from).filter(|at| *at < total);
    (0..).map_while(begin).map(move |at| at..=at.saturating_add(PART_BYTES).min(total) - 1)
}

/// What every part is asked for with.
struct Asker {
    hops: Arc<Hops>,
    private: AllowList,
    version: Arc<Version>,
}

impl Asker {
    async fn read(self: Arc<Self>, part: RangeInclusive<u64>) -> Result<Bytes, Failure> {
        self.read_exactly(&part).await.map_err(judged_by_one)
    }

    async fn read_exactly(&self, part: &RangeInclusive<u64>) -> Result<Bytes, Failure> {
        let headers = self.version.part(part).ok_or(SourceError::Changed)?;
        let mut answer = self.hops.ask(&self.version.url, &self.private, headers).await?;
        let len = part.end() - part.start() + 1;
        let is_it = self.version.goes_on_with(&answer, *part.start()) && answer.content_length() == Some(len);
        if answer.status() != StatusCode::PARTIAL_CONTENT || !is_it {
            return Err(Failure::of_status(&answer));
        }
        refuse_encoded(&answer)?;
        // Copied: held as they come, small pieces would each keep the network's whole buffer.
        let mut bytes = BytesMut::with_capacity(usize::try_from(len).unwrap_or_default());
        let mut pace = Pace::new(self.hops.config());
        loop {
            let begun = Instant::now();
            let Some(piece) = self.hops.chunk(&mut answer).await? else { return Ok(bytes.freeze()) };
            pace.count(piece.len(), begun.elapsed())?;
            bytes.extend_from_slice(&piece);
        }
    }
}

/// One connection may get what several do not. And it alone can tell a slow source from a slow reader, for parts go on only
/// while somebody waits for them.
fn judged_by_one(Failure { error, again }: Failure) -> Failure {
    match (&error, again) {
        (SourceError::Status { .. } | SourceError::TooSlow { .. }, Again::Never) => {
            Failure { error, again: Again::Later(None) }
        }
        _ => Failure { error, again },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_connections_do_not_get_is_judged_by_one_but_refusals_stay() {
        let again = |error: SourceError| judged_by_one(error.into()).again;
        let slow = SourceError::TooSlow { min_rate: 1, over: Duration::from_secs(1) };
        for passing in [SourceError::Status { status: 403 }, slow] {
            assert_eq!(again(passing), Again::Later(None));
        }
        let forbidden = SourceError::ForbiddenAddress { host: "x".into(), address: [10, 0, 0, 1].into() };
        for (error, want) in
            [(forbidden, Again::Never), (SourceError::Encoded, Again::Never), (SourceError::Changed, Again::Anew)]
        {
            assert_eq!(again(error), want);
        }
        let told = Failure { error: SourceError::Status { status: 503 }, again: Again::Later(Some(Duration::MAX)) };
        assert_eq!(judged_by_one(told).again, Again::Later(Some(Duration::MAX)));
    }

    #[test]
    fn only_a_large_file_of_a_slow_source_is_worth_it() {
        let (large, probed) = (Some(FROM_BYTES), PROBE_BYTES);
        let slow = Duration::from_millis(126);
        assert!(is_worth_it(large, probed, slow));
        assert!(is_worth_it(large, FROM_BYTES - PART_BYTES - 1, Duration::from_secs(9)));
        for (total, given, waited) in [
            (None, probed, slow),
            (Some(FROM_BYTES - 1), probed, slow),
            (large, probed - 1, slow),
            (large, probed, Duration::from_millis(125)),
            (large, probed, Duration::ZERO),
            (large, FROM_BYTES - PART_BYTES, Duration::from_secs(9)),
        ] {
            assert!(!is_worth_it(total, given, waited), "{total:?} {given} {waited:?}");
        }
    }

    #[test]
    fn parts_cover_the_rest_without_a_gap() {
        let list = |from, total| parts_of(from, total).collect::<Vec<_>>();
        assert_eq!(list(3, PART_BYTES + 3), [3..=PART_BYTES + 2]);
        assert_eq!(list(3, PART_BYTES + 4), [3..=PART_BYTES + 2, PART_BYTES + 3..=PART_BYTES + 3]);
        assert_eq!(list(7, 8), [7..=7]);
        assert!(list(8, 8).is_empty());
        let end = u64::MAX;
        assert_eq!(list(end - PART_BYTES - 1, end), [end - PART_BYTES - 1..=end - 2, end - 1..=end - 1]);
    }
}
