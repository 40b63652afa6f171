//! The body of one download, bounded in bytes and in time, over as many replies as it takes.
//!
//! Promises: the bytes that come after the last restart are those of one version of the file, in order and without a gap.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::ahead::{self, Ahead};
use super::attempts::{Attempts, Begun};
use super::pace::Pace;
use super::page::PageCheck;
use super::retry::{Again, Failure};
use super::version::Version;
use crate::source::{Chunk, Fetched, Phase, SourceError, SourceStream};

/// A body that is being read.
///
/// A body without a length that ends when the connection closes cannot be told from one that was cut off. It is given as it
/// is, and [`Fetched::has_marked_end`] says so.
pub struct Download {
    attempts: Attempts,
    /// None between two attempts: a source that takes one connection of ours at a time must take the next.
    answer: Option<Response>,
    version: Arc<Version>,
    /// Where the bytes come from instead, once the source is known to be slow by connection.
    ahead: Option<Ahead>,
    /// Bytes that were given away since the last restart.
    given: u64,
    page: PageCheck,
    pace: Pace,
    /// How long the source was waited for.
    waited: Duration,
}

impl Download {
    /// Asks until a body begins.
    pub(super) async fn begin(mut attempts: Attempts) -> Result<Self, SourceError> {
        let (version, answer) = match attempts.begin(None).await? {
            Begun::Whole(version, answer) => (version, answer),
            // Nobody asked for a rest.
            Begun::Rest(_) => return Err(SourceError::Changed),
        };
        let (page, pace) = (PageCheck::new(&answer), Pace::new(attempts.config()));
        Ok(Self { attempts, answer: Some(answer), version, ahead: None, given: 0, page, pace, waited: Duration::ZERO })
    }

    /// Reads on; `None` at the end of the whole file.
    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let begun = Instant::now();
        let next = async {
            match (&mut self.ahead, &mut self.answer) {
                (Some(ahead), _) => ahead.next().await,
                (None, Some(answer)) => Ok(self.attempts.chunk(answer).await?),
                // Only if it is read on after an error.
                (None, None) => Err(ended_early().into()),
            }
        };
        let chunk = timeout_at(self.attempts.deadline(), next)
            .await
            .map_err(|_| Failure::from(self.attempts.out_of_time()))??;
        self.waited += begun.elapsed();
        match &chunk {
            Some(bytes) => self.pace.count(bytes.len(), begun.elapsed())?,
            // A reply may hold less of the rest than was asked for.
            None if self.version.total_bytes.is_some_and(|total| self.given < total) => {
                return Err(ended_early().into());
            }
            None => {}
        }
        Ok(chunk)
    }

    /// Reads ahead from here on, if that is worth it.
    fn judge_speed(&mut self) {
        if self.ahead.is_none() && ahead::is_worth_it(self.version.bytes_in_parts(), self.given, self.waited) {
            self.ahead = self.attempts.read_ahead(&self.version, self.given);
            self.answer = self.answer.take().filter(|_| self.ahead.is_none());
        }
    }

    /// Judges bytes before they are given away.
    fn give(&mut self, bytes: Bytes) -> Result<Bytes, SourceError> {
        self.given += bytes.len() as u64;
        self.judge_speed();
        let limit_bytes = self.attempts.config().max_bytes;
        match self.attempts.size() {
            Some(expected) if self.given > expected => Err(SourceError::SizeMismatch { expected, found: None }),
            _ if self.given > limit_bytes => Err(SourceError::TooLarge { limit_bytes }),
            _ => self.page.look(&bytes).map(|()| bytes),
        }
    }

    /// Judges the whole.
    fn end(&self) -> Result<(), SourceError> {
        self.page.judge()?;
        match self.attempts.size() {
            Some(expected) if self.given != expected => {
                Err(SourceError::SizeMismatch { expected, found: Some(self.given) })
            }
            _ => Ok(()),
        }
    }

    /// Asks again after a failure; `true` if the file begins anew.
    async fn resume(&mut self, failure: Failure) -> Result<bool, SourceError> {
        let standing = (failure.again != Again::Anew).then_some((&*self.version, self.given));
        (self.answer, self.ahead) = (None, None);
        self.attempts.wait_after(failure).await?;
        let begun = self.attempts.begin(standing).await?;
        self.pace = Pace::new(self.attempts.config());
        match begun {
            Begun::Rest(answer) => self.answer = Some(answer),
            Begun::Whole(version, answer) => {
                self.page = PageCheck::new(&answer);
                (self.version, self.answer) = (version, Some(answer));
                return Ok(std::mem::take(&mut self.given) > 0);
            }
        }
        Ok(false)
    }
}

fn ended_early() -> SourceError {
    SourceError::Transport { phase: Phase::Body, cause: "it ended early".into() }
}

impl SourceStream for Download {
    async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        loop {
            let failure = match self.read().await {
                Ok(Some(bytes)) => return self.give(bytes).map(|bytes| Some(Chunk::Data(bytes))),
                Ok(None) => return self.end().map(|()| None),
                Err(failure) => failure,
            };
            if self.resume(failure).await? {
                return Ok(Some(Chunk::Restart));
            }
        }
    }

    fn fetched(&self) -> Fetched {
        self.version.fetched()
    }
}
