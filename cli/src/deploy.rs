//! `linkgate policy deploy`: hands a policy to a running Envoy.
//!
//! Promises: a policy that the gate would not take is not written; Envoy sees the old file or the new one. The folder
//! is the one that Envoy watches by `config_discovery` with `watched_directory`, where a rename is what it notices.
//! Only the configuration changes with a policy; a new filter needs a new path (`--wasm`), because Envoy compares what
//! the file says, not what the paths hold.

use std::path::{Path, PathBuf, absolute};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::files::{Existing, write_whole};
use crate::policy;

/// The file that Envoy reads.
pub const RESOURCE: &str = "linkgate.ecds.json";
/// The filter beside it.
const WASM: &str = "linkgate_filter.wasm";
/// The name of the filter, of its VM and of the resource: `envoy.yaml` uses the same.
const NAME: &str = "linkgate";
/// The variables of Envoy's process that the filter may read. Envoy leaves out those that are not set.
const ENVIRONMENT: [&str; 4] = [
    "LINKGATE_JWT_PRIVATE_KEY",
    "LINKGATE_BKAUTH_APP_CODE",
    "LINKGATE_BKAUTH_APP_SECRET",
    "LINKGATE_LOGIN_BEARER_TOKEN",
];

/// Checks the policy and writes the resource; returns what to print.
pub fn deploy(file: &Path, folder: &Path, wasm: Option<&Path>) -> Result<String, Error> {
    let policy = policy::check(file)?;
    if !folder.is_dir() {
        return Err(Error::NoFolder(folder.to_owned()));
    }
    let wasm = wasm_path(folder, wasm)?;
    let json = policy.json();
    let version = version_of(&json);
    let target = folder.join(RESOURCE);
    let resource = format!("{}\n", discovery_response(&version, &wasm, &json));
    write_whole(&target, resource.as_bytes(), 0o644, Existing::Replace)?;
    Ok(format!("{}{}: version {version}\n", policy.summary(), target.display()))
}

/// The filter's path as text. One that was named may lie on another machine; the default one must be there.
fn wasm_path(folder: &Path, named: Option<&Path>) -> Result<String, Error> {
    let path = named.map_or_else(|| folder.join(WASM), PathBuf::from);
    let path = absolute(&path).map_err(|source| Error::file("find", &path, source))?;
    if named.is_none() && !path.is_file() {
        return Err(Error::NoWasm(path));
    }
    path.to_str().map(str::to_owned).ok_or_else(|| Error::PathNotText(path.clone()))
}

/// Short, and the same for the same policy.
fn version_of(json: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(json));
    digest.truncate(12);
    digest
}

/// Envoy's `DiscoveryResponse` with the filter in it.
fn discovery_response(version: &str, wasm: &str, policy: &str) -> Value {
    let config = json!({
        "name": NAME,
        "root_id": NAME,
        "failure_policy": "FAIL_RELOAD",
        "allow_on_headers_stop_iteration": true,
        "vm_config": {
            "vm_id": NAME,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": wasm}},
            "environment_variables": {"host_env_keys": ENVIRONMENT},
        },
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy},
    });
    json!({
        "version_info": version,
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
