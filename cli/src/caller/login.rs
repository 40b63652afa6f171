//! `linkgate login`: tries the credentials, and finds out what they allow without changing anything.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use linkgate_client::{DeleteOptions, Error, PinRequest, UrlRequest};
use linkgate_contract::{PackageId, PinName};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, json};

use super::args::{Auth, Common, Login};
use super::config::{default_path, save_profile};
use super::failure::{Failure, Kind};
use super::session::{Session, Situation, given};

/// No package has it: whoever may do something to it is told that it is not there.
const NO_PACKAGE: PackageId = PackageId::from_row(i64::MAX);
/// Longer than any secret that a header can carry.
const MAX_SECRET_BYTES: u64 = 4096;

/// `linkgate login`
pub async fn login(command: Login, situation: &Situation) -> Result<(), Failure> {
    let mut common = command.common;
    if let Some(name) = &command.save {
        save(name, &common)?;
        common.profile = Some(name.clone());
    }
    let session = Session::open(&common, situation)?;
    let actions = try_actions(&session).await?;
    let code = session.client.credentials().code().map(str::to_owned);
    let document = json!({
        "gateway": session.client.host(),
        "app_code": code,
        "module": session.module.to_string(),
        "actions": actions.iter().map(|(name, may)| ((*name).to_owned(), (*may).into())).collect::<Map<_, _>>(),
    });
    let list = |wanted: bool| {
        let names: Vec<_> = actions.iter().filter(|(_, may)| *may == wanted).map(|(name, _)| *name).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(", ") }
    };
    let rows = [
        ("gateway", session.client.host().to_owned()),
        ("application", code.unwrap_or_else(|| "as the token says".to_owned())),
        ("module", session.module.to_string()),
        ("may", list(true)),
        ("may not", list(false)),
    ];
    session.output.print(&document, &rows)?;
    if actions.iter().any(|(_, may)| *may) {
        return Ok(());
    }
    let message = format!("the credentials are good, and allow nothing for {}", session.module);
    Err(Failure::new(Kind::NotAllowed, message).next("ask the operator for a grant, or check --app and --module"))
}

/// Asks for something that does nothing, for each action.
async fn try_actions(session: &Session) -> Result<Vec<(&'static str, bool)>, Failure> {
    let (client, module) = (&session.client, &session.module);
    let forced = DeleteOptions { force: true, ..DeleteOptions::default() };
    let pin = PinName::new("linkgate-login").map_err(|error| Failure::usage(error.to_string()))?;
    Ok(vec![
        ("read", is_allowed(client.get_usage(module).await)?),
        ("upload", is_allowed(client.ask_to_upload(module).await)?),
        ("download", is_allowed(client.head_download(module, NO_PACKAGE).await)?),
        ("sign", is_allowed(client.create_download_url(module, NO_PACKAGE, &UrlRequest::default()).await)?),
        ("delete", is_allowed(client.delete_package(module, NO_PACKAGE, &DeleteOptions::default()).await)?),
        ("force_delete", is_allowed(client.delete_package(module, NO_PACKAGE, &forced).await)?),
        ("restore", is_allowed(client.restore_package(module, NO_PACKAGE, None).await)?),
        ("pin", is_allowed(client.pin_package(module, NO_PACKAGE, &pin, &PinRequest::default()).await)?),
        ("cleanup", is_allowed(client.explain_cleanup(module).await)?),
    ])
}

/// A package that is not there is told to those who may ask only; nothing else than a missing grant is an answer, too.
fn is_allowed<T>(outcome: Result<T, Error>) -> Result<bool, Failure> {
    match outcome {
        Ok(_) => Ok(true),
        Err(Error::Refused(refusal)) if refusal.status == 404 && refusal.code != "API_NOT_FOUND" => Ok(true),
        Err(Error::Refused(refusal)) if refusal.code == "APP_NO_PERMISSION" => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes what was given as a profile. Secrets come from variables that a profile cannot name, so one is read.
fn save(name: &str, common: &Common) -> Result<(), Failure> {
    let path = common.config.clone().or_else(|| default_path(|name| std::env::var_os(name)));
    let path =
        path.ok_or_else(|| Failure::usage("no place for a configuration file: HOME is not set; see --config"))?;
    let mut profile = toml::Table::new();
    let texts = [
        ("gateway", &common.gateway),
        ("app_code", &common.app_code),
        ("app", &common.app),
        ("module", &common.module),
    ];
    for (key, value) in texts {
        profile.extend(given(value.as_ref()).map(|value| (key.to_owned(), value.clone().into())));
    }
    let auth = common.auth.map(|auth| if auth == Auth::Signature { "signature" } else { "secret" });
    profile.extend(auth.map(|auth| ("auth".to_owned(), auth.into())));
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(command) = variable("LINKGATE_CREDENTIAL_COMMAND").and_then(|command| command.into_string().ok()) {
        profile.insert("credential_command".to_owned(), command.into());
    } else if let Some(file) = variable("LINKGATE_APP_SECRET_FILE").and_then(|file| file.into_string().ok()) {
        profile.insert("app_secret_file".to_owned(), file.into());
    } else if variable("LINKGATE_ACCESS_TOKEN").is_none() && variable("LINKGATE_APP_SECRET").is_none() {
        let secret = read_secret()?;
        profile.insert("app_secret".to_owned(), secret.expose_secret().into());
    }
    save_profile(&path, name, profile)
}

/// Reads a line of standard input; a terminal does not show what is typed.
fn read_secret() -> Result<SecretString, Failure> {
    use std::io::Read as _;
    let stdin = std::io::stdin();
    let is_terminal = stdin.is_terminal();
    let shown = if is_terminal { tcgetattr(&stdin).ok() } else { None };
    if let Some(shown) = &shown {
        let _told = write!(std::io::stderr(), "Secret of the application: ");
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &hidden)
            .map_err(|error| Failure::usage(format!("the terminal cannot hide what is typed: {error}")))?;
    }
    let mut line = String::new();
    let read = stdin.lock().take(MAX_SECRET_BYTES).read_line(&mut line);
    if let Some(shown) = &shown {
        let _restored = tcsetattr(&stdin, OptionalActions::Flush, shown);
        let _ended = writeln!(std::io::stderr());
    }
    let line = SecretString::from(line);
    read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    let secret = line.expose_secret().trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(Failure::usage("the secret is empty").next("pipe it in, or set LINKGATE_CREDENTIAL_COMMAND"));
    }
    Ok(SecretString::from(secret))
}
