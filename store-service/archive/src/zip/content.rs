//! The content of one member: unpacked into nothing, counted, and compared with its checksum.

use std::io::BufRead;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::directory::{DESCRIPTOR, Entry, Method};
use super::false_end::FalseEnd;
use super::{BUFFER_BYTES, format_error, read_error};
use crate::error::{ArchiveError, FormatError, MemberError};
use crate::resources::Resources;
use crate::unpack::Budget;

/// What unpacks, one member after the other.
pub(super) struct Inflater {
    codec: Decompress,
    output: Box<[u8]>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { codec: Decompress::new(false), output: vec![0; BUFFER_BYTES].into() }
    }
}

/// Content that is being read.
pub(super) struct Content<'a> {
    entry: &'a Entry,
    name: &'a [u8],
    budget: &'a mut Budget,
    resources: &'a mut dyn Resources,
    crc: Crc,
    packed_left: u64,
    size_left: u64,
}

impl<'a> Content<'a> {
    pub(super) fn new(
        entry: &'a Entry,
        name: &'a [u8],
        budget: &'a mut Budget,
        resources: &'a mut dyn Resources,
    ) -> Self {
        Self { entry, name, budget, resources, crc: Crc::new(), packed_left: entry.packed, size_left: entry.size }
    }

    /// Reads all of it; what comes out goes through `sink`.
    pub(super) fn unpack(
        &mut self,
        file: &mut impl BufRead,
        inflater: &mut Inflater,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        match self.entry.method {
            Method::Stored => self.copy_stored(file, &mut sink)?,
            Method::Deflated => self.inflate(file, inflater, &mut sink)?,
        }
        let is_whole = (self.packed_left, self.size_left, self.crc.sum()) == (0, 0, self.entry.crc);
        if is_whole { Ok(()) } else { Err(self.corrupt_error()) }
    }

    fn copy_stored(&mut self, file: &mut impl BufRead, sink: &mut impl FnMut(&[u8])) -> Result<(), ArchiveError> {
        let mut false_end = (self.entry.flags & DESCRIPTOR != 0).then(FalseEnd::default);
        while self.packed_left > 0 {
            let piece = next_piece(file, self.packed_left)?;
            let length = piece.len();
            if false_end.as_mut().is_some_and(|end| end.is_in(piece)) {
                return Err(ArchiveError::for_member(self.name, MemberError::FalseEnd));
            }
            self.hand_on(length, piece, sink)?;
            self.consume(file, length);
        }
        Ok(())
    }

    fn inflate(
        &mut self,
        file: &mut impl BufRead,
        inflater: &mut Inflater,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        let Inflater { codec, output } = inflater;
        codec.reset(false);
        loop {
            let input: &[u8] = if self.packed_left == 0 { &[] } else { next_piece(file, self.packed_left)? };
            let before = (codec.total_in(), codec.total_out());
            let status = codec.decompress(input, output, FlushDecompress::None).map_err(|_| self.corrupt_error())?;
            let read = usize::try_from(codec.total_in() - before.0).unwrap_or(usize::MAX);
            let written = usize::try_from(codec.total_out() - before.1).unwrap_or(usize::MAX);
            self.consume(file, read);
            self.hand_on(read, output.get(..written).unwrap_or_default(), sink)?;
            match status {
                Status::StreamEnd => return Ok(()),
                _ if read == 0 && written == 0 => return Err(self.corrupt_error()),
                _ => {}
            }
        }
    }

    /// Counts and hands on what `packed` bytes of the file became.
    fn hand_on(&mut self, packed: usize, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), ArchiveError> {
        self.resources.check_time()?;
        self.budget.count_in(packed);
        self.budget.count_out(bytes.len())?;
        self.budget.judge_ratio()?;
        self.size_left = self.size_left.checked_sub(bytes.len() as u64).ok_or_else(|| self.corrupt_error())?;
        self.crc.update(bytes);
        sink(bytes);
        Ok(())
    }

    fn consume(&mut self, file: &mut impl BufRead, bytes: usize) {
        file.consume(bytes);
        self.packed_left = self.packed_left.saturating_sub(bytes as u64);
    }

    fn corrupt_error(&self) -> ArchiveError {
        ArchiveError::for_member(self.name, MemberError::Corrupt)
    }
}

/// The next bytes of the file, at most `limit`.
fn next_piece(file: &mut impl BufRead, limit: u64) -> Result<&[u8], ArchiveError> {
    let piece = file.fill_buf().map_err(read_error)?;
    if piece.is_empty() {
        return Err(format_error(FormatError::Truncated));
    }
    let fits = usize::try_from(limit).ok().and_then(|limit| piece.get(..limit));
    Ok(fits.unwrap_or(piece))
}
