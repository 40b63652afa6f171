//! An upload of a file by its caller, as the query, a form or both say it.
//!
//! Promises: the same fields mean the same as in an upload by link. Refuses a file without a name that needs no encoding.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::request::{REQUIRED, read_boolean, read_sha256, read_size, read_version};
use crate::{Field, Fields, FileName, PackageVersion, Problem, Sha256, Text};

/// A checked upload; of the file itself nothing is known yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadByFileRequest {
    /// What the file is called; so is the package.
    pub file_name: FileName,
    /// Its version; absent: the package itself says.
    pub version: Option<PackageVersion>,
    /// Whether a package of the same version is replaced.
    pub allow_overwrite: bool,
    /// What its bytes must hash to.
    pub sha256: Option<Sha256>,
    /// How many bytes it must have.
    pub size: Option<u64>,
}

impl UploadByFileRequest {
    /// The field that is the file, in a form.
    pub const FILE_FIELD: &'static str = "package";
    /// The fields beside the file.
    pub const FIELDS: [&'static str; 4] = ["version", "allow_overwrite", "sha256", "size"];
    /// The field that names the file where nothing else does.
    pub const NAME_FIELD: &'static str = "filename";

    /// Checks the fields that came with a file. Its name may stand in the path or in its part of a form; else it is a field.
    ///
    /// # Errors
    /// The [`Problem`] to answer with; it names every wrong field.
    pub fn from_fields(file_name: Option<FileName>, fields: &Fields<'_>) -> Result<Self, Problem> {
        let mut wrong = BTreeMap::new();
        let mut note = |name, message| {
            wrong.insert(name, vec![message]);
        };
        let file_name = file_name.map_or_else(|| read_file_name(fields.get(Self::NAME_FIELD)), Ok);
        let file_name = file_name.map_err(|m| note(Self::NAME_FIELD, m)).ok();
        let version = read_version(fields.get("version")).map_err(|m| note("version", m)).ok();
        let allow_overwrite = read_boolean(fields.get("allow_overwrite")).map_err(|m| note("allow_overwrite", m)).ok();
        let sha256 = read_sha256(fields.get("sha256"), false).map_err(|m| note("sha256", m)).ok();
        let size = read_size(fields.get("size")).map_err(|m| note("size", m)).ok();
        match (file_name, version, allow_overwrite, sha256, size) {
            (Some(file_name), Some(version), Some(allow_overwrite), Some(sha256), Some(size)) => {
                Ok(Self { file_name, version, allow_overwrite, sha256, size })
            }
            _ => Err(Problem::fields(wrong)),
        }
    }

    /// Reads the name of a file.
    ///
    /// # Errors
    /// The sentence for its caller.
    pub fn parse_file_name(text: &str) -> Result<FileName, Text> {
        FileName::new(text).map_err(|_| NOT_A_FILE_NAME)
    }

    /// The same fields as a text, to tell requests from each other.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut fields = Map::new();
        fields.insert(Self::NAME_FIELD.into(), self.file_name.as_str().into());
        fields.insert("allow_overwrite".into(), self.allow_overwrite.into());
        let version = self.version.as_ref().map(|version| ("version", version.as_str().into()));
        let sha256 = self.sha256.map(|digest| ("sha256", digest.to_string().into()));
        let size = self.size.map(|size| ("size", size.into()));
        fields.extend([version, sha256, size].into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(fields).to_string()
    }
}

const NOT_A_FILE_NAME: Text = Text::fixed(
    "文件名须由 1 至 128 个字符组成，仅可使用 A-Z、a-z、0-9、'.'、'_'、'-'。",
    "The name of the file must have 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'.",
);

fn read_file_name(value: Option<&Field<'_>>) -> Result<FileName, Text> {
    match value {
        Some(Field::Text(text)) => UploadByFileRequest::parse_file_name(text),
        _ => Err(REQUIRED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    fn read(name: Option<&str>, fields: &[(&'static str, &'static str)]) -> Result<UploadByFileRequest, Problem> {
        let name = name.map(|name| FileName::new(name).unwrap());
        let fields = fields.iter().map(|(name, value)| ((*name).into(), Field::Text((*value).into())));
        UploadByFileRequest::from_fields(name, &fields.collect())
    }

    #[test]
    fn fields_mean_what_they_mean_with_a_link() {
        let digits = "ab".repeat(32);
        let request = read(
            Some("app.tgz"),
            &[("version", " 1.0 "), ("allow_overwrite", "Yes"), ("sha256", &*digits.clone().leak()), ("size", "7")],
        );
        let request = request.unwrap();
        assert_eq!(request.version.as_ref().unwrap().as_str(), "1.0");
        assert!(request.allow_overwrite);
        assert_eq!((request.sha256.unwrap().to_string(), request.size), (digits, Some(7)));
        let bare = read(None, &[("filename", "app.tgz")]).unwrap();
        assert_eq!((bare.version, bare.allow_overwrite, bare.sha256, bare.size), (None, false, None, None));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let problem = read(None, &[("version", ""), ("allow_overwrite", "perhaps"), ("sha256", "x"), ("size", "-1")]);
        let body: Value = serde_json::from_str(&problem.unwrap_err().body(Language::English)).unwrap();
        let fields: Vec<_> = body["fields_detail"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["allow_overwrite", "filename", "sha256", "size", "version"]);
        for bad in ["a b", "../a", "", "版.tgz"] {
            assert!(read(None, &[("filename", bad.to_owned().leak())]).is_err(), "{bad}");
        }
    }
}
