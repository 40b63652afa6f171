//! A recorded package, as the caller reads it.

use serde::{Deserialize, Serialize};

use crate::{Operator, PackageUrl, PackageVersion, Sha256};

/// The reply of a successful upload: these fields, in this order, no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePackage {
    /// The row's number; an overwritten package keeps it.
    pub id: i64,
    /// The version label.
    pub version: PackageVersion,
    /// See [`PackageName`].
    pub package_name: String,
    /// Bytes, in decimal, as text.
    pub package_size: String,
    /// Of its bytes.
    pub sha256_signature: Sha256,
    /// Whether the package was deleted since.
    pub is_deleted: bool,
    /// `YYYY-MM-DD HH:MM:SS` in the store's time zone.
    pub updated: String,
    /// `YYYY-MM-DD HH:MM:SS` in the store's time zone; an overwritten package keeps it.
    pub created: String,
    /// Who uploaded it.
    pub operator: Operator,
}

/// A package's display name, made the way BlueKing makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageName(String);

impl PackageName {
    /// The link's file name up to its first dot; `:version` is appended unless the version is part of it already.
    #[must_use]
    pub fn new(url: &PackageUrl, version: &PackageVersion) -> Self {
        let stem = url.file_name().split('.').next().unwrap_or_default();
        if stem.contains(version.as_str()) { Self(stem.to_owned()) } else { Self(format!("{stem}:{version}")) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_stem_and_the_version_once() {
        let cases = [
            ("https://example.com/generic/example.tar.gz", "0.0.5", "example:0.0.5"),
            ("https://example.com/example-7.tar.gz?x=1", "7", "example-7"),
            ("https://example.com/example-0.0.5.tgz", "0.0.5", "example-0:0.0.5"),
            ("https://example.com/", "1", ":1"),
            ("https://example.com", "1", ":1"),
            ("https://example.com/.hidden", "1", ":1"),
        ];
        for (url, version, want) in cases {
            let (url, version) = (PackageUrl::new(url).unwrap(), PackageVersion::new(version).unwrap());
            assert_eq!(PackageName::new(&url, &version).as_str(), want);
        }
    }
}
