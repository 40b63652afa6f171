//! Tenants of a BlueKing that serves several.

use std::fmt;
use std::str::FromStr;

/// A tenant's name. It stands in a header, in tokens and in the catalog, so it is plain: 1 to 64 letters, digits, `-`, `_` and
/// `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

/// The text is no tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} letters, digits, '-', '_' and '.'", TenantId::MAX_LEN)]
pub struct InvalidTenantId;

impl TenantId {
    /// The most bytes of a name; BlueKing gives out shorter ones.
    pub const MAX_LEN: usize = 64;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidTenantId`] if it is blank, long, or has another character.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidTenantId> {
        let name = name.into();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let is_good = (1..=Self::MAX_LEN).contains(&name.len()) && name.bytes().all(is_plain);
        if is_good { Ok(Self(name)) } else { Err(InvalidTenantId) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = InvalidTenantId;

    fn from_str(name: &str) -> Result<Self, InvalidTenantId> {
        Self::new(name)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_a_plain_name() {
        for good in ["system", "default", "a-1_b.C", &"t".repeat(TenantId::MAX_LEN)] {
            assert_eq!(good.parse::<TenantId>().unwrap().to_string(), good);
        }
        for bad in ["", " ", "a b", "a,b", "a\n", "租户", "a\"", &"t".repeat(TenantId::MAX_LEN + 1)] {
            assert_eq!(TenantId::new(bad), Err(InvalidTenantId), "{bad:?}");
        }
    }
}
