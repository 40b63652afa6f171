//! The body of one download, bounded in bytes and in time, over as many replies as it takes.
//!
//! Promises: the bytes that come after the last restart are those of one version of the file, in order and without a gap.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::attempts::{Attempts, StartedBody};
use super::exchange::Response;
use super::page::PageCheck;
use super::range_fetcher::{RangeFetcher, is_worth_fetching_ranges};
use super::representation::Representation;
use super::retry::{FailedAttempt, RetryPolicy};
use crate::min_rate::MinRate;
use crate::source::{Chunk, Fetched, Phase, SourceError, SourceStream, Unreachable};

/// A body that is being read.
///
/// A body without a length that ends when the connection closes cannot be told from one that was cut off. It is given as it
/// is, and [`Fetched::has_marked_end`] says so.
pub struct Download {
    attempts: Attempts,
    /// None between two attempts: a source that takes one connection of ours at a time must take the next.
    response: Option<Response>,
    representation: Arc<Representation>,
    /// Where the bytes come from instead, once the source is known to be slow by connection.
    ranges: Option<RangeFetcher>,
    /// Bytes that were given away since the last restart.
    given: u64,
    page: PageCheck,
    min_rate: MinRate,
    /// How long the source was waited for.
    waited: Duration,
}

impl Download {
    /// Asks until a body begins.
    pub(super) async fn begin(mut attempts: Attempts) -> Result<Self, SourceError> {
        let (representation, response) = match attempts.begin(None).await? {
            StartedBody::Whole(representation, response) => (representation, response),
            // Nobody asked for a rest.
            StartedBody::Rest(_) => return Err(SourceError::Changed),
        };
        let (page, min_rate) = (PageCheck::new(&response), attempts.config().begin_min_rate());
        Ok(Self {
            attempts,
            response: Some(response),
            representation,
            ranges: None,
            given: 0,
            page,
            min_rate,
            waited: Duration::ZERO,
        })
    }

    /// Reads on; `None` at the end of the whole file.
    async fn read_next(&mut self) -> Result<Option<Bytes>, FailedAttempt> {
        let begun = Instant::now();
        let next = async {
            match (&mut self.ranges, &mut self.response) {
                (Some(ranges), _) => ranges.next_bytes().await,
                (None, Some(response)) => Ok(self.attempts.read_chunk(response).await?),
                // Only if it is read on after an error.
                (None, None) => Err(ended_early().into()),
            }
        };
        let chunk = timeout_at(self.attempts.deadline(), next)
            .await
            .map_err(|_| FailedAttempt::from(self.attempts.timed_out_error()))??;
        self.waited += begun.elapsed();
        match &chunk {
            Some(bytes) => self.min_rate.record_bytes(bytes.len(), begun.elapsed())?,
            // A reply may hold less of the rest than was asked for.
            None if self.representation.total_bytes.is_some_and(|total| self.given < total) => {
                return Err(ended_early().into());
            }
            None => {}
        }
        Ok(chunk)
    }

    /// Fetches ranges from here on, if that is worth it.
    fn switch_to_ranges_if_slow(&mut self) {
        if self.ranges.is_none()
            && is_worth_fetching_ranges(self.representation.bytes_in_ranges(), self.given, self.waited)
        {
            self.ranges = self.attempts.fetch_ranges(&self.representation, self.given);
            self.response = self.response.take().filter(|_| self.ranges.is_none());
        }
    }

    /// Judges bytes before they are given away.
    fn check_bytes(&mut self, bytes: Bytes) -> Result<Bytes, SourceError> {
        self.given += bytes.len() as u64;
        self.switch_to_ranges_if_slow();
        let limit_bytes = self.attempts.config().max_bytes;
        match self.attempts.size() {
            Some(expected) if self.given > expected => Err(SourceError::SizeMismatch { expected, found: None }),
            _ if self.given > limit_bytes => Err(SourceError::TooLarge { limit_bytes }),
            _ => self.page.push_bytes(&bytes).map(|()| bytes),
        }
    }

    /// Judges the whole.
    fn check_end(&self) -> Result<(), SourceError> {
        self.page.judge()?;
        match self.attempts.size() {
            Some(expected) if self.given != expected => {
                Err(SourceError::SizeMismatch { expected, found: Some(self.given) })
            }
            _ => Ok(()),
        }
    }

    /// Asks again after a failure; `true` if the file begins anew.
    async fn resume(&mut self, failure: FailedAttempt) -> Result<bool, SourceError> {
        let received = (failure.retry != RetryPolicy::FromStart).then_some((&*self.representation, self.given));
        (self.response, self.ranges) = (None, None);
        self.attempts.wait_after(failure).await?;
        let begun = self.attempts.begin(received).await?;
        self.min_rate = self.attempts.config().begin_min_rate();
        match begun {
            StartedBody::Rest(response) => self.response = Some(response),
            StartedBody::Whole(representation, response) => {
                self.page = PageCheck::new(&response);
                (self.representation, self.response) = (representation, Some(response));
                return Ok(std::mem::take(&mut self.given) > 0);
            }
        }
        Ok(false)
    }
}

fn ended_early() -> SourceError {
    SourceError::Transport { phase: Phase::Body, reason: Unreachable::BrokeOff, cause: "it ended early".into() }
}

impl SourceStream for Download {
    async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        loop {
            let failure = match self.read_next().await {
                Ok(Some(bytes)) => return self.check_bytes(bytes).map(|bytes| Some(Chunk::Data(bytes))),
                Ok(None) => return self.check_end().map(|()| None),
                Err(failure) => failure,
            };
            if self.resume(failure).await? {
                return Ok(Some(Chunk::Restart));
            }
        }
    }

    fn fetched(&self) -> Fetched {
        self.representation.fetched()
    }
}
