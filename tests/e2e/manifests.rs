//! What `linkgate policy deploy --format` prints for a control plane, put into a listener as that control plane puts it: the gate
//! judges there as it does where Envoy watches a folder.

use std::process::Command;

use linkgate_tests::gateway::{GatewayPlan, path_from};
use linkgate_tests::process::binary;
use serde_json::Value;

use crate::replies::{WholeStack, assert_not_authenticated, stranger};

/// The filter as our own `envoy.yaml` has it, up to what follows.
const OURS: (&str, &str) = ("                  - name: linkgate\n", "                  # Exact rates of new uploads");
/// The first filter of the listener for callers, and its last one, each with what stands beside it there alone.
const FIRST: (&str, &str) = ("                http_filters: &filters\n", "                  # For load balancers:");
const LAST: &str = concat!(
    "                  - name: envoy.filters.http.router\n",
    "                    typed_config:\n",
    "                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n",
    "                      # The store need not know",
);

/// The resource with this policy.
fn print(policy: &Value, format: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    // JSON is YAML.
    std::fs::write(&file, policy.to_string()).unwrap();
    let mut command = Command::new(binary("linkgate"));
    command.args(["policy", "deploy"]).arg(file).args(["--format", format]).args(more);
    let output = command.arg("--wasm").arg(path_from("LINKGATE_WASM")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn without_ours(plan: GatewayPlan) -> GatewayPlan {
    let text = std::fs::read_to_string(path_from("LINKGATE_ROOT").join("envoy.yaml")).unwrap();
    let (from, to) = (text.find(OURS.0).unwrap(), text.find(OURS.1).unwrap());
    plan.editing(&text[from..to], "")
}

fn as_item(filter: &Value) -> String {
    format!("                  - {filter}\n")
}

/// As Istio does.
fn insert_before_router(plan: GatewayPlan, manifest: &Value) -> GatewayPlan {
    let patch = &manifest["spec"]["configPatches"][0];
    assert_eq!((&patch["applyTo"], &patch["patch"]["operation"]), (&"HTTP_FILTER".into(), &"INSERT_BEFORE".into()));
    let router = patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"].as_str().unwrap();
    assert!(LAST.contains(&format!("- name: {router}\n")));
    without_ours(plan).editing(LAST, &(as_item(&patch["patch"]["value"]) + LAST))
}

/// As Envoy Gateway does: a patch of JSON, in every filter that a path selects.
fn insert_first(plan: GatewayPlan, manifest: &Value) -> GatewayPlan {
    let operation = &manifest["spec"]["jsonPatches"][0]["operation"];
    assert_eq!((&operation["op"], &operation["path"]), (&"add".into(), &"/typed_config/http_filters/0".into()));
    assert_eq!(operation["jsonPath"], "..filters[?(@.name=='envoy.filters.network.http_connection_manager')]");
    let (list, first) = FIRST;
    without_ours(plan).editing(&[list, first].concat(), &[list, &as_item(&operation["value"]), first].concat())
}

#[tokio::test]
async fn the_gate_judges_where_a_control_plane_puts_it() {
    type Insert = fn(GatewayPlan, &Value) -> GatewayPlan;
    let forms: [(&str, &[&str], Insert); 2] = [
        ("envoyfilter", &[], insert_before_router),
        ("envoypatchpolicy", &["--listener", "edge/main/https"], insert_first),
    ];
    let stack = WholeStack::new().await;
    for (format, more, insert) in forms {
        let manifest = print(stack.policy(), format, more);
        let gateway = stack.add_gateway(|plan| insert(plan, &manifest)).await;
        let refused = stranger(stack.source().url()).in_english().send(gateway.base()).await;
        assert_not_authenticated(&refused, "app code cannot be empty");
        let stored = stack.request(stack.source().url()).version(format).send(gateway.base()).await;
        assert_eq!(stored.status, 200, "{format}: {stored:?}");
    }
    assert_eq!(stack.rows().await.len(), forms.len());
}
