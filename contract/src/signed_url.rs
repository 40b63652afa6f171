//! What a signed URL says: which bytes whoever has it may download, until when, and who let them.
//!
//! Promises: the store writes and the gate reads the same type, so neither can mean something else by a name. Refuses
//! nothing by itself: the gate checks the signature before it believes a word. Read by hand, for a derived reader costs the
//! filter more than it is worth.

use serde::Serialize;
use serde_json::Value;

use crate::Sha256;

/// The query parameter that carries it.
pub const SIGNED_URL_PARAMETER: &str = "lg_token";
/// The most addresses and networks that one is bound to.
pub const MAX_CLIENT_IPS: usize = 16;

/// The header of the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedUrlHeader {
    /// [`SignedUrlHeader::ALGORITHM`]; keys are of no other kind.
    pub alg: String,
    /// SHA-256 of the public key in its standard form, in hexadecimal digits.
    pub kid: String,
    /// What it is, so that no other token of the same key passes for it.
    pub typ: String,
}

impl SignedUrlHeader {
    /// The only algorithm.
    pub const ALGORITHM: &str = "EdDSA";
    /// The only type.
    pub const TYPE: &str = "linkgate-download+jwt";

    /// The header of a token that the key of this name signs.
    #[must_use]
    pub fn new(kid: impl Into<String>) -> Self {
        Self { alg: Self::ALGORITHM.into(), kid: kid.into(), typ: Self::TYPE.into() }
    }

    /// The name of the key, if it is the header of a signed URL.
    #[must_use]
    pub fn read_kid(header: &Value) -> Option<&str> {
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let is_ours = text("alg") == Some(Self::ALGORITHM) && text("typ") == Some(Self::TYPE);
        text("kid").filter(|_| is_ours)
    }
}

/// The claims of the token. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedUrlClaims {
    /// When it was made.
    pub iat: i64,
    /// From when on it is void.
    pub exp: i64,
    /// The path of the download, without the gateway's prefix.
    pub path: String,
    /// The bytes: those of an overwrite are others.
    pub sha256: Sha256,
    /// The application that made it; empty if none was verified.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The user who made it; empty if none was verified.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The tenant that it was made for, where there are tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Addresses and networks from which it counts; empty: from anywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_ips: Vec<String>,
}

impl SignedUrlClaims {
    /// Reads what the store wrote; `None` if it is anything else.
    #[must_use]
    pub fn read(claims: &Value) -> Option<Self> {
        let number = |name: &str| claims.get(name)?.as_i64();
        let text = |name: &str| claims.get(name).map_or(Some(""), Value::as_str).map(str::to_owned);
        let entries =
            claims.get("client_ips").map_or(Some([].as_slice()), |list| list.as_array().map(Vec::as_slice))?;
        Some(Self {
            iat: number("iat")?,
            exp: number("exp")?,
            path: text("path")?,
            sha256: text("sha256")?.parse().ok()?,
            app: text("app")?,
            user: text("user")?,
            tenant: Some(text("tenant")?).filter(|tenant| !tenant.is_empty()),
            client_ips: entries.iter().map(|entry| entry.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_says_only_what_is_there_and_is_read_as_it_was_written() {
        let few = SignedUrlClaims {
            iat: 1,
            exp: 2,
            path: "/p/".into(),
            sha256: Sha256::from_bytes([0xab; 32]),
            app: "ci".into(),
            user: String::new(),
            tenant: None,
            client_ips: Vec::new(),
        };
        let written = serde_json::to_value(&few).unwrap();
        assert_eq!(written, json!({"iat": 1, "exp": 2, "path": "/p/", "sha256": "ab".repeat(32), "app": "ci"}));
        assert_eq!(SignedUrlClaims::read(&written), Some(few.clone()));
        let (user, tenant, client_ips) = ("anna".into(), Some("blue".into()), vec!["10.0.0.1".into()]);
        let all = SignedUrlClaims { user, tenant, client_ips, ..few };
        assert_eq!(SignedUrlClaims::read(&serde_json::to_value(&all).unwrap()), Some(all));
    }

    #[test]
    fn claims_of_another_form_are_none() {
        let good = json!({"iat": 1, "exp": 2, "path": "/p/", "sha256": "ab".repeat(32)});
        assert!(SignedUrlClaims::read(&good).is_some());
        for (name, bad) in [
            ("iat", json!("1")),
            ("exp", json!(1.5)),
            ("path", json!(7)),
            ("sha256", json!("AB")),
            ("app", json!(null)),
            ("client_ips", json!("10.0.0.1")),
            ("client_ips", json!([7])),
        ] {
            let mut claims = good.clone();
            claims[name] = bad;
            assert_eq!(SignedUrlClaims::read(&claims), None, "{claims}");
        }
        assert_eq!(SignedUrlClaims::read(&json!([])), None);
    }

    #[test]
    fn only_the_one_type_of_token_is_ours() {
        let ours = serde_json::to_value(SignedUrlHeader::new("k")).unwrap();
        assert_eq!(SignedUrlHeader::read_kid(&ours), Some("k"));
        for (name, other) in [("alg", "none"), ("alg", "HS256"), ("typ", "JWT")] {
            let mut header = ours.clone();
            header[name] = other.into();
            assert_eq!(SignedUrlHeader::read_kid(&header), None, "{header}");
        }
    }
}
