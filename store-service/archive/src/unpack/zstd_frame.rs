//! The head of a Zstandard frame (RFC 8878, section 3.1.1): how much memory its decoder takes.

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const MAGIC_BYTES: usize = 4;
/// What the decoder takes besides its window: tables, and a block on either side of it.
const BESIDE_WINDOW: u64 = 512 << 10;

/// Collects a head, which may come in pieces.
#[derive(Default)]
pub(super) struct FrameHead {
    bytes: Vec<u8>,
}

impl FrameHead {
    /// Takes what it needs of the input, and says how many bytes that were.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        let before = self.bytes.len();
        for byte in input {
            if self.memory().is_some() {
                break;
            }
            self.bytes.push(*byte);
        }
        self.bytes.len() - before
    }

    /// The head for the decoder, which has not seen it.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// What the decoder will take; nothing before the whole head has come. A frame that holds no data, and what is no
    /// frame, take nothing: the decoder knows what to do with them.
    pub(super) fn memory(&self) -> Option<u64> {
        let (magic, rest) = self.bytes.split_at_checked(MAGIC_BYTES)?;
        if magic != MAGIC {
            return Some(0);
        }
        let (descriptor, rest) = rest.split_first()?;
        let is_single = descriptor & 0x20 != 0;
        let dictionary_bytes = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
        let size_bytes = match descriptor >> 6 {
            0 => usize::from(is_single),
            flag => 1 << flag,
        };
        let window_bytes = usize::from(!is_single);
        let fields = rest.get(..window_bytes + dictionary_bytes + size_bytes)?;
        let size = parse_size(fields.get(window_bytes + dictionary_bytes..)?);
        let window = match (fields.first(), size) {
            (Some(window), size) if !is_single => parse_window(*window).min(size.unwrap_or(u64::MAX)),
            (_, size) => size.unwrap_or(0),
        };
        Some(window.saturating_add(BESIDE_WINDOW))
    }
}

fn parse_window(byte: u8) -> u64 {
    let base = 1_u64 << (10 + (byte >> 3));
    base + base / 8 * u64::from(byte & 7)
}

/// The size of the content; nothing if it is not said.
fn parse_size(field: &[u8]) -> Option<u64> {
    let number = field.iter().rev().try_fold(0_u64, |number, byte| Some((number << 8) | u64::from(*byte)));
    match field.len() {
        0 => None,
        2 => number.map(|number| number + 256),
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest head.
    const HEAD_BYTES: usize = 18;

    fn memory(head: &[u8]) -> Option<u64> {
        let mut frame = FrameHead::default();
        let read = frame.fill(head);
        assert!(read <= HEAD_BYTES);
        let memory = frame.memory();
        if memory.is_some() {
            assert_eq!(frame.take(), head[..read]);
            // No byte less would do.
            let mut cut = FrameHead::default();
            cut.fill(&head[..read - 1]);
            assert_eq!(cut.memory(), None);
        }
        memory
    }

    #[test]
    fn a_head_says_how_much_memory_its_frame_takes() {
        let frame = |rest: &[u8]| memory(&[&MAGIC[..], rest, &[9; 20]].concat()).map(|memory| memory - BESIDE_WINDOW);
        // A window of 1 KiB, of 8 MiB and of an eighth more, of 128 MiB, and the largest.
        for (window, bytes) in [(0, 1 << 10), (13 << 3, 8 << 20), (13 << 3 | 1, 9 << 20), (17 << 3, 128 << 20)] {
            assert_eq!(frame(&[0, window]), Some(bytes));
        }
        assert_eq!(frame(&[0, 0xff]), Some((1 << 41) / 8 * 15));
        // What is smaller than its window takes as much as it is, also behind the name of a dictionary.
        assert_eq!(frame(&[0x80, 17 << 3, 1, 2, 0, 0]), Some(513));
        assert_eq!(frame(&[0x43, 17 << 3, 1, 1, 1, 1, 1, 0]), Some(257));
        // A frame that is its own window.
        assert_eq!(frame(&[0x20, 77]), Some(77));
        assert_eq!(frame(&[0xe0, 0, 0, 0, 0, 1, 0, 0, 0]), Some(1 << 32));
        assert_eq!(memory(&[0x50, 0x2a, 0x4d, 0x18, 1]), Some(0));
        assert_eq!(memory(&MAGIC), None);
        let largest = [&MAGIC[..], &[0xc3, 0xff], &[0xff; 12]].concat();
        assert_eq!((largest.len(), memory(&largest).is_some()), (HEAD_BYTES, true));
        assert!(memory(&[&MAGIC[..], &[0xe3], &[0xff; 12]].concat()).unwrap() == u64::MAX);
    }
}
