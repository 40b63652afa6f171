//! A request's body: passed on while it comes, or read into memory.
//!
//! Promises: never more than the limit in memory, whatever `Content-Length` says, never more than what its caller may have
//! there with all of its requests, and never longer than the timeout.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt as _};
use linkgate_store_core::budget::{Exhausted, Permit};
use sync_wrapper::SyncWrapper;

/// A body that has not been read yet. Handlers that read none of it may be shared among threads.
pub(super) struct IncomingBody(SyncWrapper<Pieces>);

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is over the limit")]
    TooLarge,
    #[error("there are too many bodies: {0}")]
    TooMany(#[from] Exhausted),
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
}

impl IncomingBody {
    /// Takes what the server gives; whatever its errors say, the body is broken then.
    pub(super) fn new<D: Buf, E>(pieces: impl Stream<Item = Result<D, E>> + Send + 'static) -> Self {
        let whole = |mut piece: D| piece.copy_to_bytes(piece.remaining());
        Self(SyncWrapper::new(Box::pin(pieces.map(move |piece| piece.map(whole).map_err(|_| BodyError::Broken)))))
    }

    /// What comes next; `None` at its end.
    pub(super) async fn next_piece(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.0.get_mut().next().await
    }

    /// Reads it to its end. The permit grows with it.
    pub(super) async fn read_whole(
        self,
        max_bytes: usize,
        within: Duration,
        permit: &mut Permit,
    ) -> Result<Vec<u8>, BodyError> {
        tokio::time::timeout(within, self.collect(max_bytes, permit)).await.unwrap_or(Err(BodyError::TooSlow))
    }

    async fn collect(mut self, max_bytes: usize, permit: &mut Permit) -> Result<Vec<u8>, BodyError> {
        let mut all = Vec::new();
        while let Some(piece) = self.0.get_mut().next().await {
            let piece = piece?;
            if all.len() + piece.len() > max_bytes {
                return Err(BodyError::TooLarge);
            }
            permit.grow(piece.len())?;
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::stream;
    use linkgate_store_core::budget::{Bounds, Budget, Owner};

    use super::*;

    fn share(bytes: usize) -> Permit {
        let budget = Budget::new(Bounds { per_owner: bytes, in_sum: bytes });
        budget.take(Owner::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0).unwrap()
    }

    async fn read_with(body: IncomingBody, max_bytes: usize, share_bytes: usize) -> Result<Vec<u8>, BodyError> {
        body.read_whole(max_bytes, Duration::from_secs(1), &mut share(share_bytes)).await
    }

    fn pieces(pieces: &[&'static str]) -> IncomingBody {
        let pieces: Vec<Result<Bytes, ()>> = pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
        IncomingBody::new(stream::iter(pieces))
    }

    async fn read_pieces(all: &[&'static str], max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        read_with(pieces(all), max_bytes, usize::MAX).await
    }

    #[tokio::test]
    async fn a_body_takes_no_more_than_what_its_caller_has_left() {
        assert_eq!(read_with(pieces(&["ab", "cd"]), 9, 4).await.unwrap(), b"abcd");
        let over = read_with(pieces(&["ab", "cd"]), 9, 3).await;
        assert_eq!(over, Err(BodyError::TooMany(Exhausted::Owner { bound: 3 })));
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
        assert_eq!(read_with(never, 4, 4).await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = IncomingBody::new(stream::iter([Ok(Bytes::from_static(b"{")), Err(())]));
        assert_eq!(read_with(broken, 4, 4).await, Err(BodyError::Broken));
    }
}
