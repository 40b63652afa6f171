//! Gathers what comes from the network, so that what an upload holds in memory does not depend on how its source sends.
//!
//! The HTTP client reads into buffers of up to 128 KiB and gives away a part of one, however small, that keeps all of it. Copied
//! into a block at once, the client uses its buffer again.
//!
//! Promises: all bytes, in order, in whole blocks; what a slow source sent is passed on after [`LINGER`], as less than a block.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::time::{Instant, timeout_at};

use crate::block::Block;

/// How long bytes wait for more of them: nobody notices, and the threads beside are not woken for every packet.
const LINGER: Duration = Duration::from_millis(100);

/// The block that is being filled. An upload holds a few more: some wait for whoever hashes, writes or inspects them.
#[derive(Default)]
pub(super) struct Blocks {
    open: Option<Block>,
    /// Since when there is something in it.
    since: Option<Instant>,
}

impl Blocks {
    /// Takes as many bytes as fit, and gives the block if it is full.
    pub(super) fn fill(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        self.since.get_or_insert_with(Instant::now);
        let open = self.open.get_or_insert_with(Block::take);
        let taken = open.fill(bytes);
        bytes.advance(taken);
        if open.is_full() { self.take() } else { None }
    }

    /// What there is. Less than a block is copied: it may be held for long, and those who hold it count bytes, not blocks.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.since = None;
        let open = self.open.take()?;
        if open.is_full() {
            return Some(open.freeze());
        }
        Some(Bytes::copy_from_slice(open.as_ref())).filter(|filled| !filled.is_empty())
    }

    /// Waits for what comes next, but not for longer than what is here may wait: `None` then.
    pub(super) async fn wait_for<F: Future>(&self, next: Pin<&mut F>) -> Option<F::Output> {
        match self.since {
            Some(since) => timeout_at(since + LINGER, next).await.ok(),
            None => Some(next.await),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use super::*;
    use crate::block::BLOCK_BYTES;

    /// The lengths of what is passed on, and that it is what came.
    fn passed(pieces: &[usize]) -> Vec<usize> {
        let (mut blocks, mut out) = (Blocks::default(), Vec::new());
        let sent: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|n| (n % 251) as u8).collect();
        let mut rest = Bytes::from(sent.clone());
        for piece in pieces {
            let mut bytes = rest.split_to(*piece);
            while !bytes.is_empty() {
                out.extend(blocks.fill(&mut bytes));
            }
        }
        out.extend(blocks.take());
        assert_eq!(out.concat(), sent);
        out.iter().map(Bytes::len).collect()
    }

    #[test]
    fn whatever_comes_leaves_in_whole_blocks_and_a_rest() {
        assert_eq!(passed(&[BLOCK_BYTES]), [BLOCK_BYTES]);
        assert_eq!(passed(&[BLOCK_BYTES - 1, 2]), [BLOCK_BYTES, 1]);
        assert_eq!(passed(&[2 * BLOCK_BYTES + 5]), [BLOCK_BYTES, BLOCK_BYTES, 5]);
        assert_eq!(passed(&[1, 0, 1, 1]), [3]);
        assert!(passed(&[]).is_empty());
    }

    #[test]
    fn what_leaves_early_does_not_cost_a_block_of_its_own() {
        let mut blocks = Blocks::default();
        for _ in 0..2 {
            assert!(blocks.fill(&mut Bytes::from_static(b"x")).is_none());
            let block = blocks.open.as_ref().unwrap().as_ref().as_ptr();
            assert_ne!(blocks.take().unwrap().as_ptr(), block);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_here_waits_for_a_while_and_nothing_is_hurried_when_nothing_is_here() {
        let mut blocks = Blocks::default();
        let hour = tokio::time::sleep(Duration::from_secs(3_600));
        assert!(blocks.wait_for(pin!(hour)).await.is_some());
        let begun = Instant::now();
        assert!(blocks.fill(&mut Bytes::from_static(b"x")).is_none());
        assert!(blocks.wait_for(pin!(pending::<()>())).await.is_none());
        assert_eq!(begun.elapsed(), LINGER);
        assert_eq!(blocks.take().as_deref(), Some(b"x".as_slice()));
    }
}
