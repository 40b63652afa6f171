//! The members of a zip, one after the other as they stand in the file.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::content::{Content, Inflater};
use super::directory::{DESCRIPTOR, Directory, Entry, Method, parse_extra};
use super::fields::Fields;
use super::{format_error, read_error};
use crate::error::{ArchiveError, FormatError, MemberError};
use crate::limits::Limits;
use crate::member_list::{MemberKind, MemberList};
use crate::resources::Resources;
use crate::unpack::Budget;

const MEMBER_MARK: u32 = 0x0403_4b50;
const MEMBER_BYTES: usize = 30;
const DESCRIPTOR_MARK: u32 = 0x0807_4b50;
const DESCRIPTOR_BYTES: usize = 24;

/// The kind of a file, in Unix's mode.
const KIND: u16 = 0o170_000;
const FILE: u16 = 0o100_000;
const FOLDER: u16 = 0o040_000;
const SYMLINK: u16 = 0o120_000;
/// What was packed from a pipe bears the pipe's kind, and unpacks to a file.
const PIPE: u16 = 0o010_000;

/// What a member is called.
struct Names {
    name: Vec<u8>,
    /// What those call it who do not read names in UTF-8.
    other: Option<Vec<u8>>,
}

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
    resources: &'a mut dyn Resources,
}

impl<'a, R: Read + Seek> Members<'a, R> {
    pub(super) fn new(
        file: BufReader<R>,
        directory: &'a Directory,
        limits: &Limits,
        resources: &'a mut dyn Resources,
    ) -> Self {
        let (list, budget) = (MemberList::new(limits), Budget::new(limits));
        let inflater = Inflater::new();
        Self { file, at: 0, directory, list, budget, inflater, max_target_bytes: limits.max_path_bytes, resources }
    }

    /// Reads the next member whole.
    ///
    /// `end` is where the next one begins, or the directory.
    pub(super) fn read_member(&mut self, entry: &Entry, end: u64) -> Result<(), ArchiveError> {
        self.resources.check_time()?;
        if entry.offset < self.at {
            let name = self.read_name(entry)?;
            return Err(ArchiveError::for_member(&name, MemberError::Overlaps));
        }
        if entry.offset > self.at {
            return Err(format_error(FormatError::Gap { at: self.at }));
        }
        let Names { name, other } = self.read_header(entry)?;
        let refused = |error| ArchiveError::for_member(&name, error);
        let kind = match (entry.mode & KIND, name.ends_with(b"/")) {
            (0 | FOLDER, true) if entry.size == 0 => {
                self.list.add_member(&name, MemberKind::Folder)?;
                self.read_content(entry, &name, MemberList::push_content)?;
                MemberKind::Folder
            }
            (0 | FILE | PIPE, false) => {
                self.list.add_member(&name, MemberKind::File)?;
                self.read_content(entry, &name, MemberList::push_content)?;
                MemberKind::File
            }
            (SYMLINK, false) => {
                self.read_symlink(entry, &name)?;
                MemberKind::Symlink(b"")
            }
            (0 | FOLDER | FILE | PIPE | SYMLINK, _) => return Err(refused(MemberError::KindMismatch)),
            _ => return Err(refused(MemberError::Special)),
        };
        if let Some(other) = other {
            self.list.add_other_name(&other, kind)?;
        }
        if entry.flags & DESCRIPTOR == 0 { Ok(()) } else { self.check_descriptor(entry, &name, end) }
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
    fn read_header(&mut self, entry: &Entry) -> Result<Names, ArchiveError> {
        let at = self.at;
        let mut head = [0; MEMBER_BYTES];
        self.read_bytes(&mut head)?;
        let mut fields = Fields(&head);
        if fields.read_u32() != MEMBER_MARK {
            return Err(format_error(FormatError::Header { at }));
        }
        let (_needed, flags, method, _time, _date) =
            (fields.read_u16(), fields.read_u16(), fields.read_u16(), fields.read_u16(), fields.read_u16());
        let (crc, packed, size) = (fields.read_u32(), fields.read_u32(), fields.read_u32());
        let (name_len, extra_len) = (fields.read_u16(), fields.read_u16());
        let (mut name, mut extra) = (vec![0; usize::from(name_len)], vec![0; usize::from(extra_len)]);
        self.read_bytes(&mut name)?;
        self.read_bytes(&mut extra)?;
        // Whoever writes a descriptor may know the numbers only afterwards.
        let says_later = flags & DESCRIPTOR != 0;
        let extra = parse_extra(&extra, &name, at)?;
        let is_open = says_later && extra.leaves_sizes_open([size, packed]);
        let sizes = if is_open { Some([0; 2]) } else { extra.widen([size, packed]) };
        let fits = |own: u64, listed: u64| own == listed || says_later && own == 0;
        let agrees = flags == entry.flags
            && Method::from_number(method) == Ok(entry.method)
            && fits(crc.into(), entry.crc.into())
            && sizes.is_some_and(|[size, packed]| fits(size, entry.size) && fits(packed, entry.packed))
            && self.directory.hash_name(&name) == entry.name_key;
        if !agrees {
            return Err(self.disagrees(entry)?);
        }
        match extra.path {
            path if self.directory.hash_name(path.unwrap_or(&name)) != entry.path_key => {
                Err(ArchiveError::for_member(&name, MemberError::OtherName))
            }
            Some(path) => Ok(Names { name: path.to_vec(), other: Some(name) }),
            None => Ok(Names { name, other: None }),
        }
    }

    fn read_symlink(&mut self, entry: &Entry, name: &[u8]) -> Result<(), ArchiveError> {
        let (mut target, limit) = (Vec::new(), self.max_target_bytes.saturating_add(1));
        self.read_content(entry, name, |_, bytes| {
            let left = limit.saturating_sub(target.len());
            target.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
        })?;
        self.list.add_member(name, MemberKind::Symlink(&target))
    }

    fn read_content(
        &mut self,
        entry: &Entry,
        name: &[u8],
        mut sink: impl FnMut(&mut MemberList, &[u8]),
    ) -> Result<(), ArchiveError> {
        let mut content = Content::new(entry, name, &mut self.budget, self.resources);
        content.unpack(&mut self.file, &mut self.inflater, |bytes| sink(&mut self.list, bytes))?;
        self.at += entry.packed;
        Ok(())
    }

    /// The sizes once more: with a mark before them or without, of four bytes each or of eight. Which form it is, tells
    /// the bytes up to the next header; readers that cannot know it take one of the others for damage.
    fn check_descriptor(&mut self, entry: &Entry, name: &[u8], end: u64) -> Result<(), ArchiveError> {
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let (is_marked, is_wide) = match left {
            12 => (false, false),
            16 => (true, false),
            20 => (false, true),
            DESCRIPTOR_BYTES => (true, true),
            _ => return Err(ArchiveError::for_member(name, MemberError::Disagrees)),
        };
        self.read_bytes(bytes.get_mut(..left).unwrap_or_default())?;
        let mut fields = Fields(&bytes);
        let mark = if is_marked { fields.read_u32() } else { DESCRIPTOR_MARK };
        let crc = fields.read_u32();
        let mut read_size = || if is_wide { fields.read_u64() } else { fields.read_u32().into() };
        let sizes = (read_size(), read_size());
        let agrees = (mark, crc, sizes) == (DESCRIPTOR_MARK, entry.crc, (entry.packed, entry.size));
        if agrees { Ok(()) } else { Err(ArchiveError::for_member(name, MemberError::Disagrees)) }
    }

    fn disagrees(&mut self, entry: &Entry) -> Result<ArchiveError, ArchiveError> {
        Ok(ArchiveError::for_member(&self.read_name(entry)?, MemberError::Disagrees))
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
