//! What operators start Linkgate with: the compose file, units of systemd, manifests of Kubernetes. Held against each
//! other and against what must hold everywhere; `cargo xtask compose --check` runs the first of them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod commands;
mod kubernetes;
mod release;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use linkgate_contract::GatewayErrorRow;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What people read, with paths as from the root.
fn documents() -> Vec<String> {
    let mut found: Vec<_> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned).into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            found.push(format!("docs/{name}"));
        }
    }
    found.sort();
    found
}

fn manifests() -> Vec<Value> {
    ["overlays/single/store", "base/store", "base/gateway"]
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
    assert_eq!(services.len(), 21);
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
            let may_publish = name.starts_with("gateway") || ["balancer", "prometheus"].contains(&name.as_str());
            assert!(may_publish && port.as_str().unwrap().contains(":-127.0.0.1:"), "{name}: {port}");
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
    let known = read("docs/reference/SETTINGS.md");
    for pod in pods() {
        for variable in items(&pod["containers"][0]["env"]) {
            let name = variable["name"].as_str().unwrap();
            assert!(known.contains(&format!("`{name}`")), "{name}");
        }
    }
    let compose = yaml::documents(&read("docker-compose.yml")).remove(0);
    for service in ["store", "gateway", "store-r1", "gateway-r1"] {
        for name in compose["services"][service]["environment"].as_object().unwrap().keys() {
            assert!(known.contains(&format!("`{name}`")), "{service}: {name}");
        }
    }
}

#[test]
fn a_gateways_heap_and_what_is_beside_it_fit_into_its_memory() {
    let heap: u64 = read("envoy.yaml")
        .lines()
        .find_map(|line| line.trim().strip_prefix("max_heap_size_bytes: ${LINKGATE_GATEWAY_MAX_HEAP_BYTES:-"))
        .map(|rest| rest.trim_end_matches('}').parse().unwrap())
        .unwrap();
    let compose = yaml::documents(&read("docker-compose.yml")).remove(0);
    let gateway = pods().into_iter().find(|pod| pod["containers"][0]["name"] == "gateway").unwrap();
    let limits = [
        compose["services"]["gateway"]["mem_limit"].as_str().unwrap().to_owned(),
        gateway["containers"][0]["resources"]["limits"]["memory"].as_str().unwrap().to_owned(),
        read("deploy/systemd/linkgate-gateway.service")
            .lines()
            .find_map(|line| line.strip_prefix("MemoryMax="))
            .unwrap()
            .to_owned(),
    ];
    for limit in limits {
        let mebibytes: u64 = limit.trim_end_matches(['m', 'M', 'i']).parse().unwrap();
        assert!(mebibytes << 20 >= heap + (190 << 20), "{limit} for a heap of {heap}");
    }
}

/// A line of `envoy.yaml` with what stands behind variables, and with their defaults.
fn filled(line: &str) -> String {
    let line = line.replacen("#| ", "", 1);
    let mut parts = line.split("${");
    let begin = parts.next().unwrap_or_default().to_owned();
    parts.fold(begin, |text, part| {
        let (variable, rest) = part.split_once('}').unwrap();
        text + variable.split_once(":-").map_or("1", |(_, default)| default) + rest
    })
}

/// The connection managers of the listeners for callers.
fn connection_managers() -> [serde_json::Map<String, Value>; 2] {
    let text: Vec<_> = read("envoy.yaml").lines().map(filled).collect();
    let file = yaml::documents(&text.join("\n")).remove(0);
    let listeners = items(&file["static_resources"]["listeners"]).to_vec();
    ["gateway", "gateway-http3"].map(|name| {
        let listener = listeners.iter().find(|listener| listener["name"] == name).unwrap();
        let manager = items(&listener["filter_chains"][0]["filters"]).last().unwrap();
        manager["typed_config"].as_object().unwrap().clone()
    })
}

#[test]
fn requests_by_http_3_are_handled_like_all_others() {
    let [others, http3] = connection_managers();
    assert!(http3["http_filters"].is_array() && http3["route_config"].is_object());
    for (key, value) in http3.iter().filter(|(key, _)| *key != "codec_type") {
        assert_eq!(Some(value), others.get(key), "{key}");
    }
    // Whatever is about older versions alone.
    let missing: Vec<_> = others.keys().filter(|key| !http3.contains_key(*key)).collect();
    let older = ["delayed_close_timeout", "http1_safe_max_connection_duration", "http2_protocol_options"];
    assert_eq!(missing, [&older[..], &["http_protocol_options"]].concat());
}

#[test]
fn jobs_confine_what_they_start_and_use_the_volumes_that_there_are() {
    let documents = |name: &str| yaml::documents(&read(&format!("deploy/kubernetes/jobs/{name}.yaml")));
    let backup = documents("backup");
    let job = &backup[1]["spec"]["jobTemplate"]["spec"];
    let restore = documents("restore").remove(0);
    for (pod, command) in [(&job["template"]["spec"], "backup"), (&restore["spec"]["template"]["spec"], "restore")] {
        assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{command}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{command}");
        let container = &pod["containers"][0];
        assert_eq!(container["args"], json!([command, "/backup/$(NAME)"]));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{command}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{command}");
        let claims: Vec<_> = items(&pod["volumes"])
            .iter()
            .map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(claims, ["data-linkgate-store-0", "linkgate-backup"], "{command}");
    }
    let store = of_kind("StatefulSet").remove(0);
    let (name, volume) = (&store["metadata"]["name"], &store["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]);
    assert_eq!(
        (name, volume, &backup[0]["metadata"]["name"]),
        (&json!("linkgate-store"), &json!("data"), &json!("linkgate-backup"))
    );
}

#[test]
fn probes_and_prometheus_have_a_port_that_callers_do_not_reach() {
    let gateway = pods().into_iter().find(|pod| pod["containers"][0]["name"] == "gateway").unwrap();
    let container = &gateway["containers"][0];
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], "status");
    assert!(items(&container["ports"]).contains(&json!({"name": "status", "containerPort": 9902})));
    for service in of_kind("Service") {
        assert!(items(&service["spec"]["ports"]).iter().all(|port| port["targetPort"] == "http"), "{service}");
    }
    let monitoring = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
    for (policy, port) in of_kind("NetworkPolicy").iter().zip(["http", "status"]) {
        let admits = |rule: &Value| {
            items(&rule["from"]).contains(&monitoring) && items(&rule["ports"]).iter().any(|open| open["port"] == port)
        };
        assert!(items(&policy["spec"]["ingress"]).iter().any(admits), "{policy}");
    }
    let compose = yaml::documents(&read("docker-compose.yml")).remove(0);
    let published = items(&compose["services"]["gateway"]["ports"]);
    assert!(published.iter().all(|port| port.as_str().unwrap().ends_with(":8080")), "{published:?}");
}

/// Prometheus' own tool reads the files and runs the unit tests of the rules.
#[test]
fn alert_rules_fire_for_what_they_are_about() {
    for file in ["prometheus.yml", "kubernetes.yml"] {
        let jobs = yaml::documents(&read(&format!("deploy/prometheus/{file}"))).remove(0);
        let names: Vec<_> = items(&jobs["scrape_configs"]).iter().map(|job| job["job_name"].clone()).collect();
        assert_eq!(names, ["linkgate-gateway", "linkgate-store"], "{file}");
        assert_eq!(jobs["rule_files"], json!(["alerts.yml"]), "{file}");
    }
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("not run: promtool is not installed, so the alert rules were read and not tried");
        return;
    }
    // Its build for Debian knows no Kubernetes, so that file is read above only.
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]] {
        let run =
            Command::new("promtool").args(arguments).current_dir(root().join("deploy/prometheus")).output().unwrap();
        assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
    }
}

/// Whoever is woken by an alert finds what it means and what to do.
#[test]
fn every_alert_links_to_its_entry_of_the_runbook() {
    let rules = yaml::documents(&read("deploy/prometheus/alerts.yml")).remove(0);
    let runbook = read("docs/RUNBOOK.md");
    let alerts: Vec<_> =
        items(&rules["groups"][0]["rules"]).iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    for (alert, name) in items(&rules["groups"][0]["rules"]).iter().zip(&alerts) {
        let link = format!("docs/RUNBOOK.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook"], link, "{name}");
        let (_, entry) = runbook.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("{name} has no entry"));
        let entry = entry.split("\n## ").next().unwrap();
        for part in ["**You see** ", "**It means** ", "**Do** "] {
            assert!(entry.contains(part), "the entry of {name} lacks {part}");
        }
    }
    for entry in runbook.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(alerts.contains(&entry), "{entry} is in the runbook and is no alert");
    }
}

/// Every alert is in the docs, and each is tried.
#[test]
fn every_alert_is_documented_and_has_a_test() {
    let rules = yaml::documents(&read("deploy/prometheus/alerts.yml")).remove(0);
    let (docs, tests) = (read("docs/reference/METRICS.md"), read("deploy/prometheus/alerts_test.yml"));
    let alerts = items(&rules["groups"][0]["rules"]);
    assert!(!alerts.is_empty());
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(docs.contains(&format!("| `{name}` |")), "{name} is not in docs/reference/METRICS.md");
        assert!(tests.contains(&format!("alertname: {name}")), "{name} has no test");
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

/// The proxy's own refusals, each beside the status that its filter is for: the gate is not asked for them.
#[test]
fn envoy_answers_in_the_words_of_the_gateways_table() {
    let envoy = read("envoy.yaml");
    let texts = envoy.lines().filter_map(|line| line.split_once("inline_string: '")?.1.strip_suffix("' }"));
    let bodies: Vec<Value> =
        texts.filter(|text| text.starts_with(r#"{"code""#)).map(|text| serde_json::from_str(text).unwrap()).collect();
    assert!(bodies.len() >= 10, "{bodies:?}");
    for body in bodies {
        let (code, name, message) = (&body["code"], &body["code_name"], body["message"].as_str().unwrap());
        let known = GatewayErrorRow::ALL.iter().any(|row| {
            code == row.code
                && name == row.name
                && (message == row.message || message.starts_with(&format!("{} [", row.message)))
        });
        assert!(known, "{body}");
    }
}
