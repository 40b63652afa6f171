//! What a demo needs before it starts: credentials, keys, a policy, Envoy's configuration.
//!
//! Promises: what is there already is used again, so that a policy that was edited stays edited.

use std::fs;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::authority::Authority;
use super::files::{DemoFiles, read_text, write_atomically};
use super::hosts::Hosts;
use super::login;
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
    pub fn load_or_create(files: &DemoFiles) -> Outcome<Self> {
        let path = files.credentials();
        if !path.exists() {
            let text = format!("{SECRET_VARIABLE}={}\n{TICKET_VARIABLE}={}\n", random_hex()?, random_hex()?);
            write_atomically(&path, text.as_bytes(), 0o600)?;
        }
        Self::load(&path)
    }

    /// Reads them from their file.
    pub fn load(path: &Path) -> Outcome<Self> {
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

/// A secret.
pub fn random_hex() -> Outcome<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).trying(|| "get random bytes".to_owned())?;
    Ok(hex::encode(bytes))
}

/// The ports of one gateway.
pub struct GatewayPorts {
    /// Where callers send requests.
    pub gateway: u16,
    /// Envoy's own pages.
    pub admin: u16,
    /// Its metrics and readiness.
    pub status: u16,
    /// Where the store is, or what stands before several of them.
    pub upstream: u16,
}

/// Writes all that is not there yet, and what every start writes anew, but for Envoy's configuration.
pub(super) fn prepare_policy_and_keys(
    workspace: &Workspace,
    programs: &Programs,
    files: &DemoFiles,
    credentials: &Credentials,
    hosts: &Hosts,
) -> Outcome<()> {
    if !files.private_key().exists() {
        run(programs.linkgate().args(["keys", "generate", "--to"]).arg(files.keys()))?;
    }
    let login = format!("http://{}{}?c_url={{url}}", hosts.sample(), login::PATH);
    prepare_policy_file(&workspace.path("policy.yaml"), files, credentials, hosts, Some(&login))?;
    let filter = fs::read(&programs.wasm).trying(|| format!("read {}", programs.wasm.display()))?;
    write_atomically(&files.watched().join(wasm::FILE), &filter, 0o644)?;
    run(programs.linkgate().args(["policy", "deploy"]).arg(files.policy()).arg("--to").arg(files.watched()))
}

/// Writes the configuration of one gateway, with so many proxies before it, and with TLS if there are certificates.
pub(super) fn render_gateway(
    workspace: &Workspace,
    programs: &Programs,
    files: &DemoFiles,
    to: &Path,
    ports: &GatewayPorts,
    (proxies, authority): (u16, Option<&Authority>),
) -> Outcome<()> {
    let mut render = programs.linkgate();
    render.args(["envoy", "render"]).arg(workspace.path("envoy.yaml")).arg("--to").arg(to);
    let variables = [
        ("LINKGATE_GATEWAY_PORT", ports.gateway),
        ("LINKGATE_UPSTREAM_PORT", ports.upstream),
        ("LINKGATE_ADMIN_PORT", ports.admin),
        ("LINKGATE_STATUS_PORT", ports.status),
        ("LINKGATE_GATEWAY_TRUSTED_PROXIES", proxies),
    ];
    render.envs(variables.map(|(name, port)| (name, port.to_string())));
    if let Some(authority) = authority {
        render.env("LINKGATE_GATEWAY_TLS_DIR", authority.gateway());
        render.env("LINKGATE_UPSTREAM_TLS_DIR", authority.upstream());
    }
    run(render.env("LINKGATE_POLICY_DIR", files.watched()))
}

/// Puts credentials and a policy that knows them into a folder, for a sample that is at this `host:port`.
pub fn prepare_policy(folder: &Path, committed: &Path, host: &str) -> Outcome<()> {
    let files = DemoFiles::prepare(folder)?;
    let hosts = Hosts::new(host.to_owned(), &[], &[]);
    prepare_policy_file(committed, &files, &Credentials::load_or_create(&files)?, &hosts, None)
}

/// Makes the policy from the committed one, unless there is one already.
fn prepare_policy_file(
    committed: &Path,
    files: &DemoFiles,
    credentials: &Credentials,
    hosts: &Hosts,
    login: Option<&str>,
) -> Outcome<()> {
    let path = files.policy();
    if !path.exists() {
        let committed = read_text(committed)?;
        let filled = open_to_all(&fill_in_policy(&committed, credentials, hosts)?, login);
        return write_atomically(&path, filled.as_bytes(), 0o600);
    }
    let current = read_text(&path)?;
    match hosts.all().find(|host| !current.contains(host)) {
        None => Ok(()),
        Some(host) => Err(Failure::new(format!(
            "{} does not allow the host {host}: add it under packages.hosts, or remove the file to have it made anew",
            path.display()
        ))),
    }
}

/// Puts the digests where the committed policy has zeros, and the hosts where it has the sample's; those with private
/// addresses into the list that allows these.
fn fill_in_policy(committed: &str, credentials: &Credentials, hosts: &Hosts) -> Outcome<String> {
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
    // As JSON, so that whatever was typed stays one item; the check that follows refuses what is no host.
    let public: Vec<_> = hosts.public.iter().map(|host| format!("{indent}- {}\n", json!(host))).collect();
    let private = |host: &String| json!({"host": host, "targets": ["*"], "allow_private_addresses": true});
    let private: Vec<_> = hosts.private.iter().map(private).collect();
    let filled = filled.replacen(&format!("{indent}{entry}"), &public.concat(), 1);
    Ok(filled.replacen("packages:\n", &format!("packages:\n  hosts: {}\n", json!(private)), 1))
}

/// Lets the demo's callers do all there is to do, and people use the console if they can sign in somewhere.
fn open_to_all(policy: &str, login: Option<&str>) -> String {
    let console = login.map(|url| json!({"login_url": url, "contact": "whoever runs this demo"}));
    let console = console.map_or_else(String::new, |console| format!("  console: {console}\n"));
    let policy = policy.replacen("routes:\n", &format!("routes:\n{console}"), 1);
    policy.replacen("    targets: [\"*\"]\n", "    targets: [\"*\"]\n    actions: \"*\"\n", 1)
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
        let committed = format!("packages:\n  allowed_hosts:\n  - 127.0.0.1:8090\napp: {zeros}\nuser: {zeros}\n");
        let filled = fill_in_policy(&committed, &credentials(), &hosts).unwrap();
        assert!(filled.contains("\n  allowed_hosts:\n  - \"example.net\"\napp: ba7816bf8f01cfea"), "{filled}");
        let private = r#"  hosts: [{"allow_private_addresses":true,"host":"127.0.0.1:9","targets":["*"]}]"#;
        assert_eq!(filled.lines().nth(1), Some(private));
        assert!(!filled.contains(&zeros));
        assert!(fill_in_policy(&zeros, &credentials(), &hosts).is_err());
    }

    #[test]
    fn the_demo_may_do_all_and_has_a_console() {
        let committed = crate::up::files::read_text(&crate::workspace::root_of_tests().join("policy.yaml")).unwrap();
        let opened = open_to_all(&committed, Some("http://127.0.0.1:8090/login/?c_url={url}"));
        let console =
            r#"  console: {"contact":"whoever runs this demo","login_url":"http://127.0.0.1:8090/login/?c_url={url}"}"#;
        assert!(opened.contains(&format!("\nroutes:\n{console}\n")), "{opened}");
        assert!(opened.contains("\n    targets: [\"*\"]\n    actions: \"*\"\n"), "{opened}");
        assert!(!open_to_all(&committed, None).contains("\n  console:"), "nowhere to sign in, no console");
    }

    #[test]
    fn credentials_are_made_once_and_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = DemoFiles::prepare(folder.path()).unwrap();
        let first = Credentials::load_or_create(&files).unwrap();
        let second = Credentials::load_or_create(&files).unwrap();
        let texts = |credentials: &Credentials| {
            [&credentials.secret, &credentials.ticket].map(|text| text.expose_secret().to_owned())
        };
        let [secret, ticket] = texts(&first);
        assert_eq!(texts(&second), [secret.as_str(), &ticket]);
        assert_ne!(secret, ticket);
        assert_eq!(secret.len(), 32);
    }
}
