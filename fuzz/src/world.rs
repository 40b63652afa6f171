//! The gate under attack: its policy, its keys, and what is right in it.

use std::rc::Rc;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SigningKey as Ed25519, VerifyingKey};
use linkgate_gate::policy::Policy;
use linkgate_gate::{Gate, Keys, OwnCredentials, SigningKey, Time, Unshared, Worker};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// When everything happens, unless a target says otherwise.
pub const NOW: Time = Time::from_seconds(NOW_S as u64);
/// The same, in seconds.
pub const NOW_S: i64 = 1_000;
/// Part of every secret in this world, and of no text that the gate has of its own.
pub const MARK: &str = "s3cret";
/// The app that the policy lists.
pub const APP: &str = "apigw-api-test";
/// Its secret.
pub const APP_SECRET: &str = "app-s3cret";
/// The user that the policy lists.
pub const USER: &str = "admin";
/// The user's `bk_token`.
pub const BK_TOKEN: &str = "token-s3cret";
/// The user's `bk_ticket`.
pub const BK_TICKET: &str = "ticket-s3cret";
/// The gateway whose tokens are believed.
pub const KID: &str = "bk-apigateway";
/// Credentials that are right, as a header.
pub const CREDENTIALS: &str =
    r#"{"bk_app_code":"apigw-api-test","bk_app_secret":"app-s3cret","bk_ticket":"ticket-s3cret"}"#;
/// A body that is right.
pub const BODY: &str = r#"{"package_url":"https://example.com/generic/example.tar.gz","version":"0.0.5"}"#;
/// The path of all good requests, without a prefix.
pub const PATH: &str = "/bkapps/applications/app_code/modules/default/source_package/link/";
/// Limits of the policy.
pub const BODY_BYTES: usize = 4096;
/// See [`BODY_BYTES`].
pub const URI_BYTES: usize = 1024;

/// Who must be known on a stage, and where credentials may stand; in the words of `docs/POLICY.md`.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// What stands before the path.
    pub prefix: &'static str,
    /// Whether only a verified app gets in.
    pub app_required: bool,
    /// Whether only a verified user gets in.
    pub user_required: bool,
    /// Whether some apps need no user.
    pub exempt: bool,
    /// Whether credentials may stand in the query.
    pub query: bool,
    /// Whether they may stand in the body.
    pub body: bool,
}

const STRICT: Stage =
    Stage { prefix: "", app_required: true, user_required: true, exempt: false, query: false, body: false };

/// Every stage of the policy; a path belongs to the first whose prefix fits.
pub const STAGES: [Stage; 7] = [
    STRICT,
    Stage { prefix: "/stag", ..STRICT },
    Stage { prefix: "/exempt", exempt: true, ..STRICT },
    Stage { prefix: "/anybody", user_required: false, ..STRICT },
    Stage { prefix: "/users", app_required: false, ..STRICT },
    Stage { prefix: "/query", query: true, ..STRICT },
    Stage { prefix: "/body/v1.0", query: true, body: true, ..STRICT },
];

/// Whether an app needs no user on a stage that exempts some.
pub fn is_exempted(app_code: &str) -> bool {
    app_code == "ci" || app_code.starts_with("apigw-")
}

fn sha256(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// A policy without services.
pub fn document() -> Value {
    let stage = |stage: &Stage| {
        let places = [("header", true), ("query", stage.query), ("body", stage.body)];
        let places: Vec<_> = places.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        let exempted: &[&str] = if stage.exempt { &["apigw-*", "ci"] } else { &[] };
        let name = stage.prefix.trim_matches('/').replace('/', "-");
        json!({
            "name": if name.is_empty() { "strict" } else { &name },
            "prefixes": [stage.prefix],
            "authentication": {
                "verified_app_required": stage.app_required,
                "verified_user_required": stage.user_required,
                "verified_user_exempted_apps": exempted,
                "credentials_from": places,
            },
        })
    };
    json!({
        "version": 1,
        "gateway": "linkgate",
        "routes": {"stages": STAGES.iter().map(stage).collect::<Vec<_>>()},
        "limits": {"body_bytes": BODY_BYTES, "uri_bytes": URI_BYTES},
        "packages": {"allowed_hosts": ["example.com", "10.0.0.1:8080"]},
        "grants": [{"name": "all", "callers": ["*"], "targets": ["*"], "actions": "*"}],
        "clients": [{"app_code": APP, "secret_sha256": [sha256(APP_SECRET)]}],
        "users": [{"username": USER, "bk_token_sha256": [sha256(BK_TOKEN)], "bk_ticket_sha256": [sha256(BK_TICKET)]}],
    })
}

/// The same with services and with the key of another gateway; the login service may be one with tenants.
pub fn with_services(tenants: bool) -> &'static Value {
    static DOCUMENTS: [OnceLock<Value>; 2] = [const { OnceLock::new() }; 2];
    DOCUMENTS[usize::from(tenants)].get_or_init(|| document_with_services(tenants))
}

fn document_with_services(tenants: bool) -> Value {
    let mut document = document();
    document["identity"] = json!({
        "bkauth": {"cluster": "bkauth", "authority": "bkauth.internal"},
        "login": {"cluster": "bklogin", "multi_tenant": tenants},
        "ticket": {"cluster": "bkticket", "path": "/is_login/"},
        "jwt_keys": [{"kid": KID, "public_key": spki_pem(&other_gateway().verifying_key())}],
        "inner_jwt_kid": KID,
    });
    document
}

/// The key of the other gateway.
pub fn other_gateway() -> Ed25519 {
    Ed25519::from_bytes(&[1; 32])
}

/// By which the gate's own tokens are checked.
pub fn own_key() -> VerifyingKey {
    Ed25519::from_bytes(&[9; 32]).verifying_key()
}

/// A public key as a policy takes it.
pub fn spki_pem(key: &VerifyingKey) -> String {
    let mut der = hex::decode("302a300506032b6570032100").unwrap();
    der.extend(key.as_bytes());
    pem("PUBLIC KEY", &der)
}

/// Bytes as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn own_keys() -> Keys {
    Keys { signing: SigningKey::parse(private_key()).unwrap(), own: own_credentials() }
}

fn private_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
        der.extend([9; 32]);
        STANDARD.encode(der)
    })
}

/// What the gate shows to services.
pub fn own_credentials() -> OwnCredentials {
    OwnCredentials::new("linkgate".into(), "own-s3cret".into(), "own-bearer-s3cret".into())
}

/// A gate that remembers nothing yet.
pub fn gate(policy: Policy) -> Gate {
    gate_with(policy, own_keys())
}

/// The same with other keys.
pub fn gate_with(policy: Policy, keys: Keys) -> Gate {
    Gate::new(policy, keys, Rc::new(Worker::new(Box::new(Unshared::default()), [7; 16])))
}

/// A gate of one of the policies above.
pub fn gate_of(document: &Value) -> Gate {
    gate(Policy::from_value(document).unwrap_or_else(|faults| panic!("{faults:?}")))
}
