//! The last bytes of a blob that goes by.
//!
//! Promises: at least the last [`TAIL`] bytes are held, or all if there are fewer, and at most one piece more. They are shared
//! with whoever sends them, not copied.

use std::collections::VecDeque;

use bytes::Bytes;

/// The directory of a zip archive is in it, but for archives of very many files.
pub(crate) const TAIL: usize = 1 << 20;

/// The last bytes, piece by piece.
#[derive(Clone, Default)]
pub(crate) struct Tail {
    pieces: VecDeque<Bytes>,
    len: usize,
    /// Where the first piece begins.
    start: u64,
}

impl Tail {
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        self.pieces.push_back(piece);
        while let Some(first) = self.pieces.front().map(Bytes::len).filter(|first| self.len - first >= TAIL) {
            self.pieces.pop_front();
            self.len -= first;
            self.start += first as u64;
        }
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Bytes from this place on, as far as one piece has them; empty where it has none.
    pub(crate) fn at(&self, place: u64) -> Bytes {
        let mut start = self.start;
        for piece in &self.pieces {
            let end = start + piece.len() as u64;
            if (start..end).contains(&place) {
                return piece.slice(usize::try_from(place - start).unwrap_or(piece.len())..);
            }
            start = end;
        }
        Bytes::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_held_and_no_more() {
        let mut tail = Tail::default();
        for n in 0..100_u8 {
            tail.push(vec![n; 100_000].into());
        }
        assert_eq!(tail.len, 1_100_000);
        assert_eq!(tail.start(), 8_900_000);
        assert!(tail.at(8_899_999).is_empty() && tail.at(10_000_000).is_empty());
        assert_eq!(tail.at(8_900_000), vec![89; 100_000]);
        assert_eq!(tail.at(9_999_999), vec![99; 1]);
    }

    #[test]
    fn a_short_blob_is_held_whole() {
        let mut tail = Tail::default();
        tail.push(Bytes::from_static(b"ab"));
        tail.push(Bytes::from_static(b"cd"));
        assert_eq!((tail.start(), &tail.at(1)[..], &tail.at(2)[..]), (0, &b"b"[..], &b"cd"[..]));
        assert!(Tail::default().at(0).is_empty());
    }
}
