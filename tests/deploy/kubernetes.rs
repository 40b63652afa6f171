//! The manifests as a cluster gets them: rendered by `kubectl kustomize`, and held against the schemas of Kubernetes and of the
//! projects whose resources they are (`tests/fixtures/kubernetes/`). `cargo xtask test` installs both tools; without them the
//! tests say so.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::{items, read, root, yaml};

/// The folder of Python's programs, and Python itself.
fn tools() -> Option<(PathBuf, PathBuf)> {
    let python = std::env::var_os("LINKGATE_PYTHON").map(PathBuf::from);
    let python = python.filter(|python| python.with_file_name("kubectl").is_file());
    if python.is_none() {
        println!("not run: LINKGATE_PYTHON does not name a Python with kubectl beside it, run `cargo xtask test`");
    }
    python.map(|python| (python.with_file_name("kubectl"), python))
}

fn kustomize(kubectl: &Path, folder: &Path) -> String {
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn validate(python: &Path, manifests: &str) -> Output {
    let mut command = Command::new(python);
    command.arg(root().join("tests/deploy/validate.py")).arg(root().join("tests/fixtures/kubernetes"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_valid(python: &Path, manifests: &str) {
    let output = validate(python, manifests);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// An overlay with a component, in a folder beside it, as an operator makes one.
fn with_component(overlay: &str, component: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(root().join("deploy/kubernetes/overlays")).unwrap();
    let text = format!("resources:\n  - ../{overlay}\ncomponents:\n  - ../../components/{component}\n");
    std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
    folder
}

fn kinds(manifests: &str) -> Vec<String> {
    yaml::documents(manifests).iter().map(|document| document["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn both_overlays_are_what_a_cluster_takes() {
    let Some((kubectl, python)) = tools() else { return };
    for (overlay, workload) in [("single", "StatefulSet"), ("replicas", "Deployment")] {
        let folder = with_component(overlay, "monitoring");
        let manifests = kustomize(&kubectl, folder.path());
        assert_valid(&python, &manifests);
        let kinds = kinds(&manifests);
        for kind in ["PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PodMonitor", "PrometheusRule", workload]
        {
            assert!(kinds.iter().any(|found| found == kind), "{overlay}: {kind}");
        }
    }
    for job in ["backup", "restore"] {
        assert_valid(&python, &read(&format!("deploy/kubernetes/jobs/{job}.yaml")));
    }
}

#[test]
fn gateways_with_a_certificate_are_reached_over_tcp_and_udp() {
    let Some((kubectl, python)) = tools() else { return };
    let known = read("docs/reference/SETTINGS.md");
    for overlay in ["single", "replicas"] {
        let folder = with_component(overlay, "tls");
        let manifests = kustomize(&kubectl, folder.path());
        assert_valid(&python, &manifests);
        let documents = yaml::documents(&manifests);
        let spec = |kind: &str| {
            let ours = |one: &&Value| one["kind"] == kind && one["metadata"]["name"] == "linkgate-gateway";
            documents.iter().find(ours).unwrap()["spec"].clone()
        };
        let pod = spec("Deployment")["template"]["spec"].clone();
        let gateway = &pod["containers"][0];
        let variable = |name: &str| {
            assert!(known.contains(&format!("`{name}`")), "{name}");
            items(&gateway["env"]).iter().find(|variable| variable["name"] == name).unwrap()["value"].clone()
        };
        let mount = items(&gateway["volumeMounts"]).iter().find(|mount| mount["name"] == "tls").unwrap();
        assert_eq!(mount["mountPath"], variable("LINKGATE_GATEWAY_TLS_DIR"));
        let volume = items(&pod["volumes"]).iter().find(|volume| volume["name"] == "tls").unwrap();
        assert_eq!(volume["secret"]["secretName"], "linkgate-gateway-tls");

        let told = variable("LINKGATE_GATEWAY_HTTP3_PORT").as_str().unwrap().parse::<u16>().unwrap();
        let by_udp = |port: &&Value| port["protocol"] == "UDP";
        let service = spec("Service");
        let ports = items(&service["ports"]);
        let udp = ports.iter().find(by_udp).unwrap();
        assert_eq!((ports.len(), &udp["port"], &ports[0]["port"]), (2, &json!(told), &json!(443)));
        let listened = items(&gateway["ports"]).iter().find(by_udp).unwrap();
        assert_eq!((&listened["name"], &listened["containerPort"]), (&udp["targetPort"], &json!(8080)));
        let allowed = &spec("NetworkPolicy")["ingress"][0]["ports"];
        assert_eq!(*allowed, json!([{ "protocol": "TCP", "port": "http" }, { "protocol": "UDP", "port": "http3" }]));
    }
}

#[test]
fn a_field_that_no_schema_knows_is_found() {
    let Some((kubectl, python)) = tools() else { return };
    let folder = with_component("single", "monitoring");
    let manifests = kustomize(&kubectl, folder.path());
    for (from, to) in [("readinessProbe", "readynessProbe"), ("jobLabel", "jobLable"), ("replicas: 2", "replicas: two")]
    {
        assert!(manifests.contains(from), "{from}");
        assert!(!validate(&python, &manifests.replace(from, to)).status.success(), "{to}");
    }
}

#[test]
fn stores_that_share_differ_from_a_single_one_in_what_they_share() {
    let store = |overlay: &str| {
        let documents = yaml::documents(&read(&format!("deploy/kubernetes/overlays/{overlay}/store.yaml")));
        documents[0]["spec"]["template"]["spec"].clone()
    };
    let (single, shared) = (store("single"), store("replicas"));
    let known = read("docs/reference/SETTINGS.md");
    let names = |pod: &Value| -> Vec<String> {
        items(&pod["containers"][0]["env"]).iter().map(|v| v["name"].as_str().unwrap().to_owned()).collect()
    };
    let more: Vec<_> = names(&shared).into_iter().filter(|name| !names(&single).contains(name)).collect();
    assert_eq!(more.len(), 8, "{more:?}");
    for name in more {
        assert!(known.contains(&format!("`{name}`")), "{name}");
    }
    for same in ["startupProbe", "readinessProbe", "livenessProbe", "securityContext", "ports"] {
        assert_eq!(single["containers"][0][same], shared["containers"][0][same], "{same}");
    }
    assert_eq!(
        (&shared["securityContext"]["runAsNonRoot"], &shared["automountServiceAccountToken"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn the_rules_of_the_operator_are_the_alert_rules() {
    let rules = yaml::documents(&read("deploy/prometheus/alerts.yml")).remove(0);
    let manifest = yaml::documents(&read("deploy/kubernetes/components/monitoring/rules.yaml")).remove(0);
    assert_eq!(manifest["spec"]["groups"], rules["groups"], "copy the groups of deploy/prometheus/alerts.yml");
}

/// Each form that the command line prints.
#[test]
fn a_policy_is_printed_as_what_each_control_plane_takes() {
    let Some((_, python)) = tools() else { return };
    let program = linkgate_tests::process::binary("linkgate");
    for (format, more) in
        [("configmap", &[][..]), ("envoyfilter", &[]), ("envoypatchpolicy", &["--listener", "edge/main/https"])]
    {
        let mut command = Command::new(&program);
        command.args(["policy", "deploy"]).arg(root().join("policy.yaml"));
        command.args(["--format", format, "--wasm", "/filters/linkgate_filter.wasm", "--namespace", "edge"]).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_valid(&python, &text);
        assert!(
            !validate(&python, &text.replacen("\"spec\"", "\"sepc\"", 1).replacen("\"data\"", "\"date\"", 1))
                .status
                .success(),
            "{format}"
        );
    }
}
