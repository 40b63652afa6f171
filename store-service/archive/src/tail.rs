//! The last bytes of a tar, searched for the end of a zip.
//!
//! Many readers look for a zip's end first, and only then for a tar. To them, a tar with such an end among its last bytes
//! is a zip, with members that were never judged. It can hide in a field of a compressed header, or be the end of a zip
//! that is the last member of a plain tar.

const MARK: &[u8; 4] = b"PK\x05\x06";
const RECORD_BYTES: usize = 22;
/// Where those readers look: a record and the longest comment.
const TAIL_BYTES: usize = RECORD_BYTES + u16::MAX as usize;
/// Where in the record the directory's size stands.
const SIZE: std::ops::Range<usize> = 12..16;

/// The last bytes of what has come.
#[derive(Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    length: u64,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let last = bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or(bytes);
        if last.len() == TAIL_BYTES {
            self.bytes.clear();
        } else if self.bytes.len() + last.len() > 2 * TAIL_BYTES {
            // Rarely, so that a byte is moved about once.
            let left = TAIL_BYTES - last.len();
            self.bytes.drain(..self.bytes.len().saturating_sub(left));
        }
        self.bytes.extend_from_slice(last);
    }

    /// Whether those readers would take the file for a zip: a mark, and a directory of that size could stand before it.
    pub(super) fn ends_as_zip(&self) -> bool {
        let tail = self.bytes.get(self.bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
        let begin = self.length - tail.len() as u64;
        tail.windows(RECORD_BYTES).enumerate().any(|(at, record)| {
            let size = record.get(SIZE).and_then(|size| <[u8; 4]>::try_from(size).ok()).map(u32::from_le_bytes);
            record.starts_with(MARK) && size.is_some_and(|size| u64::from(size) <= begin + at as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8], piece: usize) -> bool {
        let mut tail = Tail::default();
        for piece in bytes.chunks(piece) {
            tail.push(piece);
        }
        assert!(tail.bytes.len() <= 2 * TAIL_BYTES);
        tail.ends_as_zip()
    }

    fn record(size: u32, behind: usize) -> Vec<u8> {
        let mut record = MARK.to_vec();
        record.extend([0; 8]);
        record.extend(size.to_le_bytes());
        record.resize(RECORD_BYTES + behind, 0);
        record
    }

    #[test]
    fn an_end_is_found_as_far_back_as_others_look() {
        for (behind, is_found) in [(0, true), (65_535, true), (65_536, false)] {
            let bytes = [vec![1; 100_000], record(100_000, behind)].concat();
            for piece in [1000, 65_556, 65_557, 65_558, 200_000] {
                assert_eq!(found(&bytes, piece), is_found, "{behind} in {piece}");
            }
        }
        assert!(found(&record(0, 0), 1) && !found(&record(0, 0)[..21], 1) && !found(b"", 1));
    }

    #[test]
    fn a_directory_larger_than_what_stands_before_it_is_none() {
        let judged = |size| found(&[vec![1; 500], record(size, 3)].concat(), 7);
        assert!(judged(499) && judged(500) && !judged(501));
    }
}
