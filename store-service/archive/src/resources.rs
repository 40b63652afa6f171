//! What an inspection takes of its process: memory for a decoder, and time of a processor.
//!
//! Promises: a decoder's memory is asked for before it is taken, by what its stream declares, and never while another
//! decoder of the same inspection lives: who waits holds nothing, so nobody waits for ever.

use super::error::{ArchiveError, Limit};
use super::limits::Limits;

/// What an inspection asks of its process. Who answers decides how many inspections may have how much together.
pub trait Resources: Send {
    /// Holds so many bytes for a decoder from now on, instead of those that it held; may wait for them.
    ///
    /// # Errors
    /// [`ArchiveError::Interrupted`] if nobody waits for the verdict any more, or it took too long.
    fn hold_memory(&mut self, bytes: u64) -> Result<(), ArchiveError>;

    /// Asked again and again while it works.
    ///
    /// # Errors
    /// [`Limit::CpuTime`] if it has worked for too long.
    fn check_time(&mut self) -> Result<(), ArchiveError>;
}

/// Enough of everything: for whoever inspects one package at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmetered;

impl Resources for Unmetered {
    fn hold_memory(&mut self, _: u64) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn check_time(&mut self) -> Result<(), ArchiveError> {
        Ok(())
    }
}

/// The memory of the decoder that an inspection has, or will have next.
pub(super) struct DecoderMemory {
    limit: u64,
    held: u64,
}

impl DecoderMemory {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limit: limits.max_decoder_bytes, held: 0 }
    }

    /// Whether what is held is enough.
    pub(super) fn suffices(&self, bytes: u64) -> bool {
        bytes <= self.held
    }

    /// Asks for so many bytes. What was held stays held if it is enough.
    pub(super) fn hold(&mut self, bytes: u64, resources: &mut dyn Resources) -> Result<(), ArchiveError> {
        if bytes > self.limit {
            return Err(ArchiveError::LimitExceeded(Limit::DecoderMemory { limit: self.limit }));
        }
        if !self.suffices(bytes) {
            resources.hold_memory(bytes)?;
            self.held = bytes;
        }
        Ok(())
    }
}
