//! How an input becomes a package.
//!
//! An input is the file itself, as it would come from a source. But a changed byte in a compressed file is mostly found by
//! its checksum and shows nothing further in. So a first byte under 14 says what is done to the rest: its low bit whether
//! the checksums of tar headers are made right and the end is added, the others what it is packed in (nothing, gzip,
//! bzip2, xz, Zstandard); 10 to 13 are a zip whose checksums of stored members are made right.

use std::borrow::Cow;
use std::io::Write as _;

/// The package that an input stands for.
pub fn package(input: &[u8]) -> Cow<'_, [u8]> {
    let Some((&how @ 0..14, rest)) = input.split_first() else { return input.into() };
    let mut file = rest.to_vec();
    if how >= 10 {
        mend_zip(&mut file);
        return file.into();
    }
    if how % 2 == 1 {
        mend_tar(&mut file);
    }
    match how / 2 {
        0 => file,
        1 => gzip(&file),
        2 => bzip2(&file),
        3 => xz(&file),
        _ => zstd::encode_all(&*file, 1).unwrap(),
    }
    .into()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(1 << 16);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Gives every header the checksum that its bytes have, and the archive an end.
fn mend_tar(file: &mut Vec<u8>) {
    file.resize(file.len().next_multiple_of(512), 0);
    let mut at = 0_usize;
    while let Some(block) = file.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<512>()) {
        if block.iter().all(|b| *b == 0) {
            break;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = block[124..136].iter().filter(|b| (b'0'..=b'7').contains(*b));
        let size = digits.fold(0_usize, |size, b| size.saturating_mul(8).saturating_add(usize::from(b - b'0')));
        at = at.saturating_add(512).saturating_add(size.min(1 << 40).next_multiple_of(512));
    }
    file.extend([0; 1024]);
}

/// Gives every stored member the checksum that its bytes have, in its own header and in the directory.
fn mend_zip(file: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = find(&file[at..], b"PK\x01\x02") {
        at += found + 4;
        let listed = at - 4;
        let Some(record) = file.get(listed..listed + 46) else { return };
        let (method, size, own) = (number(record, 10, 2), number(record, 20, 4), number(record, 42, 4));
        let Some(header) = file.get(own..).and_then(|rest| rest.get(..30)) else { continue };
        let begin = own + 30 + number(header, 26, 2) + number(header, 28, 2);
        let Some(content) = file.get(begin..).and_then(|rest| rest.get(..size)).filter(|_| method == 0) else {
            continue;
        };
        let sum = crc32(content).to_le_bytes();
        file[own + 14..own + 18].copy_from_slice(&sum);
        file[listed + 16..listed + 20].copy_from_slice(&sum);
    }
}

/// Where these bytes first stand.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A number of so many bytes, the lowest first.
pub fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    bytes[at..at + len].iter().rev().fold(0, |number, b| (number << 8) | usize::from(*b))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
