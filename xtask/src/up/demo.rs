//! What a demo needs before it starts: credentials, keys, a policy, Envoy's configuration.
//!
//! Promises: what is there already is kept, so that a policy that was edited stays edited.

use std::fs;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::files::{Place, read_text, write_whole};
use super::hosts::Hosts;
use super::ports::Numbers;
use crate::error::{Failure, Outcome, Trying};
use crate::programs::Programs;
use crate::run::run;
use crate::wasm;
use crate::workspace::Workspace;

/// The app of the API document.
pub const APP: &str = "apigw-api-test";
/// Whom the ticket belongs to.
pub const USER: &str = "admin";
/// The host of the sample, as the committed policy has it.
const COMMITTED_SAMPLE: &str = "127.0.0.1:8090";
const SECRET_VARIABLE: &str = "LINKGATE_DEMO_APP_SECRET";
const TICKET_VARIABLE: &str = "LINKGATE_DEMO_TICKET";

/// What the demo's caller presents.
#[derive(Clone)]
pub struct Credentials {
    /// The app's secret.
    pub secret: SecretString,
    /// The user's ticket.
    pub ticket: SecretString,
}

impl Credentials {
    /// Reads them, or makes them the first time.
    pub fn keep(place: &Place) -> Outcome<Self> {
        let path = place.credentials();
        if !path.exists() {
            let text = format!("{SECRET_VARIABLE}={}\n{TICKET_VARIABLE}={}\n", random()?, random()?);
            write_whole(&path, text.as_bytes(), 0o600)?;
        }
        Self::read(&path)
    }

    /// Reads them from their file.
    pub fn read(path: &Path) -> Outcome<Self> {
        let text = read_text(path)?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(SecretString::from).ok_or_else(|| {
                Failure::new(format!("{} has no {name}: remove the file and policy.yaml beside it", path.display()))
            })
        };
        Ok(Self { secret: value(SECRET_VARIABLE)?, ticket: value(TICKET_VARIABLE)? })
    }
}

fn random() -> Outcome<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).trying(|| "get random bytes".to_owned())?;
    Ok(hex::encode(bytes))
}

/// Puts everything in its place.
pub(super) fn prepare(
    workspace: &Workspace,
    programs: &Programs,
    place: &Place,
    credentials: &Credentials,
    ports: &Numbers,
    hosts: &Hosts,
) -> Outcome<()> {
    if !place.private_key().exists() {
        run(programs.linkgate().args(["keys", "generate", "--to"]).arg(place.keys()))?;
    }
    keep_policy(&workspace.path("policy.yaml"), place, credentials, hosts)?;
    let filter = fs::read(&programs.wasm).trying(|| format!("read {}", programs.wasm.display()))?;
    write_whole(&place.watched().join(wasm::FILE), &filter, 0o644)?;
    run(programs.linkgate().args(["policy", "deploy"]).arg(place.policy()).arg("--to").arg(place.watched()))?;
    let mut render = programs.linkgate();
    render.args(["envoy", "render"]).arg(workspace.path("envoy.yaml")).arg("--to").arg(place.envoy_config());
    let variables = [
        ("LINKGATE_GATEWAY_PORT", ports.gateway),
        ("LINKGATE_UPSTREAM_PORT", ports.store),
        ("LINKGATE_ADMIN_PORT", ports.admin),
    ];
    render.envs(variables.map(|(name, port)| (name, port.to_string())));
    run(render.env("LINKGATE_POLICY_DIR", place.watched()))
}

/// Puts credentials and a policy that knows them into a folder, for a sample that is at this `host:port`.
pub fn prepare_policy(folder: &Path, committed: &Path, host: &str) -> Outcome<()> {
    let place = Place::prepare(folder)?;
    let hosts = Hosts::new(host.to_owned(), &[], &[]);
    keep_policy(committed, &place, &Credentials::keep(&place)?, &hosts)
}

/// Makes the policy from the committed one, unless there is one already.
fn keep_policy(committed: &Path, place: &Place, credentials: &Credentials, hosts: &Hosts) -> Outcome<()> {
    let path = place.policy();
    if !path.exists() {
        let committed = read_text(committed)?;
        return write_whole(&path, fill_in(&committed, credentials, hosts)?.as_bytes(), 0o600);
    }
    let kept = read_text(&path)?;
    match hosts.all().find(|host| !kept.contains(host)) {
        None => Ok(()),
        Some(host) => Err(Failure::new(format!(
            "{} does not allow the host {host}: add it under packages.allowed_hosts, or remove the file to have it made anew",
            path.display()
        ))),
    }
}

/// Puts the digests where the committed policy has zeros, and the hosts where it has the sample's.
fn fill_in(committed: &str, credentials: &Credentials, hosts: &Hosts) -> Outcome<String> {
    let zeros = "0".repeat(64);
    let entry = format!("- {COMMITTED_SAMPLE}\n");
    let Some((before, _)) = committed.split_once(&entry).filter(|_| committed.matches(&zeros).count() == 2) else {
        return Err(Failure::new(format!(
            "policy.yaml must hold two digests of zeros, {APP}'s secret and {USER}'s ticket, and the host {COMMITTED_SAMPLE}"
        )));
    };
    let digest = |secret: &SecretString| hex::encode(Sha256::digest(secret.expose_secret()));
    let filled = committed.replacen(&zeros, &digest(&credentials.secret), 1);
    let filled = filled.replacen(&zeros, &digest(&credentials.ticket), 1);
    let indent = before.rsplit('\n').next().unwrap_or_default();
    // In quotes, so that whatever was typed stays one item; the check that follows refuses what is no host.
    let entries: Vec<_> = hosts.all().map(|host| format!("- {}\n", serde_json::Value::from(host))).collect();
    Ok(filled.replacen(&entry, &entries.join(indent), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials { secret: "abc".into(), ticket: "t".into() }
    }

    #[test]
    fn the_digests_go_where_the_zeros_were_and_the_hosts_where_the_sample_was() {
        let zeros = "0".repeat(64);
        let hosts = Hosts { private: vec!["127.0.0.1:9".to_owned()], public: vec!["example.net".to_owned()] };
        let committed = format!("hosts:\n  - 127.0.0.1:8090\napp: {zeros}\nuser: {zeros}\n");
        let filled = fill_in(&committed, &credentials(), &hosts).unwrap();
        assert!(
            filled.starts_with("hosts:\n  - \"127.0.0.1:9\"\n  - \"example.net\"\napp: ba7816bf8f01cfea"),
            "{filled}"
        );
        assert!(!filled.contains(&zeros));
        assert!(fill_in(&zeros, &credentials(), &hosts).is_err());
    }

    #[test]
    fn credentials_are_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::prepare(folder.path()).unwrap();
        let first = Credentials::keep(&place).unwrap();
        let second = Credentials::keep(&place).unwrap();
        let texts = |credentials: &Credentials| {
            [&credentials.secret, &credentials.ticket].map(|text| text.expose_secret().to_owned())
        };
        let [secret, ticket] = texts(&first);
        assert_eq!(texts(&second), [secret.as_str(), &ticket]);
        assert_ne!(secret, ticket);
        assert_eq!(secret.len(), 32);
    }
}
