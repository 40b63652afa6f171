//! Lists a tar archive (ustar, GNU long names, pax) while it streams by.
//!
//! Promises: at most one block, one extended header and one description are held. What is listed is what every unpacker
//! finds: headers that readers take in different ways are refused, so nothing can be smuggled past this reader (sizes in
//! two places, names in two places, links with content, sparse files, prefixes in GNU headers). An archive ends with two
//! blocks of zeros, and nothing but zeros follows: without them it may be cut, with more it may hide a second one.

mod extended;
mod header;

use super::format::{Format, looks_like};
use super::limits::Limits;
use super::listing::{Kind, Listed, Listing};
use super::refused::{Broken, MemberFault, Refused};
use extended::{Extended, Extension};
use header::{BLOCK_BYTES, Block, Header, HeaderFault, Type};

/// A tar stream that is being read.
pub(super) struct TarReader {
    format: Format,
    listing: Listing,
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
        let (listing, extended) = (Listing::new(limits), Extended::default());
        let block = Box::new([0; BLOCK_BYTES]);
        Self { format, listing, extended, state: State::header(), block, at: 0, members: 0 }
    }

    /// More bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while !bytes.is_empty() {
            let taken = self.take(bytes)?;
            self.at += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// All bytes have come.
    pub(super) fn finish(self) -> Result<Listed, Refused> {
        match &self.state {
            State::End if self.members == 0 => Err(self.broken(Broken::Empty)),
            State::End => self.listing.finish(),
            State::Header { filled } if self.at < BLOCK_BYTES as u64 && self.format != Format::Tar => {
                Err(self.no_tar(self.block.get(..*filled).unwrap_or_default()))
            }
            _ => Err(self.broken(Broken::Truncated)),
        }
    }

    /// Takes at least one byte, and at most what belongs to the same piece.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        match &mut self.state {
            State::Header { filled } => {
                let taken = fill(&mut self.block, filled, bytes);
                if *filled == BLOCK_BYTES {
                    self.header()?;
                }
                Ok(taken)
            }
            State::Content { left, .. } if *left > 0 => self.content(bytes),
            State::Content { padding, .. } => {
                let taken = at_most(*padding, bytes).len();
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
                self.only_zeros(zeros)
            }
            State::End => self.only_zeros(bytes),
        }
    }

    fn only_zeros(&self, bytes: &[u8]) -> Result<usize, Refused> {
        if bytes.iter().any(|b| *b != 0) { Err(self.broken(Broken::TrailingData)) } else { Ok(bytes.len()) }
    }

    fn content(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let State::Content { left, padding, to } = &mut self.state else { return Ok(bytes.len()) };
        let piece = at_most(*left, bytes);
        *left -= piece.len() as u64;
        let (is_over, has_padding) = (*left == 0, *padding > 0);
        match to {
            To::Nothing => {}
            To::Description => self.listing.text(piece),
            To::Extension { bytes, .. } => bytes.extend_from_slice(piece),
        }
        if is_over {
            let to = std::mem::replace(to, To::Nothing);
            if !has_padding {
                self.state = State::header();
            }
            self.end_of_content(to)?;
        }
        Ok(piece.len())
    }

    fn end_of_content(&mut self, to: To) -> Result<(), Refused> {
        if let To::Extension { what, at, bytes } = to
            && !self.extended.read(what, bytes)
        {
            return Err(self.broken(Broken::Extended { at }));
        }
        Ok(())
    }

    /// A whole header has come.
    fn header(&mut self) -> Result<(), Refused> {
        let at = self.at - self.at % BLOCK_BYTES as u64;
        if self.block.iter().all(|b| *b == 0) {
            self.state = State::HalfEnd { filled: 0 };
            // An extended header wants a member.
            return if self.extended.is_empty() { Ok(()) } else { Err(self.broken(Broken::Extended { at })) };
        }
        let header = Header::read(&self.block).map_err(|fault| match fault {
            HeaderFault::Magic if at == 0 && self.format != Format::Tar => self.no_tar(self.block.as_slice()),
            HeaderFault::Checksum => self.broken(Broken::Checksum { at }),
            HeaderFault::Magic | HeaderFault::Field => self.broken(Broken::Header { at }),
        })?;
        match header.kind {
            Type::Extension(what) => self.extension(&header, what, at),
            _ => self.member(&header, at),
        }
    }

    fn extension(&mut self, header: &Header, what: Extension, at: u64) -> Result<(), Refused> {
        self.listing.count()?;
        if header.size > Limits::MAX_EXTENDED_BYTES as u64 || !self.extended.expects(what) {
            return Err(self.broken(Broken::Extended { at }));
        }
        self.go_on(header.size, To::Extension { what, at, bytes: Vec::new() })
    }

    fn member(&mut self, header: &Header, at: u64) -> Result<(), Refused> {
        let extended = std::mem::take(&mut self.extended);
        let name = extended.path.as_deref().unwrap_or(&header.name);
        let target = extended.link.as_deref().unwrap_or(&header.link);
        // Readers that know pax take one size, all others the other, and then they find different members.
        if extended.size.is_some_and(|size| size != header.size) {
            return Err(self.broken(Broken::Extended { at }));
        }
        let kind = match header.kind {
            Type::File => Kind::File,
            Type::Folder => Kind::Folder,
            Type::Symlink => Kind::Symlink(target),
            Type::HardLink => Kind::HardLink(target),
            Type::Extension(_) | Type::Other => return Err(Refused::member(name, MemberFault::Special)),
        };
        if kind != Kind::File && header.size > 0 {
            return Err(Refused::member(name, MemberFault::KindMismatch));
        }
        let is_wanted = self.listing.member(name, kind)?;
        self.members += 1;
        self.go_on(header.size, if is_wanted { To::Description } else { To::Nothing })
    }

    fn go_on(&mut self, size: u64, to: To) -> Result<(), Refused> {
        if size == 0 {
            self.state = State::header();
            return self.end_of_content(to);
        }
        self.state = State::content(size, to);
        Ok(())
    }

    fn broken(&self, fault: Broken) -> Refused {
        Refused::Broken { format: self.format, fault }
    }

    /// What was packed is no tar. A plain tar was known by its magic.
    fn no_tar(&self, head: &[u8]) -> Refused {
        Refused::Unsupported { looks: looks_like(head), packed: Some(self.format) }
    }
}

fn fill(block: &mut Block, filled: &mut usize, bytes: &[u8]) -> usize {
    let room = block.get_mut(*filled..).unwrap_or_default();
    let taken = room.len().min(bytes.len());
    for (to, from) in room.iter_mut().zip(bytes) {
        *to = *from;
    }
    *filled += taken;
    taken
}

fn at_most(limit: u64, bytes: &[u8]) -> &[u8] {
    usize::try_from(limit).ok().and_then(|limit| bytes.get(..limit)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
