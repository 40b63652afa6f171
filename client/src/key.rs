//! The name under which a request is done once, however often it is sent.

use std::fmt;

use crate::error::Error;

/// An `Idempotency-Key`: random, so that it names one request of one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Makes one that nobody has.
    ///
    /// # Errors
    /// [`Error::Setting`] if the system gives no random numbers.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| Error::Setting(format!("no random numbers: {error}")))?;
        Ok(Self(hex::encode(bytes)))
    }

    /// Takes one that the caller chose, to go on with a request of another process: 1 to 255 visible ASCII characters.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is none.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        let is_one = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_one {
            Ok(Self(text))
        } else {
            Err(Error::Setting("an Idempotency-Key has 1 to 255 visible ASCII characters".to_owned()))
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_what_the_store_takes() {
        let (one, other) = (IdempotencyKey::generate().unwrap(), IdempotencyKey::generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(IdempotencyKey::new(one.as_str()).unwrap(), one);
        for bad in [String::new(), "a b".to_owned(), "é".to_owned(), "x".repeat(256)] {
            assert!(IdempotencyKey::new(bad).is_err());
        }
    }
}
