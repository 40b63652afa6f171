//! The number of a recorded package.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A package's number, which it keeps when it is overwritten or deleted and no other package ever gets. In a path it is written
/// in one way: decimal digits that do not begin with a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackageId(i64);

/// The text is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no number of a package: decimal digits that do not begin with a zero")]
pub struct InvalidPackageId;

impl PackageId {
    /// Takes the number of a row.
    #[must_use]
    pub const fn from_row(id: i64) -> Self {
        Self(id)
    }

    /// The number of its row.
    #[must_use]
    pub const fn row(self) -> i64 {
        self.0
    }
}

/// Reads the one way in which paths have it.
impl FromStr for PackageId {
    type Err = InvalidPackageId;

    fn from_str(text: &str) -> Result<Self, InvalidPackageId> {
        let is_canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let id = text.parse().ok().filter(|_| is_canonical);
        id.map(Self).ok_or(InvalidPackageId)
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for good in ["1", "42", "9223372036854775807"] {
            let id: PackageId = good.parse().unwrap();
            assert_eq!(id.to_string(), good);
            assert_eq!(PackageId::from_row(id.row()), id);
        }
        for bad in ["", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "٣"] {
            assert_eq!(bad.parse::<PackageId>(), Err(InvalidPackageId), "{bad:?}");
        }
    }
}
