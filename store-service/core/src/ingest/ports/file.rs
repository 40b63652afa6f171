//! Files that callers send.

use std::time::Duration;

use bytes::Bytes;
use linkgate_contract::Problem;

use crate::ingest::FileRequest;

/// The bytes of a package that its caller sends, in order, and what is said of it beside them.
pub trait FileBody: Send + 'static {
    /// What comes next; `None` once the whole file has come.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, FileError>> + Send;
    /// What is asked for, once the whole file has come: a form may go on behind its file.
    fn end(&mut self) -> impl Future<Output = Result<FileRequest, FileError>> + Send;
}

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The caller went away, or sent something that is not HTTP.
    #[error("the body broke off")]
    Broken,
    /// Nothing came.
    #[error("no byte came for {0:?}")]
    Silent(Duration),
    /// Bytes come, but too few.
    #[error("it came with less than {min_rate} bytes per second for {over:?}")]
    TooSlow {
        /// Bytes per second that are due.
        min_rate: u64,
        /// For how long they were not met.
        over: Duration,
    },
    /// It takes too long.
    #[error("it took over {0:?}")]
    TimedOut(Duration),
    /// More bytes than a package may have.
    #[error("it has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// More or fewer bytes than were announced.
    #[error("it has another size: expected {expected} bytes, got {}", found.map_or("more".to_owned(), |n| n.to_string()))]
    SizeMismatch {
        /// What was announced.
        expected: u64,
        /// What came; `None` if it was cut off when it became more.
        found: Option<u64>,
    },
    /// What came around it cannot be read, or is wrong.
    #[error("its request is refused: {:?}", .0.code())]
    Refused(Problem),
}
