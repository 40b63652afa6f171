//! One header block of a tar archive: of POSIX (ustar), of GNU, or of the seventh edition of Unix (v7), which has no magic.
//!
//! Promises: where readers take a field in different ways, it is empty or the header is refused.

use super::extended::Extension;

/// Everything in a tar comes in blocks.
pub(super) const BLOCK_BYTES: usize = 512;

/// A block.
pub(super) type Block = [u8; BLOCK_BYTES];

/// What a header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    File,
    /// A file, or by a slash at the end of its name a folder: v7 has no other way to say so.
    OldFile,
    /// A file with holes, in the way of GNU's own format.
    SparseFile,
    Folder,
    Symlink,
    HardLink,
    /// It says more of the member that follows.
    Extension(Extension),
    /// The name of the archive.
    Label,
    /// A folder of an incremental backup, with a list of names as its content.
    Incremental,
    /// The rest of a member of another file.
    Continued,
    /// A device or a FIFO.
    Special,
    /// Anything else.
    Other(u8),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// No magic, and no header of v7 either.
    Magic,
    Checksum,
    Field,
    /// It has times where some readers expect a part of the name: its name as the others read it.
    Times(Vec<u8>),
}

const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Numbers that a header without a magic must have in the right form to be taken for one.
const NUMBERS: [std::ops::Range<usize>; 5] = [100..108, 108..116, 116..124, 124..136, 136..148];

/// Who defined a header's fields behind the link's target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Posix,
    /// POSIX without a version: some readers know no prefix then.
    Unversioned,
    Gnu,
    V7,
}

impl Dialect {
    /// Nothing for a magic that only some readers know.
    fn of(block: &Block) -> Option<Self> {
        match block.get(257..265) {
            Some(b"ustar\x0000") => Some(Self::Posix),
            // As some packers of .NET and of Java write it.
            Some(b"ustar\0 \0" | b"ustar\0\0\0") => Some(Self::Unversioned),
            Some(b"ustar  \0") => Some(Self::Gnu),
            Some([b'u', b's', b't', b'a', b'r', ..]) | None => None,
            Some(_) => Some(Self::V7),
        }
    }
}

/// Whether readers that look for a tar before anything else would take a file for one that begins so.
pub(crate) fn has_tar_checksum(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK_BYTES>().is_some_and(has_checksum)
}

/// Whether a file that begins so is a tar of v7, which only its checksum and the form of its numbers tell.
pub(crate) fn is_v7_header(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<BLOCK_BYTES>() else { return false };
    let has_name = block.first().is_some_and(|b| *b != 0);
    let has_numbers = NUMBERS.iter().all(|range| is_number(block.get(range.clone()).unwrap_or_default()));
    Dialect::of(block) == Some(Dialect::V7) && has_name && has_numbers && has_checksum(block)
}

impl Header {
    pub(super) fn parse_block(block: &Block) -> Result<Self, HeaderError> {
        let field = |range: std::ops::Range<usize>| block.get(range).unwrap_or_default();
        let dialect = Dialect::of(block).ok_or(HeaderError::Magic)?;
        match dialect {
            Dialect::V7 if !is_v7_header(block) => return Err(HeaderError::Magic),
            _ if !has_checksum(block) => return Err(HeaderError::Checksum),
            _ => {}
        }
        // By star's mark, some readers take the last part of the prefix for times.
        if dialect == Dialect::Posix && field(508..512) == b"tar\0" && field(475..476) != [0] {
            return Err(HeaderError::Field);
        }
        let (name, prefix) = (parse_text(field(0..100)), parse_text(field(345..500)));
        let name = match (prefix, dialect) {
            ([], _) => name.to_vec(),
            (prefix, Dialect::Posix) => [prefix, b"/", name].concat(),
            // The others keep other things there, and some readers take them for a prefix all the same.
            (_, Dialect::Gnu) if is_number(field(345..357)) => return Err(HeaderError::Times(name.to_vec())),
            _ => return Err(HeaderError::Field),
        };
        let size = parse_number(field(124..136)).ok_or(HeaderError::Field)?;
        // Sizes are added and rounded up; one that large is over every limit.
        if size > i64::MAX as u64 {
            return Err(HeaderError::Field);
        }
        let kind = match parse_type_flag(block.get(156).copied().unwrap_or_default()) {
            // Only GNU's own format has the map where it is looked for.
            Type::SparseFile if dialect != Dialect::Gnu => return Err(HeaderError::Field),
            kind => kind,
        };
        Ok(Self { name, link: parse_text(field(157..257)).to_vec(), kind, size })
    }
}

fn parse_type_flag(flag: u8) -> Type {
    match flag {
        b'0' => Type::File,
        0 => Type::OldFile,
        b'1' => Type::HardLink,
        b'2' => Type::Symlink,
        b'3' | b'4' | b'6' => Type::Special,
        b'5' => Type::Folder,
        b'x' => Type::Extension(Extension::Pax),
        b'g' => Type::Extension(Extension::PaxGlobal),
        b'L' => Type::Extension(Extension::GnuPath),
        b'K' => Type::Extension(Extension::GnuLink),
        b'S' => Type::SparseFile,
        b'V' => Type::Label,
        b'D' => Type::Incremental,
        b'M' => Type::Continued,
        flag => Type::Other(flag),
    }
}

/// Whether the checksum is the sum of all bytes, its own counted as spaces. Old programs added signed bytes, and every
/// reader takes both sums.
fn has_checksum(block: &Block) -> bool {
    let Some(said) = block.get(CHECKSUM).and_then(parse_octal) else { return false };
    let bytes = || block.iter().enumerate().map(|(at, b)| if CHECKSUM.contains(&at) { b' ' } else { *b });
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|b| i64::from(b.cast_signed())).sum();
    said == unsigned || i64::try_from(said) == Ok(signed)
}

/// A text ends with its field or the first NUL.
fn parse_text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// Whether a field has the form of a number, be it one that is too large or negative.
fn is_number(field: &[u8]) -> bool {
    matches!(field, [0x80 | 0xff, ..]) || parse_octal(field).is_some()
}

/// Octal, or GNU's binary form where octal has too few digits.
pub(super) fn parse_number(field: &[u8]) -> Option<u64> {
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
