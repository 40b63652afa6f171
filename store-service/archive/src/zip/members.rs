//! The members of a zip, one after the other as they stand in the file.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::content::{Content, Inflater};
use super::directory::{DESCRIPTOR, Directory, Entry, Method, check_extra};
use super::fields::Fields;
use super::{format_error, read_error};
use crate::error::{ArchiveError, FormatError, MemberError};
use crate::limits::Limits;
use crate::member_list::{MemberKind, MemberList};
use crate::unpack::Budget;

const MEMBER_MARK: u32 = 0x0403_4b50;
const MEMBER_BYTES: usize = 30;
const DESCRIPTOR_MARK: u32 = 0x0807_4b50;

/// The kind of a file, in Unix's mode.
const KIND: u16 = 0o170_000;
const FILE: u16 = 0o100_000;
const FOLDER: u16 = 0o040_000;
const SYMLINK: u16 = 0o120_000;

/// Members that are being read.
pub(super) struct Members<'a, R> {
    file: BufReader<R>,
    /// How far the file was read.
    at: u64,
    directory: &'a Directory,
    list: MemberList,
    budget: Budget,
    inflater: Inflater,
    max_target_bytes: usize,
}

impl<'a, R: Read + Seek> Members<'a, R> {
    pub(super) fn new(file: BufReader<R>, directory: &'a Directory, limits: &Limits) -> Self {
        let (list, budget) = (MemberList::new(limits), Budget::new(limits));
        let inflater = Inflater::new();
        Self { file, at: 0, directory, list, budget, inflater, max_target_bytes: limits.max_path_bytes }
    }

    /// Reads the next member whole.
    pub(super) fn read_member(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        if entry.offset < self.at {
            let name = self.read_name(entry)?;
            return Err(ArchiveError::for_member(&name, MemberError::Overlaps));
        }
        if entry.offset > self.at {
            return Err(format_error(FormatError::Gap { at: self.at }));
        }
        let name = self.read_header(entry)?;
        let refused = |error| ArchiveError::for_member(&name, error);
        match (entry.mode & KIND, name.ends_with(b"/")) {
            (0 | FOLDER, true) if entry.size == 0 => {
                self.list.add_member(&name, MemberKind::Folder)?;
                self.read_content(entry, &name, |_, _| {})?;
            }
            (0 | FILE, false) => {
                let is_wanted = self.list.add_member(&name, MemberKind::File)?;
                self.read_content(entry, &name, |list, bytes| {
                    if is_wanted {
                        list.push_description(bytes);
                    }
                })?;
            }
            (SYMLINK, false) => self.read_symlink(entry, &name)?,
            (0 | FOLDER | FILE | SYMLINK, _) => return Err(refused(MemberError::KindMismatch)),
            _ => return Err(refused(MemberError::Special)),
        }
        if entry.flags & DESCRIPTOR == 0 { Ok(()) } else { self.check_descriptor(entry, &name) }
    }

    /// All members were read: what they are, and how many bytes came out.
    pub(super) fn finish(self) -> Result<(MemberList, u64), ArchiveError> {
        if self.at == self.directory.at {
            Ok((self.list, self.budget.out))
        } else if self.at < self.directory.at {
            Err(format_error(FormatError::Gap { at: self.at }))
        } else {
            Err(format_error(FormatError::NoDirectory))
        }
    }

    /// The member's own header. It must say what the directory says.
    fn read_header(&mut self, entry: &Entry) -> Result<Vec<u8>, ArchiveError> {
        let at = self.at;
        let mut head = [0; MEMBER_BYTES];
        self.read_bytes(&mut head)?;
        let mut fields = Fields(&head);
        if fields.read_u32() != MEMBER_MARK {
            return Err(format_error(FormatError::Header { at }));
        }
        let (_needed, flags, method, _time, _date) =
            (fields.read_u16(), fields.read_u16(), fields.read_u16(), fields.read_u16(), fields.read_u16());
        let own = [fields.read_u32(), fields.read_u32(), fields.read_u32()];
        let (name_len, extra_len) = (fields.read_u16(), fields.read_u16());
        let (mut name, mut extra) = (vec![0; usize::from(name_len)], vec![0; usize::from(extra_len)]);
        self.read_bytes(&mut name)?;
        self.read_bytes(&mut extra)?;
        // Whoever writes a descriptor may know the numbers only afterwards.
        let says_later = flags & DESCRIPTOR != 0;
        let listed = [entry.crc, entry.packed, entry.size];
        let agrees = flags == entry.flags
            && Method::from_number(method) == Ok(entry.method)
            && own.iter().zip(listed).all(|(own, listed)| *own == listed || says_later && *own == 0)
            && self.directory.hash_name(&name) == entry.name_key;
        if !agrees {
            let name = self.read_name(entry)?;
            return Err(ArchiveError::for_member(&name, MemberError::Disagrees));
        }
        check_extra(&extra, &name, at)?;
        Ok(name)
    }

    fn read_symlink(&mut self, entry: &Entry, name: &[u8]) -> Result<(), ArchiveError> {
        let (mut target, limit) = (Vec::new(), self.max_target_bytes.saturating_add(1));
        self.read_content(entry, name, |_, bytes| {
            let room = limit.saturating_sub(target.len());
            target.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        })?;
        self.list.add_member(name, MemberKind::Symlink(&target)).map(|_| ())
    }

    fn read_content(
        &mut self,
        entry: &Entry,
        name: &[u8],
        mut sink: impl FnMut(&mut MemberList, &[u8]),
    ) -> Result<(), ArchiveError> {
        let mut content = Content::new(entry, name, &mut self.budget);
        content.unpack(&mut self.file, &mut self.inflater, |bytes| sink(&mut self.list, bytes))?;
        self.at += u64::from(entry.packed);
        Ok(())
    }

    /// The sizes once more, with a mark before them or without.
    fn check_descriptor(&mut self, entry: &Entry, name: &[u8]) -> Result<(), ArchiveError> {
        let mut bytes = [0; 12];
        self.read_bytes(&mut bytes)?;
        let mut first = Fields(&bytes);
        let mut found = [first.read_u32(), first.read_u32(), first.read_u32()];
        if found.first() == Some(&DESCRIPTOR_MARK) {
            let mut last = [0; 4];
            self.read_bytes(&mut last)?;
            let [_, crc, packed] = found;
            found = [crc, packed, Fields(&last).read_u32()];
        }
        if found == [entry.crc, entry.packed, entry.size] {
            return Ok(());
        }
        Err(ArchiveError::for_member(name, MemberError::Disagrees))
    }

    /// A member's name by the directory, for the member that is refused.
    fn read_name(&mut self, entry: &Entry) -> Result<Vec<u8>, ArchiveError> {
        let (at, length) = entry.name_at;
        self.file.seek(SeekFrom::Start(at)).map_err(read_error)?;
        let mut name = vec![0; usize::from(length)];
        self.file.read_exact(&mut name).map_err(read_error)?;
        Ok(name)
    }

    fn read_bytes(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.file.read_exact(bytes).map_err(read_error)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
