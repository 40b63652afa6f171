//! The name of an upload that has begun.

use std::fmt;

/// A UUID in its canonical form: 36 characters, hexadecimal digits in lower case. So no job has two names, and none needs
/// encoding in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId([u8; 16]);

impl JobId {
    /// Takes the bytes of a UUID.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the canonical form, and no other.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        const DASHES: [usize; 4] = [8, 13, 18, 23];
        if text.len() != 36 {
            return None;
        }
        let (mut bytes, mut digits) = ([0_u8; 16], 0);
        for (at, c) in text.bytes().enumerate() {
            let digit = match c {
                b'-' if DASHES.contains(&at) => continue,
                _ if DASHES.contains(&at) => return None,
                b'0'..=b'9' => c - b'0',
                b'a'..=b'f' => c - b'a' + 10,
                _ => return None,
            };
            let byte = bytes.get_mut(digits / 2)?;
            *byte = *byte << 4 | digit;
            digits += 1;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0198c3a4-5f00-7abc-8def-0123456789ab";

    #[test]
    fn the_canonical_form_is_read_and_written() {
        let id = JobId::new(TEXT).unwrap();
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(JobId::from_bytes([0xff; 16]).to_string(), "ffffffff-ffff-ffff-ffff-ffffffffffff");
    }

    #[test]
    fn no_other_form_is() {
        let plain = TEXT.replace('-', "");
        for bad in ["", "x", &plain, &TEXT.to_uppercase(), &TEXT[1..], &format!("{TEXT}0"), &TEXT.replace('a', "g")] {
            assert_eq!(JobId::new(bad), None, "{bad}");
        }
        assert_eq!(JobId::new(&TEXT.replacen('-', "0", 1)), None);
        assert_eq!(JobId::new("-198c3a45-f00-7abc-8def-0123456789ab"), None);
        assert_eq!(JobId::new("0198c3a4-5f00-7abc-8def-0123456789é"), None);
    }
}
