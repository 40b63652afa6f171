//! The directory at the end of a zip.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read, Seek, SeekFrom};

use super::fields::{Extra, Fields};
use super::{broken, unreadable};
use crate::refused::{Broken, MemberFault, Refused};

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
    pub(super) fn new(number: u16) -> Result<Self, MemberFault> {
        match number {
            0 => Ok(Self::Stored),
            8 => Ok(Self::Deflated),
            method => Err(MemberFault::Method { method }),
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
    pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Self, Refused> {
        let End { at, bytes, members } = End::find(file)?;
        file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        let mut directory = Self { at, entries: Vec::new(), keys: RandomState::new() };
        let mut reader = Reader { file: file.take(bytes), at };
        for _ in 0..members {
            let entry = directory.entry(&mut reader)?;
            directory.entries.push(entry);
        }
        if reader.at != at + bytes {
            return Err(broken(Broken::Gap { at: reader.at }));
        }
        if directory.entries.is_empty() {
            return Err(broken(Broken::Empty));
        }
        directory.entries.sort_by_key(|entry| entry.offset);
        Ok(directory)
    }

    pub(super) fn key(&self, name: &[u8]) -> u64 {
        self.keys.hash_one(name)
    }

    fn entry(&self, reader: &mut Reader<impl Read>) -> Result<Entry, Refused> {
        let at = reader.at;
        let head = reader.bytes::<ENTRY_BYTES>()?;
        let mut fields = Fields(&head);
        if fields.u32() != ENTRY_MARK {
            return Err(broken(Broken::Header { at }));
        }
        let (_made_by, _needed, flags, method) = (fields.u16(), fields.u16(), fields.u16(), fields.u16());
        let (_time, _date) = (fields.u16(), fields.u16());
        let (crc, packed, size) = (fields.u32(), fields.u32(), fields.u32());
        let (name_len, extra_len, comment_len) = (fields.u16(), fields.u16(), fields.u16());
        let (disk, _text, attributes, offset) = (fields.u16(), fields.u16(), fields.u32(), fields.u32());
        let name = reader.vec(name_len)?;
        let extra = reader.vec(extra_len)?;
        let _comment = reader.vec(comment_len)?;
        if [packed, size, offset].contains(&u32::MAX) {
            return Err(broken(Broken::Zip64));
        }
        if disk != 0 {
            return Err(broken(Broken::Split));
        }
        let method = judge(flags, method).map_err(|fault| Refused::member(&name, fault))?;
        refuse_extra(&extra, &name, at)?;
        let name_at = (at + ENTRY_BYTES as u64, name_len);
        let mode = u16::try_from(attributes >> 16).unwrap_or_default();
        let (offset, name_key) = (u64::from(offset), self.key(&name));
        Ok(Entry { offset, packed, size, crc, flags, method, mode, name_key, name_at })
    }
}

fn judge(flags: u16, method: u16) -> Result<Method, MemberFault> {
    if flags & !KNOWN_FLAGS != 0 {
        return Err(if flags & ENCRYPTED != 0 { MemberFault::Encrypted } else { MemberFault::Special });
    }
    Method::new(method)
}

/// Refuses extra fields that give a member another size or name.
pub(super) fn refuse_extra(extra: &[u8], name: &[u8], at: u64) -> Result<(), Refused> {
    match Extra::read(extra, name) {
        Extra::Nothing => Ok(()),
        Extra::Zip64 => Err(broken(Broken::Zip64)),
        Extra::OtherName => Err(Refused::member(name, MemberFault::Disagrees)),
        Extra::Damaged => Err(broken(Broken::Header { at })),
    }
}

/// Headers one after the other.
struct Reader<R> {
    file: R,
    at: u64,
}

impl<R: Read> Reader<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(unreadable)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn vec(&mut self, length: u16) -> Result<Vec<u8>, Refused> {
        let mut bytes = vec![0; usize::from(length)];
        self.file.read_exact(&mut bytes).map_err(unreadable)?;
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
    fn find(file: &mut (impl Read + Seek)) -> Result<Self, Refused> {
        let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        let begin = length.saturating_sub(MAX_COMMENT_BYTES + (END_BYTES + ZIP64_BYTES) as u64);
        file.seek(SeekFrom::Start(begin)).map_err(unreadable)?;
        let mut tail = Vec::new();
        file.take(length - begin).read_to_end(&mut tail).map_err(unreadable)?;
        // The last one, as other readers have it. A comment that holds another one is refused with it.
        let at = tail.windows(END_MARK.len()).rposition(|window| window == END_MARK);
        let (before, end) = at.and_then(|at| tail.split_at_checked(at)).ok_or_else(|| broken(Broken::NoDirectory))?;
        let locator = before.len().checked_sub(ZIP64_BYTES).and_then(|at| before.get(at..));
        if locator.is_some_and(|locator| locator.starts_with(ZIP64_MARK)) {
            return Err(broken(Broken::Zip64));
        }
        Self::read(end, begin + before.len() as u64)
    }

    fn read(end: &[u8], end_at: u64) -> Result<Self, Refused> {
        let (head, comment) = end.split_at_checked(END_BYTES).ok_or_else(|| broken(Broken::NoDirectory))?;
        let mut fields = Fields(head.get(END_MARK.len()..).unwrap_or_default());
        let (disk, first_disk, here, members) = (fields.u16(), fields.u16(), fields.u16(), fields.u16());
        let (bytes, at, comment_len) = (fields.u32(), fields.u32(), fields.u16());
        if members == u16::MAX || bytes == u32::MAX || at == u32::MAX {
            return Err(broken(Broken::Zip64));
        }
        if (disk, first_disk, here) != (0, 0, members) {
            return Err(broken(Broken::Split));
        }
        let (at, bytes) = (u64::from(at), u64::from(bytes));
        match (at + bytes).cmp(&end_at) {
            _ if comment.len() != usize::from(comment_len) => Err(broken(Broken::NoDirectory)),
            std::cmp::Ordering::Greater => Err(broken(Broken::NoDirectory)),
            // Before the archive, or between its directory and its end.
            std::cmp::Ordering::Less => Err(broken(Broken::Gap { at: at + bytes })),
            std::cmp::Ordering::Equal => Ok(Self { at, bytes, members }),
        }
    }
}
