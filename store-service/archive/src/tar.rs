//! Lists a tar archive (ustar, GNU long names, pax) while it streams by.
//!
//! Promises: at most one block, one extended header and one description are held. What is listed is what every unpacker
//! finds: headers that readers take in different ways are refused, so nothing can be smuggled past this reader (sizes in
//! two places, names in two places, links with content, sparse files, prefixes in GNU headers). An archive ends with two
//! blocks of zeros, and nothing but zeros follows: without them it may be cut, with more it may hide a second one.

mod extended;
mod header;

use super::error::{ArchiveError, FormatError, MemberError};
use super::format::{Format, guess_content};
use super::limits::Limits;
use super::member_list::{MemberKind, MemberList, MemberSummary};
use extended::{Extended, Extension};
use header::{BLOCK_BYTES, Block, Header, HeaderError, Type};

/// A tar stream that is being read.
pub(super) struct TarReader {
    format: Format,
    list: MemberList,
    extended: Extended,
    state: State,
    /// The header that is coming in.
    block: Box<Block>,
    /// Bytes that have come, for the places in errors.
    at: u64,
    members: u64,
}

enum State {
    /// A header is coming in.
    Header { filled: usize },
    /// Content is, and then padding up to the next block.
    Content { left: u64, padding: u64, to: To },
    /// One block of zeros was seen.
    HalfEnd { filled: usize },
    /// The end was seen; only zeros may follow.
    End,
}

/// What content is for.
enum To {
    Nothing,
    Description,
    Extension { what: Extension, at: u64, bytes: Vec<u8> },
}

impl State {
    fn header() -> Self {
        Self::Header { filled: 0 }
    }

    fn content(size: u64, to: To) -> Self {
        let padding = size.next_multiple_of(BLOCK_BYTES as u64) - size;
        Self::Content { left: size, padding, to }
    }
}

impl TarReader {
    /// Reads a stream that is packed as `format` says.
    pub(super) fn new(format: Format, limits: &Limits) -> Self {
        let (list, extended) = (MemberList::new(limits), Extended::default());
        let block = Box::new([0; BLOCK_BYTES]);
        Self { format, list, extended, state: State::header(), block, at: 0, members: 0 }
    }

    /// More bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            let taken = self.take_piece(bytes)?;
            self.at += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// All bytes have come.
    pub(super) fn finish(self) -> Result<MemberSummary, ArchiveError> {
        match &self.state {
            State::End if self.members == 0 => Err(self.format_error(FormatError::Empty)),
            State::End => self.list.finish(),
            State::Header { filled } if self.at < BLOCK_BYTES as u64 && self.format != Format::Tar => {
                Err(self.not_a_tar(self.block.get(..*filled).unwrap_or_default()))
            }
            _ => Err(self.format_error(FormatError::Truncated)),
        }
    }

    /// Takes at least one byte, and at most what belongs to the same piece.
    fn take_piece(&mut self, bytes: &[u8]) -> Result<usize, ArchiveError> {
        match &mut self.state {
            State::Header { filled } => {
                let taken = fill_block(&mut self.block, filled, bytes);
                if *filled == BLOCK_BYTES {
                    self.read_header()?;
                }
                Ok(taken)
            }
            State::Content { left, .. } if *left > 0 => self.take_content(bytes),
            State::Content { padding, .. } => {
                let taken = take_at_most(*padding, bytes).len();
                *padding -= taken as u64;
                if *padding == 0 {
                    self.state = State::header();
                }
                Ok(taken)
            }
            State::HalfEnd { filled } => {
                let zeros = bytes.get(..BLOCK_BYTES - *filled).unwrap_or(bytes);
                *filled += zeros.len();
                if *filled == BLOCK_BYTES {
                    self.state = State::End;
                }
                self.expect_zeros(zeros)
            }
            State::End => self.expect_zeros(bytes),
        }
    }

    fn expect_zeros(&self, bytes: &[u8]) -> Result<usize, ArchiveError> {
        if bytes.iter().any(|b| *b != 0) { Err(self.format_error(FormatError::TrailingData)) } else { Ok(bytes.len()) }
    }

    fn take_content(&mut self, bytes: &[u8]) -> Result<usize, ArchiveError> {
        let State::Content { left, padding, to } = &mut self.state else { return Ok(bytes.len()) };
        let piece = take_at_most(*left, bytes);
        *left -= piece.len() as u64;
        let (is_over, has_padding) = (*left == 0, *padding > 0);
        match to {
            To::Nothing => {}
            To::Description => self.list.push_description(piece),
            To::Extension { bytes, .. } => bytes.extend_from_slice(piece),
        }
        if is_over {
            let to = std::mem::replace(to, To::Nothing);
            if !has_padding {
                self.state = State::header();
            }
            self.end_content(to)?;
        }
        Ok(piece.len())
    }

    fn end_content(&mut self, to: To) -> Result<(), ArchiveError> {
        if let To::Extension { what, at, bytes } = to
            && !self.extended.apply_extension(what, bytes)
        {
            return Err(self.format_error(FormatError::Extended { at }));
        }
        Ok(())
    }

    /// A whole header has come.
    fn read_header(&mut self) -> Result<(), ArchiveError> {
        let at = self.at - self.at % BLOCK_BYTES as u64;
        if self.block.iter().all(|b| *b == 0) {
            self.state = State::HalfEnd { filled: 0 };
            // An extended header wants a member.
            return if self.extended.is_empty() {
                Ok(())
            } else {
                Err(self.format_error(FormatError::Extended { at }))
            };
        }
        let header = Header::parse_block(&self.block).map_err(|error| match error {
            HeaderError::Magic if at == 0 && self.format != Format::Tar => self.not_a_tar(self.block.as_slice()),
            HeaderError::Checksum => self.format_error(FormatError::Checksum { at }),
            HeaderError::Magic | HeaderError::Field => self.format_error(FormatError::Header { at }),
        })?;
        match header.kind {
            Type::Extension(what) => self.begin_extension(&header, what, at),
            _ => self.begin_member(&header, at),
        }
    }

    fn begin_extension(&mut self, header: &Header, what: Extension, at: u64) -> Result<(), ArchiveError> {
        self.list.count_header()?;
        if header.size > Limits::MAX_EXTENDED_BYTES as u64 || !self.extended.expects(what) {
            return Err(self.format_error(FormatError::Extended { at }));
        }
        self.begin_content(header.size, To::Extension { what, at, bytes: Vec::new() })
    }

    fn begin_member(&mut self, header: &Header, at: u64) -> Result<(), ArchiveError> {
        let extended = std::mem::take(&mut self.extended);
        let name = extended.path.as_deref().unwrap_or(&header.name);
        let target = extended.link.as_deref().unwrap_or(&header.link);
        // Readers that know pax take one size, all others the other, and then they find different members.
        if extended.size.is_some_and(|size| size != header.size) {
            return Err(self.format_error(FormatError::Extended { at }));
        }
        let kind = match header.kind {
            Type::File => MemberKind::File,
            Type::Folder => MemberKind::Folder,
            Type::Symlink => MemberKind::Symlink(target),
            Type::HardLink => MemberKind::HardLink(target),
            Type::Extension(_) | Type::Other => return Err(ArchiveError::for_member(name, MemberError::Special)),
        };
        if kind != MemberKind::File && header.size > 0 {
            return Err(ArchiveError::for_member(name, MemberError::KindMismatch));
        }
        let is_wanted = self.list.add_member(name, kind)?;
        self.members += 1;
        self.begin_content(header.size, if is_wanted { To::Description } else { To::Nothing })
    }

    fn begin_content(&mut self, size: u64, to: To) -> Result<(), ArchiveError> {
        if size == 0 {
            self.state = State::header();
            return self.end_content(to);
        }
        self.state = State::content(size, to);
        Ok(())
    }

    fn format_error(&self, error: FormatError) -> ArchiveError {
        ArchiveError::Format { format: self.format, error }
    }

    /// What was packed is no tar. A plain tar was known by its magic.
    fn not_a_tar(&self, head: &[u8]) -> ArchiveError {
        ArchiveError::Unsupported { looks: guess_content(head), packed: Some(self.format) }
    }
}

fn fill_block(block: &mut Block, filled: &mut usize, bytes: &[u8]) -> usize {
    let room = block.get_mut(*filled..).unwrap_or_default();
    let taken = room.len().min(bytes.len());
    for (to, from) in room.iter_mut().zip(bytes) {
        *to = *from;
    }
    *filled += taken;
    taken
}

fn take_at_most(limit: u64, bytes: &[u8]) -> &[u8] {
    usize::try_from(limit).ok().and_then(|limit| bytes.get(..limit)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
