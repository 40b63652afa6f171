//! What operators start Linkgate with: the compose file, units of systemd, manifests of Kubernetes. Held against each
//! other and against what must hold everywhere; `cargo xtask compose --check` runs the first of them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod yaml;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifests() -> Vec<Value> {
    ["store", "gateway"]
        .iter()
        .flat_map(|name| yaml::documents(&read(&format!("deploy/kubernetes/{name}.yaml"))))
        .collect()
}

fn of_kind(kind: &str) -> Vec<Value> {
    manifests().into_iter().filter(|manifest| manifest["kind"] == kind).collect()
}

fn pods() -> Vec<Value> {
    let owners = of_kind("Deployment").into_iter().chain(of_kind("StatefulSet"));
    owners.map(|owner| owner["spec"]["template"]["spec"].clone()).collect()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn every_service_of_the_compose_file_can_do_little() {
    let file = yaml::documents(&read("docker-compose.yml")).remove(0);
    let services = file["services"].as_object().unwrap();
    assert_eq!(services.len(), 8);
    for (name, service) in services {
        assert_eq!(service["user"], "65532:65532", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert!(service["mem_limit"].is_string() && service["pids_limit"].is_number(), "{name}");
        assert!(service["logging"]["options"]["max-size"].is_string(), "{name}");
        assert!(service["restart"].is_string(), "{name}");
        let runs_once = service["network_mode"] == "none";
        assert!(runs_once || service["healthcheck"]["test"].is_array(), "{name}");
        for port in items(&service["ports"]) {
            assert!(name.starts_with("gateway") && port.as_str().unwrap().contains(":-127.0.0.1:"), "{name}: {port}");
        }
    }
    assert_eq!(file["networks"]["back"]["internal"], true);
}

#[test]
fn every_pod_can_do_little_and_is_asked_how_it_is() {
    let pods = pods();
    assert_eq!(pods.len(), 2);
    for pod in &pods {
        let rights = &pod["securityContext"];
        assert_eq!((&rights["runAsNonRoot"], &rights["runAsUser"]), (&json!(true), &json!(65532)));
        assert_eq!(rights["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        for container in items(&pod["containers"]).iter().chain(items(&pod["initContainers"])) {
            let name = &container["name"];
            let rights = &container["securityContext"];
            assert_eq!(rights["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(rights["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(rights["capabilities"]["drop"], json!(["ALL"]), "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        }
        for container in items(&pod["containers"]) {
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                assert!(container[probe].is_object(), "{}: {probe}", container["name"]);
            }
        }
    }
}

#[test]
fn what_manifests_name_is_there() {
    let manifests = manifests();
    let labels: Vec<_> = pods_labels();
    for manifest in &manifests {
        let (kind, spec) = (manifest["kind"].as_str().unwrap(), &manifest["spec"]);
        assert!(manifest["apiVersion"].is_string() && manifest["metadata"]["name"].is_string(), "{kind}");
        let selector = match kind {
            "Service" => &spec["selector"],
            "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
            _ => &spec["selector"]["matchLabels"],
        };
        let name = &selector["app.kubernetes.io/name"];
        assert!(labels.contains(name), "{kind} is about {name}, which no pod is called");
    }
    for pod in pods() {
        let volumes: Vec<_> =
            items(&pod["volumes"]).iter().map(|volume| volume["name"].clone()).chain([json!("data")]).collect();
        for container in items(&pod["containers"]).iter().chain(items(&pod["initContainers"])) {
            for mount in items(&container["volumeMounts"]) {
                assert!(volumes.contains(&mount["name"]), "{mount}");
            }
        }
    }
    assert_eq!((of_kind("PodDisruptionBudget").len(), of_kind("NetworkPolicy").len()), (1, 2));
}

fn pods_labels() -> Vec<Value> {
    let owners = of_kind("Deployment").into_iter().chain(of_kind("StatefulSet"));
    owners.map(|owner| owner["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"].clone()).collect()
}

#[test]
fn containers_start_alike_under_compose_and_kubernetes() {
    let compose = yaml::documents(&read("docker-compose.yml")).remove(0);
    let composed = &compose["services"]["gateway"]["command"];
    let gateway = pods().into_iter().find(|pod| pod["containers"][0]["name"] == "gateway").unwrap();
    let settled = |words: &Value| -> Vec<String> {
        let words = items(words).iter().map(|word| word.as_str().unwrap().to_owned());
        // What a setting may change is taken as it is by default.
        words
            .map(|word| word.replace("${LINKGATE_KEY:-jwt}", "jwt").replace("${LINKGATE_GATEWAY_WORKERS:-2}", "2"))
            .collect()
    };
    assert_eq!(settled(composed), settled(&gateway["containers"][0]["args"]));
}

#[test]
fn only_variables_that_are_documented_are_set() {
    let known = read("docs/CONFIGURATION.md");
    for pod in pods() {
        for variable in items(&pod["containers"][0]["env"]) {
            let name = variable["name"].as_str().unwrap();
            assert!(known.contains(&format!("`{name}`")), "{name}");
        }
    }
    let compose = yaml::documents(&read("docker-compose.yml")).remove(0);
    for service in ["store", "gateway"] {
        for name in compose["services"][service]["environment"].as_object().unwrap().keys() {
            assert!(known.contains(&format!("`{name}`")), "{service}: {name}");
        }
    }
}

const UNITS: [&str; 2] = ["linkgate-store.service", "linkgate-gateway.service"];

#[test]
fn units_confine_what_they_start() {
    for unit in UNITS {
        let text = read(&format!("deploy/systemd/{unit}"));
        for line in [
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "PrivateDevices=yes",
            "PrivateTmp=yes",
            "ProtectHome=yes",
            "ProtectSystem=strict",
            "RestrictNamespaces=yes",
            "SystemCallFilter=@system-service",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{unit}: {line}");
        }
        assert!(text.lines().any(|line| line.starts_with("User=linkgate-")), "{unit}");
    }
}

/// The programs are not installed where this runs, so others stand in for them.
#[test]
fn units_are_such_that_systemd_takes_them() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("systemd-analyze is not installed: the units were read, and not verified");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = UNITS
        .iter()
        .map(|unit| {
            let text = read(&format!("deploy/systemd/{unit}"));
            let text = text
                .replace("/usr/local/bin/linkgate-store", "/bin/true")
                .replace("/usr/local/bin/linkgate", "/bin/true");
            let path = folder.path().join(unit);
            fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("linkgate")).collect();
    assert!(ours.is_empty() && verified.status.success(), "{said}");
}
