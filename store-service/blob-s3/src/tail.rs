//! The last bytes of a blob that goes by, in case it is an archive whose directory is at its end.
//!
//! Promises: of such a blob at least the last [`TAIL`] bytes are held, or all if there are fewer, and at most one piece more,
//! as far as there is memory for that; of others none. They are shared with whoever sends them, not copied.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::{Budget, Taken};

/// The directory of a zip archive is in it, but for archives of very many files.
pub(crate) const TAIL: usize = 1 << 20;

/// What a zip archive begins with. Of what does so and is none, the end is held in vain.
const ZIP: u8 = b'P';

/// The last bytes, piece by piece.
#[derive(Clone, Default)]
pub(crate) struct Tail {
    pieces: VecDeque<Bytes>,
    len: usize,
    /// Where the first piece begins: at the end of all that has come, if nothing is held.
    start: u64,
    memory: Option<Arc<Taken>>,
}

impl Tail {
    pub(crate) fn push(&mut self, piece: Bytes, budget: &Budget) {
        if self.start == 0 && self.len == 0 && piece.first() == Some(&ZIP) {
            self.memory = budget.try_take_tail(TAIL).map(Arc::new);
        }
        self.len += piece.len();
        self.pieces.push_back(piece);
        let least = if self.memory.is_some() { TAIL } else { 0 };
        while let Some(first) = self.pieces.front().map(Bytes::len).filter(|first| self.len - first >= least) {
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
    use crate::settings::Memory;

    fn budget() -> Budget {
        Budget::new(&Memory { bytes: 32 << 20, ..Memory::with_temp_dir("/tmp".into()) })
    }

    #[test]
    fn the_last_bytes_of_an_archive_are_held_and_no_more() {
        let (budget, mut tail) = (budget(), Tail::default());
        for n in 0..100_u8 {
            tail.push(vec![b'P' + n; 100_000].into(), &budget);
        }
        assert_eq!(tail.len, 1_100_000);
        assert_eq!(tail.start(), 8_900_000);
        assert!(tail.at(8_899_999).is_empty() && tail.at(10_000_000).is_empty());
        assert_eq!(tail.at(8_900_000), vec![b'P' + 89; 100_000]);
        assert_eq!(tail.at(9_999_999), vec![b'P' + 99; 1]);
    }

    #[test]
    fn a_short_archive_is_held_whole() {
        let (budget, mut tail) = (budget(), Tail::default());
        tail.push(Bytes::from_static(b"PK"), &budget);
        tail.push(Bytes::from_static(b"cd"), &budget);
        assert_eq!((tail.start(), &tail.at(1)[..], &tail.at(2)[..]), (0, &b"K"[..], &b"cd"[..]));
        assert!(Tail::default().at(0).is_empty());
    }

    #[test]
    fn of_what_is_read_from_its_beginning_nothing_is_held() {
        let (budget, mut tail) = (budget(), Tail::default());
        for piece in [&b"\x1f\x8b"[..], b"PK", b"and more"] {
            tail.push(Bytes::copy_from_slice(piece), &budget);
        }
        assert!(tail.pieces.is_empty() && tail.at(0).is_empty() && tail.at(11).is_empty());
        assert_eq!(tail.start(), 12, "all of it is in the bucket alone");
    }

    #[test]
    fn many_archives_at_once_hold_no_more_than_there_is_memory_for() {
        let (budget, mut tails) = (budget(), [const { None }; 6]);
        for tail in &mut tails {
            tail.get_or_insert_with(Tail::default).push(Bytes::from_static(b"PK"), &budget);
        }
        let held = |tails: &[Option<Tail>]| tails.iter().flatten().filter(|tail| !tail.pieces.is_empty()).count();
        assert_eq!(held(&tails), 4);
        let read = tails.first().cloned();
        tails[0] = None;
        let mut next = Tail::default();
        next.push(Bytes::from_static(b"PK"), &budget);
        assert!(next.pieces.is_empty(), "somebody reads it still");
        drop(read);
        let mut last = Tail::default();
        last.push(Bytes::from_static(b"PK"), &budget);
        assert_eq!(last.start(), 0);
    }
}
