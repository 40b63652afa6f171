//! `app_desc.yaml`: what a package says of itself.
//!
//! Reads the version as the specs 2 (`app_version`) and 3 (`appVersion`) name it, in the digits in which it is written:
//! `1.10` is `1.10`. A description of another spec, or of none, is kept and has no version: whoever deploys it judges it.

use linkgate_contract::PackageVersion;
use serde_json::Value;

use super::error::DescriptionError;
use super::limits::Limits;
use super::yaml;

/// A description that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// The folder that it lies in: `./`, or with its slash `name/`.
    pub(super) folder: String,
    /// The version that it names, or why that is none.
    pub(super) version: Result<Option<PackageVersion>, DescriptionError>,
    /// The content as JSON.
    pub(super) meta_info: String,
}

impl Description {
    /// Reads a description in the folder `folder`, which is empty or ends with a slash.
    pub(super) fn parse(folder: &[u8], text: &[u8]) -> Result<Self, DescriptionError> {
        let folder = match std::str::from_utf8(folder) {
            Ok("") => "./",
            Ok(folder) => folder,
            Err(_) => return Err(DescriptionError::Folder),
        };
        let text = std::str::from_utf8(text).map_err(|_| DescriptionError::NotText)?;
        // Editors on Windows put a mark before it.
        let document = yaml::parse_document(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        if !document.value.is_object() {
            return Err(DescriptionError::NotAMapping);
        }
        let version = find_version(&document);
        let meta_info = document.value.to_string();
        if meta_info.len() > Limits::MAX_META_INFO_BYTES {
            return Err(DescriptionError::TooLarge { limit_bytes: Limits::MAX_META_INFO_BYTES });
        }
        Ok(Self { folder: folder.to_owned(), version, meta_info })
    }
}

fn find_version(document: &yaml::Document) -> Result<Option<PackageVersion>, DescriptionError> {
    let field = |name: &str| document.value.get(name).filter(|value| !value.is_null());
    let spec = |name: &str| field(name).filter(|value| is_true(value));
    let name = match spec("spec_version").or_else(|| spec("specVersion")).and_then(parse_spec_number) {
        Some(2) => "app_version",
        Some(3) => "appVersion",
        _ => return Ok(None),
    };
    let text = match field(name) {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(_)) => document.numbers.get(name).ok_or(DescriptionError::VersionKind)?,
        Some(_) => return Err(DescriptionError::VersionKind),
    };
    PackageVersion::new(text).map(Some).map_err(DescriptionError::Version)
}

/// What Python takes for true: the platform looks at the second word where the first is not.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

/// Some write it in quotes, some with a fraction.
fn parse_spec_number(value: &Value) -> Option<u64> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    [(2.0, 2), (3.0, 3)].into_iter().find(|(spec, _)| (spec - number).abs() < f64::EPSILON).map(|(_, spec)| spec)
}

#[cfg(test)]
mod tests {
    use linkgate_contract::InvalidVersion;

    use super::*;

    fn parse(text: &str) -> Result<Description, DescriptionError> {
        Description::parse(b"", text.as_bytes())
    }

    fn version_of(text: &str) -> Option<String> {
        parse(text).unwrap().version.unwrap().map(|version| version.as_str().to_owned())
    }

    #[test]
    fn each_spec_has_its_own_word_for_the_version() {
        assert_eq!(version_of("spec_version: 2\napp_version: 0.0.5\n").unwrap(), "0.0.5");
        assert_eq!(version_of("specVersion: 3\nappVersion: '7'\n").unwrap(), "7");
        assert_eq!(version_of("spec_version: '2'\napp_version: 0.0.5\n").unwrap(), "0.0.5");
        assert_eq!(version_of("\u{feff}spec_version: 2\r\napp_version: 0.0.5\r\n").unwrap(), "0.0.5");
        for spec in ["2.0", "\"2.0\"", "0\nspecVersion: 2", "''\nspecVersion: 2", "false\nspecVersion: 2.0"] {
            assert_eq!(version_of(&format!("spec_version: {spec}\napp_version: 1.0\n")).unwrap(), "1.0", "{spec}");
        }
        // The other spec's word, no word, no spec, another spec.
        for text in [
            "spec_version: 2\nappVersion: 1\n",
            "specVersion: 3\napp_version: 1\n",
            "spec_version: 2\n",
            "spec_version: 2\napp_version:\n",
            "app_version: 1\n",
            "spec_version: 4\nappVersion: 1\n",
            "spec_version: [2]\napp_version: 1\n",
        ] {
            assert_eq!(version_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_version_is_what_is_written_even_if_it_looks_like_a_number() {
        for number in [
            "1.10",
            "007",
            "1e3",
            "0x1F",
            "+1",
            "2",
            "52e1006",
            "52e0006",
            "20261128133744123456",
            "1_0",
            ".inf",
            "12:30",
        ] {
            let text = format!("spec_version: 2\napp_version: {number}\napp: {{app_version: 9}}\n");
            assert_eq!(version_of(&text).unwrap(), number);
        }
    }

    #[test]
    fn a_version_that_is_none_is_refused() {
        let refused = |value: &str| {
            let described = parse(&format!("spec_version: 2\napp_version: {value}\n")).unwrap();
            // What else it says stays good.
            assert!(described.meta_info.contains("spec_version"));
            described.version.unwrap_err()
        };
        assert_eq!(refused("' '"), DescriptionError::Version(InvalidVersion::Blank));
        assert_eq!(refused("\"a\\nb\""), DescriptionError::Version(InvalidVersion::ControlCharacter));
        assert_eq!(refused(&"9".repeat(129)), DescriptionError::Version(InvalidVersion::TooLong));
        assert_eq!(refused(&"v".repeat(129)), DescriptionError::Version(InvalidVersion::TooLong));
        assert_eq!(refused("[1]"), DescriptionError::VersionKind);
        assert_eq!(refused("true"), DescriptionError::VersionKind);
    }

    #[test]
    fn the_folder_is_the_relative_path() {
        assert_eq!(parse("a: 1").unwrap().folder, "./");
        assert_eq!(Description::parse(b"x/y/", b"a: 1").unwrap().folder, "x/y/");
        assert_eq!(Description::parse(b"\xff/", b"a: 1"), Err(DescriptionError::Folder));
    }

    #[test]
    fn what_is_no_mapping_of_text_is_refused() {
        for text in ["- a", "a", "''", "~"] {
            assert_eq!(parse(text), Err(DescriptionError::NotAMapping), "{text}");
        }
        assert_eq!(Description::parse(b"", b"\xff: 1"), Err(DescriptionError::NotText));
    }

    #[test]
    fn meta_info_is_json_up_to_its_limit() {
        assert_eq!(parse("b: [1, ~]\na: 版").unwrap().meta_info, "{\"a\":\"版\",\"b\":[1,null]}");
        let sized = |bytes: usize| parse(&format!("a: {}", "x".repeat(bytes - "{\"a\":\"\"}".len())));
        let limit_bytes = Limits::MAX_META_INFO_BYTES;
        assert_eq!(sized(limit_bytes - 1).unwrap().meta_info.len(), limit_bytes - 1);
        assert_eq!(sized(limit_bytes).unwrap().meta_info.len(), limit_bytes);
        assert_eq!(sized(limit_bytes + 1), Err(DescriptionError::TooLarge { limit_bytes }));
    }
}
