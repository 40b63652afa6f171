//! What an upload asks for, wherever its bytes come from.

use linkgate_contract::{NameTooLong, PackageName, PackageVersion, Sha256, UploadByFileRequest, UploadByLinkRequest};

use crate::conditions::Conditions;

/// What an upload asks for.
pub trait PackageRequest: Send + Sync + 'static {
    /// Whether it waits for its turn, and is one upload with all that are equal.
    const IS_QUEUED: bool;

    /// The version; `None`: the package itself says.
    fn version(&self) -> Option<&PackageVersion>;
    /// Whether a package of the same version is replaced.
    fn allow_overwrite(&self) -> bool;
    /// What must be true of the package of this version that is there.
    fn conditions(&self) -> Conditions;
    /// The request in the API's form.
    fn to_json(&self) -> String;
    /// Where the bytes come from, as it may be recorded and logged.
    fn source(&self) -> String;
    /// What is said of it in statements: the link as it may be shown, or the file's name.
    fn asked_for(&self) -> String;
    /// What the package is called.
    ///
    /// # Errors
    /// If the name would be too long.
    fn package_name(&self, version: &PackageVersion) -> Result<String, NameTooLong>;
}

/// An upload of a file by its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// The fields.
    pub fields: UploadByFileRequest,
    /// Digests of the file that stand elsewhere. Each must match.
    pub more_digests: Vec<Sha256>,
    /// What must be true of the package that is there.
    pub conditions: Conditions,
    /// Whether a package that is there already with these very bytes is as good as a new one.
    pub returns_existing: bool,
    /// Whether these are all fields: behind the file of a form more may come.
    pub is_complete: bool,
    /// How many bytes the file has, as far as its caller says; at least so many where the fields are not complete.
    pub announced_bytes: Option<u64>,
}

impl FileRequest {
    /// Where the bytes come from, in place of a link.
    pub const SOURCE: &'static str = "file";

    /// All digests that the file must have.
    pub(super) fn digests(&self) -> impl Iterator<Item = Sha256> {
        self.fields.sha256.into_iter().chain(self.more_digests.iter().copied())
    }
}

impl PackageRequest for UploadByLinkRequest {
    const IS_QUEUED: bool = true;

    fn version(&self) -> Option<&PackageVersion> {
        self.version.as_ref()
    }

    fn allow_overwrite(&self) -> bool {
        self.allow_overwrite
    }

    fn conditions(&self) -> Conditions {
        Conditions::default()
    }

    fn to_json(&self) -> String {
        Self::to_json(self)
    }

    fn source(&self) -> String {
        self.package_url.to_string()
    }

    fn asked_for(&self) -> String {
        self.package_url.to_string()
    }

    fn package_name(&self, version: &PackageVersion) -> Result<String, NameTooLong> {
        PackageName::new(&self.package_url, version).map(|name| name.as_str().to_owned())
    }
}

impl PackageRequest for FileRequest {
    const IS_QUEUED: bool = false;

    fn version(&self) -> Option<&PackageVersion> {
        self.fields.version.as_ref()
    }

    fn allow_overwrite(&self) -> bool {
        self.fields.allow_overwrite
    }

    fn conditions(&self) -> Conditions {
        self.conditions.clone()
    }

    fn to_json(&self) -> String {
        self.fields.to_json()
    }

    fn source(&self) -> String {
        Self::SOURCE.to_owned()
    }

    fn asked_for(&self) -> String {
        self.fields.file_name.to_string()
    }

    fn package_name(&self, _version: &PackageVersion) -> Result<String, NameTooLong> {
        Ok(self.fields.file_name.to_string())
    }
}
