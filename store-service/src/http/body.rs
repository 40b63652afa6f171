//! Reads a request's body into memory.
//!
//! Promises: never more than the limit, whatever `Content-Length` says, and never longer than the timeout.

use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt as _};

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

pub(super) async fn read<D: Buf, E>(
    body: impl Stream<Item = Result<D, E>>,
    max_bytes: usize,
    patience: Duration,
) -> Result<Vec<u8>, BodyError> {
    tokio::time::timeout(patience, collect(body, max_bytes)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<D: Buf, E>(body: impl Stream<Item = Result<D, E>>, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = std::pin::pin!(body);
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|_| BodyError::Broken)?;
        if all.len() + piece.remaining() > max_bytes {
            return Err(BodyError::TooLarge);
        }
        while piece.has_remaining() {
            let part = piece.chunk();
            all.extend_from_slice(part);
            piece.advance(part.len());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    async fn read_pieces(pieces: &[&'static str], max: usize) -> Result<Vec<u8>, BodyError> {
        let pieces: Vec<Result<Bytes, ()>> = pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
        read(stream::iter(pieces), max, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
        assert_eq!(read_pieces(&["ab", "", "c"], 4).await.unwrap(), b"abc");
        assert_eq!(read_pieces(&["ab", "cd"], 4).await.unwrap(), b"abcd");
        assert_eq!(read_pieces(&["ab", "cde"], 4).await, Err(BodyError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let never = stream::pending::<Result<Bytes, ()>>();
        assert_eq!(read(never, 4, Duration::from_secs(1)).await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(())]);
        assert_eq!(read(broken, 4, Duration::from_secs(1)).await, Err(BodyError::Broken));
    }
}
