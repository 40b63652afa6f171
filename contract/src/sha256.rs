//! The digest by which bytes are named: by callers, in the catalog, among the blobs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

use crate::Text;

/// A SHA-256. Its text form is 64 hexadecimal digits in lower case, safe in a file name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not 64 hexadecimal digits")]
pub struct InvalidSha256;

impl Sha256 {
    /// Digits of the text form.
    pub const DIGITS: usize = 64;

    /// Takes a digest that was computed.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what a caller wrote: digits in any case, with white space around them. [`FromStr`] takes the text form only.
    ///
    /// # Errors
    /// [`InvalidSha256`] if it is anything else.
    pub fn parse_any_case(digits: &str) -> Result<Self, InvalidSha256> {
        let digits = digits.trim().as_bytes();
        if digits.len() != Self::DIGITS {
            return Err(InvalidSha256);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
                *byte = *byte << 4 | value.ok_or(InvalidSha256)?;
            }
        }
        Ok(Self(bytes))
    }

    /// The digest over a list of parts; no two lists have the same.
    #[must_use]
    pub fn digest_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = sha2::Sha256::new();
        feed_parts(parts, |bytes| hash.update(bytes));
        Self(hash.finalize().into())
    }
}

/// Feeds a hash with a list of parts. The length stands before each, so no two lists are the same bytes.
pub fn feed_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>, mut feed: impl FnMut(&[u8])) {
    for part in parts {
        feed(&(part.len() as u64).to_le_bytes());
        feed(part);
    }
}

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(digits: &str) -> Result<Self, InvalidSha256> {
        if digits.bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_whitespace()) {
            return Err(InvalidSha256);
        }
        Self::parse_any_case(digits)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl InvalidSha256 {
    /// The caller's sentence.
    #[must_use]
    pub fn caller_message(self) -> Text {
        Text::fixed(
            "请输入源码包的 SHA-256，即 64 位十六进制字符。",
            "Must be 64 hexadecimal digits, the SHA-256 of the package.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "00ff10a5b4c3d2e1f00123456789abcdef0123456789abcdef0123456789abcd";

    #[test]
    fn a_digest_is_written_as_it_is_read() {
        let digest: Sha256 = DIGITS.parse().unwrap();
        assert_eq!((digest.as_bytes()[..4]).to_vec(), [0, 0xff, 0x10, 0xa5]);
        assert_eq!((digest.to_string(), format!("{digest:?}")), (DIGITS.to_owned(), DIGITS.to_owned()));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{DIGITS}\""));
        assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), digest);
        assert_eq!(Sha256::from_bytes(*digest.as_bytes()), digest);
    }

    #[test]
    fn a_caller_may_write_it_in_any_case_and_nobody_else() {
        for text in [
            &DIGITS.to_uppercase(),
            &format!(" {DIGITS}\n"),
            "00Ff10a5b4c3d2e1f00123456789ABCDEF0123456789abcdef0123456789abcd",
        ] {
            assert_eq!(Sha256::parse_any_case(text), DIGITS.parse());
            assert_eq!(text.parse::<Sha256>(), Err(InvalidSha256), "{text:?}");
            assert!(serde_json::from_value::<Sha256>(text.to_string().into()).is_err());
        }
    }

    #[test]
    fn anything_else_is_no_digest() {
        for bad in ["", "a", &DIGITS[1..], &format!("{DIGITS}0"), &DIGITS.replace('f', "g"), &"é".repeat(32)] {
            assert_eq!(Sha256::parse_any_case(bad), Err(InvalidSha256), "{bad:?}");
            assert_eq!(bad.parse::<Sha256>(), Err(InvalidSha256), "{bad:?}");
        }
    }

    #[test]
    fn no_two_lists_of_parts_have_the_same_digest() {
        let lists: [&[&[u8]]; 6] = [&[], &[b""], &[b"", b""], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"]];
        let digests: Vec<_> = lists.iter().map(|parts| Sha256::digest_parts(parts.iter().copied())).collect();
        for (n, digest) in digests.iter().enumerate() {
            assert!(!digests[..n].contains(digest), "{:?}", lists[n]);
        }
    }
}
