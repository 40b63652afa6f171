//! What a signed URL says: which bytes whoever has it may download, until when, and who let them.
//!
//! Promises: the store writes and the gate reads the same type, so neither can mean something else by a name. Refuses
//! nothing by itself: the gate checks the signature before it believes a word.

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// The query parameter that carries it.
pub const SIGNED_URL_PARAMETER: &str = "lg_token";
/// The most addresses and networks that one is bound to.
pub const MAX_CLIENT_IPS: usize = 16;

/// The header of the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Whether it is that of a signed URL.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.alg == Self::ALGORITHM && self.typ == Self::TYPE
    }
}

/// The claims of the token. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The user who made it; empty if none was verified.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The tenant that it was made for, where there are tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Addresses and networks from which it counts; empty: from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_ips: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_says_only_what_is_there() {
        let claims = SignedUrlClaims {
            iat: 1,
            exp: 2,
            path: "/p/".into(),
            sha256: Sha256::from_bytes([0xab; 32]),
            app: "ci".into(),
            user: String::new(),
            tenant: None,
            client_ips: Vec::new(),
        };
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written, json!({"iat": 1, "exp": 2, "path": "/p/", "sha256": "ab".repeat(32), "app": "ci"}));
        assert_eq!(serde_json::from_value::<SignedUrlClaims>(written).unwrap(), claims);
    }

    #[test]
    fn only_the_one_type_of_token_is_ours() {
        let ours = SignedUrlHeader::new("k");
        assert!(ours.is_ours());
        assert!(!SignedUrlHeader { alg: "none".into(), ..ours.clone() }.is_ours());
        assert!(!SignedUrlHeader { typ: "JWT".into(), ..ours }.is_ours());
    }
}
