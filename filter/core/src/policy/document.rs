//! The shape of `policy.yaml`. Keys are a promise; what they mean stands in `deploy/policy.schema.json`.

use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;
use super::renamed::renamed_keys;
use super::table::{table, tables};
use crate::rules::actions::Actions;

/// The whole document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) version: u64,
    pub(super) gateway: String,
    #[serde(deserialize_with = "table")]
    pub(super) routes: Routes,
    #[serde(default, deserialize_with = "table")]
    pub(super) identity: Identity,
    #[serde(default, deserialize_with = "tables")]
    pub(super) grants: Vec<Grant>,
    #[serde(default, deserialize_with = "table")]
    pub(super) restrictions: Restrictions,
    #[serde(default, deserialize_with = "table")]
    pub(super) limits: Limits,
    #[serde(default, deserialize_with = "table")]
    pub(super) packages: Packages,
    #[serde(default, deserialize_with = "table")]
    pub(super) signed_urls: SignedUrls,
    #[serde(default, deserialize_with = "tables")]
    pub(super) clients: Vec<Client>,
    #[serde(default, deserialize_with = "tables")]
    pub(super) users: Vec<User>,
}

/// Where the API is served; the prefixes here are the stage `default`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Routes {
    #[serde(default = "yes")]
    pub(super) error_detail: bool,
    #[serde(default)]
    pub(super) prefixes: Vec<String>,
    #[serde(default, deserialize_with = "table")]
    pub(super) authentication: Authentication,
    #[serde(default, deserialize_with = "super::table::maybe_table")]
    pub(super) cors: Option<Cors>,
    #[serde(default, deserialize_with = "tables")]
    pub(super) stages: Vec<Stage>,
    #[serde(default, deserialize_with = "super::table::maybe_table")]
    pub(super) console: Option<Console>,
}

/// Pages for people; they are served where this is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Console {
    pub(super) login_url: String,
    pub(super) contact: Option<String>,
    #[serde(default = "below_console")]
    pub(super) prefixes: Vec<String>,
    /// What it asks of people, which no policy changes.
    #[serde(skip, default = "of_cookies")]
    pub(super) authentication: Authentication,
}

fn of_cookies() -> Authentication {
    let credentials_from = Vec::new();
    Authentication { verified_app_required: false, credentials_from, ..Authentication::default() }
}

fn below_console() -> Vec<String> {
    vec!["/console".to_owned()]
}

fn yes() -> bool {
    true
}

/// Prefixes with settings of their own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) prefixes: Vec<String>,
    #[serde(default, deserialize_with = "table")]
    pub(super) authentication: Authentication,
    #[serde(default, deserialize_with = "super::table::maybe_table")]
    pub(super) cors: Option<Cors>,
}

/// Pages of other sites that may have browsers call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cors {
    pub(super) allow_origins: Vec<String>,
    pub(super) allow_headers: Option<Vec<String>>,
    pub(super) expose_headers: Option<Vec<String>>,
    #[serde(default = "ten_minutes")]
    pub(super) max_age_s: u32,
    #[serde(default)]
    pub(super) allow_credentials: bool,
}

fn ten_minutes() -> u32 {
    600
}

/// Who must be known on a route, in the terms of BlueKing's gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Authentication {
    pub(super) verified_app_required: bool,
    pub(super) verified_user_required: bool,
    pub(super) verified_user_exempted_apps: Vec<String>,
    pub(super) credentials_from: Vec<Place>,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            verified_app_required: true,
            verified_user_required: true,
            verified_user_exempted_apps: Vec::new(),
            credentials_from: vec![Place::Header],
        }
    }
}

/// Where credentials may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Header,
    Query,
    Body,
}

/// The services that know apps and users.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Identity {
    #[serde(deserialize_with = "super::table::maybe_table")]
    pub(super) bkauth: Option<Service>,
    #[serde(deserialize_with = "super::table::maybe_table")]
    pub(super) login: Option<Login>,
    #[serde(deserialize_with = "super::table::maybe_table")]
    pub(super) ticket: Option<Ticket>,
    pub(super) timeout_ms: Option<u32>,
    #[serde(deserialize_with = "tables")]
    pub(super) jwt_keys: Vec<JwtKey>,
    pub(super) inner_jwt_kid: Option<String>,
    pub(super) tenant_id: Option<String>,
}

/// A service behind a cluster of the proxy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) cluster: String,
    pub(super) authority: Option<String>,
}

/// The login service, for `bk_token`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    pub(super) cluster: String,
    pub(super) authority: Option<String>,
    #[serde(default)]
    pub(super) multi_tenant: bool,
}

/// The service for `bk_ticket`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ticket {
    pub(super) cluster: String,
    pub(super) authority: Option<String>,
    pub(super) path: String,
}

/// A public key of another gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtKey {
    pub(super) kid: String,
    pub(super) public_key: String,
}

/// Whether a rule refuses, or only says that it would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    Enforce,
    Report,
}

/// Who may do what for whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    pub(super) name: Option<String>,
    pub(super) callers: Vec<String>,
    #[serde(default = "anybody")]
    pub(super) users: Vec<String>,
    pub(super) targets: Vec<String>,
    #[serde(default = "anybody")]
    pub(super) modules: Vec<String>,
    #[serde(default)]
    pub(super) actions: Actions,
    pub(super) until: Option<String>,
    #[serde(default)]
    pub(super) mode: Mode,
}

fn anybody() -> Vec<String> {
    vec!["*".to_owned()]
}

/// Whom the gateway turns away whatever they were granted.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Restrictions {
    #[serde(deserialize_with = "table")]
    pub(super) client_ips: Restriction,
    #[serde(deserialize_with = "table")]
    pub(super) users: Restriction,
}

/// What is on `deny` is refused; where `allow` lists anything, so is what is not on it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Restriction {
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
    pub(super) mode: Mode,
}

/// Sizes in bytes, and how much may come at a time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Envoys under this policy: each takes its share of every rate and of the uploads in progress.
    pub(super) instances: u64,
    pub(super) body_bytes: u64,
    pub(super) uri_bytes: u64,
    #[serde(deserialize_with = "super::table::maybe_table")]
    pub(super) requests: Option<Rate>,
    #[serde(deserialize_with = "super::table::maybe_table")]
    pub(super) requests_per_stage: Option<Rate>,
    #[serde(deserialize_with = "super::table::maybe_table")]
    pub(super) requests_per_app: Option<Rate>,
    #[serde(deserialize_with = "super::table::maybe_table")]
    pub(super) uploads_per_app: Option<Uploads>,
    /// Who counts new uploads by the rates.
    pub(super) upload_rates: UploadRates,
}

/// Who counts new uploads by the rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum UploadRates {
    /// Each gate, for its share.
    #[default]
    Gate,
    /// A service behind the proxy's rate limit filter, for all of them.
    Service,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 1,
            body_bytes: 64 << 10,
            uri_bytes: 8 << 10,
            requests: None,
            requests_per_stage: None,
            requests_per_app: None,
            uploads_per_app: None,
            upload_rates: UploadRates::Gate,
        }
    }
}

impl Limits {
    /// All rates, by their keys.
    pub(super) fn rates(&self) -> [(&'static str, Option<&Rate>); 3] {
        [
            ("requests", self.requests.as_ref()),
            ("requests_per_stage", self.requests_per_stage.as_ref()),
            ("requests_per_app", self.requests_per_app.as_ref()),
        ]
    }
}

/// Requests in the long run, and how many may come at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) burst: Option<u64>,
    #[serde(default)]
    pub(super) mode: Mode,
}

impl Rate {
    /// How many may come at once, which the rate says where nothing else does.
    pub(super) fn burst(&self) -> u64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float beyond u64 saturates")]
        let of_a_second = self.per_second.ceil() as u64;
        self.burst.unwrap_or(of_a_second)
    }
}

/// Uploads under way at the same time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Uploads {
    pub(super) concurrent: u64,
    #[serde(default)]
    pub(super) mode: Mode,
}

/// What may be uploaded.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Packages {
    pub(super) allowed_hosts: Vec<String>,
    #[serde(deserialize_with = "tables")]
    pub(super) hosts: Vec<Host>,
    pub(super) sha256: Checksum,
    /// Applications whose packages may be files of an unknown format.
    pub(super) allow_unknown_formats: Vec<String>,
}

/// A host with conditions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) host: String,
    #[serde(default = "anybody")]
    pub(super) targets: Vec<String>,
    #[serde(default)]
    pub(super) allow_private_addresses: bool,
    /// A credential of the store, by its name.
    pub(super) credential: Option<String>,
    #[serde(default)]
    pub(super) allow_caller_credential: bool,
    #[serde(default)]
    pub(super) mode: Mode,
}

/// Whether the caller must say what the package hashes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Checksum {
    #[default]
    Optional,
    /// Required, but only reported where it is missing.
    Report,
    Required,
}

/// Links of stores, by which others download.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SignedUrls {
    /// Public keys of the stores, Ed25519 as PEM.
    pub(super) keys: Vec<String>,
}

/// An application that may call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
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
    /// Reads the shape. Every key by an old name is a fault; else the first fault ends it, for what follows could not be
    /// told apart from its consequences.
    pub(super) fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        if value.is_array() {
            return Err(vec![Fault::new("", "invalid type: sequence, expected a table of keys")]);
        }
        let renamed = renamed_keys(value);
        if !renamed.is_empty() {
            return Err(renamed);
        }
        serde_path_to_error::deserialize(value).map_err(|e| {
            let path = e.path().to_string();
            let path = if path == "." { String::new() } else { path };
            let message = e.into_inner().to_string();
            vec![name_unknown_key(path, message)]
        })
    }
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
