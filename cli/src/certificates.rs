//! What tells Envoy where its certificates are: a file beside the rendered configuration for each thing that it loads.
//!
//! Promises: Envoy reads certificate and key again, together, whenever a file is renamed into their folder, and keeps what
//! it has if they do not fit. No key is read or copied here. Refuses nothing of the folders: they may be of another machine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::Error;
use crate::files::{Existing, write_atomically};

/// The folder of what the gateway shows to callers: `tls.crt` and `tls.key`.
pub const GATEWAY: &str = "LINKGATE_GATEWAY_TLS_DIR";
/// The folder of what the gateway shows to the store, and of who vouches for the store: `ca.crt` besides.
const UPSTREAM: &str = "LINKGATE_UPSTREAM_TLS_DIR";

/// One thing that Envoy loads.
struct Secret {
    /// What `envoy.yaml` calls it; its file has this name.
    name: &'static str,
    variable: &'static str,
    body: fn(&str) -> (&'static str, Value),
}

const SECRETS: [Secret; 3] = [
    Secret { name: "gateway-certificate", variable: GATEWAY, body: certificate },
    Secret { name: "upstream-certificate", variable: UPSTREAM, body: certificate },
    Secret { name: "upstream-authority", variable: UPSTREAM, body: authority },
];

fn certificate(folder: &str) -> (&'static str, Value) {
    let files = json!({
        "certificate_chain": {"filename": format!("{folder}/tls.crt")},
        "private_key": {"filename": format!("{folder}/tls.key")},
        "watched_directory": {"path": folder},
    });
    ("tls_certificate", files)
}

fn authority(folder: &str) -> (&'static str, Value) {
    let files = json!({
        "trusted_ca": {"filename": format!("{folder}/ca.crt")},
        "watched_directory": {"path": folder},
    });
    ("validation_context", files)
}

/// Writes the files of what is configured beside this one.
pub fn write_secrets(beside: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
    for secret in &SECRETS {
        let Some(folder) = environment(secret.variable) else { continue };
        let text = format!("{:#}\n", secret.resource(folder.trim_end_matches('/')));
        write_atomically(&secret.path(beside), text.as_bytes(), 0o644, Existing::Replace)?;
    }
    Ok(())
}

impl Secret {
    fn path(&self, beside: &Path) -> PathBuf {
        beside.with_file_name(format!("{}.json", self.name))
    }

    /// As Envoy reads it from a file.
    fn resource(&self, folder: &str) -> Value {
        let (kind, files) = (self.body)(folder);
        let resource = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": self.name,
            kind: files,
        });
        json!({"resources": [resource]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_gets_its_file_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("envoy.yaml");
        let files = || {
            let mut names: Vec<_> =
                std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        write_secrets(&config, &|_| None).unwrap();
        assert!(files().is_empty());
        write_secrets(&config, &|name| (name == GATEWAY).then(|| "/tls/".to_owned())).unwrap();
        assert_eq!(files(), ["gateway-certificate.json"]);
        let text = std::fs::read(folder.path().join("gateway-certificate.json")).unwrap();
        let secret = serde_json::from_slice::<Value>(&text).unwrap()["resources"][0].clone();
        assert_eq!(
            (&secret["name"], &secret["tls_certificate"]["private_key"]["filename"]),
            (&json!("gateway-certificate"), &json!("/tls/tls.key"))
        );
        assert_eq!(secret["tls_certificate"]["watched_directory"]["path"], "/tls");
        write_secrets(&config, &|name| (name == UPSTREAM).then(|| "/up".to_owned())).unwrap();
        assert_eq!(files(), ["gateway-certificate.json", "upstream-authority.json", "upstream-certificate.json"]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_named() {
        let error = write_secrets(Path::new("/no/such/envoy.yaml"), &|_| Some("/tls".to_owned())).unwrap_err();
        assert!(error.to_string().contains("/no/such/gateway-certificate.json"), "{error}");
    }
}
