//! The attempts of one download.
//!
//! Promises: at most [`MAX_ATTEMPTS`] requests for the file in all, redirects aside, whatever they broke on, and all of
//! them within one deadline; a wait that would outlast the deadline is not begun.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use linkgate_contract::{AllowList, PackageUrl};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, TRANSFER_ENCODING};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;

use super::ahead::Ahead;
use super::hops::{Hops, Reached};
use super::retry::{self, Again, Failure};
use super::version::Version;
use crate::config::FetchConfig;
use crate::source::chain;
use crate::source::{Phase, Progress, SourceError, Wanted};

/// How often the file is asked for.
pub const MAX_ATTEMPTS: u32 = 4;

/// What is asked for, how often it was, and until when it may be.
pub(super) struct Attempts {
    hops: Arc<Hops>,
    url: PackageUrl,
    private: AllowList,
    size: Option<u64>,
    deadline: Instant,
    made: u32,
    progress: Arc<Progress>,
}

/// A body that begins.
pub(super) enum Begun {
    /// That of the whole file.
    Whole(Arc<Version>, Response),
    /// That of what was missing of the version that was named.
    Rest(Response),
}

impl Attempts {
    pub(super) fn new(hops: Arc<Hops>, wanted: Wanted<'_>) -> Self {
        let (url, private, size) = (wanted.url.clone(), wanted.private.clone(), wanted.size);
        let deadline = Instant::now() + hops.config().total_timeout;
        Self { hops, url, private, size, deadline, made: 0, progress: Arc::clone(wanted.progress) }
    }

    pub(super) fn config(&self) -> &FetchConfig {
        self.hops.config()
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Begins to read ahead in a file, unless an attempt failed: a source that breaks gets one connection.
    pub(super) fn read_ahead(&self, version: &Arc<Version>, from: u64) -> Option<Ahead> {
        let may = self.made == 1 && self.config().parallel > 1;
        may.then(|| Ahead::begin(&self.hops, &self.private, version, from))?
    }

    /// The next bytes of a reply.
    pub(super) async fn chunk(&self, answer: &mut Response) -> Result<Option<Bytes>, SourceError> {
        self.hops.chunk(answer).await
    }

    /// The time of the whole download is over.
    pub(super) fn out_of_time(&self) -> SourceError {
        SourceError::TimedOut { phase: Phase::Whole, after: self.config().total_timeout }
    }

    /// Asks until a body begins: for the rest of a version of which so many bytes are there, while that can be had, else
    /// for the whole.
    pub(super) async fn begin(&mut self, mut standing: Option<(&Version, u64)>) -> Result<Begun, SourceError> {
        loop {
            self.made += 1;
            self.progress.count_attempt();
            let asked = timeout_at(self.deadline, self.ask(standing)).await;
            let failure = match asked.unwrap_or_else(|_| Err(self.out_of_time().into())) {
                Ok(begun) => return Ok(begun),
                Err(failure) => failure,
            };
            if failure.again == Again::Anew {
                standing = None;
            }
            self.wait_after(failure).await?;
        }
    }

    /// Waits until the next attempt is due.
    ///
    /// # Errors
    /// The failure's own, if there is no next one.
    pub(super) async fn wait_after(&self, Failure { error, again }: Failure) -> Result<(), SourceError> {
        let not_before = match again {
            Again::Never => return Err(error),
            Again::Later(wait) => wait.unwrap_or_default(),
            Again::Anew => Duration::ZERO,
        };
        let wait = retry::back_off(self.config().retry_delay, self.made, retry::spread()).max(not_before);
        let is_in_time = Instant::now().checked_add(wait).is_some_and(|then| then < self.deadline);
        if self.made >= MAX_ATTEMPTS || !is_in_time {
            return Err(error);
        }
        let (attempt, error) = (self.made, chain(&error));
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        info!(package.url = %self.url, fetch.attempt = attempt, fetch.wait_ms = wait_ms, error, "A download is tried again");
        sleep(wait).await;
        Ok(())
    }

    async fn ask(&self, standing: Option<(&Version, u64)>) -> Result<Begun, Failure> {
        if let Some((version, at)) = standing
            && let Some(headers) = version.rest_from(at)
        {
            return self.ask_for_rest(version, at, headers).await;
        }
        let Reached { url, answer } = self.hops.follow(&self.url, &self.private).await?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::of_status(&answer));
        }
        self.take_whole(url, answer)
    }

    async fn ask_for_rest(&self, version: &Version, at: u64, headers: HeaderMap) -> Result<Begun, Failure> {
        let answer = self.hops.ask(&version.url, &self.private, headers).await?;
        match answer.status() {
            StatusCode::OK => self.take_whole(version.url.clone(), answer),
            StatusCode::PARTIAL_CONTENT if version.goes_on_with(&answer, at) => {
                refuse_encoded(&answer)?;
                Ok(Begun::Rest(answer))
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Err(SourceError::Changed.into()),
            status if retry::is_passing(status) => Err(Failure::of_status(&answer)),
            // A mirror that no longer gives it, or a signed link that has expired: the first link knows where to go now.
            _ => Err(Failure { again: Again::Anew, ..Failure::of_status(&answer) }),
        }
    }

    fn take_whole(&self, url: PackageUrl, answer: Response) -> Result<Begun, Failure> {
        refuse_encoded(&answer)?;
        let limit_bytes = self.config().max_bytes;
        match (answer.content_length(), self.size) {
            (Some(announced), Some(expected)) if announced != expected => {
                Err(SourceError::SizeMismatch { expected, found: Some(announced) }.into())
            }
            (Some(announced), _) if announced > limit_bytes => Err(SourceError::TooLarge { limit_bytes }.into()),
            (announced, _) => {
                self.progress.set_total(announced);
                Ok(Begun::Whole(Arc::new(Version::of(url, &answer)), answer))
            }
        }
    }
}

/// We asked for the bytes as they are; anything else would be hashed and kept in a form nobody named.
pub(super) fn refuse_encoded(answer: &Response) -> Result<(), SourceError> {
    let other_than =
        |name, plain: &[u8]| answer.headers().get_all(name).iter().any(|v| !v.as_bytes().eq_ignore_ascii_case(plain));
    if other_than(CONTENT_ENCODING, b"identity") || other_than(TRANSFER_ENCODING, b"chunked") {
        return Err(SourceError::Encoded);
    }
    Ok(())
}
