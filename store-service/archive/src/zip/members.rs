//! The members of a zip, one after the other as they stand in the file.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::content::{Content, Inflater};
use super::directory::{DESCRIPTOR, Directory, Entry, Method, refuse_extra};
use super::fields::Fields;
use super::{broken, unreadable};
use crate::limits::Limits;
use crate::listing::{Kind, Listing};
use crate::refused::{Broken, MemberFault, Refused};
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
    listing: Listing,
    budget: Budget,
    inflater: Inflater,
    max_target_bytes: usize,
}

impl<'a, R: Read + Seek> Members<'a, R> {
    pub(super) fn new(file: BufReader<R>, directory: &'a Directory, limits: &Limits) -> Self {
        let (listing, budget) = (Listing::new(limits), Budget::new(limits));
        let inflater = Inflater::new();
        Self { file, at: 0, directory, listing, budget, inflater, max_target_bytes: limits.max_path_bytes }
    }

    /// Reads the next member whole.
    pub(super) fn next(&mut self, entry: &Entry) -> Result<(), Refused> {
        if entry.offset < self.at {
            let name = self.name(entry)?;
            return Err(Refused::member(&name, MemberFault::Overlaps));
        }
        if entry.offset > self.at {
            return Err(broken(Broken::Gap { at: self.at }));
        }
        let name = self.header(entry)?;
        let refused = |fault| Refused::member(&name, fault);
        match (entry.mode & KIND, name.ends_with(b"/")) {
            (0 | FOLDER, true) if entry.size == 0 => {
                self.listing.member(&name, Kind::Folder)?;
                self.content(entry, &name, |_, _| {})?;
            }
            (0 | FILE, false) => {
                let is_wanted = self.listing.member(&name, Kind::File)?;
                self.content(entry, &name, |listing, bytes| {
                    if is_wanted {
                        listing.text(bytes);
                    }
                })?;
            }
            (SYMLINK, false) => self.symlink(entry, &name)?,
            (0 | FOLDER | FILE | SYMLINK, _) => return Err(refused(MemberFault::KindMismatch)),
            _ => return Err(refused(MemberFault::Special)),
        }
        if entry.flags & DESCRIPTOR == 0 { Ok(()) } else { self.descriptor(entry, &name) }
    }

    /// All members were read: what they are, and how many bytes came out.
    pub(super) fn finish(self) -> Result<(Listing, u64), Refused> {
        if self.at == self.directory.at {
            Ok((self.listing, self.budget.out))
        } else if self.at < self.directory.at {
            Err(broken(Broken::Gap { at: self.at }))
        } else {
            Err(broken(Broken::NoDirectory))
        }
    }

    /// The member's own header. It must say what the directory says.
    fn header(&mut self, entry: &Entry) -> Result<Vec<u8>, Refused> {
        let at = self.at;
        let mut head = [0; MEMBER_BYTES];
        self.bytes(&mut head)?;
        let mut fields = Fields(&head);
        if fields.u32() != MEMBER_MARK {
            return Err(broken(Broken::Header { at }));
        }
        let (_needed, flags, method, _time, _date) =
            (fields.u16(), fields.u16(), fields.u16(), fields.u16(), fields.u16());
        let own = [fields.u32(), fields.u32(), fields.u32()];
        let (name_len, extra_len) = (fields.u16(), fields.u16());
        let (mut name, mut extra) = (vec![0; usize::from(name_len)], vec![0; usize::from(extra_len)]);
        self.bytes(&mut name)?;
        self.bytes(&mut extra)?;
        // Whoever writes a descriptor may know the numbers only afterwards.
        let says_later = flags & DESCRIPTOR != 0;
        let listed = [entry.crc, entry.packed, entry.size];
        let agrees = flags == entry.flags
            && Method::new(method) == Ok(entry.method)
            && own.iter().zip(listed).all(|(own, listed)| *own == listed || says_later && *own == 0)
            && self.directory.key(&name) == entry.name_key;
        if !agrees {
            let name = self.name(entry)?;
            return Err(Refused::member(&name, MemberFault::Disagrees));
        }
        refuse_extra(&extra, &name, at)?;
        Ok(name)
    }

    fn symlink(&mut self, entry: &Entry, name: &[u8]) -> Result<(), Refused> {
        let (mut target, limit) = (Vec::new(), self.max_target_bytes.saturating_add(1));
        self.content(entry, name, |_, bytes| {
            let room = limit.saturating_sub(target.len());
            target.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        })?;
        self.listing.member(name, Kind::Symlink(&target)).map(|_| ())
    }

    fn content(
        &mut self,
        entry: &Entry,
        name: &[u8],
        mut sink: impl FnMut(&mut Listing, &[u8]),
    ) -> Result<(), Refused> {
        let mut content = Content::new(entry, name, &mut self.budget);
        content.read(&mut self.file, &mut self.inflater, |bytes| sink(&mut self.listing, bytes))?;
        self.at += u64::from(entry.packed);
        Ok(())
    }

    /// The sizes once more, with a mark before them or without.
    fn descriptor(&mut self, entry: &Entry, name: &[u8]) -> Result<(), Refused> {
        let mut bytes = [0; 12];
        self.bytes(&mut bytes)?;
        let mut first = Fields(&bytes);
        let mut found = [first.u32(), first.u32(), first.u32()];
        if found.first() == Some(&DESCRIPTOR_MARK) {
            let mut last = [0; 4];
            self.bytes(&mut last)?;
            let [_, crc, packed] = found;
            found = [crc, packed, Fields(&last).u32()];
        }
        if found == [entry.crc, entry.packed, entry.size] {
            return Ok(());
        }
        Err(Refused::member(name, MemberFault::Disagrees))
    }

    /// A member's name by the directory, for the member that is refused.
    fn name(&mut self, entry: &Entry) -> Result<Vec<u8>, Refused> {
        let (at, length) = entry.name_at;
        self.file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        let mut name = vec![0; usize::from(length)];
        self.file.read_exact(&mut name).map_err(unreadable)?;
        Ok(name)
    }

    fn bytes(&mut self, bytes: &mut [u8]) -> Result<(), Refused> {
        self.file.read_exact(bytes).map_err(unreadable)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
