//! Numbers and extra fields out of the headers of a zip.

use flate2::Crc;

use crate::member_list::is_description;

/// Reads little-endian numbers one after the other. What is missing reads as 0: headers come whole.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn read_u16(&mut self) -> u16 {
        u16::from_le_bytes(self.read_array())
    }

    pub(super) fn read_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.read_array())
    }

    pub(super) fn read_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.read_array())
    }

    fn read_array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

/// Says that the number is in the field of zip64.
pub(super) const IN_ZIP64: u32 = u32::MAX;

const ZIP64: u16 = 0x0001;
/// Info-ZIP's name in UTF-8, behind a version and a checksum.
const UNICODE_PATH: u16 = 0x7075;
const UNICODE_PATH_HEAD: usize = 5;

/// Why extra fields are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExtraError {
    /// They do not fill their length, or one is there twice.
    Damaged,
    /// A second name that is not the first: some unpackers take the one, some the other.
    OtherName,
}

/// What the extra fields of a member say that matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra<'a> {
    /// Numbers of eight bytes.
    zip64: Option<&'a [u8]>,
    /// The name in UTF-8, if it is not the one that the header has.
    pub(super) path: Option<&'a [u8]>,
}

impl<'a> Extra<'a> {
    pub(super) fn parse(mut extra: &'a [u8], name: &[u8]) -> Result<Self, ExtraError> {
        let mut found = Self::default();
        // Fewer bytes than a field has at least are padding, as zipalign writes it.
        while let Some((head, rest)) = extra.split_at_checked(4) {
            let mut head = Fields(head);
            let (id, length) = (head.read_u16(), usize::from(head.read_u16()));
            let (content, rest) = rest.split_at_checked(length).ok_or(ExtraError::Damaged)?;
            match id {
                ZIP64 if found.zip64.is_some() => return Err(ExtraError::Damaged),
                ZIP64 => found.zip64 = Some(content),
                UNICODE_PATH if content.get(UNICODE_PATH_HEAD..) == Some(name) => {}
                UNICODE_PATH if found.path.is_some() => return Err(ExtraError::Damaged),
                UNICODE_PATH => found.path = Some(parse_unicode_path(content, name).ok_or(ExtraError::OtherName)?),
                _ => {}
            }
            extra = rest;
        }
        Ok(found)
    }

    /// Numbers of a header (size, packed size, offset), with those from zip64 that did not fit. Nothing if there are too few.
    ///
    /// Some packers put numbers there that do not have to be there, and some readers take them. So they must be the same.
    pub(super) fn widen<const N: usize>(&self, numbers: [u32; N]) -> Option<[u64; N]> {
        let mut wide = numbers.map(u64::from);
        let Some(content) = self.zip64 else { return Some(wide) };
        let mut left = Fields(content);
        for wide in wide.iter_mut().filter(|number| **number == u64::from(IN_ZIP64)) {
            if left.0.len() < 8 {
                return None;
            }
            *wide = left.read_u64();
        }
        (is_over(left.0) || repeats(content, &wide)).then_some(wide)
    }

    /// Whether zip64 is there and leaves both sizes open, as a packer writes that cannot go back; so do the numbers beside it.
    pub(super) fn leaves_sizes_open(&self, numbers: [u32; 2]) -> bool {
        self.zip64 == Some(&[0xff; 16]) && numbers.iter().all(|number| [0, IN_ZIP64].contains(number))
    }

    /// Whether zip64 was named at all.
    pub(super) fn has_zip64(&self) -> bool {
        self.zip64.is_some()
    }
}

/// The same name in UTF-8: of the right form, made for this name, and the same in every part that can be written in ASCII,
/// so that who reads the one and who reads the other find the same folders and the same description.
fn parse_unicode_path<'a>(content: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, path) = content.split_at_checked(UNICODE_PATH_HEAD)?;
    let (version, crc) = head.split_first()?;
    let mut sum = Crc::new();
    sum.update(name);
    let is_made_for_name = *version == 1 && Fields(crc).read_u32() == sum.sum();
    // A part that is none, or leads nowhere, is none to some readers: it is not another one, either.
    let is_part = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    let is_same =
        |(own, other): (&[u8], &[u8])| own == other || is_part(own) && !other.is_ascii() && !is_description(own);
    let slashes = |name: &[u8]| name.iter().filter(|b| **b == b'/').count();
    let (own, other) = (name.split(|b| *b == b'/'), path.split(|b| *b == b'/'));
    let fits = slashes(name) == slashes(path) && own.zip(other).all(is_same);
    (is_made_for_name && fits && std::str::from_utf8(path).is_ok()).then_some(path)
}

/// Behind the numbers stands nothing, or that the member is in the first part of the archive.
fn is_over(content: &[u8]) -> bool {
    content.is_empty() || content == [0; 4]
}

/// Whether a field has the numbers in their order, needed or not.
fn repeats(content: &[u8], numbers: &[u64]) -> bool {
    let mut left = Fields(content);
    let mut numbers = numbers.iter();
    while left.0.len() >= 8 {
        match numbers.next() {
            Some(number) if left.read_u64() == *number => {}
            _ => return false,
        }
    }
    is_over(left.0)
}
