//! The configuration file: profiles of gateways and of who calls them.
//!
//! Promises: a file that others may read or write is refused, because secrets may stand in it; an unknown key is
//! refused with its line. Refuses nothing about a file that is not there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::args::Auth;
use super::failure::Failure;
use crate::files::{Existing, read_text, write_atomically};

/// All that stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The profile that counts where none is named.
    pub default_profile: Option<String>,
    /// Profiles by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

/// A gateway and who calls it. What is left out comes from flags or variables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub gateway: Option<String>,
    pub app_code: Option<String>,
    pub app: Option<String>,
    pub module: Option<String>,
    pub auth: Option<Auth>,
    pub tenant: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub app_secret: Option<SecretString>,
    pub app_secret_file: Option<PathBuf>,
    pub access_token: Option<SecretString>,
    pub bk_token: Option<SecretString>,
    pub bk_ticket: Option<SecretString>,
    pub credential_command: Option<CredentialCommand>,
}

/// A program that prints credentials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum CredentialCommand {
    /// A line for the shell.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// Where the file is unless somebody says otherwise.
pub fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("linkgate/config.toml"))
}

/// Reads the file; one that is not there has no profiles.
pub fn read_config(path: &Path) -> Result<ConfigFile, Failure> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ConfigFile::default()),
        Err(error) => return Err(Failure::file("read", path, &error)),
        Ok(found) => refuse_shared(path, found.mode())?,
    }
    let text = read_text(path).map_err(|error| Failure::usage(error.to_string()))?;
    toml::from_str(&text).map_err(|error| {
        // The message without the line's text, which may hold a secret.
        let line =
            error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
        Failure::usage(format!("{}:{line}: {}", path.display(), error.message()))
    })
}

/// Secrets belong to their owner.
pub fn refuse_shared(path: &Path, mode: u32) -> Result<(), Failure> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("{} may be used by others (mode {:04o}), so it is not read", path.display(), mode & 0o7777);
    Err(Failure::usage(message).next(format!("chmod 600 {}", path.display())))
}

impl ConfigFile {
    /// The profile of this name, else the default one; none if nothing names one.
    pub fn choose(&self, name: Option<&str>, path: &Path) -> Result<Profile, Failure> {
        let Some(name) = name.or(self.default_profile.as_deref()) else { return Ok(Profile::default()) };
        self.profiles.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.profiles.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("{} has no profile `{name}`; it has: {known}", path.display());
            Failure::usage(message).next(format!("`linkgate login --save {name}` makes one"))
        })
    }
}

/// Puts a profile into the file, which is made for its owner only. What else stands there stays, but for comments.
pub fn save_profile(path: &Path, name: &str, profile: toml::Table) -> Result<(), Failure> {
    let odd = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let _checked = read_config(path)?;
    let text = match read_text(path) {
        Ok(text) => text,
        Err(_) if !path.exists() => String::new(),
        Err(error) => return Err(odd(&error)),
    };
    let mut whole: toml::Table = toml::from_str(&text).map_err(|error| odd(&error.message()))?;
    if !whole.contains_key("default_profile") {
        whole.insert("default_profile".to_owned(), name.into());
    }
    let profiles = whole.entry("profiles").or_insert_with(|| toml::Table::new().into());
    let profiles = profiles.as_table_mut().ok_or_else(|| odd(&"`profiles` is no table"))?;
    profiles.insert(name.to_owned(), profile.into());
    let text = SecretString::from(toml::to_string(&whole).map_err(|error| odd(&error))?);
    if let Some(folder) = path.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Failure::file("make", folder, &error))?;
    }
    let content = secrecy::ExposeSecret::expose_secret(&text).as_bytes();
    write_atomically(path, content, 0o600, Existing::Replace).map_err(|error| Failure::usage(error.to_string()))?;
    // Somebody may not see where it went.
    let _told = writeln!(std::io::stderr(), "Saved the profile `{name}` in {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    const GOOD: &str = "default_profile = \"prod\"\n[profiles.prod]\ngateway = \"https://g.example.com/prod\"\n\
        app_secret = \"s3cret\"\ncredential_command = [\"pass\", \"show\"]\n[profiles.stag]\nauth = \"signature\"\n\
        credential_command = \"pass show x\"\n";

    #[test]
    fn profiles_are_read_and_no_secret_is_printed() {
        let (_folder, path) = write(GOOD, 0o600);
        let config = read_config(&path).unwrap();
        let profile = config.choose(None, &path).unwrap();
        assert_eq!(profile.gateway.as_deref(), Some("https://g.example.com/prod"));
        let command = CredentialCommand::Program(vec!["pass".to_owned(), "show".to_owned()]);
        assert_eq!(profile.credential_command, Some(command));
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(config.choose(Some("stag"), &path).unwrap().auth, Some(Auth::Signature));
        let refused = config.choose(Some("test"), &path).unwrap_err().describe(("", ""));
        assert!(refused.contains("it has: prod, stag"), "{refused}");
    }

    #[test]
    fn a_file_for_others_is_refused() {
        for mode in [0o644, 0o640, 0o604, 0o660, 0o601] {
            let (_folder, path) = write(GOOD, mode);
            let refused = read_config(&path).unwrap_err().describe(("", ""));
            assert!(refused.contains(&format!("(mode {mode:04o})")) && refused.contains("chmod 600"), "{refused}");
        }
        assert!(read_config(Path::new("/nonexistent/config.toml")).unwrap().profiles.is_empty());
    }

    #[test]
    fn a_fault_is_named_with_its_line_and_without_its_text() {
        for text in ["[profiles.prod]\nsecret = \"s3cret\"\n", "[profiles.prod]\napp_secret = s3cret\n"] {
            let (_folder, path) = write(text, 0o600);
            let refused = read_config(&path).unwrap_err().describe(("", ""));
            assert!(refused.contains("config.toml:2: ") && !refused.contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn a_saved_profile_joins_the_others() {
        let (_folder, path) = write(GOOD, 0o600);
        let profile = |gateway: &str| toml::Table::from_iter([("gateway".to_owned(), gateway.into())]);
        save_profile(&path, "new", profile("http://new")).unwrap();
        let config = read_config(&path).unwrap();
        assert_eq!(config.profiles.keys().collect::<Vec<_>>(), ["new", "prod", "stag"]);
        assert_eq!(config.default_profile.as_deref(), Some("prod"));
        let folder = tempfile::tempdir().unwrap();
        let fresh = folder.path().join("a/b/config.toml");
        save_profile(&fresh, "new", profile("http://new")).unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_config(&fresh).unwrap().default_profile.as_deref(), Some("new"));
    }

    #[test]
    fn the_file_lies_where_programs_put_theirs() {
        let path =
            |home: &str, xdg: &str| default_path(|name| Some(OsString::from(if name == "HOME" { home } else { xdg })));
        assert_eq!(path("/home/a", ""), Some("/home/a/.config/linkgate/config.toml".into()));
        assert_eq!(path("/home/a", "/x"), Some("/x/linkgate/config.toml".into()));
        assert_eq!(path("", ""), None);
    }
}
