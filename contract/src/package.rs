//! A recorded package, as the caller reads it.

use serde::{Deserialize, Serialize};

use crate::{Operator, PackageId, PackageUrl, PackageVersion, Sha256, Text};

/// The reply of a successful upload: these fields, in this order, no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourcePackage {
    /// The number of the package; an overwritten package keeps it.
    pub id: PackageId,
    /// The version, as it was given, trimmed.
    pub version: PackageVersion,
    /// The name under which it is shown, at most 128 characters. Of a file: its name. Of a link: the last segment of its path
    /// that is not empty, up to its first dot; `:` and the version follow unless the name contains the version, so
    /// `example.tar.gz` and `0.0.5` give `example:0.0.5`.
    pub package_name: String,
    /// Bytes, in decimal, as text.
    pub package_size: String,
    /// The SHA-256 of its bytes.
    pub sha256_signature: Sha256,
    /// Whether the package was deleted since.
    pub is_deleted: bool,
    /// When it was uploaded, overwritten or restored last: `YYYY-MM-DD HH:MM:SS` in the store's time zone, by default
    /// `Asia/Shanghai`.
    pub updated: String,
    /// When it was uploaded first, in the same form; an overwritten package keeps it.
    pub created: String,
    /// The verified user who uploaded it; the code of the calling application where that needs no user and presents none.
    pub operator: Operator,
}

/// A link by which whoever has it downloads a package, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DownloadUrl {
    /// The link: relative to the URL of the request, unless the operator set the gateway's own
    /// (`LINKGATE_STORE_PUBLIC_URL`).
    pub download_url: String,
    /// When it ends: `YYYY-MM-DD HH:MM:SS` in the store's time zone.
    pub expires: String,
}

/// A package's display name, made the way BlueKing makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageName(String);

/// A name of more than [`PackageName::MAX_CHARS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name has more than {} characters", PackageName::MAX_CHARS)]
pub struct NameTooLong;

impl NameTooLong {
    /// The caller's sentence.
    #[must_use]
    pub fn caller_message(self) -> Text {
        Text::fixed(
            "下载地址的文件名与版本号组成的包名超过 128 个字符，请缩短其中之一。",
            "The file name of the link and the version make a package name of more than 128 characters; shorten one of them.",
        )
    }
}

impl PackageName {
    /// What BlueKing's column holds.
    pub const MAX_CHARS: usize = 128;

    /// The link's file name up to its first dot; `:version` is appended unless the version is part of it already.
    ///
    /// # Errors
    /// [`NameTooLong`].
    pub fn new(url: &PackageUrl, version: &PackageVersion) -> Result<Self, NameTooLong> {
        let stem = url.file_name().split('.').next().unwrap_or_default();
        let name = if stem.contains(version.as_str()) { stem.to_owned() } else { format!("{stem}:{version}") };
        if name.chars().count() > Self::MAX_CHARS { Err(NameTooLong) } else { Ok(Self(name)) }
    }

    /// Whether a link and a version make a name. Links whose segments are short in any encoding are not parsed for it.
    ///
    /// # Errors
    /// [`NameTooLong`].
    pub fn check(link: &str, version: &PackageVersion) -> Result<(), NameTooLong> {
        const LONGEST_BYTE: usize = "%00".len();
        let longest = link.split('/').map(str::len).max().unwrap_or_default();
        if longest * LONGEST_BYTE + version.as_str().len() < Self::MAX_CHARS {
            return Ok(());
        }
        PackageUrl::new(link).map_or(Ok(()), |url| Self::new(&url, version).map(drop))
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
            ("https://example.com/generic/example.tgz/", "1", "example:1"),
            ("https://example.com/a/b.tgz///?x=/c/", "1", "b:1"),
            ("https://example.com//", "1", ":1"),
        ];
        for (url, version, want) in cases {
            let (url, version) = (PackageUrl::new(url).unwrap(), PackageVersion::new(version).unwrap());
            assert_eq!(PackageName::new(&url, &version).unwrap().as_str(), want);
        }
    }
}
