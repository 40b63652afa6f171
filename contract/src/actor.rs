//! Who acts: the application that calls, and the operator on whose behalf it does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The most bytes of a name. BlueKing's user management has space for 255 characters, and what is longer was made to be.
pub const MAX_NAME_BYTES: usize = 256;

/// Whether a text can be the name of an app or a user, whoever says it: it stands in tokens, in the catalog and in log
/// lines, so it is not blank, is bounded, and has nothing that could break a line. Names that stand in a path are stricter:
/// [`AppCode`](crate::AppCode).
#[must_use]
pub fn is_printable_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && !name.trim().is_empty() && !name.contains(char::is_control)
}

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is blank, has a control character, or has more than {MAX_NAME_BYTES} bytes")]
pub struct InvalidActor;

macro_rules! actor {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidActor`] if [`is_printable_name`] says no.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidActor> {
                let name = name.into();
                if is_printable_name(&name) { Ok(Self(name)) } else { Err(InvalidActor) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidActor;

            fn from_str(name: &str) -> Result<Self, InvalidActor> {
                Self::new(name)
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
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

actor! {
    /// Who a change is put down to: the user, or the application where it needs none.
    Operator
}
actor! {
    /// The application that calls, as it was verified. It need not be a code that could stand in a path.
    CallerApp
}

impl From<CallerApp> for Operator {
    fn from(app: CallerApp) -> Self {
        Self(app.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_any_text_that_fits_in_a_line() {
        for good in ["admin", "管理员", "anna@corp", "a b", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(Operator::new(good).unwrap().as_str(), good);
            let json = serde_json::to_string(&CallerApp::new(good).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<CallerApp>(&json).unwrap().to_string(), good);
        }
    }

    #[test]
    fn what_is_blank_or_long_or_breaks_a_line_is_no_name() {
        for bad in ["", " ", "\u{3000}", "a\nb", "a\u{7f}", "a\0", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(bad.parse::<Operator>(), Err(InvalidActor), "{bad:?}");
            assert_eq!(CallerApp::new(bad), Err(InvalidActor), "{bad:?}");
            assert!(serde_json::from_value::<Operator>(bad.into()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_application_that_needs_no_user_is_the_operator_itself() {
        assert_eq!(Operator::from(CallerApp::new("ci").unwrap()), Operator::new("ci").unwrap());
    }
}
