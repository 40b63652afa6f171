//! `linkgate policy deploy --format`: the filter with a policy as a resource of Kubernetes, for whoever applies it.
//!
//! Promises: a policy that the gate would not take is not printed; what Envoy gets is what `--to` would write. Refuses a
//! `ConfigMap` that a cluster would refuse for its size.

use serde_json::{Value, json};

use crate::args::{ManifestArgs, ManifestFormat};
use crate::deploy::RESOURCE;
use crate::error::Error;
use crate::resource::{NAME, Resource};

/// The most that a cluster takes.
const MAX_CONFIG_MAP_BYTES: usize = 1 << 20;
/// The filter that routes, before which the gate has to stand.
const ROUTER: &str = "envoy.filters.http.router";
const CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// The resource, as JSON.
pub fn format_manifest(resource: &Resource, arguments: &ManifestArgs, format: ManifestFormat) -> Result<String, Error> {
    let (version, kind, content) = match format {
        ManifestFormat::Configmap => ("v1", "ConfigMap", config_map(resource)?),
        ManifestFormat::Envoyfilter => {
            ("networking.istio.io/v1alpha3", "EnvoyFilter", envoy_filter(resource, arguments))
        }
        ManifestFormat::Envoypatchpolicy => {
            ("gateway.envoyproxy.io/v1alpha1", "EnvoyPatchPolicy", envoy_patch_policy(resource, arguments)?)
        }
    };
    let mut metadata = json!({
        "name": arguments.name,
        "labels": {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": NAME},
        "annotations": {"linkgate/policy-version": resource.version()},
    });
    if let Some(namespace) = &arguments.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    let mut manifest = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
    let (key, value) = content;
    manifest[key] = value;
    Ok(format!("{manifest:#}\n"))
}

/// For a volume that Envoy watches: a kubelet replaces all of it by one rename.
fn config_map(resource: &Resource) -> Result<(&'static str, Value), Error> {
    if resource.text.len() > MAX_CONFIG_MAP_BYTES {
        return Err(Error::ManifestTooLarge { bytes: resource.text.len(), limit_bytes: MAX_CONFIG_MAP_BYTES });
    }
    Ok(("data", json!({RESOURCE: resource.text})))
}

/// For Istio: before the router of every listener of the workloads.
fn envoy_filter(resource: &Resource, arguments: &ManifestArgs) -> (&'static str, Value) {
    let filter = json!({"name": CONNECTION_MANAGER, "subFilter": {"name": ROUTER}});
    let patch = json!({
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": {"filter": filter}}},
        "patch": {"operation": "INSERT_BEFORE", "value": resource.filter()},
    });
    let labels: Value =
        arguments.selector.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    ("spec", json!({"workloadSelector": {"labels": labels}, "configPatches": [patch]}))
}

/// For Envoy Gateway: as the first filter of a listener, which is called `NAMESPACE/GATEWAY/LISTENER`.
fn envoy_patch_policy(resource: &Resource, arguments: &ManifestArgs) -> Result<(&'static str, Value), Error> {
    let listener = arguments.listener.as_deref().ok_or(Error::NoListener)?;
    let [_, gateway, _] = listener.split('/').collect::<Vec<_>>()[..] else { return Err(Error::NoListener) };
    let patch = json!({
        "type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": listener,
        "operation": {
            "op": "add",
            "jsonPath": format!("..filters[?(@.name=='{CONNECTION_MANAGER}')]"),
            "path": "/typed_config/http_filters/0",
            "value": resource.filter(),
        },
    });
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway});
    Ok(("spec", json!({"targetRef": target, "type": "JSONPatch", "jsonPatches": [patch]})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(listener: Option<&str>) -> ManifestArgs {
        ManifestArgs {
            name: "linkgate-policy".into(),
            namespace: Some("edge".into()),
            selector: vec![("istio".into(), "ingressgateway".into())],
            listener: listener.map(str::to_owned),
        }
    }

    fn print(format: ManifestFormat, listener: Option<&str>) -> Result<Value, Error> {
        let resource = Resource::new("0123456789ab", r#"{"version":1}"#, "/filter.wasm");
        format_manifest(&resource, &arguments(listener), format).map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn every_form_holds_the_filter_that_a_folder_would_get() {
        let resource = Resource::new("0123456789ab", r#"{"version":1}"#, "/filter.wasm");
        let map = print(ManifestFormat::Configmap, None).unwrap();
        assert_eq!(map["data"][RESOURCE], resource.text);
        let istio = print(ManifestFormat::Envoyfilter, None).unwrap();
        assert_eq!(istio["spec"]["configPatches"][0]["patch"]["value"], resource.filter());
        assert_eq!(istio["spec"]["workloadSelector"]["labels"], json!({"istio": "ingressgateway"}));
        let gateway = print(ManifestFormat::Envoypatchpolicy, Some("edge/main/https")).unwrap();
        assert_eq!(gateway["spec"]["jsonPatches"][0]["operation"]["value"], resource.filter());
        assert_eq!(gateway["spec"]["targetRef"]["name"], "main");
        for manifest in [map, istio, gateway] {
            assert_eq!(
                (&manifest["metadata"]["name"], &manifest["metadata"]["namespace"]),
                (&json!("linkgate-policy"), &json!("edge"))
            );
            assert_eq!(manifest["metadata"]["annotations"]["linkgate/policy-version"], "0123456789ab");
        }
    }

    #[test]
    fn a_listener_that_is_not_named_in_full_is_refused() {
        for listener in [None, Some("main"), Some("edge/main"), Some("a/b/c/d")] {
            assert!(
                matches!(print(ManifestFormat::Envoypatchpolicy, listener), Err(Error::NoListener)),
                "{listener:?}"
            );
        }
    }

    #[test]
    fn a_config_map_that_a_cluster_would_refuse_is_not_printed() {
        let resource = Resource::new("v", &"x".repeat(MAX_CONFIG_MAP_BYTES), "/filter.wasm");
        let refused = format_manifest(&resource, &arguments(None), ManifestFormat::Configmap).unwrap_err();
        assert!(refused.to_string().contains("a ConfigMap takes at most 1048576"), "{refused}");
    }
}
