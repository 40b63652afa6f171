//! Who calls: from variables, files, a program, or the profile.
//!
//! Promises: no secret comes from the command line, none is printed, and a program that prints credentials gets none.
//! A variable wins over the program, the program over the profile.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use linkgate_client::Credentials;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::args::Auth;
use super::config::{CredentialCommand, Profile, refuse_shared};
use super::failure::{Failure, Kind};
use crate::files::read_text;

/// A variable of the environment, if it is set to something.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What proves somebody.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proofs {
    app_code: Option<String>,
    app_secret: Option<SecretString>,
    access_token: Option<SecretString>,
    bk_token: Option<SecretString>,
    bk_ticket: Option<SecretString>,
}

impl Proofs {
    /// What is missing comes from others.
    fn or(self, others: Self) -> Self {
        Self {
            app_code: self.app_code.or(others.app_code),
            app_secret: self.app_secret.or(others.app_secret),
            access_token: self.access_token.or(others.access_token),
            bk_token: self.bk_token.or(others.bk_token),
            bk_ticket: self.bk_ticket.or(others.bk_ticket),
        }
    }

    fn prove_the_app(&self) -> bool {
        self.app_secret.is_some() || self.access_token.is_some()
    }
}

/// Finds the credentials; `app_code` is that of a flag, a variable or the profile.
pub fn find_credentials(
    profile: &Profile,
    app_code: Option<String>,
    auth: Option<Auth>,
    variables: Variables<'_>,
) -> Result<Credentials, Failure> {
    let mut proofs = read_variables(variables)?;
    let command = variables("LINKGATE_CREDENTIAL_COMMAND").filter(|command| !command.is_empty());
    let command = match command {
        Some(command) => Some(CredentialCommand::Shell(to_text("LINKGATE_CREDENTIAL_COMMAND", command)?)),
        None => profile.credential_command.clone(),
    };
    if let Some(command) = command.filter(|_| !proofs.prove_the_app()) {
        proofs = proofs.or(run_command(&command, profile, app_code.as_deref())?);
    }
    let proofs = proofs.or(read_profile(profile)?);
    let mut credentials = Credentials::default();
    if let Some(code) = app_code.or(proofs.app_code) {
        credentials = credentials.app_code(code);
    }
    if let Some(secret) = proofs.app_secret {
        credentials = match auth.or(profile.auth).unwrap_or(Auth::Secret) {
            Auth::Secret => credentials.secret(secret),
            Auth::Signature => credentials.signing_with(secret),
        };
    }
    credentials = proofs.access_token.into_iter().fold(credentials, Credentials::access_token);
    credentials = proofs.bk_token.into_iter().fold(credentials, Credentials::token);
    Ok(proofs.bk_ticket.into_iter().fold(credentials, Credentials::ticket))
}

fn read_variables(variables: Variables<'_>) -> Result<Proofs, Failure> {
    let secret = |name: &str| match variables(name).filter(|value| !value.is_empty()) {
        Some(value) => to_text(name, value).map(|text| Some(SecretString::from(text))),
        None => Ok(None),
    };
    let file = variables("LINKGATE_APP_SECRET_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let app_secret = match (secret("LINKGATE_APP_SECRET")?, file) {
        (Some(secret), _) => Some(secret),
        (None, Some(path)) => Some(read_secret_file(&path)?),
        (None, None) => None,
    };
    Ok(Proofs {
        app_code: None,
        app_secret,
        access_token: secret("LINKGATE_ACCESS_TOKEN")?,
        bk_token: secret("LINKGATE_BK_TOKEN")?,
        bk_ticket: secret("LINKGATE_BK_TICKET")?,
    })
}

fn read_profile(profile: &Profile) -> Result<Proofs, Failure> {
    let app_secret = match (&profile.app_secret, &profile.app_secret_file) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Some(path)) => Some(read_secret_file(path)?),
        (None, None) => None,
    };
    Ok(Proofs {
        app_code: None,
        app_secret,
        access_token: profile.access_token.clone(),
        bk_token: profile.bk_token.clone(),
        bk_ticket: profile.bk_ticket.clone(),
    })
}

fn to_text(name: &str, value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|_| Failure::usage(format!("{name} is not UTF-8 text")))
}

/// The first line of a file that only its owner may read.
pub fn read_secret_file(path: &Path) -> Result<SecretString, Failure> {
    let mode = fs::metadata(path).map_err(|error| Failure::file("read", path, &error))?.mode();
    refuse_shared(path, mode)?;
    let text = SecretString::from(read_text(path).map_err(|error| Failure::usage(error.to_string()))?);
    first_line(&text)
        .ok_or_else(|| Failure::usage(format!("{} holds no secret: its first line is empty", path.display())))
}

fn first_line(text: &SecretString) -> Option<SecretString> {
    let line = text.expose_secret().lines().next().unwrap_or_default();
    (!line.is_empty()).then(|| SecretString::from(line))
}

/// Runs the program. It prints a JSON object, or the application's secret on its first line.
fn run_command(command: &CredentialCommand, profile: &Profile, app_code: Option<&str>) -> Result<Proofs, Failure> {
    let failed = |why: String| {
        let step = "run it by hand; docs/CLI.md says what it is to print";
        Failure::new(Kind::NotAllowed, format!("the credential command {why}")).next(step)
    };
    let mut run = match command {
        CredentialCommand::Shell(line) => {
            let mut run = Command::new("/bin/sh");
            run.args(["-c", line]);
            run
        }
        CredentialCommand::Program(words) => {
            let (program, arguments) = words.split_first().ok_or_else(|| failed("is empty".to_owned()))?;
            let mut run = Command::new(program);
            run.args(arguments);
            run
        }
    };
    // It may ask its user something, but neither its questions nor its answers are ours.
    run.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    run.env("LINKGATE_APP_CODE", app_code.unwrap_or_default());
    run.env("LINKGATE_GATEWAY_URL", profile.gateway.as_deref().unwrap_or_default());
    let output = run.output().map_err(|error| failed(format!("cannot be run: {error}")))?;
    let printed =
        SecretString::from(String::from_utf8(output.stdout).map_err(|_| failed("printed no text".to_owned()))?);
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    if printed.expose_secret().trim_start().starts_with('{') {
        // The message names the place, not the text.
        return serde_json::from_str(printed.expose_secret()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            failed(format!("printed JSON that is not as expected (line {line}, column {column})"))
        });
    }
    let app_secret = first_line(&printed).ok_or_else(|| failed("printed nothing".to_owned()))?;
    Ok(Proofs { app_secret: Some(app_secret), ..Proofs::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(profile: &Profile, variables: &[(&str, &str)]) -> Result<String, String> {
        let variables =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        let found = find_credentials(profile, Some("ci".to_owned()), None, &variables);
        found.map(|found| format!("{found:?}")).map_err(|failure| failure.describe(("", "")))
    }

    fn command(line: &str) -> Profile {
        Profile { credential_command: Some(CredentialCommand::Shell(line.to_owned())), ..Profile::default() }
    }

    #[test]
    fn a_program_prints_a_secret_or_an_object() {
        for line in
            ["echo s3cret", "printf 's3cret\\nmore\\n'", "echo '{\"app_secret\": \"s3cret\", \"bk_ticket\": \"t\"}'"]
        {
            let found = find(&command(line), &[]).unwrap();
            assert!(found.contains("secret: Some") && !found.contains("s3cret"), "{found}");
        }
        for (line, why) in [
            ("exit 3", "ended with"),
            ("true", "printed nothing"),
            ("echo '{\"secret\": \"s3cret\"}'", "not as expected"),
            ("echo '{\"app_secret\": s3cret}'", "not as expected"),
        ] {
            let refused = find(&command(line), &[]).unwrap_err();
            assert!(refused.contains(why) && !refused.contains("s3cret"), "{refused}");
        }
        let program = CredentialCommand::Program(vec!["/nonexistent/program".to_owned()]);
        let profile = Profile { credential_command: Some(program), ..Profile::default() };
        assert!(find(&profile, &[]).unwrap_err().contains("cannot be run"));
    }

    #[test]
    fn a_variable_wins_and_the_program_is_not_run() {
        let found = find(&command("exit 3"), &[("LINKGATE_APP_SECRET", "s3cret")]).unwrap();
        assert!(found.contains("secret: Some"), "{found}");
        assert!(find(&command("exit 3"), &[("LINKGATE_APP_SECRET", "")]).is_err(), "an empty one is none");
        let found = find(&Profile::default(), &[("LINKGATE_CREDENTIAL_COMMAND", "echo s3cret")]).unwrap();
        assert!(found.contains("secret: Some"), "{found}");
    }

    #[test]
    fn a_secret_file_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "s3cret\n").unwrap();
        let variables = [("LINKGATE_APP_SECRET_FILE", path.to_str().unwrap())];
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(find(&Profile::default(), &variables).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(find(&Profile::default(), &variables).unwrap().contains("secret: Some"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "\n").unwrap();
        assert!(find(&Profile::default(), &variables).unwrap_err().contains("first line is empty"));
    }
}
