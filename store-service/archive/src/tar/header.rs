//! One header block of a tar archive.

use super::extended::Extension;

/// Everything in a tar comes in blocks.
pub(super) const BLOCK_BYTES: usize = 512;

/// A block.
pub(super) type Block = [u8; BLOCK_BYTES];

/// What a header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    File,
    Folder,
    Symlink,
    HardLink,
    /// It says more of the member that follows.
    Extension(Extension),
    /// Devices, FIFOs, sparse files, labels, parts of several volumes.
    Other,
}

/// A header that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Type,
    pub(super) size: u64,
}

/// Why a block is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Magic,
    Checksum,
    Field,
}

const CHECKSUM: std::ops::Range<usize> = 148..156;

impl Header {
    pub(super) fn parse_block(block: &Block) -> Result<Self, HeaderError> {
        let field = |range: std::ops::Range<usize>| block.get(range).unwrap_or_default();
        let is_posix = match field(257..265) {
            b"ustar\x0000" => true,
            b"ustar  \0" => false,
            _ => return Err(HeaderError::Magic),
        };
        if parse_octal(field(CHECKSUM)) != Some(compute_checksum(block)) {
            return Err(HeaderError::Checksum);
        }
        let (name, prefix) = (parse_text(field(0..100)), parse_text(field(345..500)));
        let name = match (prefix, is_posix) {
            ([], _) => name.to_vec(),
            (prefix, true) => [prefix, b"/", name].concat(),
            // GNU keeps other things there, and some readers take them for a prefix all the same.
            (_, false) => return Err(HeaderError::Field),
        };
        let size = parse_number(field(124..136)).ok_or(HeaderError::Field)?;
        // Sizes are added and rounded up; one that large is over every limit.
        if size > i64::MAX as u64 {
            return Err(HeaderError::Field);
        }
        let kind = parse_type_flag(field(156..157));
        Ok(Self { name, link: parse_text(field(157..257)).to_vec(), kind, size })
    }
}

fn parse_type_flag(flag: &[u8]) -> Type {
    match flag {
        b"0" | b"\0" => Type::File,
        b"1" => Type::HardLink,
        b"2" => Type::Symlink,
        b"5" => Type::Folder,
        b"x" => Type::Extension(Extension::Pax),
        b"g" => Type::Extension(Extension::PaxGlobal),
        b"L" => Type::Extension(Extension::GnuPath),
        b"K" => Type::Extension(Extension::GnuLink),
        _ => Type::Other,
    }
}

/// The sum of all bytes, those of the checksum itself counted as spaces.
fn compute_checksum(block: &Block) -> u64 {
    let bytes = block.iter().enumerate();
    bytes.map(|(at, byte)| u64::from(if CHECKSUM.contains(&at) { b' ' } else { *byte })).sum()
}

/// A text ends with its field or the first NUL.
fn parse_text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// Octal, or GNU's binary form where octal has too few digits.
fn parse_number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => {
            let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
            high.iter().all(|b| *b == 0).then_some(u64::from_be_bytes(low.try_into().ok()?))
        }
        _ => parse_octal(field),
    }
}

/// Octal digits between spaces and NULs. Nothing at all is 0, as all readers have it.
fn parse_octal(field: &[u8]) -> Option<u64> {
    let begin = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
    let digits = field.get(begin..)?;
    let end = digits.iter().position(|b| matches!(b, b' ' | 0)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end)?;
    if rest.iter().any(|b| !matches!(b, b' ' | 0)) {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_nothing_else() {
        assert_eq!(parse_number(b"00000000017\0"), Some(15));
        assert_eq!(parse_number(b"     17 \0\0\0\0"), Some(15));
        assert_eq!(parse_number(b"\0\0\0\0\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(parse_number(b"\x80\0\0\0\0\0\0\0\0\0\x02\0"), Some(512));
        for bad in [b"0000000001x\0", b"17\0junk\0\0\0\0\0", b"\x80\x01\0\0\0\0\0\0\0\0\0\0", b"-0000000001\0"] {
            assert_eq!(parse_number(bad), None, "{bad:?}");
        }
        assert_eq!(parse_number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(parse_number(&[b'7'; 30]), None);
    }
}
