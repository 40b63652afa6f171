//! The API document's request, and what its reply must look like.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::demo::{APP, Credentials, USER};
use super::files::DemoFiles;
use super::ports::Numbers;
use super::sample::Sample;
use crate::error::{Failure, Outcome, Trying};
use crate::http::{self, Response, Server};

const HOST: &str = "127.0.0.1";
const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
const VERSION: &str = "0.0.5";
const CREDENTIALS_HEADER: &str = "X-Bkapi-Authorization";

/// The gateway's reply.
pub struct Reply {
    status: u16,
    fields: Fields,
}

/// The fields of an object in the order in which they came.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields.0.iter().map(|(name, value)| format!("  \"{name}\": {value}")).collect();
        write!(f, "HTTP {}\n{{\n{}\n}}", self.status, fields.join(",\n"))
    }
}

impl Reply {
    /// Reads it from a status and a body.
    pub fn parse(status: u16, body: &str) -> Outcome<Self> {
        let fields = serde_json::from_str(body).trying(|| format!("read the reply (status {status}) {body:?}"))?;
        Ok(Self { status, fields })
    }

    fn from_response(response: &Response) -> Outcome<Self> {
        Self::parse(response.status, &response.body)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Fails with advice unless the package was taken.
    pub fn expect_success(&self, files: &DemoFiles) -> Outcome<()> {
        if self.status == 200 {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the sample was not taken; the logs are {} and {}, and removing {} makes a fresh policy",
            files.store_log().display(),
            files.envoy_log().display(),
            files.policy().display()
        )))
    }
}

fn upload_body(url: &str) -> String {
    json!({"package_url": url, "version": VERSION, "allow_overwrite": true}).to_string()
}

fn credentials_header(secret: &SecretString, ticket: &SecretString) -> String {
    let (secret, ticket) = (secret.expose_secret(), ticket.expose_secret());
    json!({"bk_app_code": APP, "bk_app_secret": secret, "bk_ticket": ticket}).to_string()
}

/// Uploads the sample.
pub fn upload_sample(gateway: impl Into<Server>, credentials: &Credentials, url: &str) -> Outcome<Reply> {
    send_upload(gateway, credentials, &upload_body(url))
}

/// Sends a request of one's own.
pub fn send_upload(gateway: impl Into<Server>, credentials: &Credentials, body: &str) -> Outcome<Reply> {
    let header = credentials_header(&credentials.secret, &credentials.ticket);
    Reply::from_response(&http::post(gateway, PATH, &[(CREDENTIALS_HEADER, &header)], body)?)
}

/// Reads what lies below the packages of the module that the sample goes to.
pub fn read_below(gateway: u16, credentials: &Credentials, below: &str) -> Outcome<Response> {
    let header = credentials_header(&credentials.secret, &credentials.ticket);
    let packages = PATH.strip_suffix("link/").unwrap_or(PATH);
    http::get_with(gateway, &format!("{packages}{below}"), &[(CREDENTIALS_HEADER, &header)])
}

/// Fails unless the gate refuses a caller with a wrong secret.
pub fn check_wrong_secret(gateway: impl Into<Server>, credentials: &Credentials, url: &str) -> Outcome<()> {
    let header = credentials_header(&"wrong".into(), &credentials.ticket);
    let reply = Reply::from_response(&http::post(gateway, PATH, &[(CREDENTIALS_HEADER, &header)], &upload_body(url))?)?;
    if reply.status == 400 && reply.field("code") == Some(&json!(1_640_001)) {
        return Ok(());
    }
    Err(Failure::new(format!("a wrong secret was not refused as it should be:\n{reply}")))
}

/// Fails unless the reply is what the API document promises for the sample.
pub fn check_reply(reply: &Reply, sample: &Sample) -> Outcome<()> {
    let time = |value: &Value| value.as_str().is_some_and(is_time);
    let id = |value: &Value| value.as_u64().is_some_and(|id| id > 0);
    let fields = &reply.fields.0;
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = [
        "id",
        "version",
        "package_name",
        "package_size",
        "sha256_signature",
        "is_deleted",
        "updated",
        "created",
        "operator",
    ];
    if reply.status != 200 || names != wanted {
        return Err(Failure::new(format!("the reply must be HTTP 200 with the fields {}", wanted.join(", "))));
    }
    let wrong: Vec<_> = fields
        .iter()
        .filter(|(name, value)| match name.as_str() {
            "id" => !id(value),
            "updated" | "created" => !time(value),
            name => *value != expected_value(name, sample),
        })
        .map(|(name, value)| format!("`{name}` is {value}"))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the reply is wrong for a package of {} bytes with SHA-256 {}: {}",
        sample.bytes,
        sample.sha256,
        wrong.join(", ")
    )))
}

fn expected_value(name: &str, sample: &Sample) -> Value {
    match name {
        "version" => VERSION.into(),
        "package_name" => format!("example:{VERSION}").into(),
        "package_size" => sample.bytes.to_string().into(),
        "sha256_signature" => sample.sha256.as_str().into(),
        "is_deleted" => false.into(),
        "operator" => USER.into(),
        _ => Value::Null,
    }
}

/// `YYYY-MM-DD HH:MM:SS`.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    shape == "9999-99-99 99:99:99"
}

/// What to try next.
pub fn format_help(
    ports: &Numbers,
    credentials: &Credentials,
    url: &str,
    files: &DemoFiles,
    authority: Option<&Path>,
) -> String {
    format!(
        "gateway  {scheme}://{HOST}:{gateway}\n\
         store    {scheme}://{HOST}:{store}/readyz\n\
         metrics  http://127.0.0.1:{status}/stats/prometheus\n\
         envoy    http://127.0.0.1:{admin}\n\
         policy   {policy}\n\n\
         {request}",
        scheme = scheme(authority),
        gateway = ports.gateway,
        store = ports.store,
        admin = ports.admin,
        status = ports.status,
        policy = files.policy().display(),
        request = format_request(ports.gateway, credentials, url, authority),
    )
}

/// The request of the sample, to be tried.
pub fn format_request(gateway: u16, credentials: &Credentials, url: &str, authority: Option<&Path>) -> String {
    let trusting = authority.map(|file| format!("--cacert {} ", file.display())).unwrap_or_default();
    format!(
        "Try it yourself:\n\n\
         curl {trusting}-X POST -H 'Content-Type: application/json' -H '{CREDENTIALS_HEADER}: {header}' -d '{body}' {scheme}://{HOST}:{gateway}{PATH}\n\n\
         Ctrl-C stops everything.",
        header = credentials_header(&credentials.secret, &credentials.ticket),
        body = upload_body(url),
        scheme = scheme(authority),
    )
}

/// What a gateway speaks with an authority, and without one.
pub fn scheme<T>(authority: Option<T>) -> &'static str {
    if authority.is_some() { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample { url: String::new(), bytes: 12, sha256: "ab".repeat(32) }
    }

    fn good() -> String {
        format!(
            r#"{{"id":1,"version":"0.0.5","package_name":"example:0.0.5","package_size":"12","sha256_signature":"{}","is_deleted":false,"updated":"2024-08-20 19:37:00","created":"2024-08-20 19:37:00","operator":"admin"}}"#,
            "ab".repeat(32)
        )
    }

    fn judge(status: u16, body: &str) -> Outcome<()> {
        check_reply(&Reply::parse(status, body)?, &sample())
    }

    #[test]
    fn the_reply_of_the_api_document_passes() {
        judge(200, &good()).unwrap();
    }

    #[test]
    fn a_reply_that_differs_in_anything_is_refused() {
        let changes = [
            (r#""id":1"#, r#""id":0"#),
            (r#""id":1"#, r#""id":"1""#),
            (r#""id":1,"version":"0.0.5""#, r#""version":"0.0.5","id":1"#),
            (r#""version":"0.0.5""#, r#""version":"0.0.6""#),
            ("example:0.0.5", "example"),
            (r#""12""#, "12"),
            ("abab", "abac"),
            ("false", "true"),
            ("2024-08-20 19", "2024-08-20T19"),
            (r#""operator":"admin""#, r#""operator":"root""#),
            (r#""operator":"admin""#, r#""operator":"admin","more":1"#),
            (r#","operator":"admin""#, ""),
        ];
        for (from, to) in changes {
            let changed = good().replacen(from, to, 1);
            assert_ne!(changed, good(), "{from}");
            assert!(judge(200, &changed).is_err(), "{from} -> {to}");
        }
        assert!(judge(201, &good()).is_err());
        assert!(judge(200, "<html>").is_err());
    }
}
