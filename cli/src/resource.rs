//! The resource that Envoy's `config_discovery` reads: the filter with its policy in it.
//!
//! Promises: the same policy and filter give the same text; a filter with other bytes gives another one even under the
//! same path, because Envoy compares what the file says and looks into the paths only where that changed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The name of the filter, of its VM and of the resource: `envoy.yaml` uses the same.
pub const NAME: &str = "linkgate";
/// What Envoy runs it by.
pub const RUNTIME: &str = "envoy.wasm.runtime.v8";
/// A policy is JSON within JSON there.
pub const MAX_RESOURCE_BYTES: u64 = 16 << 20;
/// The variables of Envoy's process that the filter may read. Envoy leaves out those that are not set.
const ENVIRONMENT: [&str; 4] = [
    "LINKGATE_JWT_PRIVATE_KEY",
    "LINKGATE_BKAUTH_APP_CODE",
    "LINKGATE_BKAUTH_APP_SECRET",
    "LINKGATE_LOGIN_BEARER_TOKEN",
];

/// A resource, and how it differs from others.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// What the file holds.
    pub text: String,
    /// What Envoy calls it: the policy's version, and a digest of all the rest.
    pub info: String,
}

impl Resource {
    /// The resource with this policy, as JSON, of this version.
    pub fn new(version: &str, policy: &str, wasm: &str) -> Self {
        let config = filter_config(policy, wasm);
        let digest = hex::encode(Sha256::digest(config.to_string()));
        let info = format!("{version}-{}", digest.get(..8).unwrap_or(&digest));
        Self { text: format!("{}\n", discovery_response(&info, &config)), info }
    }

    /// Reads one that was written before; `None`: it is something else.
    pub fn parse(text: String) -> Option<Self> {
        let value: Value = serde_json::from_str(&text).ok()?;
        let ours = value["resources"][0]["name"] == NAME && value["resources"].as_array()?.len() == 1;
        let info = value["version_info"].as_str().filter(|info| ours && !info.is_empty())?.to_owned();
        Some(Self { text, info })
    }

    /// The policy in a resource that was written before; `None`: it is something else.
    pub fn find_policy(text: &str) -> Option<String> {
        let value: Value = serde_json::from_str(text).ok()?;
        let resource = value["resources"].as_array()?.iter().find(|resource| resource["name"] == NAME)?;
        policy_of(&resource["typed_config"])
    }

    /// The filter as it stands in a list of filters.
    pub fn filter(&self) -> Value {
        let read: Value = serde_json::from_str(&self.text).unwrap_or_default();
        json!({"name": NAME, "typed_config": read["resources"][0]["typed_config"]})
    }

    /// The version of the policy in it.
    pub fn version(&self) -> &str {
        policy_version(&self.info)
    }
}

/// The policy in a configuration of the filter.
pub fn policy_of(filter: &Value) -> Option<String> {
    filter["config"]["configuration"]["value"].as_str().map(str::to_owned)
}

/// The policy's part of what Envoy calls a resource.
pub fn policy_version(info: &str) -> &str {
    info.split_once('-').map_or(info, |(version, _)| version)
}

/// The SHA-256 of the filter; nothing if it lies on another machine.
fn hash_filter(wasm: &str) -> String {
    fs::read(Path::new(wasm)).map(|bytes| hex::encode(Sha256::digest(bytes))).unwrap_or_default()
}

fn filter_config(policy: &str, wasm: &str) -> Value {
    let text = |value: &str| json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": value});
    json!({
        "name": NAME,
        "root_id": NAME,
        "failure_policy": "FAIL_RELOAD",
        "allow_on_headers_stop_iteration": true,
        "vm_config": {
            "vm_id": NAME,
            "runtime": RUNTIME,
            "code": {"local": {"filename": wasm}},
            "environment_variables": {"host_env_keys": ENVIRONMENT},
            // The filter does not read it: where it changes, Envoy loads the file again.
            "configuration": text(&hash_filter(wasm)),
        },
        "configuration": text(policy),
    })
}

/// Envoy's `DiscoveryResponse` with the filter in it.
fn discovery_response(info: &str, config: &Value) -> Value {
    json!({
        "version_info": info,
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": NAME,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": config,
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_identified_by_its_policy_and_its_filter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.wasm");
        let wasm = path.to_str().unwrap();
        let resource = || Resource::new("0123456789ab", "{}", wasm);
        let missing = resource();
        fs::write(&path, "one").unwrap();
        let one = resource();
        fs::write(&path, "two").unwrap();
        assert!(missing != one && one != resource() && one.info != Resource::new("0123456789ab", "{}", "/f").info);
        fs::write(&path, "one").unwrap();
        assert_eq!(resource(), one);
        assert_eq!((one.version(), one.info.len()), ("0123456789ab", 21));
        assert_eq!(Resource::find_policy(&one.text).as_deref(), Some("{}"));
        assert_eq!(Resource::parse(one.text.clone()), Some(one));
    }

    #[test]
    fn what_is_no_resource_is_not_taken_for_one() {
        for text in ["", "[]", "{}", r#"{"version_info": "1", "resources": [{"name": "other"}]}"#] {
            assert_eq!(Resource::parse(text.to_owned()), None, "{text}");
            assert_eq!(Resource::find_policy(text), None, "{text}");
        }
        let old = r#"{"version_info": "0123456789ab", "resources": [{"name": "linkgate"}]}"#;
        assert_eq!(Resource::parse(old.to_owned()).unwrap().version(), "0123456789ab");
    }
}
