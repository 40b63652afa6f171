//! Lists a tar archive (v7, ustar, GNU, pax) while it streams by.
//!
//! Promises: at most one block, one extended header and one description are held. What is listed is what every unpacker
//! finds: headers that readers take in different ways are refused, so nothing can be smuggled past this reader (sizes in
//! two places, names in two places, links with content, prefixes in headers that have none). Files with holes are taken:
//! their names and sizes are those with the holes, and who does not know of holes finds the same data under a name that
//! tells so. An archive ends with two blocks of zeros, and nothing but zeros follows: with more it may hide a second one.
//! Without them it may be cut between two members, unless something else shows that it is whole.

mod extended;
mod header;
mod holes;
mod sparse;

use super::error::{ArchiveError, FormatError, Limit, MemberError};
use super::format::{Format, guess_content};
use super::limits::Limits;
use super::member_list::{MemberKind, MemberList, MemberSummary, is_description_name};
use super::names::MemberPath;
use extended::{Extended, Extension};
use header::{BLOCK_BYTES, Block, Header, HeaderError, Type};
pub(super) use header::{has_tar_checksum, is_v7_header};
use holes::holes_error;
use sparse::{GnuMap, TextMap};

/// What a tar stream was.
pub(super) struct TarSummary {
    pub(super) members: MemberSummary,
    /// Bytes of the members, with their headers and holes.
    pub(super) unpacked_bytes: u64,
    /// It says itself where it ends.
    pub(super) has_end: bool,
}

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
    /// Bytes of holes, which do not come but are in the unpacked files.
    holes: u64,
    limits: Limits,
}

enum State {
    /// A header is coming in.
    Header { filled: usize },
    /// So is a block with more of a map of holes.
    GnuMap { filled: usize, name: Vec<u8>, map: GnuMap },
    /// Content is, and then padding up to the next block.
    Content { left: u64, padding: u64, to: To },
    /// One block of zeros was seen.
    HalfEnd { filled: usize },
    /// The end was seen; only zeros may follow.
    End,
}

/// What content is for.
enum To {
    Member,
    Extension {
        what: Extension,
        at: u64,
        bytes: Vec<u8>,
    },
    /// The map of a file with holes; its data follow.
    TextMap {
        name: Vec<u8>,
        map: TextMap,
    },
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
        Self {
            format,
            list,
            extended,
            state: State::header(),
            block,
            at: 0,
            members: 0,
            holes: 0,
            limits: limits.clone(),
        }
    }

    /// More bytes. What is within the limit is judged first, whatever comes with it.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            let taken = self.take_piece(take_at_most(self.bytes_left()?, bytes))?;
            self.at += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// How many bytes may still come; at least one.
    fn bytes_left(&self) -> Result<u64, ArchiveError> {
        let left = self.limits.max_unpacked_bytes.saturating_sub(self.unpacked_bytes());
        if left == 0 { Err(self.too_large_error()) } else { Ok(left) }
    }

    fn unpacked_bytes(&self) -> u64 {
        self.at.saturating_add(self.holes)
    }

    fn too_large_error(&self) -> ArchiveError {
        ArchiveError::LimitExceeded(Limit::UnpackedBytes { limit: self.limits.max_unpacked_bytes })
    }

    /// All bytes have come.
    pub(super) fn finish(self) -> Result<TarSummary, ArchiveError> {
        let (unpacked_bytes, has_end) = (self.unpacked_bytes(), matches!(self.state, State::End));
        // Some packers write half an end or none, and all readers take it.
        let is_over = match &self.state {
            State::End | State::HalfEnd { filled: 0 } => true,
            State::Header { filled: 0 } => self.at > 0 && self.extended.is_empty(),
            _ => false,
        };
        match &self.state {
            _ if is_over && self.members == 0 => Err(self.format_error(FormatError::Empty)),
            _ if is_over => Ok(TarSummary { members: self.list.finish()?, unpacked_bytes, has_end }),
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
            State::GnuMap { filled, .. } => {
                let taken = fill_block(&mut self.block, filled, bytes);
                if *filled == BLOCK_BYTES {
                    self.read_gnu_map()?;
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
        let taken = piece.len();
        *left -= taken as u64;
        let (is_over, has_padding) = (*left == 0, *padding > 0);
        match to {
            To::Member => self.list.push_content(piece),
            To::Extension { bytes, .. } => bytes.extend_from_slice(piece),
            To::TextMap { name, map } => {
                if let Some(data) = map.push(piece).ok_or_else(|| holes_error(name))? {
                    let holes = map.holes().ok_or_else(|| holes_error(name))?;
                    *to = To::Member;
                    self.list.push_content(data);
                    self.count_holes(holes)?;
                }
            }
        }
        if is_over {
            self.end_content(has_padding)?;
        }
        Ok(taken)
    }

    fn end_content(&mut self, has_padding: bool) -> Result<(), ArchiveError> {
        let State::Content { to, .. } = &mut self.state else { return Ok(()) };
        let to = std::mem::replace(to, To::Member);
        if !has_padding {
            self.state = State::header();
        }
        match to {
            To::Extension { what, at, bytes } => {
                let is_clear = self.extended.apply_extension(what, bytes);
                if is_clear { Ok(()) } else { Err(self.format_error(FormatError::Extended { at })) }
            }
            // It did not come to its end.
            To::TextMap { name, .. } => Err(holes_error(&name)),
            _ => Ok(()),
        }
    }

    fn count_holes(&mut self, holes: u64) -> Result<(), ArchiveError> {
        #[cfg(test)]
        self.list.listing.add_holes(holes);
        self.holes = self.holes.saturating_add(holes);
        if self.unpacked_bytes() > self.limits.max_unpacked_bytes { Err(self.too_large_error()) } else { Ok(()) }
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
            HeaderError::Times(name) => ArchiveError::for_member(&name, MemberError::Incremental),
        })?;
        match header.kind {
            Type::Extension(what) => self.begin_extension(&header, what, at),
            Type::Label if at == 0 => self.take_label(&header),
            _ => self.begin_member(header, at),
        }
    }

    /// The archive's name is a member to nobody, or an empty file that whatever bears the same name replaces.
    fn take_label(&mut self, header: &Header) -> Result<(), ArchiveError> {
        self.list.count_header()?;
        let refused = |error| ArchiveError::for_member(&header.name, error);
        let path = MemberPath::new(&header.name, &self.limits).map_err(refused)?;
        if header.size > 0 || is_description_name(&path) {
            return Err(refused(MemberError::KindMismatch));
        }
        self.state = State::header();
        Ok(())
    }

    fn begin_extension(&mut self, header: &Header, what: Extension, at: u64) -> Result<(), ArchiveError> {
        self.list.count_header()?;
        if header.size > Limits::MAX_EXTENDED_BYTES as u64 || !self.extended.expects(what) {
            return Err(self.format_error(FormatError::Extended { at }));
        }
        self.begin_content(header.size, To::Extension { what, at, bytes: Vec::new() })
    }

    fn begin_member(&mut self, header: Header, at: u64) -> Result<(), ArchiveError> {
        let mut extended = std::mem::take(&mut self.extended);
        let two_ways = |this: &Self| this.format_error(FormatError::Extended { at });
        let sparse = extended.take_sparse().map_err(|()| two_ways(self))?;
        let Header { name: own_name, link, kind, size } = header;
        let own_ends_as_folder = own_name.ends_with(b"/");
        let name = extended.path.unwrap_or(own_name);
        let target = extended.link.unwrap_or(link);
        // Readers that know pax take one size, all others the other, and then they find different members.
        if extended.size.is_some_and(|other| other != size) {
            return Err(two_ways(self));
        }
        let kind = match kind {
            Type::OldFile if name.ends_with(b"/") != own_ends_as_folder => Err(MemberError::KindMismatch),
            Type::OldFile if name.ends_with(b"/") && size == 0 => Ok(MemberKind::Folder),
            Type::File | Type::OldFile | Type::SparseFile => Ok(MemberKind::File),
            Type::Folder => Ok(MemberKind::Folder),
            Type::Symlink => Ok(MemberKind::Symlink(&target)),
            Type::HardLink => Ok(MemberKind::HardLink(&target)),
            Type::Special => Err(MemberError::Special),
            Type::Incremental => Err(MemberError::Incremental),
            Type::Continued => Err(MemberError::Continued),
            Type::Label => Err(MemberError::UnknownType { flag: 'V' }),
            Type::Extension(_) => Err(MemberError::KindMismatch),
            Type::Other(flag) => Err(MemberError::UnknownType { flag: char::from(flag) }),
        };
        let kind = kind.map_err(|error| ArchiveError::for_member(&name, error))?;
        if kind != MemberKind::File && size > 0 {
            return Err(ArchiveError::for_member(&name, MemberError::KindMismatch));
        }
        match (sparse, header.kind) {
            (None, Type::SparseFile) => self.begin_gnu_sparse(name, size),
            (None, _) => self.begin_plain(&name, kind, size),
            (Some(sparse), Type::File | Type::OldFile) => {
                let real_name = self.name_of_sparse(&name, sparse.name).ok_or_else(|| two_ways(self))?;
                self.begin_pax_sparse(real_name, sparse.map, size)
            }
            (Some(_), _) => Err(two_ways(self)),
        }
    }

    fn begin_plain(&mut self, name: &[u8], kind: MemberKind<'_>, size: u64) -> Result<(), ArchiveError> {
        self.list.add_member(name, kind)?;
        self.members += 1;
        self.begin_content(size, To::Member)
    }

    fn begin_content(&mut self, size: u64, to: To) -> Result<(), ArchiveError> {
        self.state = State::content(size, to);
        if size == 0 { self.end_content(false) } else { Ok(()) }
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
    let left = block.get_mut(*filled..).unwrap_or_default();
    let taken = left.len().min(bytes.len());
    for (to, from) in left.iter_mut().zip(bytes) {
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
