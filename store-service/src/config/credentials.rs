//! The file of credentials for the sources of packages.
//!
//! Promises: a fault is told with the credential's name or the line, and never with anything of a secret. Refuses a file that
//! others may read, unknown keys, and a secret that stands in none of its three places or in several.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_contract::{CredentialName, HostRule};
use linkgate_fetch::{Credential, Credentials, Scope, SecretHeader};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::BadConfig;
use super::private_file::read_private_file;
use super::vars::{Reader, Vars};

/// `LINKGATE_FETCH_CREDENTIALS_FILE`: credentials for private sources, a TOML file that the store's user alone may
/// read; read again at SIGHUP. Default none.
pub(super) const FILE: &str = "LINKGATE_FETCH_CREDENTIALS_FILE";

/// Each is compared with each link that may use it.
const MAX_CREDENTIALS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    credentials: Vec<Declared>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    host: String,
    path: String,
    kind: Kind,
    /// Of `basic`.
    user: Option<String>,
    /// Of `header`.
    header: Option<String>,
    /// Any value, so that no message of the parser shows one that is no text.
    secret: Option<toml::Value>,
    secret_env: Option<String>,
    secret_file: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Basic,
    Bearer,
    Header,
}

/// Reads this setting alone, and with it the file.
///
/// # Errors
/// [`BadConfig`] says what cannot be used.
pub fn credentials_from_vars(vars: &impl Vars) -> Result<Credentials, BadConfig> {
    let mut reader = Reader::new(vars);
    let credentials = read_credentials(&mut reader);
    reader.finish(credentials)
}

pub(super) fn read_credentials(reader: &mut Reader<'_, impl Vars>) -> Credentials {
    let Some(path) = reader.read_text(FILE) else { return Credentials::default() };
    read_file(Path::new(&path), reader).unwrap_or_else(|fault| {
        reader.fault(FILE, format!("names {path}, which {fault}"));
        Credentials::default()
    })
}

fn read_file(path: &Path, reader: &mut Reader<'_, impl Vars>) -> Result<Credentials, String> {
    let text = read_private_file(path)?;
    let file = parse(text.expose_secret())?;
    if file.credentials.len() > MAX_CREDENTIALS {
        return Err(format!("lists more than {MAX_CREDENTIALS} credentials"));
    }
    let mut list: Vec<Credential> = Vec::new();
    for (declared, number) in file.credentials.into_iter().zip(1..) {
        let name = CredentialName::new(declared.name.as_str())
            .map_err(|e| format!("has a wrong name at credential {number}: it {e}"))?;
        if list.iter().any(|other| other.name == name) {
            return Err(format!("lists the credential `{name}` twice"));
        }
        let credential = read_one(name.clone(), declared, reader);
        list.push(credential.map_err(|fault| format!("is wrong at the credential `{name}`: {fault}"))?);
    }
    Ok(list.into())
}

/// The parser's own words for what is no TOML show the line, and the line may hold a secret.
fn parse(text: &str) -> Result<File, String> {
    let line_of = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let at = |error: &toml::de::Error| {
        error.span().map(|span| format!(" at line {}", line_of(span.start))).unwrap_or_default()
    };
    let _syntax: toml::Table = toml::from_str(text).map_err(|e| format!("is no TOML{}", at(&e)))?;
    toml::from_str(text).map_err(|e| format!("is wrong{}: {}", at(&e), e.message()))
}

fn read_one(
    name: CredentialName,
    declared: Declared,
    reader: &mut Reader<'_, impl Vars>,
) -> Result<Credential, String> {
    let host = HostRule::new(&declared.host).map_err(|e| format!("host {e}"))?;
    let scope = Scope::new(host, &declared.path).map_err(|e| format!("path {e}"))?;
    let header = read_header(&declared, read_secret(&declared, reader)?)?;
    Ok(Credential { name, scope, header })
}

fn read_header(declared: &Declared, secret: SecretString) -> Result<SecretHeader, String> {
    let (name, value): (&str, SecretString) = match (declared.kind, &declared.user, &declared.header) {
        (Kind::Basic, Some(user), None) => ("authorization", basic(user, &secret)?),
        (Kind::Bearer, None, None) => ("authorization", bearer(&secret)?),
        (Kind::Header, None, Some(header)) => (header, secret),
        (Kind::Basic, ..) => return Err("kind `basic` needs `user` and takes no `header`".to_owned()),
        (Kind::Bearer, ..) => return Err("kind `bearer` takes neither `user` nor `header`".to_owned()),
        (Kind::Header, ..) => return Err("kind `header` needs `header` and takes no `user`".to_owned()),
    };
    SecretHeader::new(name, value).map_err(|e| format!("`{name}` {e}"))
}

fn basic(user: &str, password: &SecretString) -> Result<SecretString, String> {
    if user.contains(':') || [user, password.expose_secret()].iter().any(|text| text.contains(char::is_control)) {
        return Err("`user` may have no colon, and neither `user` nor the secret control characters".to_owned());
    }
    let pair = SecretString::from(format!("{user}:{}", password.expose_secret()));
    Ok(format!("Basic {}", STANDARD.encode(pair.expose_secret())).into())
}

fn bearer(token: &SecretString) -> Result<SecretString, String> {
    if token.expose_secret().contains(' ') {
        return Err("the secret of kind `bearer` is the token alone, without blanks and without `Bearer`".to_owned());
    }
    Ok(format!("Bearer {}", token.expose_secret()).into())
}

fn read_secret(declared: &Declared, reader: &mut Reader<'_, impl Vars>) -> Result<SecretString, String> {
    let secret: SecretString = match (&declared.secret, &declared.secret_env, &declared.secret_file) {
        (Some(toml::Value::String(secret)), None, None) => secret.as_str().into(),
        (Some(_), None, None) => return Err("`secret` must be text in quotes".to_owned()),
        (None, Some(name), None) => {
            let value = reader
                .read_text(name)
                .ok_or_else(|| format!("`secret_env` names the variable {name}, which is not set"))?;
            value.into()
        }
        (None, None, Some(path)) if !path.starts_with('/') => {
            return Err("`secret_file` must be a path from the root on".to_owned());
        }
        (None, None, Some(path)) => {
            let text = read_private_file(Path::new(path))
                .map_err(|fault| format!("`secret_file` names {path}, which {fault}"))?;
            text.expose_secret().trim_end_matches(['\r', '\n']).into()
        }
        _ => return Err("give one of `secret`, `secret_env` and `secret_file`".to_owned()),
    };
    if secret.expose_secret().is_empty() { Err("the secret is empty".to_owned()) } else { Ok(secret) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(text: &str, more: &[(&str, &str)]) -> Result<Credentials, String> {
        read_with_mode(text, 0o600, more)
    }

    fn read_with_mode(text: &str, mode: u32, more: &[(&str, &str)]) -> Result<Credentials, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let mut vars = BTreeMap::from([(FILE.to_owned(), file.path().display().to_string())]);
        vars.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        credentials_from_vars(&vars).map_err(|bad| bad.to_string())
    }

    fn one(lines: &str) -> String {
        format!("[[credentials]]\nname = \"nexus\"\nhost = \"nexus.internal:8443\"\npath = \"/repository/\"\n{lines}\n")
    }

    #[test]
    fn credentials_of_each_kind_are_read_from_each_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-a-file\n").unwrap();
        let in_file = format!("kind = \"bearer\"\nsecret_file = \"{}\"", file.path().display());
        for lines in [
            "kind = \"basic\"\nuser = \"linkgate\"\nsecret = \"p:w \u{fc}\"",
            "kind = \"header\"\nheader = \"PRIVATE-TOKEN\"\nsecret_env = \"GITLAB_TOKEN\"",
            &in_file,
        ] {
            let read = read(&one(lines), &[("GITLAB_TOKEN", "glpat-1")]).unwrap();
            assert_eq!(read.now()[0].name.as_str(), "nexus", "{lines}");
        }
        assert!(read("", &[]).unwrap().now().is_empty());
        assert!(credentials_from_vars(&BTreeMap::new()).unwrap().now().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do_and_without_a_secret() {
        let bearer = "kind = \"bearer\"\n";
        for (text, want) in [
            (one("kind = \"bearer\"\nsecret = s3cret"), "which is no TOML at line 6"),
            (one("kind = \"bearer\"\nsecret = \"s3cret"), "which is no TOML at line 6"),
            (one("kind = \"bearer\"\nsecret = [\"s3cret\"]"), "`secret` must be text in quotes"),
            (one("kind = \"bearer\"\nsecret = 7355608"), "`secret` must be text in quotes"),
            (one("kind = \"digest\"\nsecret = \"s3cret\""), "unknown variant `digest`"),
            (one(&format!("{bearer}secret = \"s3cret\"\nport = 1")), "unknown field `port`"),
            (one(bearer), "give one of `secret`, `secret_env` and `secret_file`"),
            (one(&format!("{bearer}secret = \"s3cret\"\nsecret_env = \"X\"")), "give one of"),
            (one(&format!("{bearer}secret = \"\"")), "the secret is empty"),
            (one(&format!("{bearer}secret = \"Bearer s3cret\"")), "is the token alone"),
            (one(&format!("{bearer}secret = \"s3cret\\r\\nx:y\"")), "not of visible ASCII"),
            (one(&format!("{bearer}secret_env = \"NOT_SET\"")), "the variable NOT_SET, which is not set"),
            (one(&format!("{bearer}secret_file = \"x\"")), "must be a path from the root on"),
            (one(&format!("{bearer}secret_file = \"/no/such\"")), "names /no/such, which cannot be read"),
            (one(&format!("{bearer}user = \"u\"\nsecret = \"s3cret\"")), "takes neither `user` nor `header`"),
            (one("kind = \"basic\"\nsecret = \"s3cret\""), "needs `user`"),
            (one("kind = \"basic\"\nuser = \"a:b\"\nsecret = \"s3cret\""), "may have no colon"),
            (one("kind = \"header\"\nsecret = \"s3cret\""), "needs `header`"),
            (
                one("kind = \"header\"\nheader = \"Host\"\nsecret = \"s3cret\""),
                "`Host` is a header that says something else",
            ),
            (
                one("kind = \"bearer\"\nsecret = \"s3cret\"").replace("/repository/", "/a/../b"),
                "path must be the beginning",
            ),
            (
                one("kind = \"bearer\"\nsecret = \"s3cret\"").replace("nexus.internal:8443", "https://x"),
                "host must be `host`",
            ),
            (
                one("kind = \"bearer\"\nsecret = \"s3cret\"").replace("name = \"nexus\"", "name = \"a b\""),
                "at credential 1",
            ),
            (one("kind = \"bearer\"\nsecret = \"s3cret\"").repeat(2), "the credential `nexus` twice"),
        ] {
            let fault = read(&text, &[]).unwrap_err();
            assert!(fault.contains(want), "{want} in {fault}");
            assert!(fault.contains(FILE) && !fault.contains("s3cret") && !fault.contains("7355608"), "{fault}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let good = one("kind = \"bearer\"\nsecret = \"s3cret\"");
        for mode in [0o644, 0o604, 0o660, 0o666] {
            let fault = read_with_mode(&good, mode, &[]).unwrap_err();
            assert!(fault.contains(&format!("has the mode {mode:o}")) && fault.contains("run `chmod 600`"), "{fault}");
        }
        assert!(read_with_mode(&good, 0o400, &[]).is_ok());
    }
}
