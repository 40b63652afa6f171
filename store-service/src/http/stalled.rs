//! A connection whose peer must read what is sent to it.
//!
//! Promises: while something waits to be written, at least [`AT_LEAST`] bytes go out in each interval of the limit, or all
//! that waits does; else the next write fails and the connection ends, with whatever it holds. A peer that reads costs
//! nothing: no timer runs until a write has to wait.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Fewer are as good as none: a peer could read one now and then, and hold its place for good.
const AT_LEAST: usize = 64 << 10;

/// A connection that is watched.
pub(super) struct Watched<S> {
    stream: S,
    limit: Duration,
    /// Runs since a write had to wait.
    wait: Option<Pin<Box<Sleep>>>,
    /// Written since then.
    written: usize,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, wait: None, written: 0 }
    }

    /// Judges what came of a write of so many bytes.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Pending => {
                let limit = self.limit;
                let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(limit)));
                ready!(wait.as_mut().poll(context));
                let why = format!("the peer has read less than {AT_LEAST} bytes in {limit:?}");
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
            Poll::Ready(Ok(bytes)) => {
                self.written = self.written.saturating_add(bytes);
                if bytes == offered || self.written >= AT_LEAST {
                    (self.wait, self.written) = (None, 0);
                }
                wrote
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, wrote, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, wrote, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);
    const BUFFER: usize = 1 << 10;

    fn pair() -> (Watched<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(BUFFER);
        (Watched::new(ours, LIMIT), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (mut ours, _theirs) = pair();
        let error = ours.write_all(&[0; BUFFER + 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("300s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_a_byte_now_and_then_is_given_up_as_well() {
        let (mut ours, mut theirs) = pair();
        let reader = tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                sleep(LIMIT / 10).await;
            }
        });
        let error = ours.write_all(&[0; 2 * BUFFER]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(ours);
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_reads_enough_and_an_idle_one_are_left_alone() {
        let (mut ours, mut theirs) = pair();
        let reader = tokio::spawn(async move {
            let (mut all, mut piece) = (0, vec![0; BUFFER]);
            while let Ok(bytes) = theirs.read(&mut piece).await
                && bytes > 0
            {
                all += bytes;
                sleep(LIMIT / 100).await;
            }
            all
        });
        ours.write_all(&[0; 4 * AT_LEAST]).await.unwrap();
        sleep(3 * LIMIT).await;
        ours.write_all(&[0; 4 * AT_LEAST]).await.unwrap();
        drop(ours);
        assert_eq!(reader.await.unwrap(), 8 * AT_LEAST);
    }
}
