//! What a file is, told by its first bytes. Names and content types are not asked: both are a stranger's.

use std::fmt;

use super::tar::{has_tar_checksum, is_v7_header};

/// A format of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// v7, ustar, GNU or pax.
    Tar,
    /// The same in gzip.
    TarGz,
    /// The same in bzip2.
    TarBz2,
    /// The same in xz.
    TarXz,
    /// The same in Zstandard.
    TarZst,
    /// Zip.
    Zip,
    /// No archive; the operator allows such files.
    Opaque,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::Tar, Self::TarGz, Self::TarBz2, Self::TarXz, Self::TarZst, Self::Zip, Self::Opaque];

    /// The format of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The usual suffix, without its dot.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarBz2 => "tar.bz2",
            Self::TarXz => "tar.xz",
            Self::TarZst => "tar.zst",
            Self::Zip => "zip",
            Self::Opaque => "opaque",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a file that is no package looks like. A hint for whoever sent the link, nothing is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LooksLike {
    /// Not one byte.
    Empty,
    /// A web page, mostly one that asks to log in or says what went wrong.
    Html,
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// A script.
    Script,
    /// A program for Linux.
    Elf,
    /// A program for Windows.
    Exe,
    /// PDF.
    Pdf,
    /// RAR.
    Rar,
    /// 7-Zip.
    SevenZip,
    /// cpio, in one of its forms.
    Cpio,
    /// ar, as in Debian's packages.
    Ar,
    /// lzip.
    Lzip,
    /// compress, as in `.tar.Z`.
    Compress,
    /// LZ4.
    Lz4,
    /// A cabinet of Windows.
    Cabinet,
    /// An image.
    Image,
    /// Text of some kind.
    Text,
    /// Nothing that is known here.
    Binary,
}

impl fmt::Display for LooksLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Html => "an HTML page",
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Script => "a script",
            Self::Elf => "an ELF program",
            Self::Exe => "a Windows program",
            Self::Pdf => "a PDF document",
            Self::Rar => "a RAR archive",
            Self::SevenZip => "a 7-Zip archive",
            Self::Cpio => "a cpio archive",
            Self::Ar => "an ar archive",
            Self::Lzip => "an lzip file",
            Self::Compress => "a file of compress",
            Self::Lz4 => "an LZ4 file",
            Self::Cabinet => "a cabinet",
            Self::Image => "an image",
            Self::Text => "plain text",
            Self::Binary => "unknown binary data",
        })
    }
}

/// Enough to tell: a tar's magic stands at 257, and a page's `<html` may stand behind a comment.
pub(super) const SNIFF_BYTES: usize = 512;

/// The format of a file that begins with `head`: its first [`SNIFF_BYTES`], or all that it has.
pub(super) fn sniff_format(head: &[u8]) -> Result<Format, LooksLike> {
    let known: [(&[u8], Format); 5] = [
        (b"\x1f\x8b", Format::TarGz),
        (b"\xfd7zXZ\0", Format::TarXz),
        (b"\x28\xb5\x2f\xfd", Format::TarZst),
        (b"PK\x03\x04", Format::Zip),
        (b"PK\x05\x06", Format::Zip),
    ];
    if let Some((_, format)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(*format);
    }
    // Its first block, or its end where it has none: the letters before it may begin a name.
    if let [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
    | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] = head
    {
        return Ok(Format::TarBz2);
    }
    // A Zstandard file may begin with frames that hold no data.
    if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = head {
        return Ok(Format::TarZst);
    }
    match head.get(257..262) {
        Some(b"ustar") => Ok(Format::Tar),
        _ if is_v7_header(head) => Ok(Format::Tar),
        _ => Err(guess_content(head)),
    }
}

/// Whether a file that begins so is a tar as well to readers that look for one first.
pub(super) fn is_also_tar(format: Format, head: &[u8]) -> bool {
    format != Format::Tar && has_tar_checksum(head)
}

/// What a file looks like that is no archive.
pub(super) fn guess_content(head: &[u8]) -> LooksLike {
    let known: [(&[u8], LooksLike); 18] = [
        (b"\x7fELF", LooksLike::Elf),
        (b"MZ", LooksLike::Exe),
        (b"%PDF-", LooksLike::Pdf),
        (b"Rar!\x1a\x07", LooksLike::Rar),
        (b"7z\xbc\xaf\x27\x1c", LooksLike::SevenZip),
        (b"07070", LooksLike::Cpio),
        (b"\xc7\x71", LooksLike::Cpio),
        (b"\x71\xc7", LooksLike::Cpio),
        (b"!<arch>\n", LooksLike::Ar),
        (b"LZIP", LooksLike::Lzip),
        (b"\x1f\x9d", LooksLike::Compress),
        (b"\x04\x22\x4d\x18", LooksLike::Lz4),
        (b"MSCF\0\0\0\0", LooksLike::Cabinet),
        (b"\x89PNG", LooksLike::Image),
        (b"\xff\xd8\xff", LooksLike::Image),
        (b"GIF8", LooksLike::Image),
        (b"#!", LooksLike::Script),
        (b"<?xml", LooksLike::Xml),
    ];
    if let Some((_, looks)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return *looks;
    }
    match decode_text(head) {
        _ if head.is_empty() => LooksLike::Empty,
        Some(text) => guess_text_kind(text),
        None => LooksLike::Binary,
    }
}

/// The head as text, if it is some. Its last character may be cut.
fn decode_text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(head.get(..e.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c');
    (!text.contains(is_control)).then(|| text.trim_start_matches('\u{feff}'))
}

fn guess_text_kind(text: &str) -> LooksLike {
    let lower = text.trim_start().to_ascii_lowercase();
    if lower.starts_with('<') && ["<html", "<!doctype html", "<head", "<body"].iter().any(|tag| lower.contains(tag)) {
        LooksLike::Html
    } else if lower.starts_with("<?xml") {
        LooksLike::Xml
    } else if lower.starts_with(['{', '[']) {
        LooksLike::Json
    } else {
        LooksLike::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_named_for_what_it_looks_like() {
        let cases: [(&[u8], LooksLike); 24] = [
            (b"", LooksLike::Empty),
            (b"<!DOCTYPE html><title>Log in</title>", LooksLike::Html),
            (b"\n\n  <!-- hello --><HTML>", LooksLike::Html),
            ("\u{feff}<html>".as_bytes(), LooksLike::Html),
            (b"{\"errors\": []}", LooksLike::Json),
            (b" [1]", LooksLike::Json),
            (b"<?xml version=\"1.0\"?><Error/>", LooksLike::Xml),
            (b"#!/bin/sh\n", LooksLike::Script),
            (b"\x7fELF\x02", LooksLike::Elf),
            (b"MZ\x90", LooksLike::Exe),
            (b"%PDF-1.7", LooksLike::Pdf),
            (b"Rar!\x1a\x07\x01", LooksLike::Rar),
            (b"7z\xbc\xaf\x27\x1c", LooksLike::SevenZip),
            (b"070701", LooksLike::Cpio),
            (b"\xc7\x71\x01", LooksLike::Cpio),
            (b"!<arch>\ndebian-binary", LooksLike::Ar),
            (b"LZIP\x01", LooksLike::Lzip),
            (b"\x1f\x9d\x90", LooksLike::Compress),
            (b"\x04\x22\x4d\x18\x64", LooksLike::Lz4),
            (b"MSCF\0\0\0\0", LooksLike::Cabinet),
            (b"\x89PNG\r\n", LooksLike::Image),
            ("版本 1".as_bytes(), LooksLike::Text),
            (&"版本".as_bytes()[..4], LooksLike::Text),
            (&[0; 512], LooksLike::Binary),
        ];
        for (head, looks) in cases {
            assert_eq!(sniff_format(head), Err(looks), "{head:?}");
        }
    }

    #[test]
    fn archives_are_told_by_their_magic_and_by_nothing_else() {
        assert_eq!(sniff_format(b"\x1f\x8b\x08"), Ok(Format::TarGz));
        assert_eq!(sniff_format(b"BZh91AY&SY"), Ok(Format::TarBz2));
        assert_eq!(sniff_format(b"BZh9\x17rE8P\x90"), Ok(Format::TarBz2));
        assert_eq!(sniff_format(b"BZhang says"), Err(LooksLike::Text));
        assert_eq!(sniff_format(b"\xfd7zXZ\0"), Ok(Format::TarXz));
        assert_eq!(sniff_format(b"\x28\xb5\x2f\xfd"), Ok(Format::TarZst));
        assert_eq!(sniff_format(b"\x52\x2a\x4d\x18"), Ok(Format::TarZst));
        assert_eq!(sniff_format(b"PK\x03\x04"), Ok(Format::Zip));
        assert_eq!(sniff_format(b"PK\x01\x02"), Err(LooksLike::Binary));
        let mut head = [0; 512];
        head[257..262].copy_from_slice(b"ustar");
        assert_eq!(sniff_format(&head), Ok(Format::Tar));
        assert_eq!(sniff_format(&head[..261]), Err(LooksLike::Binary));
    }
}
