//! The name of an upload that has begun.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A UUID in its canonical form: 36 characters, hexadecimal digits in lower case. So no job has two names, and none needs
/// encoding in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

/// The text is no UUID in the canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no UUID of 36 characters in lower case")]
pub struct InvalidJobId;

impl JobId {
    /// Takes a UUID.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }
}

/// Reads the canonical form, and none of the others that UUIDs are written in.
impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let id = Uuid::try_parse(text).map_err(|_| InvalidJobId)?;
        let canonical = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
        if canonical { Ok(Self(id)) } else { Err(InvalidJobId) }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0198c3a4-5f00-7abc-8def-0123456789ab";

    #[test]
    fn the_canonical_form_is_read_and_written() {
        let id: JobId = TEXT.parse().unwrap();
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(JobId::from_uuid(Uuid::max()).to_string(), "ffffffff-ffff-ffff-ffff-ffffffffffff");
    }

    #[test]
    fn no_other_form_is() {
        let plain = TEXT.replace('-', "");
        for bad in [
            "",
            "x",
            &plain,
            &TEXT.to_uppercase(),
            &TEXT[1..],
            &format!("{TEXT}0"),
            &TEXT.replace('a', "g"),
            &format!("{{{TEXT}}}"),
            &format!("urn:uuid:{TEXT}"),
            &TEXT.replacen('-', "0", 1),
            "-198c3a45-f00-7abc-8def-0123456789ab",
            "0198c3a4-5f00-7abc-8def-0123456789é",
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(InvalidJobId), "{bad}");
        }
    }
}
