//! Numbers and extra fields out of the headers of a zip.

/// Reads little-endian numbers one after the other. What is missing reads as 0: headers come whole.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn read_u16(&mut self) -> u16 {
        u16::from_le_bytes(self.read_array())
    }

    pub(super) fn read_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.read_array())
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

/// What the extra fields of a member say that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    Nothing,
    /// Sizes in zip64's way.
    Zip64,
    /// A second name that is not the first: some unpackers take the one, some the other.
    OtherName,
    /// They do not fill their room.
    Damaged,
}

const ZIP64: u16 = 0x0001;
/// Info-ZIP's name in UTF-8, behind a version and a checksum.
const UNICODE_PATH: u16 = 0x7075;
const UNICODE_PATH_HEAD: usize = 5;

impl Extra {
    pub(super) fn parse(mut extra: &[u8], name: &[u8]) -> Self {
        while !extra.is_empty() {
            let Some((head, rest)) = extra.split_at_checked(4) else { return Self::Damaged };
            let mut head = Fields(head);
            let (id, length) = (head.read_u16(), usize::from(head.read_u16()));
            let Some((content, rest)) = rest.split_at_checked(length) else { return Self::Damaged };
            match id {
                ZIP64 => return Self::Zip64,
                UNICODE_PATH if content.get(UNICODE_PATH_HEAD..) != Some(name) => return Self::OtherName,
                _ => extra = rest,
            }
        }
        Self::Nothing
    }
}
