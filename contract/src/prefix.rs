//! The prefixes below which the gateway serves the API.

/// What stands before `/bkapps/...`: empty, or `/a/b` without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(String);

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrefix {
    /// Does not begin with `/`.
    #[error("must be empty or begin with `/`")]
    NoLeadingSlash,
    /// Ends with `/`.
    #[error("must not end with `/`")]
    TrailingSlash,
    /// `//`, `.`, `..` or a character outside `[A-Za-z0-9._~-]`.
    #[error("segment `{segment}` must be of letters, digits, '.', '_', '~' and '-', and not `.` or `..`")]
    BadSegment {
        /// The segment.
        segment: String,
    },
}

impl PathPrefix {
    /// Checks and takes a prefix.
    ///
    /// # Errors
    /// [`InvalidPrefix`] says which rule it breaks.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        if prefix.is_empty() {
            return Ok(Self(String::new()));
        }
        let segments = prefix.strip_prefix('/').ok_or(InvalidPrefix::NoLeadingSlash)?;
        if segments.ends_with('/') || segments.is_empty() {
            return Err(InvalidPrefix::TrailingSlash);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        let bad = |s: &&str| s.is_empty() || matches!(*s, "." | "..") || !s.bytes().all(plain);
        match segments.split('/').find(bad) {
            Some(segment) => Err(InvalidPrefix::BadSegment { segment: segment.to_owned() }),
            None => Ok(Self(prefix.to_owned())),
        }
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_plain_segments() {
        for good in ["", "/stag", "/api/bk-paas3/v1.0"] {
            assert_eq!(PathPrefix::new(good).unwrap().as_str(), good);
        }
        assert_eq!(PathPrefix::new("stag"), Err(InvalidPrefix::NoLeadingSlash));
        assert_eq!(PathPrefix::new("/stag/"), Err(InvalidPrefix::TrailingSlash));
        assert_eq!(PathPrefix::new("/"), Err(InvalidPrefix::TrailingSlash));
        for bad in ["//stag", "/a/../b", "/a%20b", "/a?b", "/é", "/."] {
            assert!(matches!(PathPrefix::new(bad), Err(InvalidPrefix::BadSegment { .. })), "{bad}");
        }
    }
}
