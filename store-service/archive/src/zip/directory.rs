//! The directory at the end of a zip.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, Seek, SeekFrom};

use super::fields::{Extra, Fields};
use super::{format_error, read_error};
use crate::error::{ArchiveError, FormatError, MemberError};

const END_MARK: &[u8; 4] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: u64 = u16::MAX as u64;
const ZIP64_MARK: &[u8; 4] = b"PK\x06\x07";
const ZIP64_BYTES: usize = 20;
const ENTRY_MARK: u32 = 0x0201_4b50;
const ENTRY_BYTES: usize = 46;

const ENCRYPTED: u16 = 1;
/// Behind the content, sizes and checksum stand once more.
pub(super) const DESCRIPTOR: u16 = 1 << 3;
/// How hard it was packed, a descriptor, names in UTF-8. Everything else means encryption or patches.
const KNOWN_FLAGS: u16 = 0b110 | DESCRIPTOR | 1 << 11;

/// How a member is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

impl Method {
    pub(super) fn from_number(number: u16) -> Result<Self, MemberError> {
        match number {
            0 => Ok(Self::Stored),
            8 => Ok(Self::Deflated),
            method => Err(MemberError::Method { method }),
        }
    }
}

/// What the directory says of a member.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where its own header stands.
    pub(super) offset: u64,
    pub(super) packed: u32,
    pub(super) size: u32,
    pub(super) crc: u32,
    pub(super) flags: u16,
    pub(super) method: Method,
    /// Kind and permissions in Unix's way, 0 if not said.
    pub(super) mode: u16,
    /// A hash of its name under the directory's keys.
    pub(super) name_key: u64,
    /// Where its name stands in the directory, and its length.
    pub(super) name_at: (u64, u16),
}

/// All of it, in the order of the file.
pub(super) struct Directory {
    pub(super) at: u64,
    pub(super) entries: Vec<Entry>,
    keys: RandomState,
}

impl Directory {
    pub(super) fn read_from(file: &mut (impl Read + Seek)) -> Result<Self, ArchiveError> {
        let End { at, bytes, members } = End::find_in(file)?;
        file.seek(SeekFrom::Start(at)).map_err(read_error)?;
        let mut directory = Self { at, entries: Vec::new(), keys: RandomState::new() };
        let mut reader = Reader { file: file.take(bytes), at };
        for _ in 0..members {
            let entry = directory.read_entry(&mut reader)?;
            directory.entries.push(entry);
        }
        if reader.at != at + bytes {
            return Err(format_error(FormatError::Gap { at: reader.at }));
        }
        if directory.entries.is_empty() {
            return Err(format_error(FormatError::Empty));
        }
        directory.entries.sort_by_key(|entry| entry.offset);
        Ok(directory)
    }

    pub(super) fn hash_name(&self, name: &[u8]) -> u64 {
        self.keys.hash_one(name)
    }

    fn read_entry(&self, reader: &mut Reader<impl Read>) -> Result<Entry, ArchiveError> {
        let at = reader.at;
        let head = reader.read_array::<ENTRY_BYTES>()?;
        let mut fields = Fields(&head);
        if fields.read_u32() != ENTRY_MARK {
            return Err(format_error(FormatError::Header { at }));
        }
        let (_made_by, _needed, flags, method) =
            (fields.read_u16(), fields.read_u16(), fields.read_u16(), fields.read_u16());
        let (_time, _date) = (fields.read_u16(), fields.read_u16());
        let (crc, packed, size) = (fields.read_u32(), fields.read_u32(), fields.read_u32());
        let (name_len, extra_len, comment_len) = (fields.read_u16(), fields.read_u16(), fields.read_u16());
        let (disk, _text, attributes, offset) =
            (fields.read_u16(), fields.read_u16(), fields.read_u32(), fields.read_u32());
        let name = reader.read_vec(name_len)?;
        let extra = reader.read_vec(extra_len)?;
        let _comment = reader.read_vec(comment_len)?;
        if [packed, size, offset].contains(&u32::MAX) {
            return Err(format_error(FormatError::Zip64));
        }
        if disk != 0 {
            return Err(format_error(FormatError::Split));
        }
        let method = check_method(flags, method).map_err(|error| ArchiveError::for_member(&name, error))?;
        check_extra(&extra, &name, at)?;
        let name_at = (at + ENTRY_BYTES as u64, name_len);
        let mode = u16::try_from(attributes >> 16).unwrap_or_default();
        let (offset, name_key) = (u64::from(offset), self.hash_name(&name));
        Ok(Entry { offset, packed, size, crc, flags, method, mode, name_key, name_at })
    }
}

fn check_method(flags: u16, method: u16) -> Result<Method, MemberError> {
    if flags & !KNOWN_FLAGS != 0 {
        return Err(if flags & ENCRYPTED != 0 { MemberError::Encrypted } else { MemberError::Special });
    }
    Method::from_number(method)
}

/// Refuses extra fields that give a member another size or name.
pub(super) fn check_extra(extra: &[u8], name: &[u8], at: u64) -> Result<(), ArchiveError> {
    match Extra::parse(extra, name) {
        Extra::Nothing => Ok(()),
        Extra::Zip64 => Err(format_error(FormatError::Zip64)),
        Extra::OtherName => Err(ArchiveError::for_member(name, MemberError::Disagrees)),
        Extra::Damaged => Err(format_error(FormatError::Header { at })),
    }
}

/// Headers one after the other.
struct Reader<R> {
    file: R,
    at: u64,
}

impl<R: Read> Reader<R> {
    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(read_error)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn read_vec(&mut self, length: u16) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = vec![0; usize::from(length)];
        self.file.read_exact(&mut bytes).map_err(read_error)?;
        self.at += u64::from(length);
        Ok(bytes)
    }
}

/// The record at the end: where the directory stands.
struct End {
    at: u64,
    bytes: u64,
    members: u16,
}

impl End {
    fn find_in(file: &mut (impl Read + Seek)) -> Result<Self, ArchiveError> {
        let length = file.seek(SeekFrom::End(0)).map_err(read_error)?;
        let begin = length.saturating_sub(MAX_COMMENT_BYTES + (END_BYTES + ZIP64_BYTES) as u64);
        file.seek(SeekFrom::Start(begin)).map_err(read_error)?;
        let mut tail = Vec::new();
        file.take(length - begin).read_to_end(&mut tail).map_err(read_error)?;
        // The last one, as other readers have it. A comment that holds another one is refused with it.
        let at = tail.windows(END_MARK.len()).rposition(|window| window == END_MARK);
        let (before, end) =
            at.and_then(|at| tail.split_at_checked(at)).ok_or_else(|| format_error(FormatError::NoDirectory))?;
        let locator = before.len().checked_sub(ZIP64_BYTES).and_then(|at| before.get(at..));
        if locator.is_some_and(|locator| locator.starts_with(ZIP64_MARK)) {
            return Err(format_error(FormatError::Zip64));
        }
        Self::parse_record(end, begin + before.len() as u64)
    }

    fn parse_record(end: &[u8], end_at: u64) -> Result<Self, ArchiveError> {
        let (head, comment) = end.split_at_checked(END_BYTES).ok_or_else(|| format_error(FormatError::NoDirectory))?;
        let mut fields = Fields(head.get(END_MARK.len()..).unwrap_or_default());
        let (disk, first_disk, here, members) =
            (fields.read_u16(), fields.read_u16(), fields.read_u16(), fields.read_u16());
        let (bytes, at, comment_len) = (fields.read_u32(), fields.read_u32(), fields.read_u16());
        if members == u16::MAX || bytes == u32::MAX || at == u32::MAX {
            return Err(format_error(FormatError::Zip64));
        }
        if (disk, first_disk, here) != (0, 0, members) {
            return Err(format_error(FormatError::Split));
        }
        let (at, bytes) = (u64::from(at), u64::from(bytes));
        match (at + bytes).cmp(&end_at) {
            _ if comment.len() != usize::from(comment_len) => Err(format_error(FormatError::NoDirectory)),
            std::cmp::Ordering::Greater => Err(format_error(FormatError::NoDirectory)),
            // Before the archive, or between its directory and its end.
            std::cmp::Ordering::Less => Err(format_error(FormatError::Gap { at: at + bytes })),
            std::cmp::Ordering::Equal => Ok(Self { at, bytes, members }),
        }
    }
}
