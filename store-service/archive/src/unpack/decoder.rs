//! The decoders of gzip, bzip2, xz and Zstandard behind one face: bytes in, bytes out, no buffers of their own but theirs.

use bzip2::Decompress as Bzip2;
use flate2::{Decompress as Gzip, FlushDecompress};
use liblzma::stream::{Action, Stream as Xz};
use zstd::stream::raw::{DParameter, Decoder as Zstd, Operation as _};

use crate::error::FormatError;
use crate::format::Format;
use crate::limits::Limits;

/// Zstandard's largest window, as a power of two: 32 MiB, and a few blocks more, stay below
/// [`Limits::MAX_DECODER_BYTES`].
const ZSTD_WINDOW_LOG: u32 = 25;
/// The largest window of gzip; it has no other.
const GZIP_WINDOW_BITS: u8 = 15;

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) read: usize,
    pub(super) written: usize,
}

/// A compressed file that is being decoded.
pub(super) struct Decoder {
    format: Format,
    codec: Codec,
    /// Between two streams: before the first byte of one, behind the last byte of another.
    idle: bool,
    streams: u64,
    /// Zeros behind a stream of xz, which come in fours.
    padding: u64,
}

enum Codec {
    Gzip(Gzip),
    Bzip2(Bzip2),
    Xz(Xz),
    Zstd(Zstd<'static>),
}

impl Codec {
    /// Nothing for a format that is not compressed as a whole.
    fn new(format: Format) -> Result<Option<Self>, FormatError> {
        Ok(Some(match format {
            Format::TarGz => Self::Gzip(Gzip::new_gzip(GZIP_WINDOW_BITS)),
            Format::TarBz2 => Self::Bzip2(Bzip2::new(false)),
            Format::TarXz => {
                Self::Xz(Xz::new_stream_decoder(Limits::MAX_DECODER_BYTES, 0).map_err(|_| FormatError::Corrupt)?)
            }
            Format::TarZst => {
                let mut decoder = Zstd::new().map_err(|_| FormatError::Corrupt)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(|_| FormatError::Corrupt)?;
                Self::Zstd(decoder)
            }
            Format::Tar | Format::Zip | Format::Opaque => return Ok(None),
        }))
    }

    /// Whether a stream can begin with this byte.
    fn begins_with(&self, byte: u8) -> bool {
        match self {
            Self::Gzip(_) => byte == 0x1f,
            Self::Bzip2(_) => byte == b'B',
            Self::Xz(_) => byte == 0xfd,
            Self::Zstd(_) => byte == 0x28 || (0x50..=0x5f).contains(&byte),
        }
    }

    /// One step, and whether the stream ended with it.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(Step, bool), FormatError> {
        match self {
            Self::Gzip(codec) => {
                let before = (codec.total_in(), codec.total_out());
                let status =
                    codec.decompress(input, output, FlushDecompress::None).map_err(|_| FormatError::Corrupt)?;
                Ok((step_between(before, (codec.total_in(), codec.total_out())), status == flate2::Status::StreamEnd))
            }
            Self::Bzip2(codec) => {
                let before = (codec.total_in(), codec.total_out());
                let status = codec.decompress(input, output).map_err(|_| FormatError::Corrupt)?;
                Ok((step_between(before, (codec.total_in(), codec.total_out())), status == bzip2::Status::StreamEnd))
            }
            Self::Xz(codec) => {
                let before = (codec.total_in(), codec.total_out());
                let status = codec.process(input, output, Action::Run).map_err(|error| match error {
                    liblzma::stream::Error::MemLimit => FormatError::Window { limit_bytes: Limits::MAX_DECODER_BYTES },
                    _ => FormatError::Corrupt,
                })?;
                let ended = status == liblzma::stream::Status::StreamEnd;
                Ok((step_between(before, (codec.total_in(), codec.total_out())), ended))
            }
            Self::Zstd(codec) => {
                let status = codec.run_on_buffers(input, output).map_err(|error| {
                    // The library tells its errors by their texts only.
                    let wants_memory = error.to_string().contains("too much memory");
                    if wants_memory {
                        FormatError::Window { limit_bytes: 1 << ZSTD_WINDOW_LOG }
                    } else {
                        FormatError::Corrupt
                    }
                })?;
                let step = Step { read: status.bytes_read, written: status.bytes_written };
                Ok((step, status.remaining == 0 && step.read + step.written > 0))
            }
        }
    }
}

fn step_between(before: (u64, u64), after: (u64, u64)) -> Step {
    let grown = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    Step { read: grown(before.0, after.0), written: grown(before.1, after.1) }
}

impl Decoder {
    /// Nothing for a format that is not compressed as a whole.
    pub(super) fn new(format: Format) -> Result<Option<Self>, FormatError> {
        let codec = Codec::new(format)?;
        Ok(codec.map(|codec| Self { format, codec, idle: true, streams: 0, padding: 0 }))
    }

    /// Streams that have begun.
    pub(super) fn streams(&self) -> u64 {
        self.streams
    }

    /// Decodes some of the input into some of the output.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        if self.idle {
            match input.first() {
                None => return Ok(Step { read: 0, written: 0 }),
                Some(0) if self.streams > 0 && self.format == Format::TarXz => return Ok(self.skip_padding(input)),
                Some(first) => self.begin_stream(*first)?,
            }
        }
        let (step, ended) = self.codec.step(input, output)?;
        self.idle = ended;
        Ok(step)
    }

    fn skip_padding(&mut self, input: &[u8]) -> Step {
        let zeros = input.iter().take_while(|b| **b == 0).count();
        self.padding += zeros as u64;
        Step { read: zeros, written: 0 }
    }

    fn begin_stream(&mut self, first: u8) -> Result<(), FormatError> {
        if self.streams > 0 {
            if !self.codec.begins_with(first) || !self.padding.is_multiple_of(4) {
                return Err(FormatError::TrailingData);
            }
            // Zstandard goes on from frame to frame by itself.
            if let (false, Some(codec)) = (self.format == Format::TarZst, Codec::new(self.format)?) {
                self.codec = codec;
            }
        }
        self.streams += 1;
        self.padding = 0;
        Ok(())
    }

    /// All input was given to [`Decoder::step`].
    pub(super) fn finish(self) -> Result<(), FormatError> {
        if !self.idle {
            return Err(FormatError::Truncated);
        }
        if self.padding.is_multiple_of(4) { Ok(()) } else { Err(FormatError::TrailingData) }
    }
}
