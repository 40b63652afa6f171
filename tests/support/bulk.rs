//! Packages as large as wanted, which nobody has to hold in memory: all of them repeat one block that does not compress.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use flate2::{Compress, Compression, Crc, FlushCompress};
use sha2::{Digest as _, Sha256};

use crate::Behaviour;
use crate::source::Piece;

/// Repeated by every package.
static BLOCK: LazyLock<Piece> = LazyLock::new(|| crate::bytes(1 << 20).into());

/// A package in pieces.
#[derive(Clone, Debug)]
pub struct Bulk {
    pieces: Arc<[Piece]>,
}

impl Bulk {
    /// A file of exactly so many bytes, at least 32, that is no archive. Each number makes another one.
    #[must_use]
    pub fn opaque(bytes: u64, number: u64) -> Self {
        let head: Piece = format!("{number:>31}\n").into_bytes().into();
        let rest = bytes.checked_sub(head.len() as u64).expect("at least 32 bytes");
        let (whole, last) = (rest / BLOCK.len() as u64, usize::try_from(rest % BLOCK.len() as u64).unwrap());
        let mut pieces = vec![head];
        pieces.extend((0..whole).map(|_| Arc::clone(&BLOCK)));
        pieces.push(BLOCK[..last].into());
        Self { pieces: pieces.into() }
    }

    /// A tar.gz of so many files of a MiB each.
    ///
    /// Compressed piece by piece, with a full flush after each: then the same content is the same bytes wherever it stands.
    #[must_use]
    pub fn tar_gz(files: u32) -> Self {
        let content: Piece = deflated(&BLOCK).into();
        let mut crc = Crc::new();
        let mut pieces: Vec<Piece> = vec![vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff].into()];
        for number in 0..files {
            let mut header = tar::Header::new_ustar();
            header.set_path(format!("example/{number:05}.bin")).unwrap();
            header.set_size(BLOCK.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            crc.update(header.as_bytes());
            crc.update(&BLOCK);
            pieces.extend([deflated(header.as_bytes()).into(), Arc::clone(&content)]);
        }
        let end = [0; 1_024];
        crc.update(&end);
        let mut tail = deflated(&end);
        // A last block without anything, and what gzip writes behind it.
        tail.extend([3, 0]);
        tail.write_all(&crc.sum().to_le_bytes()).unwrap();
        tail.write_all(&crc.amount().to_le_bytes()).unwrap();
        pieces.push(tail.into());
        Self { pieces: pieces.into() }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Its SHA-256 in hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for piece in self.pieces.iter() {
            hash.update(piece);
        }
        hex::encode(hash.finalize())
    }

    /// Makes it a file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_to(&self, path: &Path) {
        let mut file = File::create(path).unwrap();
        for piece in self.pieces.iter() {
            file.write_all(piece).unwrap();
        }
    }

    /// A source that sends it, and rests so long after each piece, a MiB at most.
    #[must_use]
    pub fn served(&self, pause: Duration) -> Behaviour {
        Behaviour::Pieces(Arc::clone(&self.pieces), pause)
    }
}

/// Blocks of deflate for these bytes, that refer to nothing before them and end with a whole byte.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * bytes.len() + 1_024);
    // The default level keeps what does not compress as it is, as gzip does; the fastest would encode it.
    let mut deflate = Compress::new(Compression::default(), false);
    deflate.compress_vec(bytes, &mut out, FlushCompress::Full).unwrap();
    assert!(deflate.total_in() == bytes.len() as u64 && out.len() < out.capacity(), "there was space for all");
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn bytes_of(bulk: &Bulk) -> Vec<u8> {
        bulk.pieces.concat()
    }

    #[test]
    fn a_tar_gz_unpacks_to_its_files() {
        let bulk = Bulk::tar_gz(3);
        let packed = bytes_of(&bulk);
        assert_eq!((packed.len() as u64, crate::sha256_hex(&packed)), (bulk.size(), bulk.sha256()));
        assert!(bulk.size() < (3 << 20) + (4 << 10), "what does not compress is not encoded: {}", bulk.size());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(content, BLOCK[..]);
            names.push(entry.path().unwrap().display().to_string());
        }
        assert_eq!(names, ["example/00000.bin", "example/00001.bin", "example/00002.bin"]);
    }

    #[test]
    fn an_opaque_file_has_the_size_that_was_asked_for_and_a_number_makes_another_one() {
        for size in [32, 4_096, 1 << 20, (1 << 20) + 33] {
            let bulk = Bulk::opaque(size, 7);
            assert_eq!((bulk.size(), bytes_of(&bulk).len() as u64), (size, size));
            assert_ne!(bulk.sha256(), Bulk::opaque(size, 8).sha256());
        }
    }
}
