//! The digest by which a caller names the bytes that it means.

use std::fmt;

use crate::Text;

/// A SHA-256, checked: 64 hexadecimal digits, kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sha256(String);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not 64 hexadecimal digits")]
pub struct InvalidSha256;

impl Sha256 {
    /// Digits of the text form.
    pub const DIGITS: usize = 64;

    /// Trims, checks and takes a digest, in any case.
    ///
    /// # Errors
    /// [`InvalidSha256`] if it is anything else.
    pub fn new(digits: &str) -> Result<Self, InvalidSha256> {
        let digits = digits.trim();
        if digits.len() != Self::DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidSha256);
        }
        Ok(Self(digits.to_ascii_lowercase()))
    }

    /// The digits, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl InvalidSha256 {
    /// The caller's sentence.
    #[must_use]
    pub fn text(self) -> Text {
        Text::fixed(
            "请输入源码包的 SHA-256，即 64 位十六进制字符。",
            "Must be 64 hexadecimal digits, the SHA-256 of the package.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_case_are_kept_in_lower_case() {
        let lower = "0123456789abcdef".repeat(4);
        assert_eq!(Sha256::new(&lower).unwrap().as_str(), lower);
        assert_eq!(Sha256::new(&format!(" {}\n", lower.to_uppercase())).unwrap().as_str(), lower);
    }

    #[test]
    fn whatever_is_not_64_digits_is_no_digest() {
        for bad in ["", "0", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"０".repeat(64)] {
            assert_eq!(Sha256::new(bad), Err(InvalidSha256), "{bad:?}");
        }
        assert_eq!(Sha256::new(&format!("sha256:{}", "0".repeat(57))), Err(InvalidSha256));
    }
}
