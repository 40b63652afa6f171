//! The attempts of one download.
//!
//! Promises: at most [`MAX_ATTEMPTS`] requests for the file in all, redirects not counted, whatever they broke on, and all of
//! them within one deadline; a wait that would outlast the deadline is not begun.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use linkgate_contract::{AllowList, PackageUrl};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;

use super::exchange::Response;
use super::range_fetcher::{RangeFetcher, RangePermits};
use super::redirects::{FinalResponse, RedirectFollower, refuse_encoded_body};
use super::representation::Representation;
use super::retry::{self, FailedAttempt, RetryPolicy};
use crate::config::FetchConfig;
use crate::credentials::DownloadCredential;
use crate::source::chain;
use crate::source::{FetchRequest, Phase, Progress, SourceError};

/// How often the file is asked for.
pub const MAX_ATTEMPTS: u32 = 4;

/// What is asked for, how often it was, and until when it may be.
pub(super) struct Attempts {
    follower: Arc<RedirectFollower>,
    range_permits: RangePermits,
    url: PackageUrl,
    private: AllowList,
    credential: Option<Arc<DownloadCredential>>,
    size: Option<u64>,
    deadline: Instant,
    made: u32,
    /// How long heads may still be waited for.
    head_time: Duration,
    progress: Arc<Progress>,
}

/// A body that begins.
pub(super) enum StartedBody {
    /// That of the whole file.
    Whole(Arc<Representation>, Response),
    /// That of what was missing of the version that was named.
    Rest(Response),
}

impl Attempts {
    pub(super) fn new(
        follower: Arc<RedirectFollower>,
        range_permits: RangePermits,
        request: FetchRequest<'_>,
        credential: Option<Arc<DownloadCredential>>,
    ) -> Self {
        let (url, private, size) = (request.url.clone(), request.private.clone(), request.size);
        let deadline = Instant::now() + follower.config().total_timeout;
        let (head_time, progress) = (follower.config().head_timeout, Arc::clone(request.progress));
        Self { follower, range_permits, url, private, credential, size, deadline, made: 0, head_time, progress }
    }

    pub(super) fn config(&self) -> &FetchConfig {
        self.follower.config()
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Begins to fetch ranges of a file, unless an attempt failed: a source that breaks gets one connection.
    pub(super) fn fetch_ranges(&self, representation: &Arc<Representation>, from: u64) -> Option<RangeFetcher> {
        let may = self.made == 1 && self.config().parallel > 1;
        may.then(|| RangeFetcher::begin(&self.follower, &self.range_permits, &self.private, representation, from))?
    }

    /// The next bytes of a reply.
    pub(super) async fn read_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, SourceError> {
        self.follower.read_chunk(response).await
    }

    /// The time of the whole download is over.
    pub(super) fn timed_out_error(&self) -> SourceError {
        SourceError::TimedOut { phase: Phase::Whole, after: self.config().total_timeout }
    }

    /// Asks until a body begins: for the rest of a version of which so many bytes are there, while that can be had, else
    /// for the whole.
    pub(super) async fn begin(
        &mut self,
        mut received: Option<(&Representation, u64)>,
    ) -> Result<StartedBody, SourceError> {
        loop {
            self.made += 1;
            self.progress.count_attempt();
            let failure = match self.request_in_time(received).await {
                Ok(begun) => return Ok(begun),
                Err(failure) => failure,
            };
            if failure.retry == RetryPolicy::FromStart {
                received = None;
            }
            self.wait_after(failure).await?;
        }
    }

    /// Asks once, for as long as heads may still be waited for: a source that says nothing, or a little at a time, holds an
    /// upload for that long only, however often it is asked.
    async fn request_in_time(
        &mut self,
        received: Option<(&Representation, u64)>,
    ) -> Result<StartedBody, FailedAttempt> {
        let begun = Instant::now();
        let until = self.deadline.min(begun + self.head_time);
        let asked = timeout_at(until, self.request_body(received)).await;
        self.head_time = self.head_time.saturating_sub(begun.elapsed());
        asked.unwrap_or_else(|_| {
            Err(if until < self.deadline { self.head_late_error() } else { self.timed_out_error() }.into())
        })
    }

    fn head_late_error(&self) -> SourceError {
        SourceError::TimedOut { phase: Phase::Head, after: self.config().head_timeout }
    }

    /// Waits until the next attempt is due.
    ///
    /// # Errors
    /// The failure's own, if there is no next one.
    pub(super) async fn wait_after(&self, FailedAttempt { error, retry }: FailedAttempt) -> Result<(), SourceError> {
        let not_before = match retry {
            RetryPolicy::Never => return Err(error),
            RetryPolicy::After(wait) => wait.unwrap_or_default(),
            RetryPolicy::FromStart => Duration::ZERO,
        };
        let wait = retry::compute_backoff(self.config().retry_delay, self.made, retry::random_jitter()).max(not_before);
        let is_in_time = Instant::now().checked_add(wait).is_some_and(|then| then < self.deadline);
        if self.made >= MAX_ATTEMPTS || !is_in_time || self.head_time.is_zero() {
            return Err(error);
        }
        let (attempt, error) = (self.made, chain(&error));
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        info!(package.url = %self.url, fetch.attempt = attempt, fetch.wait_ms = wait_ms, error, "Download attempt failed; trying again");
        sleep(wait).await;
        Ok(())
    }

    async fn request_body(&self, received: Option<(&Representation, u64)>) -> Result<StartedBody, FailedAttempt> {
        if let Some((representation, at)) = received
            && let Some(headers) = representation.headers_for_rest(at)
        {
            return self.request_rest(representation, at, headers).await;
        }
        let last = self.follower.follow_redirects(&self.url, &self.private, self.credential.clone()).await?;
        if last.response.status() != StatusCode::OK {
            return Err(FailedAttempt::from_status(&last.response, last.credential.as_deref()));
        }
        self.start_whole(last)
    }

    async fn request_rest(
        &self,
        representation: &Representation,
        at: u64,
        headers: HeaderMap,
    ) -> Result<StartedBody, FailedAttempt> {
        let response = self.follower.send_request(&representation.url, &self.private, headers).await?;
        match response.status() {
            StatusCode::OK => {
                let (url, credential) = (representation.url.clone(), representation.credential.clone());
                self.start_whole(FinalResponse { url, response, credential })
            }
            StatusCode::PARTIAL_CONTENT if representation.is_continued_by(&response, at) => {
                refuse_encoded_body(&response)?;
                Ok(StartedBody::Rest(response))
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Err(SourceError::Changed.into()),
            _ => Err(match FailedAttempt::from_status(&response, representation.credential.as_deref()) {
                // A mirror that no longer gives it, or a signed link that has expired: the first link knows where to go now.
                FailedAttempt { error: error @ SourceError::Status { .. }, retry: RetryPolicy::Never } => {
                    FailedAttempt { error, retry: RetryPolicy::FromStart }
                }
                failed => failed,
            }),
        }
    }

    fn start_whole(&self, last: FinalResponse) -> Result<StartedBody, FailedAttempt> {
        let FinalResponse { url, response, credential } = last;
        refuse_encoded_body(&response)?;
        let limit_bytes = self.config().max_bytes;
        match (response.content_length(), self.size) {
            (Some(announced), Some(expected)) if announced != expected => {
                Err(SourceError::SizeMismatch { expected, found: Some(announced) }.into())
            }
            (Some(announced), _) if announced > limit_bytes => Err(SourceError::TooLarge { limit_bytes }.into()),
            (announced, _) => {
                self.progress.set_total(announced);
                let representation = Representation::from_response(url, credential, &response);
                Ok(StartedBody::Whole(Arc::new(representation), response))
            }
        }
    }
}
