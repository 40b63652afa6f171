//! The file that describes a request, and what the identity services would say.
//!
//! Promises: every fault is named with its span; no message quotes a value, for it could be a secret.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::UNIX_EPOCH;

use linkgate_gate::Time;
use linkgate_gate::policy::Fault;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::answer::Answer;
use crate::error::Error;
use crate::policy::{format_faults, read_document};

/// By what the gate calls a kind of credential: its key in the file, and the service that knows it.
pub const SERVICE_OF: [(&str, &str, &str); 6] = [
    ("app_secret", "app_secret", "bkauth"),
    ("signature", "app_keys", "bkauth"),
    ("app_tenant", "app_tenant", "bkauth"),
    ("access_token", "access_token", "bkauth"),
    ("bk_token", "bk_token", "login"),
    ("bk_ticket", "bk_ticket", "ticket"),
];

const KEYS: [&str; 7] = ["method", "path", "headers", "body", "client_ip", "at", "services"];
const NEEDS_TEXT: &str = "must be text";

/// A request, described.
pub struct DescribedRequest {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    /// Empty: none.
    pub body: Vec<u8>,
    /// The address that it comes from.
    pub client_ip: Option<IpAddr>,
    /// When.
    pub at: Time,
    /// What the services say, by key of the file.
    pub answers: BTreeMap<&'static str, Answer>,
}

impl DescribedRequest {
    /// Reads the file; `now` is when the request comes unless the file says so.
    pub fn read_file(file: &Path, now: Time, needs_client_ip: bool) -> Result<Self, Error> {
        let (name, document) = read_document(file)?;
        let mut reader = Reader::default();
        let described = reader.read_request(&document.value, now, needs_client_ip);
        if reader.0.is_empty() { Ok(described) } else { Err(Error::Faults(format_faults(&name, &document, &reader.0))) }
    }

    /// Headers and pseudo-headers, as the proxy would hand them over.
    pub fn pairs(&self, request_id: &str) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut pairs = vec![pair(":method", &self.method), pair(":path", &self.path)];
        pairs.extend(self.headers.iter().cloned());
        let added = [("x-request-id", request_id.to_owned()), ("content-length", self.body.len().to_string())];
        for (name, value) in added {
            let wanted = name != "content-length" || !self.body.is_empty();
            if wanted && !pairs.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                pairs.push((name.to_owned(), value));
            }
        }
        pairs
    }
}

/// Collects faults, so that all of them are met in one run.
#[derive(Default)]
struct Reader(Vec<Fault>);

impl Reader {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { path: path.into(), message: message.into() });
    }

    fn read_request(&mut self, document: &Value, now: Time, needs_client_ip: bool) -> DescribedRequest {
        let none = Map::new();
        let all = document.as_object().unwrap_or_else(|| {
            self.fault("", "must be a table of keys");
            &none
        });
        self.refuse_unknown_keys(all, "", &KEYS);
        let text = |reader: &mut Self, key: &str| {
            all.get(key).and_then(|value| reader.require(key, value.as_str().map(str::to_owned), NEEDS_TEXT))
        };
        let (method, path) = (text(self, "method"), text(self, "path"));
        if path.is_none() && document.is_object() && !all.contains_key("path") {
            self.fault("path", "is needed, for example /bkapps/applications/APP/modules/MODULE/source_package/link/");
        }
        let mut headers = all.get("headers").map(|value| self.read_headers(value)).unwrap_or_default();
        let body = all.get("body").map(|value| self.read_body(value, &mut headers)).unwrap_or_default();
        let address = text(self, "client_ip");
        let client_ip = address.and_then(|text| self.require("client_ip", text.parse().ok(), "must be an address"));
        if client_ip.is_none() && needs_client_ip && !all.contains_key("client_ip") {
            self.fault("client_ip", "is needed, because the policy has restrictions.client_ips");
        }
        let needs_moment = "must be a moment in UTC like 2027-01-31T00:00:00Z";
        let at = text(self, "at").and_then(|text| self.require("at", parse_moment(&text), needs_moment)).unwrap_or(now);
        let answers = all.get("services").map(|value| self.read_answers(value)).unwrap_or_default();
        let method = method.unwrap_or_else(|| "POST".to_owned());
        DescribedRequest { method, path: path.unwrap_or_default(), headers, body, client_ip, at, answers }
    }

    fn refuse_unknown_keys(&mut self, table: &Map<String, Value>, path: &str, keys: &[&str]) {
        for key in table.keys().filter(|key| !keys.contains(&key.as_str())) {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let message = match at.as_str() {
                "source" => "is now called `client_ip`".to_owned(),
                _ => format!("unknown key, expected one of {}", keys.join(", ")),
            };
            self.fault(at, message);
        }
    }

    fn require<T>(&mut self, path: &str, value: Option<T>, otherwise: &str) -> Option<T> {
        if value.is_none() {
            self.fault(path, otherwise);
        }
        value
    }

    /// Text, or a table that is sent as JSON; several values of one name as a list.
    fn read_headers(&mut self, value: &Value) -> Vec<(String, String)> {
        let Some(table) = self.require("headers", value.as_object(), "must be a table of keys") else {
            return Vec::new();
        };
        let mut headers = Vec::new();
        for (name, value) in table {
            let path = format!("headers.{name}");
            if name.starts_with(':') {
                self.fault(&path, "is said by method and path");
                continue;
            }
            for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                let text = match value {
                    Value::String(text) => Some(text.clone()),
                    Value::Object(_) => Some(value.to_string()),
                    _ => None,
                };
                let text = self.require(&path, text, "must be text, a table that is sent as JSON, or a list of these");
                headers.extend(text.map(|text| (name.to_ascii_lowercase(), text)));
            }
        }
        headers
    }

    fn read_body(&mut self, value: &Value, headers: &mut Vec<(String, String)>) -> Vec<u8> {
        match value {
            Value::String(text) => text.clone().into_bytes(),
            Value::Object(_) => {
                if !headers.iter().any(|(name, _)| name == "content-type") {
                    headers.push(("content-type".to_owned(), "application/json".to_owned()));
                }
                value.to_string().into_bytes()
            }
            _ => {
                self.fault("body", "must be text, or a table that is sent as JSON");
                Vec::new()
            }
        }
    }

    fn read_answers(&mut self, value: &Value) -> BTreeMap<&'static str, Answer> {
        let Some(table) = self.require("services", value.as_object(), "must be a table of keys") else {
            return BTreeMap::new();
        };
        self.refuse_unknown_keys(table, "services", &SERVICE_OF.map(|(_, key, _)| key));
        let mut answers = BTreeMap::new();
        for (_, key, _) in SERVICE_OF {
            let Some(value) = table.get(key) else { continue };
            let path = format!("services.{key}");
            let answer = self.read_answer(key, &path, value);
            answers.extend(answer.map(|answer| (key, answer)));
        }
        answers
    }

    fn read_answer(&mut self, key: &str, path: &str, value: &Value) -> Option<Answer> {
        if value == "down" {
            return Some(Answer::Down);
        }
        let (answer, otherwise) = match key {
            "app_secret" => (
                match value.as_str() {
                    Some("match") => Some(Answer::Match(true)),
                    Some("mismatch") => Some(Answer::Match(false)),
                    Some("unknown") => Some(Answer::Unknown),
                    _ => None,
                },
                "must be match, mismatch, unknown or down",
            ),
            "app_keys" => (
                if value == "unknown" { Some(Answer::Unknown) } else { read_secrets(value).map(Answer::Keys) },
                "must be a list of the app's secrets, unknown or down",
            ),
            "app_tenant" => (
                if value == "unknown" { Some(Answer::Unknown) } else { read_tenant(value).map(Answer::TenantOf) },
                "must be {tenant_mode: single, tenant_id: TENANT}, {tenant_mode: global}, unknown or down",
            ),
            "bk_token" => (
                read_refusal(value).or_else(|| read_login(value)),
                "must be {username: NAME, tenant_id: TENANT}, refused, {refused: WORDS} or down",
            ),
            "bk_ticket" => (read_refusal(value).or_else(|| Some(Answer::TicketOf(read_user(value)?))), LOGIN),
            _ => (read_refusal(value).or_else(|| read_access_token(value)), ACCESS_TOKEN),
        };
        self.require(path, answer, otherwise)
    }
}

const LOGIN: &str = "must be {username: NAME}, refused, {refused: WORDS} or down";
const ACCESS_TOKEN: &str =
    "must be {app_code: CODE, username: NAME, expires_in: SECONDS}, refused, {refused: WORDS} or down";

fn parse_moment(text: &str) -> Option<Time> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Time::from_nanos(u64::try_from(since.as_nanos()).ok()?))
}

fn read_secrets(value: &Value) -> Option<Vec<SecretString>> {
    value.as_array()?.iter().map(|text| text.as_str().map(SecretString::from)).collect()
}

/// A table with exactly these keys.
fn table_with_only<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Map<String, Value>> {
    value.as_object().filter(|table| table.keys().all(|key| keys.contains(&key.as_str())))
}

fn get_text(table: &Map<String, Value>, key: &str) -> Option<String> {
    table.get(key)?.as_str().map(str::to_owned)
}

fn read_refusal(value: &Value) -> Option<Answer> {
    if value == "refused" {
        return Some(Answer::Refused(String::new()));
    }
    table_with_only(value, &["refused"]).and_then(|table| get_text(table, "refused")).map(Answer::Refused)
}

fn read_user(value: &Value) -> Option<String> {
    get_text(table_with_only(value, &["username"])?, "username")
}

fn read_login(value: &Value) -> Option<Answer> {
    let table = table_with_only(value, &["username", "tenant_id"])?;
    let tenant_id = if table.contains_key("tenant_id") { Some(get_text(table, "tenant_id")?) } else { None };
    Some(Answer::TokenOf { username: get_text(table, "username")?, tenant_id })
}

/// `Some(None)`: the app belongs to all tenants.
fn read_tenant(value: &Value) -> Option<Option<String>> {
    let table = table_with_only(value, &["tenant_mode", "tenant_id"])?;
    match get_text(table, "tenant_mode")?.as_str() {
        "global" if table.len() == 1 => Some(None),
        "single" => get_text(table, "tenant_id").map(Some),
        _ => None,
    }
}

fn read_access_token(value: &Value) -> Option<Answer> {
    let table = table_with_only(value, &["app_code", "username", "expires_in"])?;
    // A token of an app has no user.
    let username = if table.contains_key("username") { get_text(table, "username")? } else { String::new() };
    Some(Answer::AccessToken {
        app_code: get_text(table, "app_code")?,
        username,
        expires_in: table.get("expires_in").map_or(Some(3600), Value::as_i64)?,
    })
}
