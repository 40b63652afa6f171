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

pub(crate) fn upload_by_link() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["package_url"],
        "properties": {
            "package_url": {"type": "string", "description": "The link: http or https, to a host that the operator allows"},
            "version": {"type": "string", "minLength": 1, "maxLength": 128, "description": "Left out, the one that the package's app_desc.yaml names"},
            "allow_overwrite": {"type": "boolean", "default": false, "description": "Whether a package of the same version is replaced"},
            "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": "Of the package; another one is refused"},
            "size": {"type": "integer", "minimum": 0, "description": "Of the package in bytes; another one is refused"},
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
            "package": {"type": "string", "format": "binary", "description": "The file, with its name"},
            "version": {"type": "string", "minLength": 1, "maxLength": 128},
            "allow_overwrite": {"type": "string", "enum": ["true", "false"]},
            "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
            "size": {"type": "string", "pattern": "^[0-9]+$"},
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
    let version = json!({"type": "string", "minLength": 1, "maxLength": 128, "description": "Another version for it"});
    fields(&json!({"type": "object", "properties": {"version": version}}), false)
}

pub(crate) fn pin() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "until": {"type": ["string", "null"], "description": "Until when, as RFC 3339 or the replies write it; left out, for good"},
            "protect_bytes": {"type": "boolean", "default": false, "description": "Whether the package may not even be overwritten"},
        },
    });
    fields(&schema, false)
}

pub(crate) fn run_cleanup() -> Value {
    let plan = json!({"type": "string", "description": "The name of the plan that was shown"});
    fields(&json!({"type": "object", "required": ["plan"], "properties": {"plan": plan}}), true)
}

pub(crate) fn download_url() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "expires_in": {"type": "integer", "minimum": 60, "maximum": 86_400, "default": 3_600, "description": "How many seconds the link is good for"},
            "client_ips": {
                "type": "array",
                "maxItems": MAX_CLIENT_IPS,
                "items": {"type": "string"},
                "description": "Addresses and networks from which it may be used; from anywhere if there are none",
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
