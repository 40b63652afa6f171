//! Names that stand in a path as they are: of pins, and of uploaded files.
//!
//! Promises: a name needs no encoding anywhere, so it is read in one way by everybody on its path. Refuses whatever a URL, a
//! header or a file system would read as something else.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Why a text is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {max} characters of A-Z, a-z, 0-9, '.', '_' and '-', and not only dots")]
pub struct InvalidSegment {
    max: usize,
}

macro_rules! segment {
    ($(#[doc = $doc:literal])+ $name:ident, at most $max:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The longest one.
            pub const MAX_BYTES: usize = $max;

            /// Takes a name.
            ///
            /// # Errors
            /// [`InvalidSegment`] says what it may be made of.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidSegment> {
                let text = text.into();
                if is_segment(&text, $max) { Ok(Self(text)) } else { Err(InvalidSegment { max: $max }) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

segment! {
    /// The name of a pin: what uses a package.
    PinName, at most 64
}

segment! {
    /// The name of a file that is uploaded.
    FileName, at most 128
}

fn is_segment(text: &str, max_bytes: usize) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    text.len() <= max_bytes && text.bytes().all(is_plain) && text.bytes().any(|b| b != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_what_needs_no_encoding() {
        for good in ["a", "app-1.0.tar.gz", "_x", "-", ".hidden", "..a", &"a".repeat(64)] {
            assert_eq!(PinName::new(good).unwrap().as_str(), good);
            assert_eq!(FileName::new(good).unwrap().to_string(), good);
        }
        for bad in ["", ".", "..", "a b", "a/b", "a%20b", "a:b", "é", "a\n", &"a".repeat(129)] {
            assert!(PinName::new(bad).is_err() && FileName::new(bad).is_err(), "{bad:?}");
        }
        assert!(PinName::new("a".repeat(65)).is_err() && FileName::new("a".repeat(128)).is_ok());
    }

    #[test]
    fn json_is_held_to_the_same() {
        let name = PinName::new("release-1").unwrap();
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(json, "\"release-1\"");
        assert_eq!(serde_json::from_str::<PinName>(&json).unwrap(), name);
        assert!(serde_json::from_str::<PinName>("\"a b\"").is_err());
    }
}
