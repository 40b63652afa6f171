//! Packages that take as much memory as limits allow: windows of decoders, lists of members.

use std::io::Write as _;

use linkgate_tests::{Compression, tar, zip};

/// What comes out of a package, at least so much that every window is filled by half of it.
const UNPACKED: usize = 140 << 20;

/// Each with its name.
pub(super) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let tar_bytes = tar(&[("filling", &filling())], Compression::None);
    vec![
        ("xz-9", xz(&tar_bytes, 9)),
        ("xz-8", xz(&tar_bytes, 8)),
        ("zstd-long-27", zstd(&tar_bytes, 27)),
        ("zstd-long-25", zstd(&tar_bytes, 25)),
        ("bzip2", tar(&[("filling", &filling()[..16 << 20])], Compression::Bzip2)),
        ("gzip-many-members", many_members()),
        ("zip-many-members", many_zip_members()),
    ]
}

/// Packs well, and not so well that it is refused for it.
fn filling() -> Vec<u8> {
    const BLOCK: usize = 64 << 10;
    let (mut bytes, mut rng) = (vec![0; UNPACKED], fastrand::Rng::with_seed(7));
    for block in bytes.chunks_mut(BLOCK) {
        let noise = block.len().min(BLOCK / 24);
        rng.fill(&mut block[..noise]);
    }
    bytes
}

fn xz(bytes: &[u8], preset: u32) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), preset);
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("a known level");
    encoder.long_distance_matching(true).expect("a known option");
    encoder.window_log(window_log).expect("a window that zstd knows");
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// As many as may be, with long names.
fn names() -> Vec<String> {
    (0..95_000).map(|number| format!("folder-{:03}/{}-{number:06}", number % 500, "n".repeat(60))).collect()
}

fn many_members() -> Vec<u8> {
    let names = names();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    tar(&files, Compression::Gzip)
}

fn many_zip_members() -> Vec<u8> {
    let names = names();
    let files: Vec<(&str, &[u8])> = names.iter().take(60_000).map(|name| (name.as_str(), &b"x"[..])).collect();
    zip(&files)
}
