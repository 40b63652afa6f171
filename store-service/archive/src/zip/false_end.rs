//! What readers of a stream take for the end of a stored member.
//!
//! Who reads a zip as it comes cannot know how long a stored member is whose own header does not say so, and looks in the content for
//! a descriptor: its mark, and the checksum of all before it. Promises: such a place is found wherever the pieces of the content
//! are cut. An honest member has none, but for one in four billion of those with a mark in them.

use flate2::Crc;

const MARK: &[u8; 4] = b"PK\x07\x08";
/// The mark and the checksum.
const HEAD: usize = 8;

/// Looks for one.
#[derive(Default)]
pub(super) struct FalseEnd {
    before: Crc,
    /// What may be the beginning of one.
    rest: Vec<u8>,
}

impl FalseEnd {
    /// Whether there is one in this piece, or since the ones before it.
    pub(super) fn is_in(&mut self, piece: &[u8]) -> bool {
        self.rest.extend_from_slice(piece);
        let mut passed = 0;
        loop {
            let left = self.rest.get(passed..).unwrap_or_default();
            let at = left.windows(MARK.len()).position(|bytes| bytes == MARK);
            // Without a mark, one may begin in the last bytes.
            let (before, from) = left.split_at(at.unwrap_or_else(|| left.len().saturating_sub(MARK.len() - 1)));
            self.before.update(before);
            passed += before.len();
            let Some(sum) = from.get(MARK.len()..HEAD) else { break };
            if sum == self.before.sum().to_le_bytes() {
                return true;
            }
            self.before.update(from.get(..1).unwrap_or_default());
            passed += 1;
        }
        // Once, for content may be full of marks.
        self.rest.drain(..passed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content: &[u8], piece: usize) -> bool {
        let mut end = FalseEnd::default();
        content.chunks(piece).any(|piece| end.is_in(piece))
    }

    fn with_end_behind(before: &[u8]) -> Vec<u8> {
        let mut sum = Crc::new();
        sum.update(before);
        [before, MARK, &sum.sum().to_le_bytes()].concat()
    }

    #[test]
    fn an_end_is_found_wherever_it_stands_and_however_it_comes() {
        let marks = [&MARK[..3], MARK, MARK, b"P"].concat();
        for before in [&b""[..], b"x", &[7; 1_000], &marks, &MARK.repeat(2_000)] {
            for piece in [1, 3, 7, 8, 9, 5_000] {
                let content = with_end_behind(before);
                assert!(found(&[&content[..], b"more"].concat(), piece), "{before:?} in {piece}");
                assert!(!found(&content[..content.len() - 1], piece), "{before:?} in {piece}");
                assert!(!found(&[b"y", &content[..]].concat(), piece), "{before:?} in {piece}: of other bytes");
            }
        }
    }
}
