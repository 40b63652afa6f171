//! The directory at the end of a zip.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, Seek, SeekFrom};

use super::fields::{Extra, ExtraError, Fields};
use super::{format_error, read_error};
use crate::error::{ArchiveError, FormatError, Limit, MemberError};
use crate::limits::Limits;

const END_MARK: &[u8; 4] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: u64 = u16::MAX as u64;
const LOCATOR_MARK: &[u8; 4] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const WIDE_END_MARK: &[u8; 4] = b"PK\x06\x06";
const WIDE_END_BYTES: usize = 56;
const ENTRY_MARK: u32 = 0x0201_4b50;
const ENTRY_BYTES: usize = 46;

const ENCRYPTED: u16 = 1;
/// Behind the content, sizes and checksum stand once more.
pub(super) const DESCRIPTOR: u16 = 1 << 3;
/// How hard it was packed, a descriptor, names in UTF-8. Everything else means encryption or patches.
const KNOWN_FLAGS: u16 = 0b110 | DESCRIPTOR | 1 << 11;

/// How a member is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
}

impl Method {
    pub(crate) fn from_number(number: u16) -> Result<Self, MemberError> {
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
    pub(super) packed: u64,
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) flags: u16,
    pub(super) method: Method,
    /// Kind and permissions in Unix's way, 0 if not said.
    pub(super) mode: u16,
    /// A hash of its name under the directory's keys.
    pub(super) name_key: u64,
    /// The same of the name that counts: most have no other one.
    pub(super) path_key: u64,
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
    pub(super) fn read_from(file: &mut (impl Read + Seek), limits: &Limits) -> Result<Self, ArchiveError> {
        let End { at, bytes, members } = End::find_in(file)?;
        if members > limits.max_entries {
            return Err(ArchiveError::LimitExceeded(Limit::Entries { limit: limits.max_entries }));
        }
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
        let method = check_method(flags, method).map_err(|error| ArchiveError::for_member(&name, error))?;
        let extra = parse_extra(&extra, &name, at)?;
        if disk != 0 && !(disk == u16::MAX && extra.has_zip64()) {
            return Err(format_error(FormatError::Split));
        }
        let wide = extra.widen([size, packed, offset]);
        let [size, packed, offset] = wide.ok_or_else(|| ArchiveError::for_member(&name, MemberError::Disagrees))?;
        let name_at = (at + ENTRY_BYTES as u64, name_len);
        let mode = u16::try_from(attributes >> 16).unwrap_or_default();
        let (name_key, path_key) = (self.hash_name(&name), self.hash_name(extra.path.unwrap_or(&name)));
        Ok(Entry { offset, packed, size, crc, flags, method, mode, name_key, path_key, name_at })
    }
}

fn check_method(flags: u16, method: u16) -> Result<Method, MemberError> {
    if flags & !KNOWN_FLAGS != 0 {
        return Err(if flags & ENCRYPTED != 0 { MemberError::Encrypted } else { MemberError::Special });
    }
    Method::from_number(method)
}

/// The extra fields of the member whose header stands there.
pub(super) fn parse_extra<'a>(extra: &'a [u8], name: &[u8], at: u64) -> Result<Extra<'a>, ArchiveError> {
    Extra::parse(extra, name).map_err(|error| match error {
        ExtraError::Damaged => format_error(FormatError::Header { at }),
        ExtraError::OtherName => ArchiveError::for_member(name, MemberError::OtherName),
    })
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

/// The records at the end: where the directory stands.
#[derive(PartialEq, Eq)]
struct End {
    at: u64,
    bytes: u64,
    members: u64,
}

impl End {
    fn find_in(file: &mut (impl Read + Seek)) -> Result<Self, ArchiveError> {
        let length = file.seek(SeekFrom::End(0)).map_err(read_error)?;
        let most = MAX_COMMENT_BYTES + (END_BYTES + LOCATOR_BYTES + WIDE_END_BYTES) as u64;
        let begin = length.saturating_sub(most);
        file.seek(SeekFrom::Start(begin)).map_err(read_error)?;
        let mut tail = Vec::new();
        file.take(length - begin).read_to_end(&mut tail).map_err(read_error)?;
        // The last one, as other readers have it. A comment that holds another one is refused with it.
        let at = tail.windows(END_MARK.len()).rposition(|window| window == END_MARK);
        let no_directory = || format_error(FormatError::NoDirectory);
        let (before, end) = at.and_then(|at| tail.split_at_checked(at)).ok_or_else(no_directory)?;
        let end = Self::parse_record(end)?;
        let wide = before.len().checked_sub(LOCATOR_BYTES).and_then(|at| before.split_at_checked(at));
        match wide {
            Some((before, locator)) if locator.starts_with(LOCATOR_MARK) => {
                let wide_at = (begin + before.len() as u64).saturating_sub(WIDE_END_BYTES as u64);
                let record = before.last_chunk::<WIDE_END_BYTES>().ok_or_else(no_directory)?;
                let wide = Self::parse_wide_record(record, locator, wide_at)?;
                if end.leads_to(&wide) { wide.before(wide_at) } else { Err(no_directory()) }
            }
            _ => end.before(begin + before.len() as u64),
        }
    }

    fn parse_record(end: &[u8]) -> Result<Self, ArchiveError> {
        let (head, comment) = end.split_at_checked(END_BYTES).ok_or_else(|| format_error(FormatError::NoDirectory))?;
        let mut fields = Fields(head.get(END_MARK.len()..).unwrap_or_default());
        let (disk, first_disk, here, members) =
            (fields.read_u16(), fields.read_u16(), fields.read_u16(), fields.read_u16());
        let (bytes, at, comment_len) = (fields.read_u32(), fields.read_u32(), fields.read_u16());
        if (disk, first_disk, here) != (0, 0, members) {
            return Err(format_error(FormatError::Split));
        }
        // Pipes and tapes pad with zeros.
        let behind = comment.get(usize::from(comment_len)..);
        if !behind.is_some_and(|behind| behind.iter().all(|b| *b == 0)) {
            return Err(format_error(FormatError::NoDirectory));
        }
        Ok(Self { at: at.into(), bytes: bytes.into(), members: members.into() })
    }

    /// The record of zip64, and what leads to it from the usual one.
    fn parse_wide_record(record: &[u8], locator: &[u8], wide_at: u64) -> Result<Self, ArchiveError> {
        let mut fields = Fields(locator.get(LOCATOR_MARK.len()..).unwrap_or_default());
        let (first_disk, found_at, disks) = (fields.read_u32(), fields.read_u64(), fields.read_u32());
        if first_disk != 0 || disks > 1 {
            return Err(format_error(FormatError::Split));
        }
        let (mark, rest) = record.split_at_checked(WIDE_END_MARK.len()).unwrap_or_default();
        let mut fields = Fields(rest);
        let rest_bytes = fields.read_u64();
        if found_at != wide_at || mark != WIDE_END_MARK || rest_bytes != WIDE_END_BYTES as u64 - 12 {
            return Err(format_error(FormatError::NoDirectory));
        }
        let (_made_by, _needed) = (fields.read_u16(), fields.read_u16());
        let (disk, first_disk, here, members) =
            (fields.read_u32(), fields.read_u32(), fields.read_u64(), fields.read_u64());
        let (bytes, at) = (fields.read_u64(), fields.read_u64());
        if (disk, first_disk, here) != (0, 0, members) {
            return Err(format_error(FormatError::Split));
        }
        Ok(Self { at, bytes, members })
    }

    /// Whether who reads only this record, and who reads the other one, find the same directory.
    fn leads_to(&self, wide: &Self) -> bool {
        let fits = |own: u64, most: u64, wide: u64| own == wide || own == most;
        fits(self.at, u64::from(u32::MAX), wide.at)
            && fits(self.bytes, u64::from(u32::MAX), wide.bytes)
            && fits(self.members, u64::from(u16::MAX), wide.members)
    }

    /// The directory must end where the records begin.
    fn before(self, records_at: u64) -> Result<Self, ArchiveError> {
        let end = self.at.checked_add(self.bytes).filter(|end| *end <= records_at);
        match end.ok_or_else(|| format_error(FormatError::NoDirectory))? {
            end if end == records_at => Ok(self),
            // Before the archive, or between its directory and its end.
            end => Err(format_error(FormatError::Gap { at: end })),
        }
    }
}
