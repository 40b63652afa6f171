//! Packages as developers make them: some files in a tar or a zip.

use std::io::Write as _;

use flate2::{Crc, GzBuilder};

/// How a tar is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
}

/// A tar with these files.
#[must_use]
pub fn tar(files: &[(&str, &[u8])], compression: Compression) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Written by hand, so that a test can name what the library would refuse.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    pack(&builder.into_inner().unwrap(), compression)
}

fn pack(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => gzip(bytes, flate2::Compression::fast(), None),
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

/// The smallest package that is one: a tar.gz with one file that holds this.
#[must_use]
pub fn package_of(content: impl AsRef<[u8]>) -> Vec<u8> {
    tar(&[("file", content.as_ref())], Compression::Gzip)
}

/// A tar.gz of exactly so many bytes. It holds a file that does not compress; a comment fills what is left.
///
/// # Panics
/// For fewer than about 150 bytes, which a package takes.
#[must_use]
pub fn package_of_size(len: usize) -> Vec<u8> {
    sized(len, crate::bytes)
}

/// Another one of the same size.
#[must_use]
pub fn another_package_of_size(len: usize) -> Vec<u8> {
    sized(len, |len| crate::bytes(len).into_iter().map(|byte| !byte).collect())
}

fn sized(len: usize, content: impl FnOnce(usize) -> Vec<u8>) -> Vec<u8> {
    // What tar and gzip add stays below this.
    let content = content(len.saturating_sub(4_096 + len / 1_024));
    let level = if content.is_empty() { flate2::Compression::fast() } else { flate2::Compression::none() };
    let unpacked = tar(&[("file", &content)], Compression::None);
    let bare = gzip(&unpacked, level, None);
    match len.checked_sub(bare.len()).expect("a package takes more bytes") {
        0 => bare,
        // A zero ends the comment.
        missing => gzip(&unpacked, level, Some("x".repeat(missing - 1))),
    }
}

fn gzip(bytes: &[u8], level: flate2::Compression, comment: Option<String>) -> Vec<u8> {
    let head = comment.into_iter().fold(GzBuilder::new(), GzBuilder::comment);
    let mut encoder = head.write(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zip with these files, stored as they are.
#[must_use]
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut members, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut crc = Crc::new();
        crc.update(content);
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..],
            &crc.sum().to_le_bytes(),
            &length,
            &length,
            &u16::try_from(name.len()).unwrap().to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let at = u32::try_from(members.len()).unwrap().to_le_bytes();
        directory
            .push([b"PK\x01\x02\x14\x03", &common[..], &[0; 6], &[0, 0, 0xa4, 0x81], &at, name.as_bytes()].concat());
        members.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
    }
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    let directory = directory.concat();
    let end = [
        &b"PK\x05\x06\0\0\0\0"[..],
        &count,
        &count,
        &u32::try_from(directory.len()).unwrap().to_le_bytes(),
        &u32::try_from(members.len()).unwrap().to_le_bytes(),
        &[0, 0],
    ]
    .concat();
    [members, directory, end].concat()
}
