//! The body of one download, bounded in bytes and in time.

use bytes::Bytes;
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use crate::config::FetchConfig;
use crate::link::ports::{Phase, SourceError, SourceStream};

/// A body that is being read.
///
/// A body without a length that ends when the connection closes cannot be told from one that was cut off; it is taken as
/// it is, as every HTTP client does.
pub struct Download {
    answer: Response,
    left_bytes: u64,
    limit_bytes: u64,
    idle: std::time::Duration,
    total: std::time::Duration,
    deadline: Instant,
}

impl Download {
    /// Takes over a reply; refuses at once what announces itself as too large.
    pub(super) fn new(answer: Response, config: &FetchConfig, deadline: Instant) -> Result<Self, SourceError> {
        let limit_bytes = config.max_bytes;
        if answer.content_length().is_some_and(|announced| announced > limit_bytes) {
            return Err(SourceError::TooLarge { limit_bytes });
        }
        let (idle, total) = (config.idle_timeout, config.total_timeout);
        Ok(Self { answer, left_bytes: limit_bytes, limit_bytes, idle, total, deadline })
    }

    fn timed_out(&self) -> SourceError {
        if Instant::now() >= self.deadline {
            SourceError::TimedOut { phase: Phase::Whole, after: self.total }
        } else {
            SourceError::TimedOut { phase: Phase::Body, after: self.idle }
        }
    }
}

impl SourceStream for Download {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let patience = self.deadline.min(Instant::now() + self.idle);
        let chunk = match timeout_at(patience, self.answer.chunk()).await {
            Ok(chunk) => {
                chunk.map_err(|e| SourceError::Transport { phase: Phase::Body, cause: e.without_url().into() })?
            }
            Err(_) => return Err(self.timed_out()),
        };
        let Some(bytes) = chunk else { return Ok(None) };
        match self.left_bytes.checked_sub(bytes.len() as u64) {
            Some(left) => self.left_bytes = left,
            None => return Err(SourceError::TooLarge { limit_bytes: self.limit_bytes }),
        }
        Ok(Some(bytes))
    }
}
