//! Archives made in memory, good ones and every kind of bad one, and their verdicts.

use std::io::{Cursor, Write as _};

use super::*;

/// A tar header with a right checksum.
pub(super) fn header(name: &[u8], flag: u8, link: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    if size < 1 << 33 {
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    } else {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    }
    block[156] = flag;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    with_checksum(block)
}

/// A header of v7, which has nothing behind the link's target.
pub(super) fn v7_header(name: &str, flag: u8, link: &str, size: u64) -> Vec<u8> {
    let mut block = header(name.as_bytes(), flag, link.as_bytes(), size);
    block[257..].fill(0);
    with_checksum(block)
}

/// The same header with the checksum that its bytes have.
pub(super) fn with_checksum(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(mut content: Vec<u8>) -> Vec<u8> {
    content.resize(content.len().next_multiple_of(512), 0);
    content
}

/// A header and content of the size that it names.
pub(super) fn member(name: &str, flag: u8, content: &[u8]) -> Vec<u8> {
    [header(name.as_bytes(), flag, b"", content.len() as u64), padded(content.to_vec())].concat()
}

pub(super) fn file(name: &str, content: &str) -> Vec<u8> {
    member(name, b'0', content.as_bytes())
}

pub(super) fn folder(name: &str) -> Vec<u8> {
    member(name, b'5', b"")
}

pub(super) fn link(name: &str, flag: u8, target: &str) -> Vec<u8> {
    header(name.as_bytes(), flag, target.as_bytes(), 0)
}

/// A pax header with these records.
pub(super) fn pax(flag: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let length = (1..9).map(|digits| digits + rest.len()).find(|n| n.to_string().len() + rest.len() == *n);
        content.extend(format!("{}{rest}", length.unwrap()).into_bytes());
    }
    member("pax", flag, &content)
}

/// An archive of these members, with its end.
pub(super) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

pub(super) const DESCRIPTION: &str = "spec_version: 2\napp_version: 0.0.5\n";

/// What a good package looks like.
pub(super) fn good_tar() -> Vec<u8> {
    tar(&[
        pax(b'g', &[("comment", "0123456789abcdef")]),
        folder("app/"),
        file("app/app_desc.yaml", DESCRIPTION),
        pax(b'x', &[("path", "app/版本.txt"), ("mtime", "1.5")]),
        file("x", &"text ".repeat(300)),
        link("app/l", b'2', "版本.txt"),
        link("app/h", b'1', "app/app_desc.yaml"),
    ])
}

pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn xz_with(bytes: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(dictionary);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc64).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    xz_with(bytes, 1 << 20)
}

pub(super) fn zst_with(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zst(bytes: &[u8]) -> Vec<u8> {
    zst_with(bytes, 20)
}

pub(super) type Packer = fn(&[u8]) -> Vec<u8>;
pub(super) const PACKERS: [(Format, Packer); 4] =
    [(Format::TarGz, gz), (Format::TarBz2, bz2), (Format::TarXz, xz), (Format::TarZst, zst)];

/// The verdict when the bytes come in pieces of one size.
pub(super) fn in_pieces(bytes: &[u8], piece: usize, limits: &Limits) -> Result<Package, ArchiveError> {
    let mut inspector = Inspector::new(limits.clone(), Unmetered);
    for piece in bytes.chunks(piece) {
        inspector.push(piece)?;
    }
    match inspector.finish()? {
        Inspection::Package(package) => Ok(package),
        Inspection::Zip => inspect_zip(&mut Cursor::new(bytes), limits, &mut Unmetered),
    }
}

/// The verdict, which must be the same whatever the pieces.
pub(super) fn judge_with(bytes: &[u8], limits: &Limits) -> Result<Package, ArchiveError> {
    let verdict = in_pieces(bytes, usize::MAX, limits);
    for piece in [1, 7, 511, 512, 513, 4096, 40_000] {
        assert_eq!(in_pieces(bytes, piece, limits), verdict, "in pieces of {piece}");
    }
    verdict
}

pub(super) fn judge(bytes: &[u8]) -> Result<Package, ArchiveError> {
    judge_with(bytes, &Limits::default())
}

/// The verdict is a refusal of this member for this reason.
pub(super) fn refuses_member(bytes: &[u8], name: &str, error: MemberError) {
    assert_eq!(judge(bytes), Err(ArchiveError::for_member(name.as_bytes(), error)));
}

pub(super) fn refuses(bytes: &[u8], format: Format, error: FormatError) {
    assert_eq!(judge(bytes), Err(ArchiveError::Format { format, error }));
}
