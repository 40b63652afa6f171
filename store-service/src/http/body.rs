//! A request's body: passed on while it comes, or read into memory.
//!
//! Promises: never more than the limit in memory, whatever `Content-Length` says, and never longer than the timeout.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt as _};

/// A body that has not been read yet.
pub(super) struct IncomingBody(Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is over the limit")]
    TooLarge,
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
}

impl IncomingBody {
    /// Takes what the server gives; whatever its errors say, the body is broken then.
    pub(super) fn new<D: Buf, E>(pieces: impl Stream<Item = Result<D, E>> + Send + 'static) -> Self {
        let whole = |mut piece: D| piece.copy_to_bytes(piece.remaining());
        Self(Box::pin(pieces.map(move |piece| piece.map(whole).map_err(|_| BodyError::Broken))))
    }

    /// Reads it to its end.
    pub(super) async fn read_whole(self, max_bytes: usize, within: Duration) -> Result<Vec<u8>, BodyError> {
        tokio::time::timeout(within, self.collect(max_bytes)).await.unwrap_or(Err(BodyError::TooSlow))
    }

    async fn collect(mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let mut all = Vec::new();
        while let Some(piece) = self.0.next().await {
            let piece = piece?;
            if all.len() + piece.len() > max_bytes {
                return Err(BodyError::TooLarge);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn read_pieces(pieces: &[&'static str], max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let pieces: Vec<Result<Bytes, ()>> = pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
        IncomingBody::new(stream::iter(pieces)).read_whole(max_bytes, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
        assert_eq!(read_pieces(&["ab", "", "c"], 4).await.unwrap(), b"abc");
        assert_eq!(read_pieces(&["ab", "cd"], 4).await.unwrap(), b"abcd");
        assert_eq!(read_pieces(&["ab", "cde"], 4).await, Err(BodyError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let never = IncomingBody::new(stream::pending::<Result<Bytes, ()>>());
        assert_eq!(never.read_whole(4, Duration::from_secs(1)).await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = IncomingBody::new(stream::iter([Ok(Bytes::from_static(b"{")), Err(())]));
        assert_eq!(broken.read_whole(4, Duration::from_secs(1)).await, Err(BodyError::Broken));
    }
}
