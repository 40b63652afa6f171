//! The policy: one strict document, compiled once.
//!
//! Promises: [`Policy::read`] is the only reading, used by the filter and by the command line, so what `linkgate policy
//! check` accepts the gate accepts; it is pure, so the canary and every worker come to the same verdict. Refuses unknown
//! keys, and names every fault by its path, all of them at once where the shape is right.

mod compile;
mod document;

use linkgate_contract::{AllowList, PathPrefix};
use serde_json::Value;

use crate::directory::Listed;

/// A policy that passed every rule, ready to decide by.
#[derive(Debug)]
pub struct Policy {
    pub(crate) gateway: String,
    pub(crate) prefixes: Vec<PathPrefix>,
    pub(crate) limits: Limits,
    pub(crate) allowed_hosts: AllowList,
    pub(crate) directory: Listed,
    summary: Summary,
}

/// Sizes beyond which a request is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) body_bytes: usize,
    pub(crate) uri_bytes: usize,
}

/// What a policy holds, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Path prefixes served.
    pub prefixes: usize,
    /// Apps listed.
    pub apps: usize,
    /// Users listed.
    pub users: usize,
    /// Hosts that links may point to.
    pub allowed_hosts: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, like `apps[0].secret_sha256[1]`; empty: the document as a whole.
    pub path: String,
    /// What, and what to do.
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

impl Policy {
    /// Reads and compiles a document.
    ///
    /// # Errors
    /// Every [`Fault`] found; a document of the wrong shape gives the first one.
    pub fn read(document: &Value) -> Result<Self, Vec<Fault>> {
        let document = document::Document::read(document).map_err(|fault| vec![fault])?;
        compile::compile(&document)
    }

    /// Reads and compiles JSON text, as the proxy hands it to the filter.
    ///
    /// # Errors
    /// Every [`Fault`] found.
    pub fn from_json(text: &[u8]) -> Result<Self, Vec<Fault>> {
        let not_json = |e: serde_json::Error| vec![Fault { path: String::new(), message: format!("is not JSON: {e}") }];
        Self::read(&serde_json::from_slice(text).map_err(not_json)?)
    }

    /// What it holds, in numbers.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "version": 1,
            "gateway": "linkgate",
            "routes": {"prefixes": ["", "/stag"]},
            "limits": {"body_bytes": 65536, "uri_bytes": 8192},
            "packages": {"allowed_hosts": ["example.com", "127.0.0.1:8090"]},
            "apps": [{"app_code": "app", "secret_sha256": ["0".repeat(64)]}],
            "users": [{"username": "admin", "bk_ticket_sha256": ["1".repeat(64)]}],
        })
    }

    fn faults(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut document = document();
        change(&mut document);
        Policy::read(&document).map_or_else(|f| f.iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn a_whole_policy_is_read() {
        let summary = Policy::read(&document()).unwrap().summary();
        assert_eq!(summary, Summary { prefixes: 2, apps: 1, users: 1, allowed_hosts: 2 });
    }

    #[test]
    fn what_may_be_left_out_denies() {
        let policy = Policy::read(&json!({"version": 1, "gateway": "g", "routes": {"prefixes": [""]}})).unwrap();
        assert!(policy.allowed_hosts.is_empty());
        assert_eq!((policy.limits.body_bytes, policy.limits.uri_bytes), (65_536, 8_192));
        assert_eq!(policy.summary(), Summary { prefixes: 1, apps: 0, users: 0, allowed_hosts: 0 });
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named_by_their_path() {
        let one = |change: fn(&mut Value)| {
            let found = faults(change);
            assert_eq!(found.len(), 1, "{found:?}");
            found.concat()
        };
        let text = one(|d| d["apps"][0]["secrets"] = json!([]));
        assert!(text.starts_with("apps[0].secrets: unknown key, expected `app_code` or `secret_sha256`"), "{text}");
        let text = one(|d| d["grants"] = json!([]));
        assert!(text.starts_with("grants: unknown key"), "{text}");
        let text = one(|d| d["limits"]["body_bytes"] = json!("64k"));
        assert!(text.starts_with("limits.body_bytes: invalid type: string"), "{text}");
        let text = one(|d| {
            d.as_object_mut().unwrap().remove("gateway");
        });
        assert_eq!(text, "missing field `gateway`");
        let text = one(|d| *d = json!([]));
        assert!(text.starts_with("invalid type: sequence"), "{text}");
        let text = one(|d| d["routes"] = json!(["/stag"]));
        assert!(text.starts_with("routes: invalid type: sequence"), "{text}");
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let found = faults(|d| {
            d["version"] = json!(2);
            d["gateway"] = json!("");
            d["routes"]["prefixes"] = json!(["stag", "/a", "/a"]);
            d["limits"]["body_bytes"] = json!(2_000_000);
            d["limits"]["uri_bytes"] = json!(1);
            d["packages"]["allowed_hosts"] = json!(["https://example.com", "::1"]);
            d["apps"] = json!([
                {"app_code": "", "secret_sha256": ["0".repeat(64)]},
                {"app_code": "b", "secret_sha256": ["xyz"]},
                {"app_code": "b", "secret_sha256": []},
            ]);
            d["users"] = json!([
                {"username": "", "bk_token_sha256": ["0".repeat(64)]},
                {"username": "u", "bk_token_sha256": ["1".repeat(64)]},
                {"username": "v", "bk_token_sha256": ["1".repeat(64)]},
                {"username": "w"},
            ]);
        });
        let paths: Vec<_> = found.iter().map(|f| f.split(": ").next().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "version",
                "gateway",
                "routes.prefixes[0]",
                "routes.prefixes[2]",
                "limits.body_bytes",
                "limits.uri_bytes",
                "packages.allowed_hosts[0]",
                "packages.allowed_hosts[1]",
                "apps[0].app_code",
                "apps[1].secret_sha256[0]",
                "apps[2].app_code",
                "apps[2].secret_sha256",
                "users[0].username",
                "users[2].bk_token_sha256[0]",
                "users[3]",
            ],
            "{found:#?}"
        );
    }

    #[test]
    fn a_policy_is_not_shown_with_its_digests() {
        let shown = format!("{:?}", Policy::read(&document()).unwrap());
        assert!(!shown.contains(&"0".repeat(8)) && !shown.contains(&"1".repeat(8)), "{shown}");
    }
}
