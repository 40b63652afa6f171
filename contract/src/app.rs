//! Names of applications and of their modules, as they stand in a path.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing between two slashes.
    #[error("is empty")]
    Empty,
    /// More bytes than BlueKing keeps.
    #[error("has {len} characters, the limit is {max}", max = MAX_LEN)]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// Outside `[A-Za-z0-9_-]`, or a first character that is not alphanumeric.
    #[error("has {found:?} at position {at}; allowed are letters, digits, '-' and '_', the first a letter or digit")]
    BadCharacter {
        /// The character.
        found: char,
        /// Its position, counted in bytes from 0.
        at: usize,
    },
}

/// BlueKing keeps application codes in 32 characters; modules are shorter still.
const MAX_LEN: usize = 32;

fn check(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.len() > MAX_LEN {
        return Err(InvalidName::TooLong { len: name.len() });
    }
    let inner = |at: usize, b: u8| at > 0 && matches!(b, b'-' | b'_');
    let wrong = name.bytes().enumerate().find(|&(at, b)| !b.is_ascii_alphanumeric() && !inner(at, b));
    let Some((at, _)) = wrong else { return Ok(()) };
    // All before it is ASCII, so a character begins there.
    let found = name.get(at..).and_then(|rest| rest.chars().next()).unwrap_or(char::REPLACEMENT_CHARACTER);
    Err(InvalidName::BadCharacter { found, at })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule it breaks.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                check(&name)?;
                Ok(Self(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// An application's code, checked: 1 to 32 of `[A-Za-z0-9_-]`, the first one alphanumeric. Safe in a path.
    AppCode
}
name! {
    /// A module's name, checked like an [`AppCode`].
    ModuleName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_dash_and_underscore() {
        for good in ["a", "app_code", "bk-paas3", "0day", &"a".repeat(32)] {
            assert_eq!(AppCode::new(good).unwrap().as_str(), good);
        }
        let name = ModuleName::new("default").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"default\"");
        assert_eq!(serde_json::from_str::<ModuleName>("\"default\"").unwrap(), name);
    }

    #[test]
    fn whatever_could_be_read_twice_is_no_name() {
        assert_eq!(AppCode::new(""), Err(InvalidName::Empty));
        assert_eq!(ModuleName::new("a".repeat(33)), Err(InvalidName::TooLong { len: 33 }));
        for bad in [".", "..", "-a", "_a", "a/b", "a%2fb", "a b", "a;b", "é", "a\0"] {
            assert!(matches!(AppCode::new(bad), Err(InvalidName::BadCharacter { .. })), "{bad:?}");
            assert!(serde_json::from_value::<AppCode>(bad.into()).is_err(), "{bad:?}");
        }
    }
}
