//! Uploads by link that have begun: asked for, cancelled, and watched to their end.

use std::collections::VecDeque;
use std::time::Duration;

use linkgate_contract::{JobDocument, JobId, JobPage, JobState, ModuleRef};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};
use tokio::time::{Instant, sleep, timeout};

use crate::call::Call;
use crate::client::{Client, SILENCE};
use crate::error::Error;
use crate::event_stream::EventParser;
use crate::refusal::Refusal;
use crate::retry::Repeatable;

/// How long a watch goes on without a word: longer than a store takes to start again.
const QUIET_LIMIT: Duration = Duration::from_secs(600);
/// Between two questions, where events are not to be had.
const POLL: Duration = Duration::from_secs(5);

/// A job as it changes, until it has ended.
///
/// Promises: goes on over connections that break and stores that start again; the last document is that of the end.
/// Gives up when nothing was heard for ten minutes.
pub struct JobWatch<'a> {
    client: &'a Client,
    module: ModuleRef,
    id: JobId,
    stream: Option<Response>,
    parser: EventParser,
    ready: VecDeque<JobDocument>,
    heard: Instant,
    failures: u32,
    has_ended: bool,
}

impl Client {
    /// An upload by link as it is now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_job(&self, module: &ModuleRef, id: JobId) -> Result<JobDocument, Error> {
        self.fetch(&Call::get(module, format!("link/{id}/"))).await
    }

    /// The uploads by link of a module, under way or ended, the latest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_jobs(&self, module: &ModuleRef, limit: Option<u32>) -> Result<JobPage, Error> {
        let call = Call::get(module, "link/").query("limit", limit);
        self.fetch(&call.header("prefer", Some("handling=strict"))?).await
    }

    /// Cancels an upload by link; the document says how it ended, which may be otherwise.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_job(&self, module: &ModuleRef, id: JobId) -> Result<JobDocument, Error> {
        self.fetch(&Call::new(Method::DELETE, module, format!("link/{id}/"))).await
    }

    /// Watches an upload by link.
    #[must_use]
    pub fn watch_job(&self, module: &ModuleRef, id: JobId) -> JobWatch<'_> {
        JobWatch {
            client: self,
            module: module.clone(),
            id,
            stream: None,
            parser: EventParser::default(),
            ready: VecDeque::new(),
            heard: Instant::now(),
            failures: 0,
            has_ended: false,
        }
    }
}

impl JobWatch<'_> {
    /// The next document, as soon as there is one; `None` behind that of the end.
    ///
    /// # Errors
    /// See [`Error`]; the job goes on all the same, and can be watched again.
    pub async fn next(&mut self) -> Result<Option<JobDocument>, Error> {
        loop {
            if let Some(document) = self.ready.pop_front() {
                self.has_ended = has_ended(document.state);
                return Ok(Some(document));
            }
            if self.has_ended {
                return Ok(None);
            }
            match self.read_some().await {
                Ok(()) => {}
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Watches to the end; `Ok` is a job that is done.
    ///
    /// # Errors
    /// [`Error::JobEnded`] if it ended otherwise.
    pub async fn finish(mut self, mut tell: impl FnMut(&JobDocument)) -> Result<JobDocument, Error> {
        let mut last = None;
        while let Some(document) = self.next().await? {
            tell(&document);
            last = Some(document);
        }
        match last {
            Some(document) if document.state == JobState::Done => Ok(document),
            Some(document) => Err(Error::JobEnded(Box::new(document))),
            None => Err(self.client.not_ours("no word of the job".to_owned())),
        }
    }

    /// Reads a piece of the stream, which is opened if there is none.
    async fn read_some(&mut self) -> Result<(), Error> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let piece = timeout(SILENCE, stream.chunk()).await.map_err(|_| self.client.timed_out(SILENCE))?;
        let Some(piece) = piece.map_err(|error| Error::of_transport(error, self.client.host()))? else {
            // A store that stops ends its streams; one that knows the job from its records says what it knows, and no
            // more.
            if has_ended_in(&self.ready) {
                return Ok(());
            }
            sleep(self.client.settings().retries.first_pause * 4).await;
            return Err(self.ended());
        };
        let mut found = Vec::new();
        self.parser.feed(&piece, &mut found)?;
        for data in found {
            let document = serde_json::from_str(&data);
            let document = document.map_err(|error| self.client.not_ours(format!("an odd event ({error})")))?;
            self.hear(document);
        }
        self.stream = Some(stream);
        Ok(())
    }

    async fn open(&mut self) -> Result<Response, Error> {
        self.parser = EventParser::default();
        let call = Call::get(&self.module, format!("link/{}/", self.id))
            .header("accept", Some("text/event-stream"))?
            .repeatable(Repeatable::Never);
        let response = self.client.send_once(&call).await?;
        let media_type = response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
        if media_type.is_some_and(|value| value.starts_with(b"text/event-stream")) {
            Ok(response)
        } else {
            Err(self.client.not_ours("no events where events were asked for".to_owned()))
        }
    }

    fn hear(&mut self, document: JobDocument) {
        (self.heard, self.failures) = (Instant::now(), 0);
        self.ready.push_back(document);
    }

    /// Waits before the stream is opened again; fails if that is of no use.
    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        let retry_after = match &error {
            Error::Unreachable { .. } | Error::BrokenOff { .. } | Error::TimedOut { .. } => None,
            Error::Refused(refusal) if matches!(refusal.status, 500 | 502..=504) => refusal.retry_after,
            Error::Refused(refusal) if refusal.status == 429 => return self.poll(refusal, &error).await,
            _ => return Err(error),
        };
        if self.heard.elapsed() > QUIET_LIMIT {
            return Err(error);
        }
        let pause = retry_after.unwrap_or_else(|| self.client.settings().retries.backoff(self.failures)).min(POLL * 6);
        self.client.notify(&error, pause, self.failures);
        sleep(pause).await;
        Ok(())
    }

    /// Asks for the document instead, where as many watch as may.
    async fn poll(&mut self, refusal: &Refusal, error: &Error) -> Result<(), Error> {
        let pause = refusal.retry_after.unwrap_or(POLL);
        self.client.notify(error, pause, self.failures);
        sleep(pause.max(Duration::from_millis(50))).await;
        let document = self.client.get_job(&self.module, self.id).await?;
        self.hear(document);
        Ok(())
    }

    fn ended(&self) -> Error {
        Error::BrokenOff { host: self.client.host().to_owned(), reason: "the events ended before the job".to_owned() }
    }
}

fn has_ended_in(ready: &VecDeque<JobDocument>) -> bool {
    ready.back().is_some_and(|document| has_ended(document.state))
}

fn has_ended(state: JobState) -> bool {
    match state {
        JobState::Queued | JobState::Fetching | JobState::Storing => false,
        JobState::Done | JobState::Failed | JobState::Cancelled => true,
    }
}
