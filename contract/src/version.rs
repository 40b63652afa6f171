//! The version label of a package.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Text;

/// A version label, checked: 1 to 128 characters once trimmed, no control characters.
///
/// It may hold `/` or `..`: it never becomes part of a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageVersion(String);

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVersion {
    /// Nothing but white space.
    #[error("may not be blank")]
    Blank,
    /// Over [`PackageVersion::MAX_CHARS`].
    #[error("has more than {max} characters", max = PackageVersion::MAX_CHARS)]
    TooLong,
    /// A character that would break a line, a log or a terminal.
    #[error("has a control character")]
    ControlCharacter,
}

impl PackageVersion {
    /// What BlueKing's column holds.
    pub const MAX_CHARS: usize = 128;

    /// Trims, checks and takes a version.
    ///
    /// # Errors
    /// [`InvalidVersion`] says which rule it breaks.
    pub fn new(version: &str) -> Result<Self, InvalidVersion> {
        let version = version.trim();
        if version.is_empty() {
            return Err(InvalidVersion::Blank);
        }
        if version.chars().count() > Self::MAX_CHARS {
            return Err(InvalidVersion::TooLong);
        }
        if version.chars().any(char::is_control) {
            return Err(InvalidVersion::ControlCharacter);
        }
        Ok(Self(version.to_owned()))
    }

    /// The version as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for PackageVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PackageVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl InvalidVersion {
    /// The caller's sentence.
    #[must_use]
    pub fn caller_message(&self) -> Text {
        match self {
            Self::Blank => Text::fixed("该字段不能为空。", "This field may not be blank."),
            Self::TooLong => {
                Text::fixed("请确保该字段不超过 128 个字符。", "Ensure this field has no more than 128 characters.")
            }
            Self::ControlCharacter => Text::fixed("不允许使用控制字符。", "Control characters are not allowed."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_trimmed_and_bounded() {
        assert_eq!(PackageVersion::new(" 0.0.5\n").unwrap().as_str(), "0.0.5");
        assert!(PackageVersion::new(&"版".repeat(128)).is_ok());
        assert_eq!(PackageVersion::new(&"v".repeat(129)), Err(InvalidVersion::TooLong));
        assert_eq!(PackageVersion::new("  "), Err(InvalidVersion::Blank));
        assert_eq!(PackageVersion::new("1\n2"), Err(InvalidVersion::ControlCharacter));
        assert_eq!(PackageVersion::new("1\u{7f}2"), Err(InvalidVersion::ControlCharacter));
    }
}
