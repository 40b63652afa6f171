//! Unpacks a tar while it streams by, if it is compressed, and counts what comes out.
//!
//! Promises: the verdict does not depend on the pieces in which the bytes come, for they are worked on in pieces of
//! [`PIECE_BYTES`]; every checksum of the compressed format is checked; decoders take at most
//! [`Limits::max_decoder_bytes`], after they were asked for. Takes several streams one after the other, as parallel packers
//! write them. Refuses what follows the last one, and bombs as soon as they show: the ratio is judged on what has come so
//! far.

mod decoder;
mod zstd_frame;

use super::error::{ArchiveError, FormatError, Limit};
use super::format::Format;
use super::limits::Limits;
use super::resources::Resources;
use super::tail::Tail;
use super::tar::{TarReader, TarSummary};
use decoder::Decoder;

/// Compressed bytes that are worked on at a time.
const PIECE_BYTES: usize = 16 << 10;
/// Uncompressed ones.
const OUTPUT_BYTES: usize = 64 << 10;

/// A tar archive, compressed or not.
pub(super) struct Unpacker {
    format: Format,
    /// None for a plain tar.
    decoder: Option<Decoder>,
    input: Vec<u8>,
    output: Box<[u8]>,
    budget: Budget,
    tail: Tail,
    tar: TarReader,
}

impl Unpacker {
    pub(super) fn new(format: Format, limits: &Limits) -> Self {
        let decoder = Decoder::new(format, limits);
        let output = if decoder.is_some() { vec![0; OUTPUT_BYTES] } else { Vec::new() };
        Self {
            format,
            decoder,
            input: Vec::new(),
            output: output.into(),
            budget: Budget::for_streams(format, limits),
            tail: Tail::default(),
            tar: TarReader::new(format, limits),
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], resources: &mut dyn Resources) -> Result<(), ArchiveError> {
        self.tail.push(bytes);
        // Nothing comes out of a plain tar but itself.
        if self.decoder.is_none() {
            return self.tar.push(bytes);
        }
        while !bytes.is_empty() {
            if let (true, Some((piece, rest))) = (self.input.is_empty(), bytes.split_at_checked(PIECE_BYTES)) {
                self.unpack_piece(piece, resources)?;
                bytes = rest;
                continue;
            }
            let taken = bytes.len().min(PIECE_BYTES - self.input.len());
            let (piece, rest) = bytes.split_at_checked(taken).unwrap_or_default();
            self.input.extend_from_slice(piece);
            bytes = rest;
            if self.input.len() == PIECE_BYTES {
                self.unpack_held_input(resources)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, resources: &mut dyn Resources) -> Result<TarSummary, ArchiveError> {
        self.unpack_held_input(resources)?;
        let Self { format, decoder, tail, tar, .. } = self;
        let format_error = |error| ArchiveError::Format { format, error };
        if let Some(decoder) = decoder {
            decoder.finish()?;
        }
        let mut listed = tar.finish()?;
        // Every compressed format says where its data end.
        listed.has_end |= format != Format::Tar;
        if tail.ends_as_zip() { Err(format_error(FormatError::AlsoZip)) } else { Ok(listed) }
    }

    fn unpack_held_input(&mut self, resources: &mut dyn Resources) -> Result<(), ArchiveError> {
        let mut input = std::mem::take(&mut self.input);
        self.unpack_piece(&input, resources)?;
        input.clear();
        self.input = input;
        Ok(())
    }

    fn unpack_piece(&mut self, mut input: &[u8], resources: &mut dyn Resources) -> Result<(), ArchiveError> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        loop {
            resources.check_time()?;
            let step = decoder.step(input, &mut self.output, resources)?;
            input = input.get(step.read..).unwrap_or_default();
            self.budget.count_streams(decoder.streams())?;
            self.budget.count_in(step.read);
            self.budget.count_out(step.written)?;
            self.budget.judge_ratio()?;
            self.tar.push(self.output.get(..step.written).unwrap_or_default())?;
            // A full output may mean that there is more to come without more input.
            if input.is_empty() && step.written < self.output.len() {
                return Ok(());
            }
            if step.read == 0 && step.written == 0 {
                return Err(ArchiveError::Format { format: self.format, error: FormatError::Corrupt });
            }
        }
    }
}

/// What may still come out.
pub(super) struct Budget {
    max_out: u64,
    max_ratio: u64,
    max_streams: u64,
    /// Streams of these take long to begin, so there may be fewer where little comes out.
    are_streams_dear: bool,
    read: u64,
    pub(super) out: u64,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let (max_out, max_ratio) = (limits.max_unpacked_bytes, limits.max_ratio);
        Self { max_out, max_ratio, max_streams: limits.max_streams, are_streams_dear: false, read: 0, out: 0 }
    }

    fn for_streams(format: Format, limits: &Limits) -> Self {
        let are_streams_dear = matches!(format, Format::TarBz2 | Format::TarXz);
        Self { are_streams_dear, ..Self::new(limits) }
    }

    pub(super) fn count_in(&mut self, bytes: usize) {
        self.read += bytes as u64;
    }

    pub(super) fn count_out(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        self.out += bytes as u64;
        if self.out > self.max_out {
            return Err(ArchiveError::LimitExceeded(Limit::UnpackedBytes { limit: self.max_out }));
        }
        Ok(())
    }

    pub(super) fn judge_ratio(&self) -> Result<(), ArchiveError> {
        let most = self.read.saturating_mul(self.max_ratio).max(Limits::RATIO_FREE_BYTES);
        if self.out > most {
            return Err(ArchiveError::LimitExceeded(Limit::Ratio { limit: self.max_ratio }));
        }
        Ok(())
    }

    fn count_streams(&self, streams: u64) -> Result<(), ArchiveError> {
        let dear = Limits::FREE_DEAR_STREAMS + self.out / Limits::BYTES_PER_DEAR_STREAM;
        let limit = if self.are_streams_dear { self.max_streams.min(dear) } else { self.max_streams };
        if streams > limit { Err(ArchiveError::LimitExceeded(Limit::Streams { limit })) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_out_is_taken_up_to_its_limit() {
        let count = |bytes| {
            let limits = Limits { max_unpacked_bytes: 1000, ..Limits::default() };
            Budget::new(&limits).count_out(bytes)
        };
        assert_eq!((count(999), count(1000)), (Ok(()), Ok(())));
        assert_eq!(count(1001), Err(ArchiveError::LimitExceeded(Limit::UnpackedBytes { limit: 1000 })));
    }

    #[test]
    fn parallel_packers_may_write_many_streams_that_have_much_in_them() {
        let judge = |format, out: u64, streams| {
            let mut budget = Budget::for_streams(format, &Limits::default());
            budget.out = out;
            budget.count_streams(streams)
        };
        let over = |limit| Err(ArchiveError::LimitExceeded(Limit::Streams { limit }));
        assert_eq!(judge(Format::TarBz2, 2 << 30, (2 << 30) / 900_000), Ok(()));
        assert_eq!(
            (judge(Format::TarXz, 256 << 10, 1_001), judge(Format::TarXz, 256 << 10, 1_002)),
            (Ok(()), over(1_001))
        );
        assert_eq!((judge(Format::TarGz, 0, 100_000), judge(Format::TarGz, 0, 100_001)), (Ok(()), over(100_000)));
    }

    #[test]
    fn the_ratio_is_taken_up_to_its_limit_and_small_archives_are_free() {
        let judge = |read: u64, out: u64| {
            let mut budget = Budget::new(&Limits { max_ratio: 10, ..Limits::default() });
            (budget.read, budget.out) = (read, out);
            budget.judge_ratio()
        };
        let (free, over) = (Limits::RATIO_FREE_BYTES, Err(ArchiveError::LimitExceeded(Limit::Ratio { limit: 10 })));
        assert_eq!((judge(1, free - 1), judge(1, free)), (Ok(()), Ok(())));
        assert_eq!(judge(1, free + 1), over);
        assert_eq!((judge(free, free * 10 - 1), judge(free, free * 10)), (Ok(()), Ok(())));
        assert_eq!(judge(free, free * 10 + 1), over);
    }
}
