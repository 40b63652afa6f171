//! Bodies of requests.

use linkgate_contract::MAX_CLIENT_IPS;
use schemars::JsonSchema;
use serde_json::{Value, json};

/// A JSON object, or a form of the same fields.
fn fields(schema: &Value, is_required: bool) -> Value {
    let content = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
        .map(|media_type| (media_type.to_owned(), json!({"schema": schema})));
    json!({"required": is_required, "content": serde_json::Map::from_iter(content)})
}

/// The words for a field are the same wherever it stands.
pub(crate) const VERSION: &str = "The version: 1 to 128 characters once trimmed, no control characters. Left out, the one that the package's app_desc.yaml names";
pub(crate) const OVERWRITE: &str = "Whether a package of the same version is replaced";
const LINK_SHA256: &str = "The SHA-256 of the package; one with another is `CHECKSUM_MISMATCH`. If the module has a package with this digest already, its bytes are used and nothing is downloaded. Operators may require it";
const LINK_SIZE: &str = "The bytes of the package; more or fewer are `SIZE_MISMATCH`, before anything is read where the source says its length";
pub(crate) const FILE_SHA256: &str = "The SHA-256 of the file; one with another is `CHECKSUM_MISMATCH`";
pub(crate) const FILE_SIZE: &str = "The bytes of the file; more or fewer are `SIZE_MISMATCH`";

pub(crate) fn upload_by_link() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["package_url"],
        "properties": {
            "package_url": {"type": "string", "description": "The link: `http` or `https`, at most 8192 bytes, to a host that the operator allows in the policy and at the store"},
            "version": {"type": "string", "minLength": 1, "maxLength": 128, "description": VERSION},
            "allow_overwrite": {"type": "boolean", "default": false, "description": OVERWRITE},
            "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": LINK_SHA256},
            "size": {"type": "integer", "minimum": 0, "description": LINK_SIZE},
        },
    });
    fields(&schema, true)
}

/// The bytes of a package.
pub(crate) fn file() -> Value {
    json!({"required": true, "content": {"application/octet-stream": {"schema": binary()}}})
}

/// The same, or a form that has it.
pub(crate) fn file_or_form() -> Value {
    let form = json!({
        "type": "object",
        "required": ["package"],
        "properties": {
            "package": {"type": "string", "format": "binary", "description": "The file: just one, with a name of 1 to 128 of `A-Z a-z 0-9 . _ -`"},
            "version": {"type": "string", "minLength": 1, "maxLength": 128, "description": VERSION},
            "allow_overwrite": {"type": "string", "enum": ["true", "false"], "description": OVERWRITE},
            "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": FILE_SHA256},
            "size": {"type": "string", "pattern": "^[0-9]+$", "description": FILE_SIZE},
        },
    });
    json!({
        "required": true,
        "content": {"application/octet-stream": {"schema": binary()}, "multipart/form-data": {"schema": form}},
    })
}

fn binary() -> Value {
    json!({"type": "string", "format": "binary"})
}

pub(crate) fn restore() -> Value {
    let version = json!({"type": "string", "minLength": 1, "maxLength": 128, "description": "Another version for it, where its own belongs to another package by now. Left out, its own"});
    fields(&json!({"type": "object", "properties": {"version": version}}), false)
}

pub(crate) fn pin() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "until": {"type": ["string", "null"], "description": "When the pin runs out, as RFC 3339 or the replies write it: `2026-12-31T23:59:59+08:00` or `2026-12-31 23:59:59`. Left out, never"},
            "protect_bytes": {"type": "boolean", "default": false, "description": "Whether the package may not even be overwritten"},
        },
    });
    fields(&schema, false)
}

pub(crate) fn run_cleanup() -> Value {
    let plan = json!({"type": "string", "description": "The `plan` that `explain_source_package_cleanup` has shown"});
    fields(&json!({"type": "object", "required": ["plan"], "properties": {"plan": plan}}), true)
}

pub(crate) fn download_url() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "expires_in": {"type": ["integer", "null"], "minimum": 60, "maximum": 86_400, "default": 3_600, "description": "How many seconds the link is good for"},
            "client_ips": {
                "type": ["array", "null"],
                "maxItems": MAX_CLIENT_IPS,
                "items": {"type": "string"},
                "description": "Addresses and networks from which it may be used, such as `10.0.0.0/8`; in a form one text with commas. Left out, from anywhere",
            },
        },
    });
    fields(&schema, false)
}

/// A signed statement, as DSSE wraps it.
#[derive(JsonSchema)]
#[schemars(rename = "Envelope", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct Envelope {
    /// The media type of what was signed.
    payload_type: String,
    /// The in-toto statement, in base64.
    payload: String,
    /// Who signed it.
    signatures: Vec<Signature>,
}

/// A signature of an envelope.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
struct Signature {
    /// Which key made it.
    keyid: String,
    /// In base64.
    sig: String,
}
