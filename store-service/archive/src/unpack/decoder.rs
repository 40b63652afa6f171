//! The decoders of gzip, bzip2, xz and Zstandard behind one face: bytes in, bytes out, no buffers of their own but theirs.
//!
//! Promises: a decoder has its memory only after it was asked for, by the window that its stream declares. Gzip takes so
//! little that nobody is asked.

use bzip2::Decompress as Bzip2;
use flate2::{Decompress as Gzip, FlushDecompress};
use liblzma::stream::{Action, Error as XzError, Stream as Xz};
use zstd::stream::raw::{DParameter, Decoder as Zstd, Operation as _};

use super::zstd_frame::FrameHead;
use crate::error::{ArchiveError, FormatError, Limit};
use crate::format::Format;
use crate::limits::Limits;
use crate::resources::{DecoderMemory, Resources};

/// Zstandard's own bound of windows, as a power of two, that no frame reaches which passed the limit.
const ZSTD_WINDOW_LOG: u32 = 31;
/// The largest window of gzip; it has no other.
const GZIP_WINDOW_BITS: u8 = 15;
/// What bzip2 takes for its largest blocks; those of a file are mostly that large.
const BZIP2_BYTES: u64 = 4 << 20;
/// What xz takes besides its dictionary, with all filters.
const BESIDE_DICTIONARY: u64 = 256 << 10;

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) read: usize,
    pub(super) written: usize,
}

/// A compressed file that is being decoded.
pub(super) struct Decoder {
    format: Format,
    /// None before the first stream, and before one that takes more memory.
    codec: Option<Codec>,
    memory: DecoderMemory,
    /// Between two streams: before the first byte of one, behind the last byte of another.
    idle: bool,
    streams: u64,
    /// Zeros behind a stream. Those of xz come in fours, and another stream may follow; behind those of gzip and bzip2,
    /// which pipes and tapes add, nothing may.
    padding: u64,
}

enum Codec {
    Gzip(Gzip),
    Bzip2(Bzip2),
    /// And whether a block has said how much memory the stream takes.
    Xz(Xz, bool),
    /// With the head of the frame that begins.
    Zstd(Box<Zstd<'static>>, Option<FrameHead>),
}

/// Whether a stream of a format can begin with this byte.
fn begins_with(format: Format, byte: u8) -> bool {
    match format {
        Format::TarGz => byte == 0x1f,
        Format::TarBz2 => byte == b'B',
        Format::TarXz => byte == 0xfd,
        _ => byte == 0x28 || (0x50..=0x5f).contains(&byte),
    }
}

fn step_between(before: (u64, u64), after: (u64, u64)) -> Step {
    let grown = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    Step { read: grown(before.0, after.0), written: grown(before.1, after.1) }
}

impl Decoder {
    /// Nothing for a format that is not compressed as a whole.
    pub(super) fn new(format: Format, limits: &Limits) -> Option<Self> {
        let is_packed = !matches!(format, Format::Tar | Format::Zip | Format::Opaque);
        let memory = DecoderMemory::new(limits);
        is_packed.then_some(Self { format, codec: None, memory, idle: true, streams: 0, padding: 0 })
    }

    /// Streams that have begun.
    pub(super) fn streams(&self) -> u64 {
        self.streams
    }

    /// Decodes some of the input into some of the output.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        resources: &mut dyn Resources,
    ) -> Result<Step, ArchiveError> {
        if self.idle {
            match input.first() {
                None => return Ok(Step { read: 0, written: 0 }),
                Some(0) if self.streams > 0 && self.format != Format::TarZst => return Ok(self.skip_padding(input)),
                Some(first) => self.begin_stream(*first, resources)?,
            }
        }
        let (step, ended) = match self.codec.take() {
            Some(Codec::Gzip(codec)) => self.step_gzip(codec, input, output)?,
            Some(Codec::Bzip2(codec)) => self.step_bzip2(codec, input, output)?,
            Some(Codec::Xz(codec, is_sized)) => self.step_xz(codec, is_sized, input, output, resources)?,
            Some(Codec::Zstd(codec, Some(head))) => return self.step_zstd_head(codec, head, input, resources),
            Some(Codec::Zstd(codec, None)) => self.step_zstd(codec, input, output)?,
            None => return Err(self.format_error(FormatError::Corrupt)),
        };
        self.idle = ended;
        Ok(step)
    }

    fn step_gzip(&mut self, mut codec: Gzip, input: &[u8], output: &mut [u8]) -> Result<(Step, bool), ArchiveError> {
        let before = (codec.total_in(), codec.total_out());
        let status = codec.decompress(input, output, FlushDecompress::None).map_err(|_| self.corrupt_error())?;
        let step = step_between(before, (codec.total_in(), codec.total_out()));
        self.codec = Some(Codec::Gzip(codec));
        Ok((step, status == flate2::Status::StreamEnd))
    }

    fn step_bzip2(&mut self, mut codec: Bzip2, input: &[u8], output: &mut [u8]) -> Result<(Step, bool), ArchiveError> {
        let before = (codec.total_in(), codec.total_out());
        let status = codec.decompress(input, output).map_err(|_| self.corrupt_error())?;
        let step = step_between(before, (codec.total_in(), codec.total_out()));
        self.codec = Some(Codec::Bzip2(codec));
        Ok((step, status == bzip2::Status::StreamEnd))
    }

    /// The decoder may take nothing until a block says how much it needs; then it stops, and goes on once it may.
    fn step_xz(
        &mut self,
        mut codec: Xz,
        is_sized: bool,
        input: &[u8],
        output: &mut [u8],
        resources: &mut dyn Resources,
    ) -> Result<(Step, bool), ArchiveError> {
        let before = (codec.total_in(), codec.total_out());
        let mut status = codec.process(input, output, Action::Run);
        if matches!(status, Err(XzError::MemLimit)) {
            if is_sized {
                return Err(ArchiveError::LimitExceeded(Limit::GrowingDictionary));
            }
            self.memory.hold(raise_limit(&mut codec), resources)?;
            let read = step_between(before, (codec.total_in(), codec.total_out())).read;
            status = codec.process(input.get(read..).unwrap_or_default(), output, Action::Run);
            self.codec = Some(Codec::Xz(codec, true));
        } else {
            self.codec = Some(Codec::Xz(codec, is_sized));
        }
        let Some(Codec::Xz(codec, _)) = &self.codec else { return Err(self.corrupt_error()) };
        let ended = match status {
            Ok(status) => status == liblzma::stream::Status::StreamEnd,
            Err(XzError::MemLimit) => return Err(ArchiveError::LimitExceeded(Limit::GrowingDictionary)),
            Err(_) => return Err(self.corrupt_error()),
        };
        Ok((step_between(before, (codec.total_in(), codec.total_out())), ended))
    }

    /// Collects the head of a frame, asks for memory by what it says, and gives it to the decoder.
    fn step_zstd_head(
        &mut self,
        codec: Box<Zstd<'static>>,
        mut head: FrameHead,
        input: &[u8],
        resources: &mut dyn Resources,
    ) -> Result<Step, ArchiveError> {
        let step = Step { read: head.fill(input), written: 0 };
        let Some(bytes) = head.memory() else {
            self.codec = Some(Codec::Zstd(codec, Some(head)));
            return Ok(step);
        };
        let mut codec = Some(codec);
        if !self.memory.suffices(bytes) {
            // It holds the memory of the frame before.
            codec = None;
            self.memory.hold(bytes, resources)?;
        }
        let mut codec = codec.map_or_else(|| self.new_zstd(), Ok)?;
        let head = head.take();
        let status = codec.run_on_buffers(&head, &mut []).map_err(|_| self.corrupt_error())?;
        if status.bytes_read != head.len() {
            return Err(self.corrupt_error());
        }
        self.idle = status.remaining == 0;
        self.codec = Some(Codec::Zstd(codec, None));
        Ok(step)
    }

    fn step_zstd(
        &mut self,
        mut codec: Box<Zstd<'static>>,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(Step, bool), ArchiveError> {
        let status = codec.run_on_buffers(input, output).map_err(|_| self.corrupt_error())?;
        let step = Step { read: status.bytes_read, written: status.bytes_written };
        self.codec = Some(Codec::Zstd(codec, None));
        Ok((step, status.remaining == 0 && step.read + step.written > 0))
    }

    fn new_zstd(&self) -> Result<Box<Zstd<'static>>, ArchiveError> {
        let mut codec = Zstd::new().map_err(|_| self.corrupt_error())?;
        codec.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(|_| self.corrupt_error())?;
        Ok(Box::new(codec))
    }

    fn skip_padding(&mut self, input: &[u8]) -> Step {
        let zeros = input.iter().take_while(|b| **b == 0).count();
        self.padding += zeros as u64;
        Step { read: zeros, written: 0 }
    }

    fn begin_stream(&mut self, first: u8, resources: &mut dyn Resources) -> Result<(), ArchiveError> {
        if self.streams > 0 && (!begins_with(self.format, first) || !self.may_go_on()) {
            return Err(self.format_error(FormatError::TrailingData));
        }
        // Zstandard's goes on from frame to frame, all others are made anew, and first the old one goes.
        let last = self.codec.take();
        self.codec = Some(match (self.format, last) {
            (Format::TarGz, _) => Codec::Gzip(Gzip::new_gzip(GZIP_WINDOW_BITS)),
            (Format::TarBz2, last) => {
                drop(last);
                self.memory.hold(BZIP2_BYTES, resources)?;
                Codec::Bzip2(Bzip2::new(false))
            }
            (Format::TarXz, last) => {
                drop(last);
                Codec::Xz(Xz::new_stream_decoder(1, 0).map_err(|_| self.corrupt_error())?, false)
            }
            (_, Some(Codec::Zstd(codec, _))) => Codec::Zstd(codec, Some(FrameHead::default())),
            (_, _) => Codec::Zstd(self.new_zstd()?, Some(FrameHead::default())),
        });
        self.idle = false;
        self.streams += 1;
        self.padding = 0;
        Ok(())
    }

    /// All input was given to [`Decoder::step`].
    pub(super) fn finish(self) -> Result<(), ArchiveError> {
        if !self.idle {
            return Err(self.format_error(FormatError::Truncated));
        }
        let is_padded = self.format != Format::TarXz || self.padding.is_multiple_of(4);
        if is_padded { Ok(()) } else { Err(self.format_error(FormatError::TrailingData)) }
    }

    fn may_go_on(&self) -> bool {
        self.padding == 0 || self.format == Format::TarXz && self.padding.is_multiple_of(4)
    }

    fn format_error(&self, error: FormatError) -> ArchiveError {
        ArchiveError::Format { format: self.format, error }
    }

    fn corrupt_error(&self) -> ArchiveError {
        self.format_error(FormatError::Corrupt)
    }
}

/// Lets a decoder take what its block needs, and says how much that is. The library does not tell, but it refuses every
/// limit below; dictionaries are powers of two, and sums of two that follow each other.
fn raise_limit(codec: &mut Xz) -> u64 {
    let dictionaries = (0..=40_u32).map(|bits| u64::from(2 | (bits & 1)) << (bits / 2 + 11));
    let mut limits = dictionaries.map(|dictionary| dictionary + BESIDE_DICTIONARY);
    limits.find(|limit| codec.set_memlimit(*limit).is_ok()).unwrap_or(u64::MAX)
}
