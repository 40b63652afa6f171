//! The shape of `policy.yaml`. Keys are a promise; what they mean stands in `docs/POLICY.md`.

use serde::Deserialize;
use serde_json::Value;

use super::Fault;

/// The whole document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) version: u64,
    pub(super) gateway: String,
    pub(super) routes: Routes,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) packages: Packages,
    #[serde(default)]
    pub(super) apps: Vec<App>,
    #[serde(default)]
    pub(super) users: Vec<User>,
}

/// Where the API is served.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Routes {
    pub(super) prefixes: Vec<String>,
}

/// Sizes, in bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) body_bytes: u64,
    pub(super) uri_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 64 << 10, uri_bytes: 8 << 10 }
    }
}

/// What may be uploaded.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Packages {
    pub(super) allowed_hosts: Vec<String>,
}

/// An app that may call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub(super) app_code: String,
    pub(super) secret_sha256: Vec<String>,
}

/// A user on whose behalf apps may call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) username: String,
    #[serde(default)]
    pub(super) bk_token_sha256: Vec<String>,
    #[serde(default)]
    pub(super) bk_ticket_sha256: Vec<String>,
}

impl Document {
    /// Reads the shape; the first fault ends it, for what follows could not be told apart from its consequences.
    pub(super) fn read(value: &Value) -> Result<Self, Fault> {
        // A derived reader would also take a list for a struct.
        if let Some(fault) = list_for_table(value) {
            return Err(fault);
        }
        serde_path_to_error::deserialize(value).map_err(|e| {
            let path = e.path().to_string();
            let path = if path == "." { String::new() } else { path };
            let message = e.into_inner().to_string();
            name_unknown_key(path, message)
        })
    }
}

fn list_for_table(value: &Value) -> Option<Fault> {
    let at =
        |path: &str| Fault { path: path.into(), message: "invalid type: sequence, expected a table of keys".into() };
    if value.is_array() {
        return Some(at(""));
    }
    let section = ["routes", "limits", "packages"].into_iter().find(|key| value.get(key).is_some_and(Value::is_array));
    let entry = |list: &str| {
        let items = value.get(list)?.as_array()?;
        items.iter().position(Value::is_array).map(|n| format!("{list}[{n}]"))
    };
    section.map(str::to_owned).or_else(|| entry("apps")).or_else(|| entry("users")).map(|path| at(&path))
}

/// serde says "unknown field `x`, expected ..." at the path of the table or of the key: point at the key.
fn name_unknown_key(path: String, message: String) -> Fault {
    let Some(rest) = message.strip_prefix("unknown field `") else { return Fault { path, message } };
    let (key, rest) = rest.split_once('`').unwrap_or((rest, ""));
    let ends_in_key = path == key || path.ends_with(&format!(".{key}"));
    let path = match (ends_in_key, path.is_empty()) {
        (true, _) => path,
        (false, true) => key.to_owned(),
        (false, false) => format!("{path}.{key}"),
    };
    Fault { path, message: format!("unknown key{rest}") }
}
