//! The policy: one strict document, compiled once.
//!
//! Promises: [`Policy::from_value`] is the only reading, used by the filter and by the command line, so what `linkgate policy
//! check` accepts the gate accepts; it is pure, so the canary and every worker come to the same verdict. Refuses unknown
//! keys, and names every fault by its path, all of them at once where the shape is right.

mod compile;
mod diff;
mod document;
mod fault;
mod rates;
mod renamed;
mod table;
mod warnings;

use std::rc::Rc;

use linkgate_contract::{PathPrefix, Patterns};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::console::Console;
use crate::directory::Directory;
use crate::jwt::JwtKeys;
use crate::limit::Traffic;
use crate::rules::cors::Cors;
use crate::rules::grants::Grants;
use crate::rules::packages::PackageRules;
use crate::rules::restrictions::{ClientIps, Users};
use crate::rules::tenants::Tenants;
use crate::services::Services;
use crate::signed_url::UrlKeys;
use crate::time::Time;

pub use self::diff::Difference;
pub use self::fault::Fault;
pub use self::rates::{RateScope, WholeRate};

/// A policy that passed every rule, ready to decide by.
#[derive(Debug)]
pub struct Policy {
    pub(crate) gateway: String,
    pub(crate) stages: Vec<Rc<Stage>>,
    /// The stage of the console, where it is on.
    pub(crate) console: Option<Rc<Stage>>,
    /// Sizes beyond which a request is refused.
    /// Whether replies in the gateway's form have `detail`.
    pub(crate) error_detail: bool,
    pub(crate) body_bytes: usize,
    pub(crate) uri_bytes: usize,
    pub(crate) services: Services,
    pub(crate) jwt_keys: JwtKeys,
    /// Where the platform has tenants.
    pub(crate) tenants: Option<Tenants>,
    pub(crate) grants: Grants,
    pub(crate) client_ips: ClientIps,
    pub(crate) users: Users,
    pub(crate) traffic: Traffic,
    pub(crate) packages: PackageRules,
    pub(crate) url_keys: UrlKeys,
    pub(crate) directory: Directory,
    summary: Summary,
    version: String,
}

/// Prefixes with settings of their own.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) prefixes: Vec<PathPrefix>,
    pub(crate) authentication: Authentication,
    pub(crate) cors: Option<Cors>,
    /// Where it is the console's.
    pub(crate) console: Option<Console>,
}

/// Who must be known, and where they may say who they are.
#[derive(Debug)]
pub(crate) struct Authentication {
    pub(crate) app_required: bool,
    pub(crate) user_required: bool,
    pub(crate) exempted_apps: Patterns,
    pub(crate) from_query: bool,
    pub(crate) from_body: bool,
    /// Whether only cookies say who calls, as on the console: there is no app then.
    pub(crate) only_cookies: bool,
}

/// What a policy holds, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Path prefixes served.
    pub prefixes: usize,
    /// Applications listed that may call.
    pub clients: usize,
    /// Users listed.
    pub users: usize,
    /// Grants.
    pub grants: usize,
    /// Hosts that links may point to.
    pub allowed_hosts: usize,
    /// Envoys that share the limits.
    pub instances: u64,
}

impl Policy {
    /// Reads and compiles a document.
    ///
    /// # Errors
    /// Every [`Fault`] found; a document of the wrong shape gives every key by an old name, or the first fault.
    pub fn from_value(document: &Value) -> Result<Self, Vec<Fault>> {
        Self::compile(document, document.to_string().as_bytes())
    }

    /// Reads and compiles JSON text, as the proxy hands it to the filter.
    ///
    /// # Errors
    /// Every [`Fault`] found.
    pub fn from_json(text: &[u8]) -> Result<Self, Vec<Fault>> {
        let not_json = |e: serde_json::Error| vec![Fault::new("", format!("is not JSON: {e}"))];
        Self::compile(&serde_json::from_slice(text).map_err(not_json)?, text)
    }

    fn compile(document: &Value, text: &[u8]) -> Result<Self, Vec<Fault>> {
        let document = document::Document::from_value(document)?;
        let mut policy = compile::compile(&document)?;
        policy.version = hex::encode(Sha256::digest(text)).chars().take(12).collect();
        Ok(policy)
    }

    /// What a good document says in vain at this moment, such as a grant that has ended.
    ///
    /// # Errors
    /// Every [`Fault`] of one that is not good.
    pub fn warnings(document: &Value, now: Time) -> Result<Vec<Fault>, Vec<Fault>> {
        Ok(warnings::warnings(&Self::read_valid(document)?, now.seconds()))
    }

    /// Who gains and who loses when one document takes the place of another.
    ///
    /// # Errors
    /// Every [`Fault`] of the first one that is not good.
    pub fn difference(old: &Value, new: &Value) -> Result<Difference, Vec<Fault>> {
        Ok(diff::difference(&Self::read_valid(old)?, &Self::read_valid(new)?))
    }

    /// The rates of a good document as they are written, and whether a service is to count new uploads by them.
    ///
    /// # Errors
    /// Every [`Fault`] of one that is not good.
    pub fn whole_rates(document: &Value) -> Result<(Vec<WholeRate>, bool), Vec<Fault>> {
        let document = Self::read_valid(document)?;
        let by_service = document.limits.upload_rates == document::UploadRates::Service;
        Ok((rates::whole_rates(&document.limits), by_service))
    }

    /// A document that compiles.
    fn read_valid(document: &Value) -> Result<document::Document, Vec<Fault>> {
        let document = document::Document::from_value(document)?;
        compile::compile(&document)?;
        Ok(document)
    }

    /// What it holds, in numbers.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Twelve hexadecimal digits, the same for the same text.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
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
            "clients": [{"app_code": "app", "secret_sha256": ["0".repeat(64)]}],
            "users": [{"username": "admin", "bk_ticket_sha256": ["1".repeat(64)]}],
        })
    }

    fn faults(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut document = document();
        change(&mut document);
        Policy::from_value(&document).map_or_else(|f| f.iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn a_whole_policy_is_read() {
        let summary = Policy::from_value(&document()).unwrap().summary();
        assert_eq!(summary, Summary { prefixes: 2, clients: 1, users: 1, grants: 0, allowed_hosts: 2, instances: 1 });
    }

    #[test]
    fn what_may_be_left_out_denies() {
        let policy = Policy::from_value(&json!({"version": 1, "gateway": "g", "routes": {"prefixes": [""]}})).unwrap();
        assert!(policy.packages.hosts.is_empty() && policy.grants.0.is_empty());
        assert!(policy.stages[0].authentication.app_required && policy.stages[0].authentication.user_required);
        assert!(!policy.stages[0].authentication.from_query && !policy.stages[0].authentication.from_body);
        assert_eq!((policy.body_bytes, policy.uri_bytes), (65_536, 8_192));
        assert_eq!(
            policy.summary(),
            Summary { prefixes: 1, clients: 0, users: 0, grants: 0, allowed_hosts: 0, instances: 1 }
        );
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named_by_their_path() {
        let one = |change: fn(&mut Value)| {
            let found = faults(change);
            assert_eq!(found.len(), 1, "{found:?}");
            found.concat()
        };
        let text = one(|d| d["clients"][0]["secrets"] = json!([]));
        assert!(text.starts_with("clients[0].secrets: unknown key, expected `app_code` or `secret_sha256`"), "{text}");
        let text = one(|d| d["grant"] = json!([]));
        assert!(text.starts_with("grant: unknown key"), "{text}");
        let text = one(|d| d["grants"] = json!([["ci"]]));
        assert!(text.starts_with("grants[0]: invalid type: sequence, expected a table of keys"), "{text}");
        let text = one(|d| d["limits"]["requests"] = json!({"per_second": 1, "mode": "trial"}));
        assert!(text.starts_with("limits.requests.mode: unknown variant `trial`, expected"), "{text}");
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
            d["clients"] = json!([
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
                "clients[0].app_code",
                "clients[1].secret_sha256[0]",
                "clients[2].app_code",
                "clients[2].secret_sha256",
                "users[0].username",
                "users[2].bk_token_sha256[0]",
                "users[3]",
            ],
            "{found:#?}"
        );
    }

    #[test]
    fn every_wrong_route_and_service_is_named_at_once() {
        let found = faults(|d| {
            d["routes"] = json!({
                "prefixes": ["/a"],
                "authentication": {"credentials_from": ["query"], "verified_user_exempted_apps": ["a b"]},
                "stages": [
                    {"name": "default", "prefixes": ["/a"]},
                    {"name": "x y", "prefixes": [], "authentication": {
                        "verified_app_required": false, "verified_user_required": false,
                    }},
                ],
            });
            d["identity"] = json!({
                "bkauth": {"cluster": ""},
                "ticket": {"cluster": "t", "authority": "a b", "path": "is_login?x"},
                "timeout_ms": 0,
                "jwt_keys": [{"kid": "", "public_key": "nonsense"}],
                "inner_jwt_kid": "other",
            });
        });
        let paths: Vec<_> = found.iter().map(|f| f.split(": ").next().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "routes.authentication.credentials_from",
                "routes.authentication.verified_user_exempted_apps[0]",
                "routes.stages[0].name",
                "routes.stages[0].prefixes[0]",
                "routes.stages[1].name",
                "routes.stages[1].prefixes",
                "routes.stages[1].authentication",
                "identity.timeout_ms",
                "identity.bkauth.cluster",
                "identity.bkauth.authority",
                "identity.ticket.path",
                "identity.ticket.authority",
                "identity.jwt_keys[0].kid",
                "identity.jwt_keys[0].public_key",
                "identity.inner_jwt_kid",
            ],
            "{found:#?}"
        );
    }

    #[test]
    fn a_kid_has_two_keys_at_the_most() {
        use crate::keys::testing::ed25519;
        let with_keys = |kids: &[&str]| {
            faults(|d| {
                let keys = kids.iter().zip(1..).map(|(kid, n)| json!({"kid": kid, "public_key": ed25519(n).public}));
                d["identity"]["jwt_keys"] = keys.collect();
            })
        };
        assert!(with_keys(&["a", "a", "b", "b"]).is_empty());
        let found = with_keys(&["a", "b", "a", "a", "a"]);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("identity.jwt_keys[3].kid: has more than 2 keys"), "{found:?}");
    }

    #[test]
    fn every_wrong_rule_is_named_at_once() {
        let found = faults(|d| {
            d["grants"] = json!([
                {"name": "a", "callers": [], "targets": ["*"], "actions": []},
                {"name": "a", "callers": ["*"], "targets": ["*"], "until": "tomorrow"},
                {"name": "b c", "callers": ["", "a b"], "targets": ["*"]},
            ]);
            d["restrictions"] = json!({"client_ips": {"allow": ["10.0.0.1/8"], "deny": ["nowhere", "::ffff:1.2.3.4"]}});
            d["limits"] = json!({
                "instances": 0, "requests": {"per_second": 0}, "requests_per_app": {"per_second": 1, "burst": 0},
                "uploads_per_app": {"concurrent": 257},
            });
            d["packages"] = json!({"hosts": [{"host": "::1", "targets": [""], "credential": "a b"}]});
        });
        let paths: Vec<_> = found.iter().map(|f| f.split(": ").next().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "grants[0].callers",
                "grants[0].actions",
                "grants[1].name",
                "grants[1].until",
                "grants[2].name",
                "grants[2].callers[1]",
                "restrictions.client_ips.allow[0]",
                "restrictions.client_ips.deny[0]",
                "restrictions.client_ips.deny[1]",
                "limits.instances",
                "limits.requests.per_second",
                "limits.requests.burst",
                "limits.requests_per_app.burst",
                "limits.uploads_per_app.concurrent",
                "packages.hosts[0].targets[0]",
                "packages.hosts[0].credential",
                "packages.hosts[0].host",
            ],
            "{found:#?}"
        );
        assert!(found.iter().any(|f| f.ends_with("has bits beyond its prefix, write `10.0.0.0/8`")), "{found:#?}");
    }

    #[test]
    fn lists_are_bounded() {
        let found = faults(|d| {
            let host =
                |n| json!({"host": format!("h{n}.internal"), "allow_private_addresses": true, "credential": "a"});
            d["packages"]["hosts"] = (0..65).map(host).collect();
            d["grants"] = (0..1_001).map(|_| json!({"callers": ["a"], "targets": ["*"]})).collect();
        });
        assert_eq!(
            found,
            [
                "grants: lists 1001 entries, the limit is 1000",
                "packages.hosts: lists 65 hosts with `allow_private_addresses`, the limit is 64: they go into tokens",
                "packages.hosts: lists 65 hosts with `credential`, the limit is 64: they go into tokens",
            ]
        );
    }

    #[test]
    fn a_policy_is_not_shown_with_its_digests() {
        let shown = format!("{:?}", Policy::from_value(&document()).unwrap());
        assert!(!shown.contains(&"0".repeat(8)) && !shown.contains(&"1".repeat(8)), "{shown}");
    }
}
