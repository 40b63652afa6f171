//! Memory for what packages come in, which is used again.
//!
//! An allocator takes memory of this size from its kernel in pieces of several blocks, for each thread by itself, and gives one back
//! once nobody uses any block in it: many uploads at once then hold twice as much as is in use. Blocks have one length, so any of
//! them does for the next upload, whichever thread that is in.
//!
//! Promises: there are never more blocks than were used at once, and none once nobody uses any.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The length of a block.
pub const BLOCK_BYTES: usize = 128 << 10;

static POOL: Pool = Pool::new();

struct Pool(Mutex<State>);

struct State {
    free: Vec<Box<[u8]>>,
    used: usize,
}

/// A block that is being filled.
pub struct Block {
    /// Of [`BLOCK_BYTES`], until it is given back.
    memory: Box<[u8]>,
    filled: usize,
    pool: &'static Pool,
}

impl Pool {
    const fn new() -> Self {
        Self(Mutex::new(State { free: Vec::new(), used: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&'static self) -> Block {
        let free = {
            let mut state = self.state();
            state.used += 1;
            state.free.pop()
        };
        let memory = free.unwrap_or_else(|| vec![0; BLOCK_BYTES].into());
        Block { memory, filled: 0, pool: self }
    }

    fn give_back(&self, memory: Box<[u8]>) {
        let mut state = self.state();
        state.used = state.used.saturating_sub(1);
        if state.used == 0 {
            let free = mem::take(&mut state.free);
            drop(state);
            drop(free);
        } else {
            state.free.push(memory);
        }
    }
}

impl Block {
    /// An empty one.
    #[must_use]
    pub fn take() -> Self {
        POOL.take()
    }

    /// Takes as many bytes as fit, and says how many those are.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let rest = self.rest();
        let fits = rest.len().min(bytes.len());
        rest.split_at_mut(fits).0.copy_from_slice(bytes.split_at(fits).0);
        self.filled += fits;
        fits
    }

    /// Has all that is free of it written by somebody else.
    ///
    /// # Errors
    /// What the writing failed by; nothing is in it of that then.
    pub fn fill_by<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
        write(self.rest())?;
        self.filled = BLOCK_BYTES;
        Ok(())
    }

    /// Whether no more fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == BLOCK_BYTES
    }

    /// What it is filled with, as the others hold it: once the last of them is gone, the block is used again.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    fn rest(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.filled..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.give_back(mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> &'static Pool {
        Box::leak(Box::new(Pool::new()))
    }

    #[test]
    fn a_block_holds_what_it_was_filled_with_and_no_more_than_it_can() {
        let mut block = Block::take();
        let bytes: Vec<u8> = (0..BLOCK_BYTES + 7).map(|n| (n % 251) as u8).collect();
        assert_eq!(block.fill(&bytes[..5]), 5);
        assert!(!block.is_full());
        assert_eq!(block.fill(&bytes[5..]), BLOCK_BYTES - 5);
        assert!(block.is_full());
        assert_eq!(block.fill(b"x"), 0);
        let frozen = block.freeze();
        assert!(frozen.slice(1..) == bytes[1..BLOCK_BYTES] && frozen == bytes[..BLOCK_BYTES]);
    }

    #[test]
    fn what_a_block_held_before_is_not_seen_again() {
        let pool = pool();
        let (_other, mut first) = (pool.take(), pool.take());
        first.fill(&[7; BLOCK_BYTES]);
        let address = first.memory.as_ptr();
        drop(first.freeze());
        let mut second = pool.take();
        assert_eq!(second.memory.as_ptr(), address, "it is used again");
        second.fill(b"new");
        assert_eq!(second.freeze(), &b"new"[..]);
    }

    #[test]
    fn no_more_are_made_than_are_used_at_once_and_none_is_kept_afterwards() {
        let pool = pool();
        let used = pool.take();
        for _ in 0..3 {
            let many: Vec<_> = (0..9).map(|_| pool.take()).collect();
            drop(many);
            assert_eq!(pool.state().free.len(), 9);
        }
        drop(used);
        let state = pool.state();
        assert_eq!((state.free.len(), state.used), (0, 0));
    }
}
