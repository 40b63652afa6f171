//! Files with holes: where their data belong, in the four ways in which that is written down.
//!
//! Promises: a map is judged entry by entry and not held; its data lie in order, inside the file, and are as many as the
//! archive has. Refuses every other map, for unpackers make different files of it.

use super::header::{BLOCK_BYTES, Block, parse_number};

/// A map of data between holes, as far as it has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// Bytes of the file with its holes.
    pub(super) size: u64,
    /// Where the last data end.
    end: u64,
    /// Bytes of data.
    pub(super) data: u64,
}

impl SparseMap {
    pub(super) fn new(size: u64) -> Self {
        Self { size, end: 0, data: 0 }
    }

    /// Takes the next entry; nothing if it does not fit.
    pub(super) fn push(&mut self, offset: u64, bytes: u64) -> Option<()> {
        let end = offset.checked_add(bytes).filter(|end| offset >= self.end && *end <= self.size)?;
        self.end = end;
        self.data += bytes;
        Some(())
    }

    /// Bytes of holes, if the archive has as many bytes of data as the map.
    pub(super) fn holes(&self, stored: u64) -> Option<u64> {
        (stored == self.data).then(|| self.size - self.data)
    }
}

/// The map of GNU's own format: four entries in the header, further ones in blocks behind it.
pub(super) struct GnuMap {
    pub(super) map: SparseMap,
    /// Bytes of data behind the map.
    pub(super) stored: u64,
    /// An entry without numbers was seen, which is the last one.
    is_over: bool,
}

const ENTRY_BYTES: usize = 24;

impl GnuMap {
    /// The map in a header, and whether blocks follow.
    pub(super) fn in_header(header: &Block, stored: u64) -> Option<(Self, bool)> {
        let size = parse_number(header.get(483..495)?)?;
        let mut map = Self { map: SparseMap::new(size), stored, is_over: false };
        map.take_entries(header.get(386..482)?)?;
        let more = map.has_more(*header.get(482)?)?;
        Some((map, more))
    }

    /// Takes the next block, and tells whether another one follows.
    pub(super) fn take_block(&mut self, block: &Block) -> Option<bool> {
        self.take_entries(block.get(..504)?)?;
        self.has_more(*block.get(504)?)
    }

    fn take_entries(&mut self, entries: &[u8]) -> Option<()> {
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let (offset, bytes) = entry.split_at_checked(ENTRY_BYTES / 2)?;
            if entry.iter().all(|b| *b == 0) {
                self.is_over = true;
            } else if self.is_over {
                return None;
            } else {
                self.map.push(parse_number(offset)?, parse_number(bytes)?)?;
            }
        }
        Some(())
    }

    /// Some readers go on behind the last entry, some do not.
    fn has_more(&self, flag: u8) -> Option<bool> {
        (flag == 0 || !self.is_over).then_some(flag != 0)
    }
}

/// The map of pax 1.0, which stands before the data: how many entries, then their numbers, each on a line.
#[derive(Debug)]
pub(super) struct TextMap {
    map: SparseMap,
    /// Bytes of map and data.
    stored: u64,
    taken: u64,
    number: Option<u64>,
    /// Numbers that are missing; none before the first one has come.
    left: Option<u64>,
    offset: Option<u64>,
}

impl TextMap {
    pub(super) fn new(size: u64, stored: u64) -> Self {
        Self { map: SparseMap::new(size), stored, taken: 0, number: None, left: None, offset: None }
    }

    /// Takes more of the content; when the map is whole and fits, tells which data came with its end.
    pub(super) fn push<'a>(&mut self, content: &'a [u8]) -> Option<Option<&'a [u8]>> {
        let mut bytes = content.iter();
        while self.left != Some(0) {
            let Some(byte) = bytes.next() else { return Some(None) };
            self.taken += 1;
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    self.number = Some(self.number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                }
                b'\n' => {
                    let number = self.number.take()?;
                    self.take_number(number)?;
                }
                _ => return None,
            }
        }
        let padding = usize::try_from(self.padded_bytes() - self.taken).ok()?;
        Some(Some(bytes.as_slice().get(padding..).unwrap_or_default()))
    }

    fn take_number(&mut self, number: u64) -> Option<()> {
        let Some(left) = self.left else {
            self.left = Some(number.checked_mul(2)?);
            return Some(());
        };
        self.left = Some(left.checked_sub(1)?);
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(offset) => self.map.push(offset, number)?,
        }
        Some(())
    }

    /// Bytes of holes, if what follows the map are its data.
    pub(super) fn holes(&self) -> Option<u64> {
        self.map.holes(self.stored.checked_sub(self.padded_bytes())?)
    }

    fn padded_bytes(&self) -> u64 {
        self.taken.next_multiple_of(BLOCK_BYTES as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(size: u64, entries: &[(u64, u64)], stored: u64) -> Option<u64> {
        let mut map = SparseMap::new(size);
        for (offset, bytes) in entries {
            map.push(*offset, *bytes)?;
        }
        map.holes(stored)
    }

    #[test]
    fn data_lie_in_order_inside_the_file_and_are_all_there() {
        assert_eq!(holes(10, &[], 0), Some(10));
        assert_eq!(holes(10, &[(0, 10)], 10), Some(0));
        assert_eq!(holes(10, &[(2, 3), (5, 0), (8, 2), (10, 0)], 5), Some(5));
        for (entries, stored) in [
            (&[(2, 3)][..], 2),
            (&[(2, 3)], 4),
            (&[(2, 3), (4, 1)], 4),
            (&[(5, 1), (2, 1)], 2),
            (&[(8, 3)], 3),
            (&[(11, 0)], 0),
            (&[(u64::MAX, 2)], 2),
        ] {
            assert_eq!(holes(10, entries, stored), None, "{entries:?}");
        }
    }

    #[test]
    fn a_text_map_is_read_whatever_the_pieces() {
        let text = b"2\n0\n5\n8\n2\n";
        for piece in [1, 2, 3, 100] {
            let mut map = TextMap::new(12, 512 + 7);
            let done = text.chunks(piece).map(|piece| map.push(piece).unwrap()).last();
            assert_eq!((done, map.holes()), (Some(Some(&[][..])), Some(5)));
        }
        let mut map = TextMap::new(12, 512 + 7);
        let rest = [&text[9..], &[0; 502], b"data"].concat();
        assert_eq!((map.push(&text[..9]), map.push(&rest)), (Some(None), Some(Some(&b"data"[..]))));
        for bad in ["-1\n", "\n", "1\n\n", "2 \n", "99999999999999999999\n", "1\n5\n9\n", "18446744073709551615\n"] {
            assert_eq!(TextMap::new(12, 519).push(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
